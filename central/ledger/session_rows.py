"""Sessions as they stand in the ledger. Those of a commit are asked for together: a statement for each costs more."""

import sqlite3
from collections.abc import Iterable

import msgspec

from central.ledger import statements
from central.ledger.staging import in_chunks
from sync_protocol.chain import SessionStart
from sync_protocol.machines.ingest import SessionState


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """How far the ledger has a session without a gap, and a verified backup of it; ``head``: hash of the last fact."""

    through: int = 0
    safe: int = 0
    head: bytes = b""


_UNKNOWN = Reach()


def read_sessions(connection: sqlite3.Connection, sessions: Iterable[bytes]) -> dict[bytes, SessionState]:
    """Those that the ledger has heard of."""
    found = {}
    for row in in_chunks(connection, statements.READ_SESSIONS, sorted(sessions)):
        start = SessionStart(
            device=row[0],
            session=row[1],
            parent_session=row[2],
            parent_seq=row[3],
            parent_hash=row[4],
            started_us=row[5],
        )
        found[start.session] = SessionState(start=start, through=row[6], head=row[7])
    return found


def read_session(connection: sqlite3.Connection, session: bytes) -> SessionState | None:
    return read_sessions(connection, [session]).get(session)


def read_reach(connection: sqlite3.Connection, sessions: Iterable[bytes]) -> dict[bytes, Reach]:
    """Of each of these sessions, heard of or not."""
    found = dict.fromkeys(sessions, _UNKNOWN)
    for session, through, safe, head in in_chunks(connection, statements.READ_REACH, sorted(found)):
        found[session] = Reach(through=through, safe=safe, head=head if through else b"")
    return found


def read_through(connection: sqlite3.Connection, sessions: Iterable[bytes]) -> dict[bytes, int]:
    """How far the ledger has each of these sessions."""
    return {session: reach.through for session, reach in read_reach(connection, sessions).items()}


def read_hash(connection: sqlite3.Connection, session: bytes, seq: int) -> bytes:
    """Of a committed fact; empty: the ledger has none under this number."""
    row = connection.execute(statements.HASH_OF, (session, seq)).fetchone() if seq else None
    return row[0] if row else b""
