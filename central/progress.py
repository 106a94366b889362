"""How far a command is, for the person who waits: one line that renews itself, on a terminal only."""

import sys
from typing import TextIO

_WIDTH = 30


class Bar:
    def __init__(self, name: str, stream: TextIO | None = None) -> None:
        self._name = name
        self._stream = stream or sys.stderr
        self._is_shown = self._stream.isatty()
        self._shown = -1

    def __call__(self, done: int, total: int) -> None:
        percent = 100 if total <= 0 else min(100, done * 100 // total)
        if not self._is_shown or percent == self._shown:
            return
        self._shown = percent
        full = _WIDTH * percent // 100
        self._stream.write(f"\r{self._name} [{'#' * full}{'.' * (_WIDTH - full)}] {percent:3} %")
        if percent == 100:  # noqa: PLR2004 -- the whole
            self._stream.write("\n")
        self._stream.flush()
