"""The replica: a copy of central's state at one ledger version. A cache: damaged or of another schema, it is deleted.

Deltas are written on a thread, by a connection of their own, so that scans go on meanwhile; readers see the old rows
until the whole delta and the cursor are committed together (REQ-05). Their last commits may go with the power: whoever
lets something else go because the replica shows it calls ``make_durable`` before.

A replica of another incarnation of central is built in a file beside and takes the place of this one when it is
complete: never is a part of it read, and a crash at any moment leaves one of the two, whole (REQ-06).
"""

import asyncio
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog

from edge_agent.errors import StoreError
from edge_agent.store import scan, schema, sqlite
from edge_agent.store.folder import sync
from edge_agent.store.writing import Writing
from sync_protocol import replica_format
from sync_protocol.messages import Bucket, Delta

READER_CACHE = "PRAGMA cache_size = -8192"
"""Kibibytes: the inner pages of a million items, so that a lookup reads one leaf."""
WRITER_CACHE = "PRAGMA cache_size = -32768"
"""An eighth less work a row than with the usual two megabytes; given back once the replica has caught up."""
_log: structlog.stdlib.BoundLogger = structlog.get_logger("edge_agent.replica")


class Replica:
    """To be used on the loop's thread. ``incarnation``: of the central that this is a copy of; 0: of none yet."""

    def __init__(self, path: Path) -> None:
        """Open the replica in ``path``; an empty one, filled by pulling, if that is damaged. Raises StoreError."""
        self.path = path
        self._built: sqlite3.Connection | None = None
        self._scan: scan.Scan | None = None
        self._writing = Writing()
        try:
            self._drop_built()
            self._open()
        except OSError as error:
            raise _explained(self.path, error) from error

    def _open(self, *, is_checked: bool = False) -> None:
        """``is_checked``: it was looked at whole a moment ago, which takes a second of a million items."""
        try:
            connections = _open_whole(self.path, is_checked=is_checked)
        except sqlite3.Error as error:
            if sqlite.is_outage(error):  # a full disk must not cost the copy that works without it
                raise _explained(self.path, error) from error
            _log.warning("replica_dropped", path=str(self.path), cause=str(error))
            _delete(self.path)
            try:
                connections = _open_whole(self.path)
            except sqlite3.Error as second:
                raise _explained(self.path, second) from second
        self._reader, self._writer = connections
        self._is_durable = False
        self.is_damaged = False
        """Set by the first read or write that met damage: to be reset and pulled anew."""
        self._read_cursor()

    def _read_cursor(self) -> None:
        row: tuple[int, int, int] = self.query(replica_format.CURSOR)[0]
        self.version, self.as_of_us, self.incarnation = row

    def query(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Raises StoreError."""
        self._writing.give_way()
        try:
            return self._reader.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise self._explain(error) from error

    async def apply(self, delta: Delta, *, as_of_us: int) -> None:
        """Take in a delta that starts at ``version`` and move the cursor with it, or neither. Raises StoreError."""
        assert delta.after == self.version, "the downlink machine applies a delta only at its start"
        self._is_durable = False
        try:
            await self._writing.take_in(self._writer, delta, as_of_us)
        except asyncio.CancelledError:
            self._read_cursor()  # the thread may have committed before it heard
            raise
        except sqlite3.Error as error:
            raise self._explain(error) from error
        self.version, self.as_of_us, self.incarnation = delta.to, as_of_us, delta.incarnation

    async def make_durable(self) -> None:
        """What was applied stays when the power fails; until then a commit may go with it. Raises StoreError."""
        if self._is_durable:
            return
        try:
            await asyncio.to_thread(_sync_log, self.path)
        except OSError as error:
            raise _explained(self.path, error) from error
        self._is_durable = True

    def confirm(self, *, as_of_us: int) -> None:
        """Central said that nothing has changed since ``version``. Raises StoreError."""
        try:
            self._writer.execute(replica_format.MOVE, (self.version, as_of_us, self.incarnation))
        except sqlite3.Error as error:
            raise self._explain(error) from error
        self.as_of_us = as_of_us

    def scan(self) -> scan.Scan:
        """To read all rows as they are now, while work goes on. It is closed when the replica is swapped."""
        self._close_scan()
        try:
            self._scan = scan.Scan(sqlite.connect(self.path, is_durable=False, is_read_only=True))
        except sqlite3.Error as error:
            raise self._explain(error) from error
        return self._scan

    async def repair(self, bucket: Bucket) -> int:
        """Put right what differs from a part of the ledger at this version; how many rows. Raises StoreError."""
        assert bucket.version == self.version, "the comparing machine compares at one version only"
        self._is_durable = False
        try:
            return await self._writing.on_a_thread(lambda is_unwanted: scan.repair(self._writer, bucket, is_unwanted))
        except sqlite3.Error as error:
            raise self._explain(error) from error

    def build(self) -> None:
        """Begin an empty replica beside this one, in place of one that was begun before. Raises StoreError."""
        path = self._beside
        try:
            self._drop_built()
            self._built = _open_built(path)
            schema.create_replica(self._built)
        except (sqlite3.Error, OSError) as error:
            raise _explained(path, error) from error

    async def build_on(self, delta: Delta, *, as_of_us: int) -> None:
        """Take a delta into the replica that is being built. Raises StoreError."""
        assert self._built is not None, "the downlink machine asks for a rebuild first"
        try:
            await self._writing.take_in(self._built, delta, as_of_us)
        except sqlite3.Error as error:
            if sqlite.is_damage(error):  # begun again: nothing of it is in use
                self.build()
            raise _explained(self._beside, error) from error

    def adopt(self, whole: Path) -> None:
        """Lay a file that was checked beside this one, as the replica being built. Raises StoreError: then none is."""
        try:
            if self._built is not None:
                self._built.close()
                self._built = None
            whole.replace(self._beside)
            self._built = _open_built(self._beside)
        except (sqlite3.Error, OSError) as error:
            self._drop_built()
            raise _explained(self._beside, error) from error

    def swap(self, *, as_of_us: int) -> None:
        """Put the replica that was built in the place of this one. Raises StoreError: then this one still serves.

        A log that stays behind would be replayed into the file that takes the name, so the old replica gives up its
        log first; that needs the file to itself, and while another program reads it the swap is tried again later.
        """
        assert self._built is not None, "the downlink machine asks for a rebuild first"
        self._close_scan()
        try:
            self._built.execute("UPDATE cursor SET as_of_us = ?", (as_of_us,))
            self._built.close()
            self._built = None
            sync(self._beside)
            self._reader.close()
            self._writer.execute("PRAGMA busy_timeout = 0")  # the loop does not stand still for a reader
            (mode,) = self._writer.execute("PRAGMA journal_mode = DELETE").fetchone()
            if mode != "delete":
                raise StoreError(f"{self.path}: another program reads it; the new copy waits for it to end")
            self._writer.close()
            self._beside.replace(self.path)
            sync(self.path.parent)
        except (sqlite3.Error, OSError) as error:
            raise _explained(self.path, error) from error
        finally:
            self._reopen()

    def reset(self) -> None:
        """Forget everything: it is not a copy of this ledger. Raises StoreError."""
        self.close()
        try:
            _delete(self.path)
            self._open()
        except OSError as error:
            raise _explained(self.path, error) from error

    def close(self) -> None:
        self._close_scan()
        with suppress(OSError):  # what was begun beside is begun anew by the next start
            self._drop_built()
        self._writer.close()
        self._reader.close()

    @property
    def _beside(self) -> Path:
        return self.path.with_name(f"{self.path.name}.new")

    def _reopen(self) -> None:
        """After a swap, or one that failed: whichever of the two has the name, and the other as it was."""
        self._reader.close()
        self._writer.close()
        self._open(is_checked=True)
        if self._beside.exists():
            self._built = _open_built(self._beside)

    def _close_scan(self) -> None:
        if self._scan is not None:
            self._scan.close()
            self._scan = None

    def _drop_built(self) -> None:
        if self._built is not None:
            self._built.close()
            self._built = None
        _delete(self._beside)

    def _explain(self, error: sqlite3.Error) -> StoreError:
        self.is_damaged = self.is_damaged or sqlite.is_damage(error)
        return _explained(self.path, error)


def _sync_log(path: Path) -> None:
    """What is committed and not yet in the file itself. Raises OSError."""
    log = path.with_name(f"{path.name}-wal")
    if log.exists():
        sync(log)
        sync(path.parent)


def _open_whole(path: Path, *, is_checked: bool = False) -> tuple[sqlite3.Connection, sqlite3.Connection]:
    """A reader and a writer. Raises sqlite3.Error unless the whole file can be trusted."""
    reader = sqlite.connect(path, is_durable=False)
    try:
        reader.execute(READER_CACHE)
        _check(reader, is_checked=is_checked)
        writer = sqlite.connect(path, is_durable=False, is_of_any_thread=True)
        writer.execute(WRITER_CACHE)
    except BaseException:
        reader.close()
        raise
    return reader, writer


def _open_built(path: Path) -> sqlite3.Connection:
    """Without a write-ahead log: the file must be whole by itself when it takes the other's name."""
    connection = sqlite.connect(path, is_durable=False, is_of_any_thread=True, has_log=False)
    connection.execute(WRITER_CACHE)
    return connection


def _check(connection: sqlite3.Connection, *, is_checked: bool) -> None:
    """Make the tables of an empty replica. Raises sqlite3.Error for one that is damaged or of another schema."""
    found = schema.version_of(connection)
    if found == 0:
        schema.create_replica(connection)
    elif found != replica_format.VERSION:
        raise sqlite3.DatabaseError(f"schema version {found}, expected {replica_format.VERSION}")
    if is_checked:
        return
    verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise sqlite3.DatabaseError(verdict)


def _delete(path: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _explained(path: Path, error: sqlite3.Error | OSError) -> StoreError:
    is_damage = isinstance(error, sqlite3.Error) and sqlite.is_damage(error)
    advice = "it is fetched anew" if is_damage else f"check the disk of {path.parent} and its free space"
    return StoreError(f"{path}: the copy of central's state: {error}; {advice}")
