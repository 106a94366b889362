"""The data folder: one agent at a time, and a reserve of disk space for what has physically happened."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import Self

from edge_agent.errors import DataInUseError, StoreError

JOURNAL = "journal.db"
REPLICA = "replica.db"
SNAPSHOT = "snapshot"
"""How the names of files begin that a whole replica is fetched into."""
WITNESS = "journal.head"
LOCK = "lock"
RESERVE = "reserve"
STARTS = "starts.json"


class DataFolder:
    """Held by this process until it ends, however it ends."""

    def __init__(self, path: Path, lock: int, reserve_bytes: int) -> None:
        self.path = path
        self._lock = lock
        self._reserve_bytes = reserve_bytes

    @classmethod
    def hold(cls, path: Path, *, reserve_bytes: int = 0) -> Self:
        """Raises DataInUseError if another agent runs here, StoreError if the folder cannot be used."""
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(
                f"{path}: {error.strerror}; expected a folder that this user may write. Set [agent] data or its owner."
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(lock, 32, 0).decode("ascii", "replace").strip()
            os.close(lock)
            raise DataInUseError(
                f"{path}: another agent holds this data folder (process {holder or 'unknown'}). Two agents would"
                " write one journal. Stop the other one, or give this one its own [agent] data."
            ) from error
        with suppress(OSError):  # the process id only helps who reads the message
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        folder = cls(path, lock, reserve_bytes)
        folder.keep_reserve()
        return folder

    @property
    def has_reserve(self) -> bool:
        return (self.path / RESERVE).exists()

    def keep_reserve(self) -> bool:
        """Set the reserve aside, if there is room for it. False: there is not."""
        if not self._reserve_bytes or self.has_reserve:
            return True
        fresh = self.path / f"{RESERVE}.new"
        try:
            with fresh.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, self._reserve_bytes)
            fresh.replace(self.path / RESERVE)
        except OSError:
            with suppress(OSError):
                fresh.unlink(missing_ok=True)
            return False
        return True

    def give_reserve(self) -> bool:
        """Give the reserved space to the journal. False: there was none left."""
        try:
            (self.path / RESERVE).unlink()
        except OSError:
            return False
        return True

    def release(self) -> None:
        os.close(self._lock)


def is_held(path: Path) -> bool:
    """Whether an agent runs on this data folder now."""
    try:
        lock = os.open(path / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def sync(path: Path) -> None:
    """What was written to a file, or which names a folder has, onto the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
