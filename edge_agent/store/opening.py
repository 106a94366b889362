"""What is checked of a journal before anything is written to it. Damage, or a lost end, stops the agent."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from edge_agent.errors import ConfigError, Mistake
from edge_agent.store import witness
from edge_agent.store.schema import SEQ_BITS
from edge_agent.store.sqlite import corrupt
from sync_protocol.chain import SessionStart, link

VERIFY_AT_LEAST = 1_000
"""Facts at the end of the chain that are verified at every start, acked or not."""
_SEQ_MASK = (1 << SEQ_BITS) - 1
_End = tuple[bytes, int, bytes]
"""A session, its last fact before another session follows, and the hash of that."""

SESSION_COLUMNS = (
    "number, session, device, parent_session, parent_seq, parent_hash, started_us, acked, acked_version, safe, base,"
    " base_hash, parted, again_from"
)
ALL_SESSIONS = f"SELECT {SESSION_COLUMNS} FROM session ORDER BY number"  # noqa: S608 - constants
HEAD_OF_SESSION = "SELECT position, hash FROM fact WHERE position BETWEEN ? AND ? ORDER BY position DESC LIMIT 1"
FACTS_FROM = "SELECT position, body, hash FROM fact WHERE position BETWEEN ? AND ? ORDER BY position LIMIT ?"
HASH_AT = "SELECT hash FROM fact WHERE position = ?"
QUICK_CHECK = "PRAGMA quick_check(1)"


class Line(msgspec.Struct, kw_only=True):
    """One session of the journal: how it starts, how far it is written and how far committed at central.

    ``safe``: facts that a verified backup of central holds. ``base``: facts that are pruned, ``base_hash``: of the
    last of them, which the first one kept follows; of the session start while nothing is pruned.
    ``parted``: the last fact and its hash that central has too, if it has others past that; what stands here past it
    is written again in a session that follows. ``again_from``: of such a session, where its first facts stood (REQ-04).
    """

    number: int
    start: SessionStart
    head: int
    head_hash: bytes
    acked: int
    acked_version: int
    safe: int
    base: int
    base_hash: bytes
    parted: tuple[int, bytes] | None = None
    again_from: int = 0

    @property
    def end(self) -> int:
        """The last fact that is for central."""
        return self.head if self.parted is None else self.parted[0]

    @property
    def end_hash(self) -> bytes:
        return self.head_hash if self.parted is None else self.parted[1]

    def position(self, seq: int) -> int:
        return self.number << SEQ_BITS | seq


def read_lines(connection: sqlite3.Connection) -> list[Line]:
    """Every session of the journal, in the order of what they tell of; the last one is written now."""
    lines = []
    for number, session, device, parent, parent_seq, parent_hash, started_us, *marks in connection.execute(
        ALL_SESSIONS
    ):
        start = SessionStart(
            device=device,
            session=session,
            parent_session=parent,
            parent_seq=parent_seq,
            parent_hash=parent_hash,
            started_us=started_us,
        )
        acked, acked_version, safe, base, base_hash, parted, again_from = marks
        base_hash = base_hash if base else start.hash
        first, last = number << SEQ_BITS, number << SEQ_BITS | _SEQ_MASK
        row = connection.execute(HEAD_OF_SESSION, (first, last)).fetchone()
        head, head_hash = (row[0] & _SEQ_MASK, row[1]) if row else (base, base_hash)
        lines.append(
            Line(
                number=number,
                start=start,
                head=head,
                head_hash=head_hash,
                acked=acked,
                acked_version=acked_version,
                safe=safe,
                base=base,
                base_hash=base_hash,
                parted=None if parted is None else (parted, _hash_at(connection, number, parted) or base_hash),
                again_from=again_from,
            )
        )
    return in_order(lines)


def in_order(lines: Iterable[Line]) -> list[Line]:
    """Sessions in the order they were started, but for facts written again: they follow the session that they left."""
    following: dict[int, list[Line]] = {}
    for line in sorted(lines, key=lambda line: (line.again_from, line.number)):
        left = line.again_from >> SEQ_BITS
        following.setdefault(left if left < line.number else 0, []).append(line)
    ordered, waiting = [], following.pop(0, [])[::-1]
    while waiting:
        ordered.append(waiting.pop())
        waiting += following.pop(ordered[-1].number, [])[::-1]
    return [*ordered, *(line for lost in following.values() for line in lost)]


def _hash_at(connection: sqlite3.Connection, number: int, seq: int) -> bytes | None:
    """None: the fact is pruned, or there is none."""
    row = connection.execute(HASH_AT, (number << SEQ_BITS | seq,)).fetchone()
    return row[0] if row else None


def check(connection: sqlite3.Connection, path: Path, lines: list[Line], *, device: str, testimony_path: Path) -> None:
    """Raises JournalCorruptError for a journal that is damaged, ConfigError for one of another device."""
    found = connection.execute(QUICK_CHECK).fetchone()[0]
    if found != "ok":
        raise corrupt(path, str(found))
    for line in lines:
        if line.start.device != device:
            raise ConfigError(
                str(path),
                (
                    Mistake(
                        field="agent.device",
                        found=repr(device),
                        expected=f"{line.start.device!r}, whose journal this is",
                        advice="set [agent] data to a folder of its own, or the device's old name",
                    ),
                ),
            )
    _check_parents(connection, path, lines)
    _check_facts(connection, path, lines)
    _check_witness(connection, path, lines, witness.read(testimony_path))


def _check_parents(connection: sqlite3.Connection, path: Path, lines: list[Line]) -> None:
    numbers = {line.number: line for line in lines}
    before: Line | None = None
    for line in lines:
        start, left = line.start, numbers.get(line.again_from >> SEQ_BITS)
        if left is not None:
            ends = {_end_before(connection, left, line.again_from & _SEQ_MASK)}
        else:
            ends = {(b"", 0, b"")} if before is None else set(_ends(before, numbers))
        if (start.parent_session, start.parent_seq, start.parent_hash) not in ends:
            raise corrupt(path, f"session {line.number} does not follow from the end of the one before it")
        before = line


def _end_before(connection: sqlite3.Connection, line: Line, seq: int) -> _End:
    digest = _hash_at(connection, line.number, seq - 1) or line.base_hash
    return line.start.session, seq - 1, digest


def _ends(line: Line, numbers: Mapping[int, Line]) -> Iterator[_End]:
    """Where the next session may follow. Facts that are written again come in between, perhaps long after."""
    before: Line | None = line
    while before is not None:
        yield before.start.session, before.head, before.head_hash
        if before.parted is not None:
            yield before.start.session, *before.parted
        before = numbers.get(before.again_from >> SEQ_BITS)


def _check_facts(connection: sqlite3.Connection, path: Path, lines: list[Line]) -> None:
    """Every fact that central may not have, and at least the last thousand."""
    wanted = VERIFY_AT_LEAST
    for line in reversed(lines):
        first = max(line.base, min(line.acked, max(0, line.head - max(wanted, 0)))) + 1
        wanted -= line.head
        if first > line.head:
            continue
        if first == line.base + 1:
            previous = line.base_hash
        else:
            found = _hash_at(connection, line.number, first - 1)
            if found is None:
                raise corrupt(path, f"fact {first - 1} of session {line.number} is missing")
            previous = found
        expected = line.position(first)
        rows = connection.execute(FACTS_FROM, (expected, line.position(line.head), line.head))
        for position, body, digest in rows:
            previous = link(previous, body)
            if position != expected or digest != previous:
                raise corrupt(path, f"fact {expected & _SEQ_MASK} of session {line.number} is missing or was changed")
            expected += 1


def _check_witness(
    connection: sqlite3.Connection, path: Path, lines: list[Line], testimony: witness.Testimony | None
) -> None:
    if testimony is None or not testimony.seq:
        return
    pruned = {line.number: (line.base, line.base_hash) for line in lines}.get(testimony.number, (0, b""))
    if testimony.seq < pruned[0] or (testimony.seq, testimony.hash) == pruned:
        return
    if _hash_at(connection, testimony.number, testimony.seq) != testimony.hash:
        raise corrupt(
            path,
            f"fact {testimony.seq} of session {testimony.number} was recorded and is gone; was a -wal file deleted,"
            " or an older copy put back?",
        )


def next_start(before: Line | None, device: str, session: bytes, started_us: int) -> SessionStart:
    return SessionStart(
        device=device,
        session=session,
        parent_session=before.start.session if before else b"",
        parent_seq=before.end if before else 0,
        parent_hash=before.end_hash if before else b"",
        started_us=started_us,
    )


def session_row(number: int, start: SessionStart) -> tuple[Any, ...]:
    parent = (start.parent_session, start.parent_seq, start.parent_hash)
    return (number, start.session, start.device, *parent, start.started_us)


def fresh_line(number: int, start: SessionStart) -> Line:
    return Line(
        number=number,
        start=start,
        head=0,
        head_hash=start.hash,
        acked=0,
        acked_version=0,
        safe=0,
        base=0,
        base_hash=start.hash,
    )
