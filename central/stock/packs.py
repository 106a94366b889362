"""The outer packs of a delivery note, from what the code platform said of its boxes."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import msgspec

from central.ledger import rows, statements
from central.ledger.transaction import Transaction
from central.ledger.write import Ledger
from central.stock.receiving import find_notes
from sync_protocol.documents import DeliveryNote, NoteState, Pack

_ABOVE = """
    WITH RECURSIVE above(code, parent) AS (
        SELECT code, parent FROM pack WHERE code IN (SELECT value FROM json_each(?))
        UNION SELECT pack.code, pack.parent FROM pack JOIN above ON pack.code = above.parent
    )
    SELECT DISTINCT code FROM above WHERE parent NOT IN (SELECT code FROM pack)
"""
_BELOW = """
    WITH RECURSIVE below(code, parent, level) AS (
        SELECT code, parent, level FROM pack WHERE code IN (SELECT value FROM json_each(?))
        UNION SELECT pack.code, pack.parent, pack.level FROM pack JOIN below ON pack.parent = below.code
    )
    SELECT code, parent, level FROM below ORDER BY code
"""
_BOX = 1


class Packs:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def note(self, note_id: str) -> DeliveryNote | None:
        row = self._ledger.connection.execute(statements.marks(statements.NOTES, 1), (note_id,)).fetchone()
        return rows.note_of(row) if row else None

    def complete(self, note_id: str) -> int:
        """Put the packs that are known into the note, so that workplaces have them; how many. Raises BusyError."""
        return self._ledger.commit(lambda transaction: _complete(transaction, note_id))


def _complete(transaction: Transaction, note_id: str) -> int:
    for note in find_notes(transaction, [note_id]):
        packs = packs_of(note.codes, _known(transaction, note.codes))
        if packs != note.packs and note.state is NoteState.EXPECTED:
            transaction.put(msgspec.structs.replace(note, packs=packs))
        return len(packs)
    return 0


def _known(transaction: Transaction, codes: Sequence[str]) -> list[tuple[str, str, int]]:
    """Every pack of the trees that the boxes stand in: code, parent, level."""
    tops = [code for (code,) in transaction.select(_ABOVE, (_json(codes),))]
    return [(code, parent, level) for code, parent, level in transaction.select(_BELOW, (_json(tops),))]


def packs_of(codes: Sequence[str], known: Sequence[tuple[str, str, int]]) -> tuple[Pack, ...]:
    """Outer packs by code, each with all boxes in it; those with no box of the note are left out."""
    parents: Mapping[str, str] = {code: parent for code, parent, _ in known}
    places = {code: place for place, code in enumerate(codes)}
    boxes: dict[str, list[int]] = defaultdict(list)
    extra: dict[str, list[str]] = defaultdict(list)
    for code, parent, level in known:
        if level != _BOX:
            continue
        above, seen = parent, {code}
        while above and above not in seen:  # whoever registered a ring must not hold us
            seen.add(above)
            if code in places:
                boxes[above].append(places[code])
            else:
                extra[above].append(code)
            above = parents.get(above, "")
    return tuple(
        Pack(code=code, boxes=tuple(sorted(boxes[code])), extra=tuple(sorted(extra.get(code, ()))))
        for code in sorted(boxes)
    )


def _json(codes: Sequence[str]) -> str:
    return msgspec.json.encode(list(codes)).decode()
