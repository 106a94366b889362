"""What is checked of a journal before anything is written to it. Damage, or a lost end, stops the agent."""

import sqlite3
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

SESSION_COLUMNS = (
    "number, session, device, parent_session, parent_seq, parent_hash, started_us, acked, acked_version, safe, base,"
    " base_hash"
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

    def position(self, seq: int) -> int:
        return self.number << SEQ_BITS | seq


def read_lines(connection: sqlite3.Connection) -> list[Line]:
    """Every session of the journal, in the order they were started."""
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
        acked, acked_version, safe, base, base_hash = marks
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
            )
        )
    return lines


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
    _check_parents(path, lines)
    _check_facts(connection, path, lines)
    _check_witness(connection, path, lines, witness.read(testimony_path))


def _check_parents(path: Path, lines: list[Line]) -> None:
    before: Line | None = None
    for line in lines:
        expected = (before.start.session, before.head, before.head_hash) if before else (b"", 0, b"")
        start = line.start
        if (start.parent_session, start.parent_seq, start.parent_hash) != expected:
            raise corrupt(path, f"session {line.number} does not follow from the end of the one before it")
        before = line


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
            row = connection.execute(HASH_AT, (line.position(first - 1),)).fetchone()
            if row is None:
                raise corrupt(path, f"fact {first - 1} of session {line.number} is missing")
            previous = row[0]
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
    row = connection.execute(HASH_AT, (testimony.number << SEQ_BITS | testimony.seq,)).fetchone()
    if row is None or row[0] != testimony.hash:
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
        parent_seq=before.head if before else 0,
        parent_hash=before.head_hash if before else b"",
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
