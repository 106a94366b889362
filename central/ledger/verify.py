"""Is the ledger what was written? Every state is folded anew from the facts, every chain and seal checked (fault 39).

Two independent ways must agree: what follows from the facts is derived again from their bytes, and every row of every
table has its part in a signed seal that nobody but central can renew.
"""

import pathlib
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from central.ledger import heads, refold, rows, seal, signing, statements
from central.ledger.refold import Refold, Row
from central.ledger.staging import UNREADABLE
from sync_protocol.chain import SessionStart
from sync_protocol.documents import NoteState, OrderState
from sync_protocol.errors import ProtocolError
from sync_protocol.items import State
from sync_protocol.lifecycle import Reason
from sync_protocol.machines.lineage import Finding

MOST_SHOWN = 20
"""Findings of one kind that are named; the rest is counted."""
_EVERY = 2_000
_SESSIONS = (
    "SELECT session, device, parent_session, parent_seq, parent_hash, started_us, through, head, safe FROM session"
)
_ITEMS = f"SELECT {statements.ITEM_COLUMNS}, version, last_position FROM item ORDER BY code"  # noqa: S608 -- constants
_MISFITS = (
    "SELECT position, device, session, seq, code, what, reason, state, found, expected, raised_us FROM exception "
    "WHERE position IS NOT NULL AND reason NOT IN (?, ?)"
)
_SALES = "SELECT position, box, order_id, quantity, is_split, is_return FROM insurer_row"
_FORKS = "SELECT DISTINCT session FROM exception WHERE reason IN (?, ?, ?)"
_ORDER_STATES = "SELECT id, state FROM orders ORDER BY id"
_TRANSFERS = f"SELECT {statements.TRANSFER_COLUMNS} FROM transfer ORDER BY id"  # noqa: S608 -- constants
_NOTES = f"SELECT {statements.NOTE_COLUMNS} FROM note ORDER BY id"  # noqa: S608 -- constants
Progress = Callable[[int, int], None]
"""Told how many facts are done, of how many."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """``flaws``: what is not as it was written; none: the ledger is whole."""

    facts: int
    items: int
    sessions: int
    version: int
    flaws: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        return not self.flaws

    def __str__(self) -> str:
        told = f"{self.facts} facts of {self.sessions} sessions, {self.items} items, version {self.version}"
        if self.is_whole:
            return f"whole: {told}; every state follows from the facts, every chain, seal and head fits"
        return "\n".join([f"NOT WHOLE: {told}; {len(self.flaws)} findings", *(f"  {flaw}" for flaw in self.flaws)])


def open_ledger(path: pathlib.Path, *, is_still: bool) -> sqlite3.Connection:
    """For reading only. ``is_still``: nobody writes to the file, which may stand on a disk that cannot be written."""
    mode = "immutable=1" if is_still else "mode=ro"
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True, isolation_level=None)
    connection.execute("PRAGMA busy_timeout = 5000")
    return connection


def verify(
    connection: sqlite3.Connection, folder: pathlib.Path | None, keys: tuple[str, ...], on_progress: Progress
) -> Report:
    """``folder``: of the daily heads, None: they are elsewhere; ``keys``: whose seals count. Raises sqlite3.Error."""
    connection.execute("BEGIN")  # one moment of the ledger, however long it takes
    try:
        flaws = [f"the file: {line}" for (line,) in connection.execute("PRAGMA integrity_check(20)") if line != "ok"]
        if flaws:
            return _unreadable(*flaws)
        return _verify(connection, folder, keys, on_progress)
    except (ProtocolError, msgspec.MsgspecError, ValueError, TypeError, LookupError) as error:
        return _unreadable(f"a row says what no row can say: {type(error).__name__}: {error}")
    finally:
        connection.execute("ROLLBACK")


def _verify(
    connection: sqlite3.Connection, folder: pathlib.Path | None, keys: tuple[str, ...], on_progress: Progress
) -> Report:
    sessions = connection.execute(_SESSIONS).fetchall()
    starts = {row[0]: (row[1], _start(row).hash) for row in sessions}
    folded = refold.start(connection, starts)
    (total,) = connection.execute("SELECT count(*) FROM fact").fetchone()
    for values in connection.execute(statements.SEALED_FACTS):
        folded.take(Row(*values))
        if folded.position % _EVERY == 0:
            on_progress(folded.position, total)
    folded.finish()
    on_progress(total, total)
    checks = (
        folded.flaws,
        _sessions(connection, sessions, folded),
        _items(connection, folded),
        _misfits(connection, folded),
        _sales(connection, folded),
        _orders(connection, folded),
        _notes(connection, folded),
        _transfers(connection, folded),
        _seal(connection, folded, keys),
        heads.check(folder, connection) if folder else (),
    )
    flaws = tuple(flaw for check in checks for flaw in _shortened(check))
    return Report(
        facts=total, items=len(folded.items), sessions=len(sessions), version=_version(connection), flaws=flaws
    )


def _unreadable(*flaws: str) -> Report:
    return Report(facts=0, items=0, sessions=0, version=0, flaws=flaws)


def _shortened(flaws: Iterable[str]) -> Iterator[str]:
    count = 0
    for flaw in flaws:
        count += 1
        if count <= MOST_SHOWN:
            yield flaw
    if count > MOST_SHOWN:
        yield f"and {count - MOST_SHOWN} more of this kind"


def _start(row: rows.Row) -> SessionStart:
    return SessionStart(
        device=row[1],
        session=row[0],
        parent_session=row[2],
        parent_seq=row[3],
        parent_hash=row[4],
        started_us=row[5],
    )


def _sessions(connection: sqlite3.Connection, sessions: list[rows.Row], folded: Refold) -> Iterator[str]:
    """Heads, and links from each session to its parent. Links that do not fit are known if the work list has them."""
    forks = {row[0] for row in connection.execute(_FORKS, tuple(Finding))}
    known = {row[0]: row for row in sessions}
    for row in sessions:
        name = f"session {row[0].hex()} of {row[1]}"
        if (row[6], row[7]) != folded.heads[row[0]]:
            yield f"{name}: found through {row[6]}, its facts end at {folded.heads[row[0]][0]}"
        if not 0 <= row[8] <= row[6]:
            yield f"{name}: found {row[8]} facts safe of {row[6]}"
        parent = known.get(row[2])
        if parent is None or row[3] > parent[6] or row[0] in forks:
            continue
        if _hash_at(connection, parent, row[3]) != row[4]:
            yield f"{name}: it does not follow from fact {row[3]} of its parent"


def _hash_at(connection: sqlite3.Connection, session: rows.Row, seq: int) -> bytes | None:
    if seq == 0:
        return _start(session).hash
    row = connection.execute(statements.HASH_OF, (session[0], seq)).fetchone()
    return row[0] if row else None


def _items(connection: sqlite3.Connection, folded: Refold) -> Iterator[str]:
    seen = 0
    for row in connection.execute(_ITEMS):
        item = folded.items.get(row[0])
        if item is None:
            yield f"item {row[0]}: no fact speaks of it"
            continue
        seen += 1
        if row != rows.new_item_row(item, folded.versions[row[0]], folded.last.get(row[0], 0)):
            yield f"item {row[0]}: found {row[5]}, its facts make it {item.state}; or another field differs"
    if seen < len(folded.items):
        there = {row[0] for row in connection.execute("SELECT code FROM item")}
        yield from (f"item {code}: its facts are here, its row is gone" for code in sorted(folded.items.keys() - there))


def _misfits(connection: sqlite3.Connection, folded: Refold) -> Iterator[str]:
    # What was doubted although it fitted follows from what was known in that hour; the seal covers those entries.
    there = Counter(_told(row) for row in connection.execute(_MISFITS, (Reason.RECALLED, Reason.OVERTAKEN)))
    expected = Counter({_told(row): count for row, count in folded.misfits.items()})
    yield from _differences("exception of fact", there, expected)


def _told(row: rows.Row) -> rows.Row:
    """What another version may say in other words is left out: why bytes cannot be read."""
    is_unreadable = row[6] == UNREADABLE
    return (*row[:8], "", "", row[10]) if is_unreadable else tuple(row)


def _sales(connection: sqlite3.Connection, folded: Refold) -> Iterator[str]:
    there = Counter(connection.execute(_SALES).fetchall())
    yield from _differences("insurer row of fact", there, folded.sales)


def _differences(name: str, there: Counter[Any], expected: Counter[Any]) -> Iterator[str]:
    yield from (f"{name} {row[0]}: found one that does not follow from the facts" for row in (there - expected))
    yield from (f"{name} {row[0]}: it follows from the facts and is gone" for row in (expected - there))


def _orders(connection: sqlite3.Connection, folded: Refold) -> Iterator[str]:
    for key, state in connection.execute(_ORDER_STATES):
        expected = folded.order_state(key)
        if state not in {expected, OrderState.CANCELLED}:
            yield f"order {key}: found {state}, its facts make it {expected}"


def _notes(connection: sqlite3.Connection, folded: Refold) -> Iterator[str]:
    for row in connection.execute(_NOTES):
        try:
            note = rows.note_of(row)
        except (msgspec.MsgspecError, ValueError, KeyError) as error:
            yield f"note {row[0]}: it cannot be read: {error}"
            continue
        items = [folded.items.get(code) for code in note.codes]
        if any(item is None for item in items):
            yield f"note {row[0]}: it names codes that no fact announced"
        is_expected = any(item is not None and item.state is State.EXPECTED for item in items)
        expected = NoteState.EXPECTED if is_expected else NoteState.RECEIVED
        if note.state is not expected:
            yield f"note {row[0]}: found {note.state}, its facts make it {expected}"


def _transfers(connection: sqlite3.Connection, folded: Refold) -> Iterator[str]:
    for row in connection.execute(_TRANSFERS):
        try:
            transfer = rows.transfer_of(row)
        except (msgspec.MsgspecError, ValueError, KeyError) as error:
            yield f"transfer {row[0]}: it cannot be read: {error}"
            continue
        items = [folded.items.get(code) for code in transfer.codes]
        if any(item is None for item in items):
            yield f"transfer {row[0]}: it names codes that no fact announced"
        expected = transfer.follow(on_the_way=sum(item is not None and transfer.has_on_the_way(item) for item in items))
        if transfer.state is not expected.state:
            yield f"transfer {row[0]}: found {transfer.state}, its facts make it {expected.state}"


def _seal(connection: sqlite3.Connection, folded: Refold, keys: tuple[str, ...]) -> Iterator[str]:
    found = seal.read(connection)
    if found is None or connection.execute("SELECT one FROM seal").fetchall() != [(1,)]:
        yield "the seal: found none or more than one, expected the one of the last commit"
        return
    state = found.state
    if state.chain != folded.chain:
        yield "the facts: a row was edited, deleted, inserted or moved since it was sealed"
    for table in seal.SUMMED:
        if state.sums.get(table) != seal.summed(connection, table):
            yield f"table {table}: a row was edited, deleted or inserted since it was sealed"
    if not signing.is_signed_by(keys, found.signature, seal.digest(connection, state)):
        yield "the seal: no key of this ledger signed it with what stands in meta; one of them was changed"


def _version(connection: sqlite3.Connection) -> int:
    row = connection.execute(statements.READ_META, ("version",)).fetchone()
    return int(row[0]) if row and row[0].isdecimal() else 0
