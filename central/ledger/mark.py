"""A file outside the ledger that says where the ledger stands, so that a restored one is known by itself (REQ-03).

::

    magic "CPM1" | incarnation (8 bytes, big endian) | commits (8) | state (32) | CRC-32 of all before (4)

It is written after each commit and synced once a second, so it may lag behind the ledger and never runs ahead of it.
"""

import os
import pathlib
import struct
import zlib
from typing import Self

from sync_protocol.machines.incarnation import Mark

FILE = "ledger.mark"
_LAYOUT = struct.Struct(">4sQQ32s")
_SUM = struct.Struct(">I")
_MAGIC = b"CPM1"
_SIZE = _LAYOUT.size + _SUM.size
_NO_LEDGER = (1 << 64) - 1


def read(path: pathlib.Path) -> Mark | None:
    """None if there is none, or what is there is torn. Raises OSError."""
    try:
        data = path.read_bytes()[:_SIZE]
    except FileNotFoundError:
        return None
    if len(data) < _SIZE or _SUM.unpack(data[_LAYOUT.size :])[0] != zlib.crc32(data[: _LAYOUT.size]):
        return None
    magic, incarnation, commits, state = _LAYOUT.unpack(data[: _LAYOUT.size])
    return Mark(incarnation=incarnation, position=commits, head=state) if magic == _MAGIC else None


def ahead_of_all(path: pathlib.Path, incarnation: int) -> None:
    """Whatever ledger wakes here next is a restored one, of a higher incarnation than this. Raises OSError."""
    file = MarkFile.open(path)
    file.write(Mark(incarnation=incarnation, position=_NO_LEDGER, head=bytes(32)))
    file.sync()
    file.close()


class MarkFile:
    """The open file. Its size never changes, so that a full disk cannot stop it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._is_synced = True

    @classmethod
    def open(cls, path: pathlib.Path) -> Self:
        """Raises OSError."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if os.fstat(descriptor).st_size < _SIZE:
            os.pwrite(descriptor, bytes(_SIZE), 0)
        return cls(descriptor)

    def write(self, mark: Mark) -> None:
        """Raises OSError."""
        content = _LAYOUT.pack(_MAGIC, mark.incarnation, mark.position, mark.head)
        os.pwrite(self._descriptor, content + _SUM.pack(zlib.crc32(content)), 0)
        self._is_synced = False

    def sync(self) -> None:
        """Raises OSError."""
        if not self._is_synced:
            os.fdatasync(self._descriptor)
            self._is_synced = True

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
