"""Logs: one JSON object a line on standard error, so that nothing that was scanned can forge a line."""

import logging
import sys
from typing import TextIO

import structlog


def set_up(level: int = logging.INFO) -> None:
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=WriteOrDrop(sys.stderr),
        cache_logger_on_first_use=True,
    )


class WriteOrDrop:
    """A line that cannot be written is dropped: a full disk under the log must not stop the program that reports it."""

    def __init__(self, stream: TextIO) -> None:
        self.dropped = 0
        self._stream = stream

    def __call__(self, *_names: object) -> "WriteOrDrop":
        """Itself is each logger that structlog asks for."""
        return self

    def msg(self, line: str) -> None:
        note = f'{{"event": "log lines dropped", "level": "error", "lines": {self.dropped}}}\n' if self.dropped else ""
        try:
            # What stands in the way of a first whole line is the half of one that did not fit.
            self._stream.write(f"\n{note}{line}\n" if note else f"{line}\n")
            self._stream.flush()
        except OSError:
            self.dropped += 1
        else:
            self.dropped = 0

    debug = info = warning = error = critical = msg
