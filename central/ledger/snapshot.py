"""A whole replica as one compressed file: the ledger's state at one version, as an agent would have copied it (REQ-06).

Read on a connection of its own, in one read transaction, so that commits go on; written by the statements that agents
write with (``sync_protocol.replica_format``). To be run on a thread.
"""

import contextlib
import hashlib
import os
import pathlib
import sqlite3
import threading
import time
from collections.abc import Iterator

import msgspec
import zstandard

from central.ledger import rows, statements
from central.ledger.deltas import read_documents
from sync_protocol import replica_format
from sync_protocol.messages import Rows

SUFFIX = ".db.zst"
_LEVEL = 3
_CHUNK = 1 << 20
_PAGE = 500
"""Items read at once: between two pages whoever serves scans gets the interpreter."""
_PAUSE_S = 0.0005
_FAST = ("PRAGMA journal_mode = OFF", "PRAGMA synchronous = OFF", "PRAGMA cache_size = -65536")


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A file of this folder, named by its hash."""

    sha256: str
    size: int
    raw_size: int
    version: int
    incarnation: int
    made_us: int

    @property
    def file(self) -> str:
        return f"{self.sha256}{SUFFIX}"


class StoppedError(Exception):
    """Central ends before the snapshot is made."""


def make(ledger: pathlib.Path, folder: pathlib.Path, *, now_us: int, is_stopped: threading.Event) -> Snapshot:
    """Raises OSError, sqlite3.Error or StoppedError; then nothing is left behind."""
    raw, packed = folder / "making.db", folder / "making.zst"
    try:
        version, incarnation = _fill(ledger, raw, is_stopped)
        sha256 = _pack(raw, packed, is_stopped)
        made = Snapshot(
            sha256=sha256,
            size=packed.stat().st_size,
            raw_size=raw.stat().st_size,
            version=version,
            incarnation=incarnation,
            made_us=now_us,
        )
        packed.replace(folder / made.file)
        return made
    finally:
        raw.unlink(missing_ok=True)
        packed.unlink(missing_ok=True)


def _fill(ledger: pathlib.Path, raw: pathlib.Path, is_stopped: threading.Event) -> tuple[int, int]:
    """Version and incarnation of what was written."""
    raw.unlink(missing_ok=True)
    reading = sqlite3.connect(f"{ledger.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    with contextlib.closing(reading), contextlib.closing(sqlite3.connect(raw, isolation_level=None)) as writing:
        reading.execute("BEGIN")
        version, incarnation = (_number(reading, key) for key in ("version", "incarnation"))
        for statement in (*_FAST, "BEGIN", *replica_format.TABLES):
            writing.execute(statement)
        for content in _contents(reading, version):
            _stop_if(is_stopped)
            for statement, values in replica_format.writes(content):
                writing.execute(statement, values)
            time.sleep(_PAUSE_S)
        for statement in replica_format.INDEXES:
            _stop_if(is_stopped)
            writing.execute(statement)
        writing.execute(replica_format.MOVE, (version, 0, incarnation))
        writing.execute(replica_format.STAMP)
        writing.execute("COMMIT")
    return version, incarnation


def _contents(reading: sqlite3.Connection, version: int) -> Iterator[Rows]:
    yield read_documents(reading, 0, version)
    after = ""
    while items := rows.items_of(reading.execute(statements.ITEMS_AFTER, (after, _PAGE))):
        yield Rows(items=tuple(items))
        after = items[-1].code


def _pack(raw: pathlib.Path, packed: pathlib.Path, is_stopped: threading.Event) -> str:
    """SHA-256 of the packed file."""
    digest = hashlib.sha256()
    packer = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
    with raw.open("rb") as source, packed.open("wb") as target:
        for chunk in packer.read_to_iter(source, size=raw.stat().st_size, read_size=_CHUNK, write_size=_CHUNK):
            _stop_if(is_stopped)
            digest.update(chunk)
            target.write(chunk)
        target.flush()
        os.fsync(target.fileno())
    return digest.hexdigest()


def _number(reading: sqlite3.Connection, key: str) -> int:
    row = reading.execute(statements.READ_META, (key,)).fetchone()
    return int(row[0]) if row else 0


def _stop_if(is_stopped: threading.Event) -> None:
    if is_stopped.is_set():
        raise StoppedError
