"""A second file that names the journal's last fact: a journal that lost its end (a deleted ``-wal``) is found out.

::

    magic "CPW1" | session number (8 bytes, big endian) | seq (8) | hash (32) | CRC-32 of all before (4)

It is written after the commit and never synced, so it may lag behind the journal but can never be ahead of a whole one.
"""

import os
import struct
import zlib
from pathlib import Path
from typing import Self

import msgspec

_LAYOUT = struct.Struct(">4sQQ32s")
_SUM = struct.Struct(">I")
_MAGIC = b"CPW1"
_SIZE = _LAYOUT.size + _SUM.size


class Testimony(msgspec.Struct, frozen=True, kw_only=True):
    number: int
    seq: int
    hash: bytes


def read(path: Path) -> Testimony | None:
    """None if nothing was written yet, or what was written is torn and proves nothing."""
    try:
        data = path.read_bytes()[:_SIZE]
    except FileNotFoundError:
        return None
    if len(data) < _SIZE or _SUM.unpack(data[_LAYOUT.size :])[0] != zlib.crc32(data[: _LAYOUT.size]):
        return None
    magic, number, seq, digest = _LAYOUT.unpack(data[: _LAYOUT.size])
    return Testimony(number=number, seq=seq, hash=digest) if magic == _MAGIC else None


class Witness:
    """The open file. Its size never changes, so that a full disk cannot stop it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def open(cls, path: Path) -> Self:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if os.fstat(descriptor).st_size < _SIZE:
            os.pwrite(descriptor, bytes(_SIZE), 0)
        return cls(descriptor)

    def write(self, number: int, seq: int, digest: bytes) -> None:
        """Raises OSError."""
        content = _LAYOUT.pack(_MAGIC, number, seq, digest)
        os.pwrite(self._descriptor, content + _SUM.pack(zlib.crc32(content)), 0)

    def close(self) -> None:
        os.close(self._descriptor)
