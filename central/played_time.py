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
import pathlib
import struct

import structlog

from central.clock import SystemClock
from central.errors import ConfigError

MAGIC = b"codepool played time v1\n"
MARK = "played-time"
"""Empty file in a data folder whose facts have moments that were played."""
_MOMENT = struct.Struct("<q")
_log: structlog.stdlib.BoundLogger = structlog.get_logger("central.played_time")


class PlayedClock(SystemClock):
    def __init__(self, path: pathlib.Path) -> None:
        """Raises ConfigError."""
        super().__init__()
        try:
            with path.open("rb") as file:
                self._moment = mmap.mmap(file.fileno(), len(MAGIC) + _MOMENT.size, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise _unusable(path, str(error)) from error
        if self._moment[: len(MAGIC)] != MAGIC:
            raise _unusable(path, "its first bytes are others")

    def wall_us(self) -> int:
        moment: int = _MOMENT.unpack_from(self._moment, len(MAGIC))[0]
        return moment


def clock_of(data: pathlib.Path, played: pathlib.Path | None) -> SystemClock:
    """The clock of a ledger's folder: the machine's, or the one that is played. Raises ConfigError."""
    mark = data / MARK
    if played is None:
        if mark.exists():
            raise ConfigError(
                f"data folder {data}: found {MARK}: its facts were played by a simulation.\n"
                "Expected the folder of a real ledger. Correct [central] data: what was played never becomes real."
            )
        return SystemClock()
    if not mark.exists() and data.exists() and any(data.iterdir()):
        raise ConfigError(
            f"--played-time: data folder {data} is not empty and has no {MARK}: its ledger has real moments.\n"
            "Expected a new folder. --played-time is for simulations: start a hospital's central without it."
        )
    clock = PlayedClock(played)
    data.mkdir(parents=True, exist_ok=True)
    mark.touch()
    _log.warning("played_time", file=str(played), cause="a simulation says what time it is; not for a hospital")
    return clock


def _unusable(path: pathlib.Path, cause: str) -> ConfigError:
    return ConfigError(
        f"--played-time {path}: {cause}.\nExpected the file that a simulation writes its time into. "
        "It is for simulations: start a hospital's central without it."
    )
