"""A note that lives as long as this computer stays on: it tells a process that died from a disk that was set back.

::

    magic "CPP1" | boot id (16 bytes) | session (16) | seq (8, big endian) | lease changes (8) | deadline, µs (8) | sum

A process that starts again while the computer stays on may use the lease of the one before until its deadline: the
clock that never jumps is the same. A lease on a disk image, in a copied folder or after a reboot is nobody's (REQ-08).
The note therefore stands outside the data folder, where no image of it brings it back.
"""

import hashlib
import os
import struct
import tempfile
import uuid
import zlib
from pathlib import Path

import msgspec

from edge_agent.errors import StoreError

_LAYOUT = struct.Struct(">4s16s16sQQQ")
_SUM = struct.Struct(">I")
_MAGIC = b"CPP1"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """How far a session was: its facts, the changes of its lease, and until when that may be used."""

    session: bytes
    seq: int
    changes: int
    deadline_us: int


class Pocket:
    """``path``: in a folder that a reboot empties, or that ``boot`` makes worthless."""

    def __init__(self, path: Path, boot: bytes) -> None:
        self.path = path
        self._boot = boot
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise StoreError(f"{path}: {error.strerror}; check who may write there, or remove it") from error

    def read(self) -> Note | None:
        """None if it is of another boot, torn, or was never written."""
        data = os.pread(self._descriptor, _LAYOUT.size + _SUM.size, 0)
        content, told = data[: _LAYOUT.size], data[_LAYOUT.size :]
        if len(told) < _SUM.size or _SUM.unpack(told)[0] != zlib.crc32(content):
            return None
        magic, boot, session, seq, changes, deadline_us = _LAYOUT.unpack(content)
        if (magic, boot) != (_MAGIC, self._boot):
            return None
        return Note(session=session, seq=seq, changes=changes, deadline_us=deadline_us)

    def write(self, note: Note) -> None:
        """Raises OSError."""
        content = _LAYOUT.pack(_MAGIC, self._boot, note.session, note.seq, note.changes, note.deadline_us)
        os.pwrite(self._descriptor, content + _SUM.pack(zlib.crc32(content)), 0)

    def close(self) -> None:
        os.close(self._descriptor)


def open_pocket(data: Path) -> Pocket:
    """The pocket of the agent with this data folder, in the run-time folder of its unit or of this machine."""
    name = hashlib.sha256(os.fsencode(data.absolute())).hexdigest()[:16]
    folder = Path(os.environ.get("RUNTIME_DIRECTORY") or tempfile.gettempdir())
    return Pocket(folder / f"codepool-edge-{name}.pocket", uuid.UUID(_BOOT_ID.read_text().strip()).bytes)
