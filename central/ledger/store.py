"""The ledger's file: who may open it, whether it is whole, which version it has. A damaged ledger is never replaced."""

import contextlib
import fcntl
import pathlib
import secrets
import sqlite3
from collections.abc import Iterator
from typing import IO

from central.errors import DataFolderHeldError, DiskError, LedgerCorruptError
from central.ledger import durable, statements
from central.ledger.migrations import upgrade

FILE = "ledger.db"
LOCK = "central.lock"
RESTORING = "restoring"
"""Lies in the folder while a restore is under way: what the folder holds meanwhile is no ledger to start on."""
_BUSY_MS = 200
_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    f"PRAGMA busy_timeout={_BUSY_MS}",
    "PRAGMA cache_size=-65536",
    "PRAGMA temp_store=MEMORY",
)
_DAMAGE = ("SQLITE_NOTADB", "SQLITE_CORRUPT")
_SALVAGE = (
    "Nothing was changed. Stop, copy the whole data folder, restore the last backup beside it and compare;\n"
    "every agent still holds its own facts and sends again what the restored ledger lacks."
)


def hold(folder: pathlib.Path) -> IO[str]:
    """Make the data folder and hold it until the file is closed. Raises DataFolderHeldError or DiskError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / LOCK).open("a")
    except OSError as error:
        raise DiskError(
            f"data folder {folder}: {error.strerror}\nExpected a folder that central may write to.\n"
            "Correct [central] data, or the owner of the folder, and start again."
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise DataFolderHeldError(
            f"data folder {folder}: another codepool-central works in it.\n"
            "One ledger has one writer. Stop the other one, or give this one a folder of its own in [central] data."
        ) from error
    return lock


def prepare(folder: pathlib.Path, *, now_us: int) -> pathlib.Path:
    """Path of a whole ledger with the tables of this software, made if there was none.

    Raises LedgerCorruptError, LedgerNewerError or DiskError.
    """
    path = folder / FILE
    with starting(path):
        _refuse_remains(path)
        if path.exists():
            _check(path)
            upgrade(path)
        else:
            _make(path, now_us)
    return path


@contextlib.contextmanager
def starting(path: pathlib.Path) -> Iterator[None]:
    """Raises LedgerCorruptError or DiskError in place of what the database or the disk says."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise _start_error(path, error) from error
    except OSError as error:
        raise DiskError(f"ledger {path}: {error.strerror}\nMake the disk readable and writable, then start.") from error


def connect(path: pathlib.Path) -> sqlite3.Connection:
    """A connection whose commits are on the disk when they return. Transactions are begun by hand."""
    connection = sqlite3.connect(path, isolation_level=None, cached_statements=256)
    try:
        for pragma in _PRAGMAS:
            connection.execute(pragma)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def cause_of(error: sqlite3.Error) -> str:
    """A failed write in words for the person who can act."""
    name = getattr(error, "sqlite_errorname", "") or type(error).__name__
    if name == "SQLITE_FULL":
        return "the disk of the ledger is full: free space on it; agents keep their facts meanwhile"
    if name.startswith("SQLITE_BUSY"):
        return "another process holds the ledger locked: end the backup or tool that does"
    if name.startswith("SQLITE_IOERR"):
        return f"the disk of the ledger fails ({name}): check the disk; agents keep their facts meanwhile"
    return f"the ledger cannot be written ({name}: {error})"


def is_passing(error: sqlite3.Error) -> bool:
    """Whether the connection is sound after the failure: the disk was full, or somebody else held the lock."""
    return getattr(error, "sqlite_errorname", "").startswith(("SQLITE_FULL", "SQLITE_BUSY"))


def refuse_damage(path: pathlib.Path, error: sqlite3.Error) -> None:
    """Raises LedgerCorruptError if that is what the error says."""
    if getattr(error, "sqlite_errorname", "").startswith(_DAMAGE):
        raise LedgerCorruptError(f"ledger {path} is damaged: {error}\n{_SALVAGE}") from error


def _refuse_remains(path: pathlib.Path) -> None:
    """A log without its database, or an empty database, is what is left of a ledger: not a reason for a new one."""
    if path.with_name(RESTORING).exists():
        raise LedgerCorruptError(
            f"ledger {path}: found a restore that was interrupted, expected it to have ended.\nRepeat it:"
            f" codepool-central restore --from FILE --data {path.parent} --replace; the ledger before is kept aside."
        )
    is_gone = not path.exists() and path.with_name(path.name + "-wal").exists()
    if is_gone or (path.exists() and path.stat().st_size == 0):
        found = "a write-ahead log without its database" if is_gone else "an empty file"
        raise LedgerCorruptError(f"ledger {path}: found {found}, expected the ledger.\n{_SALVAGE}")


def _check(path: pathlib.Path) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        (answer,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    finally:
        connection.close()
    if answer != "ok":
        raise LedgerCorruptError(f"ledger {path} is damaged: {answer}\n{_SALVAGE}")


def _make(path: pathlib.Path, now_us: int) -> None:
    """A new ledger takes its name when it is whole: what a crash leaves of one must not look like a ruin."""
    fresh = path.with_name(f"{path.name}.new")
    for suffix in ("", "-journal", "-wal", "-shm"):
        fresh.with_name(fresh.name + suffix).unlink(missing_ok=True)
    upgrade(fresh)
    _sign(fresh, now_us)
    # Whoever closes it last takes its log in; where that fails, nobody is told, and the name would be that of a part.
    if fresh.with_name(f"{fresh.name}-wal").exists():
        raise DiskError(f"ledger {fresh}: it could not be written whole.\nCheck the disk, then start again.")
    durable.sync(fresh)
    durable.rename(fresh, path)


def _sign(path: pathlib.Path, now_us: int) -> None:
    """A new ledger gets an identity of its own: numbers made from it are never those of another ledger."""
    connection = connect(path)
    try:
        connection.execute(statements.WRITE_META, ("ledger_id", secrets.token_hex(4)))
        connection.execute(statements.WRITE_META, ("created_us", str(now_us)))
    finally:
        connection.close()


def _start_error(path: pathlib.Path, error: sqlite3.DatabaseError) -> Exception:
    is_damage = getattr(error, "sqlite_errorname", "").startswith(_DAMAGE)
    if is_damage or not isinstance(error, sqlite3.OperationalError):
        return LedgerCorruptError(f"ledger {path} is damaged: {error}\n{_SALVAGE}")
    return DiskError(f"ledger {path}: {cause_of(error)}.\nThen start again.")
