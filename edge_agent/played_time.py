"""Time that a simulation plays: ``run --played-time FILE``. For simulations only.

::

    ┌────────────────────────┬───────────────────────────────────┐
    │ 24 bytes: MAGIC        │ 8 bytes: UTC µs since 1970, little │
    └────────────────────────┴───────────────────────────────────┘

Whoever plays writes the moment and keeps the file; only what people call the time comes from it, timeouts and leases
run by the machine's own clock. A data folder that was begun in played time is marked and is refused without the flag,
and a folder of real time is refused with it: the two never mix.
"""

import mmap
import struct
from pathlib import Path

import structlog

from edge_agent.clock import SystemClock
from edge_agent.errors import ConfigError, Mistake

MAGIC = b"codepool played time v1\n"
MARK = "played-time"
"""Empty file in a data folder whose facts have moments that were played."""
_MOMENT = struct.Struct("<q")
_log: structlog.stdlib.BoundLogger = structlog.get_logger("edge_agent.played_time")
_REAL = "--played-time is for simulations: start the agent of a workplace without it"


class PlayedClock(SystemClock):
    def __init__(self, path: Path) -> None:
        """Raises ConfigError."""
        try:
            with path.open("rb") as file:
                self._moment = mmap.mmap(file.fileno(), len(MAGIC) + _MOMENT.size, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise _wrong(str(path), str(error), "the file that a simulation writes its time into", _REAL) from error
        if self._moment[: len(MAGIC)] != MAGIC:
            raise _wrong(str(path), "other first bytes", "the file that a simulation writes its time into", _REAL)

    def wall_us(self) -> int:
        moment: int = _MOMENT.unpack_from(self._moment, len(MAGIC))[0]
        return moment


def clock_of(data: Path, played: Path | None) -> SystemClock:
    """The clock of an agent's folder: the machine's, or the one that is played. Raises ConfigError."""
    mark = data / MARK
    if played is None:
        if mark.exists():
            advice = "correct [agent] data: what was played never becomes real"
            raise _wrong(str(data), f"{MARK}: its facts were played by a simulation", "a folder of real facts", advice)
        return SystemClock()
    if not mark.exists() and data.exists() and any(data.iterdir()):
        raise _wrong(str(data), f"files and no {MARK}: its facts have real moments", "a new folder", _REAL)
    clock = PlayedClock(played)
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    mark.touch()
    _log.warning("played_time", file=str(played), cause="a simulation says what time it is; not for a hospital")
    return clock


def _wrong(place: str, found: str, expected: str, advice: str) -> ConfigError:
    return ConfigError(place, (Mistake(field="--played-time", found=found, expected=expected, advice=advice),))
