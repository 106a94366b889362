"""A snapshot that was downloaded becomes a file that may take the replica's place, or is refused (REQ-06).

Nothing of it is unpacked before its hash is right, never more is unpacked than was offered, and what comes out is
looked at whole before anybody reads from it. To be run on a thread.
"""

import hashlib
import os
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import zstandard

from edge_agent.errors import EdgeError
from edge_agent.store import schema
from sync_protocol import replica_format
from sync_protocol.messages import Offer

CHUNK = 1 << 20
_LARGEST_WINDOW = 1 << 27
"""Bytes of memory that unpacking may take."""


class WrongSnapshotError(EdgeError):
    """The file is not what was offered."""

    def __init__(self, what: str, found: object, expected: object) -> None:
        super().__init__(f"snapshot: {what}: found {found}, expected {expected}; it was thrown away")


class UnwantedError(EdgeError):
    """Nobody waits for it any more."""


def prepare(part: Path, target: Path, offer: Offer, is_unwanted: threading.Event) -> None:
    """Check and unpack. Raises WrongSnapshotError, UnwantedError or OSError; then there is no ``target``."""
    try:
        _check_hash(part, offer, is_unwanted)
        _unpack(part, target, offer, is_unwanted)
        with ThreadPoolExecutor(1) as beside:  # the disk takes as long as the check, and neither needs the other
            written = beside.submit(_sync, target)
            _check_file(target, offer)
            written.result()
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _check_hash(part: Path, offer: Offer, is_unwanted: threading.Event) -> None:
    size = part.stat().st_size
    if size != offer.size:
        raise WrongSnapshotError("bytes", size, offer.size)
    digest = hashlib.sha256()
    with part.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            _stop_if(is_unwanted)
    if digest.digest() != offer.sha256:
        raise WrongSnapshotError("SHA-256", digest.hexdigest(), offer.sha256.hex())


def _unpack(part: Path, target: Path, offer: Offer, is_unwanted: threading.Event) -> None:
    unpacker = zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW)
    size = 0
    with part.open("rb") as packed, target.open("wb") as file:
        try:
            for chunk in unpacker.read_to_iter(packed, read_size=CHUNK, write_size=CHUNK):
                size += len(chunk)
                if size > offer.raw_size:
                    raise WrongSnapshotError("bytes when unpacked", f"{size} or more", offer.raw_size)
                file.write(chunk)
                _stop_if(is_unwanted)
        except zstandard.ZstdError as error:
            raise WrongSnapshotError("packing", error, "a zstd frame") from error
        if size != offer.raw_size:
            raise WrongSnapshotError("bytes when unpacked", size, offer.raw_size)


def _sync(target: Path) -> None:
    with target.open("rb") as file:
        os.fsync(file.fileno())


def _check_file(target: Path, offer: Offer) -> None:
    uri = f"{target.absolute().as_uri()}?mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
            connection.execute("PRAGMA mmap_size = 1073741824")
            _check_content(connection, offer)
    except sqlite3.Error as error:
        raise WrongSnapshotError("file", error, "a replica that can be read") from error


def _check_content(connection: sqlite3.Connection, offer: Offer) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    found = (application, schema.version_of(connection))
    expected = (replica_format.APPLICATION, replica_format.VERSION)
    if found != expected:
        raise WrongSnapshotError("application and version of the file", found, expected)
    if connection.execute(replica_format.PARTS).fetchall() != _parts():
        raise WrongSnapshotError("parts", "others", "the tables and indexes of a replica and nothing besides")
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise WrongSnapshotError("file", verdict, "one that is whole")
    rows = connection.execute(replica_format.CURSOR).fetchall()
    cursors = [(version, incarnation) for version, _, incarnation in rows]
    if cursors != [(offer.version, offer.incarnation)]:
        raise WrongSnapshotError("version and incarnation", cursors, (offer.version, offer.incarnation))


def _parts() -> list[tuple[str, str, str | None]]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as empty:
        schema.create_replica(empty)
        return empty.execute(replica_format.PARTS).fetchall()


def _stop_if(is_unwanted: threading.Event) -> None:
    if is_unwanted.is_set():
        raise UnwantedError("the snapshot is not wanted any more")
