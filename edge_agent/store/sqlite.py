"""Opening SQLite files, and what their errors mean for an agent."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edge_agent.errors import JournalCorruptError, StoreError, StoreFullError

BUSY_MS = 2_000
_PRIMARY = 0xFF
_OUTAGES = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
    }
)
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def connect(
    path: Path,
    *,
    is_durable: bool,
    is_read_only: bool = False,
    is_of_any_thread: bool = False,
    has_log: bool = True,
) -> sqlite3.Connection:
    """A connection whose transactions are begun and ended by hand. ``is_durable``: a commit is on the disk."""
    mode = "ro" if is_read_only else "rwc"
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,
        check_same_thread=not is_of_any_thread,
    )
    try:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
        if not is_read_only:
            connection.execute(f"PRAGMA journal_mode = {'WAL' if has_log else 'DELETE'}")
        connection.execute(f"PRAGMA synchronous = {'FULL' if is_durable else 'NORMAL'}")
        connection.execute("PRAGMA temp_store = MEMORY")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def primary_code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & _PRIMARY


def is_damage(error: sqlite3.Error) -> bool:
    return primary_code(error) in _DAMAGED


def is_full(error: sqlite3.Error) -> bool:
    return primary_code(error) == sqlite3.SQLITE_FULL


def is_input_output(error: sqlite3.Error) -> bool:
    """The disk failed, so that nobody knows what of the last transaction it holds."""
    return primary_code(error) in {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}


def is_outage(error: sqlite3.Error) -> bool:
    """The disk or another program stands in the way: it says nothing about what is in the file."""
    return primary_code(error) in _OUTAGES


def corrupt(path: Path, detail: str) -> JournalCorruptError:
    folder = path.parent
    return JournalCorruptError(
        f"{path}: the journal is damaged: {detail}. Nothing was changed and the agent does not start without it."
        f" Copy {folder} away, run `codepool-edge salvage --data {folder} --out FILE` to save every intact fact,"
        " then call the administrator."
    )


def explain(path: Path, error: sqlite3.Error, *, is_in_doubt: bool = False) -> StoreError | JournalCorruptError:
    """What to raise for an error of the journal. ``is_in_doubt``: nobody can read what the disk holds."""
    if is_damage(error):
        return corrupt(path, str(error))
    if is_full(error):
        return StoreFullError(
            f"{path}: the disk is full; nothing was recorded. Free space on {path.parent}, then repeat."
        )
    outcome = "whether it was recorded shows once the disk works again" if is_in_doubt else "nothing was recorded"
    return StoreError(
        f"{path}: {error} ({getattr(error, 'sqlite_errorname', 'no code')}); {outcome}."
        f" Check the disk of {path.parent} and who may write there, then repeat."
    )


def roll_back(connection: sqlite3.Connection) -> None:
    """End a transaction that failed, if SQLite has not done so itself."""
    with suppress(sqlite3.Error):
        if connection.in_transaction:
            connection.execute("ROLLBACK")


@contextmanager
def explaining(path: Path) -> Iterator[None]:
    """Raises StoreError or JournalCorruptError in place of any error of SQLite."""
    try:
        yield
    except sqlite3.Error as error:
        raise explain(path, error) from error
