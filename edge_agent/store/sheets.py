"""The sheets of paper that this place knows, in the journal: printed here, or scanned here for the first time (A22)."""

from collections.abc import Mapping

import msgspec

from edge_agent.store.journal import Journal
from sync_protocol.codec import decode_fact
from sync_protocol.facts import Fact
from sync_protocol.sheets import Sheet, sheet_id

KEPT_US = 90 * 86_400_000_000
"""How long what is finished can still be looked at."""
_COLUMNS = "SELECT body, closed_us, closed_by, why FROM sheet"
_READ = f"{_COLUMNS} WHERE id = ?"
_OPEN = f"{_COLUMNS} WHERE closed_us = 0 ORDER BY added_us, rowid LIMIT ?"
_COUNT_OPEN = "SELECT count(*) FROM sheet WHERE closed_us = 0"
_ADD = "INSERT OR IGNORE INTO sheet(id, body, added_us) VALUES (?, ?, ?)"
_CLOSE = "UPDATE sheet SET closed_us = ?, closed_by = ?, why = ? WHERE id = ?"
_LINES = "SELECT line, position FROM sheet_line WHERE sheet = ? ORDER BY line"
_FACT = "SELECT body FROM fact WHERE position = ?"
_COUNT = "SELECT count(*) FROM sheet"
_OLD = "SELECT id FROM sheet WHERE closed_us > 0 AND closed_us < ?"
_FORGET = "DELETE FROM sheet WHERE id = ?"
_FORGET_LINES = "DELETE FROM sheet_line WHERE sheet = ?"

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Sheet).decode


class KeptSheet(msgspec.Struct, frozen=True, kw_only=True):
    """``done``: lines that were scanned back. ``why``: what became of the others, when somebody has closed it."""

    sheet: Sheet
    done: frozenset[int]
    closed_us: int = 0
    closed_by: str = ""
    why: str = ""

    @property
    def open(self) -> tuple[int, ...]:
        """Numbers of the lines that nothing is known of."""
        return tuple(line.number for line in self.sheet.lines if line.number not in self.done)


class HeldSheets:
    """Every method raises StoreError or JournalCorruptError."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def fresh_id(self, now_us: int) -> str:
        """The session is random: no other computer, and none of a restored disk, comes to the same."""
        ((count,),) = self._journal.query(_COUNT)
        return sheet_id(self._journal.start.device, self._journal.start.session, now_us, count)

    def add(self, sheet: Sheet, *, now_us: int) -> None:
        """Keep a sheet; what was finished long ago goes."""
        for (old,) in self._journal.query(_OLD, now_us - KEPT_US):
            self._journal.write(_FORGET_LINES, [(old,)])
            self._journal.write(_FORGET, [(old,)])
        self._journal.write(_ADD, [(sheet.id, _encode(sheet), now_us)])

    def find(self, key: str) -> KeptSheet | None:
        rows = self._journal.query(_READ, key)
        return self._kept(*rows[0]) if rows else None

    def outstanding(self, limit: int) -> list[KeptSheet]:
        """Those with lines that nothing is known of, the oldest first."""
        return [self._kept(*row) for row in self._journal.query(_OPEN, limit)]

    @property
    def count(self) -> int:
        """How many those are."""
        ((count,),) = self._journal.query(_COUNT_OPEN)
        return int(count)

    def close(self, key: str, *, by: str, at_us: int, why: str) -> None:
        self._journal.write(_CLOSE, [(at_us, by, why, key)])

    def facts(self, key: str) -> Mapping[int, Fact]:
        """What each line became, as far as the journal still has it."""
        found = ((line, self._journal.query(_FACT, position)) for line, position in self._journal.query(_LINES, key))
        return {line: decode_fact(rows[0][0]) for line, rows in found if rows}

    def _kept(self, body: bytes, closed_us: int, closed_by: str, why: str) -> KeptSheet:
        sheet = _decode(body)
        done = frozenset(line for line, _ in self._journal.query(_LINES, sheet.id))
        return KeptSheet(sheet=sheet, done=done, closed_us=closed_us, closed_by=closed_by, why=why)
