"""The file that says what time it is for all programs of a month (``run --played-time``).

::

    ┌────────────────────────┬───────────────────────────────────┐
    │ 24 bytes: MAGIC        │ 8 bytes: UTC µs since 1970, little │
    └────────────────────────┴───────────────────────────────────┘
"""

import mmap
import struct
from pathlib import Path
from types import TracebackType
from typing import Self

MAGIC = b"codepool played time v1\n"
_MOMENT = struct.Struct("<q")


class PlayedTime:
    """Use as a context manager. Time stands still until it is told to go on, and never goes back."""

    def __init__(self, path: Path, *, began_us: int) -> None:
        self.path = path
        self.now_us = began_us

    def __enter__(self) -> Self:
        self.path.write_bytes(MAGIC + _MOMENT.pack(self.now_us))
        with self.path.open("r+b") as file:
            self._moment = mmap.mmap(file.fileno(), 0)
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._moment.close()

    def go_to(self, us: int) -> None:
        """A moment that is over already changes nothing."""
        if us > self.now_us:
            self.now_us = us
            _MOMENT.pack_into(self._moment, len(MAGIC), us)
