"""Rows of facts and sessions, as the journal writes them."""

import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec

from edge_agent.store import overlay_rows, sheet_rows
from edge_agent.store.opening import Line, fresh_line, next_start, session_row
from edge_agent.store.sheet_rows import Statement
from sync_protocol.chain import link, links, start_again

ADD_SESSION = (
    "INSERT INTO session(number, session, device, parent_session, parent_seq, parent_hash, started_us)"
    " VALUES (?, ?, ?, ?, ?, ?, ?)"
)
ADD = "INSERT INTO fact(position, body, hash) VALUES (?, ?, ?)"
_PART = "UPDATE session SET parted = ? WHERE number = ?"
_FROM = "UPDATE session SET again_from = ? WHERE number = ?"


class Again(msgspec.Struct, frozen=True, kw_only=True):
    """Facts that are written once more, in the session ``line``. ``shift``: how far, from which position to which."""

    line: Line
    facts: list[tuple[Any, ...]]
    shift: tuple[int, int, int]
    left: tuple[int, int]
    """Where the session that they leave ends now, and its number."""

    @property
    def statements(self) -> tuple[Statement, ...]:
        return (
            (ADD_SESSION, [session_row(self.line.number, self.line.start)]),
            (_FROM, [(self.line.again_from, self.line.number)]),
            (_PART, [self.left]),
            (ADD, self.facts),
            (overlay_rows.MOVE, [self.shift]),
            (sheet_rows.MOVE, [self.shift]),
        )


def begin(connection: sqlite3.Connection, lines: Sequence[Line], device: str, session: bytes, started_us: int) -> Line:
    """A new session, after those of the journal, which are in order."""
    line = fresh_line(
        max((line.number for line in lines), default=0) + 1,
        next_start(lines[-1] if lines else None, device, session, started_us),
    )
    connection.execute(ADD_SESSION, session_row(line.number, line.start))
    return line


def rows(first: int, bodies: Sequence[bytes], hashes: Sequence[bytes]) -> list[tuple[Any, ...]]:
    """Facts from the position ``first`` on."""
    # bytearray: for each plain bytes the driver looks for an adapter first, at several times the cost of the value.
    return [
        (position, bytearray(body), bytearray(digest))
        for position, (body, digest) in enumerate(zip(bodies, hashes, strict=True), first)
    ]


def again(line: Line, parted: tuple[int, bytes], bodies: Sequence[bytes], *, number: int) -> Again:
    """What is written when ``line`` ends at ``parted``, and these facts past it begin the session ``number``.

    What points at the facts follows them.
    """
    start = start_again(line.start, *parted, first=link(parted[1], bodies[0]))
    to, old = fresh_line(number, start), line.position(parted[0] + 1)
    hashes, new = links(start.hash, bodies), to.position(1)
    to.head, to.head_hash, to.again_from = len(bodies), hashes[-1], old
    shift = (new - old, old, old + len(bodies) - 1)
    return Again(line=to, facts=rows(new, bodies, hashes), shift=shift, left=(parted[0], line.number))
