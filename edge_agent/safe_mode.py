"""Safe mode: an agent that ended unasked again and again goes on without the part that fails.

A failure ends the agent, and a fresh start mends most of them. Where it did not help, work must go on all the same: a
part that fails is left out and tried again, sooner at first and then ever later, while screens, journal and all other
parts go on.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path

import msgspec
import structlog

from edge_agent.errors import EdgeError

ENDED_UNASKED = 3
"""So many starts that ended unasked within ``WITHIN_US``: the next one is in safe mode."""
WITHIN_US = 600_000_000
FIRST_PAUSE_S = 2.0
LONGEST_PAUSE_S = 3_600.0
CALM_S = 60.0
"""A part that ran as long is well again."""

Part = Callable[[], Coroutine[None, None, None]]
_log: structlog.stdlib.BoundLogger = structlog.get_logger("edge_agent.safe_mode")


class Starts:
    """Starts that did not end as asked, in a small file of the data folder. A disk that fails here stops nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def begin(self, now_us: int) -> bool:
        """Note a start; whether it is to be in safe mode."""
        recent = [us for us in self._read() if abs(now_us - us) <= WITHIN_US]
        with suppress(OSError):
            self._path.write_bytes(msgspec.json.encode([*recent, now_us]))
        return len(recent) >= ENDED_UNASKED

    def ended(self) -> None:
        """As asked: whatever was before it is mended."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _read(self) -> list[int]:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=list[int])
        except (OSError, msgspec.DecodeError):
            return []


class Failing(msgspec.Struct, frozen=True, kw_only=True):
    """A part that is left out until it is tried again."""

    part: str
    cause: str
    times: int


class SafeMode:
    """``failing``: the parts that do not run now, or have not run long enough yet to be called well, by name."""

    def __init__(self, *, tell: Callable[[], None]) -> None:
        self.failing: dict[str, Failing] = {}
        self._tell = tell

    async def keep(self, name: str, part: Part) -> None:
        """Run a part for ever. Raises EdgeError: those say what a person has to do, and trying again would not."""
        loop = asyncio.get_running_loop()
        times = 0
        while True:
            started_s = loop.time()
            calm = loop.call_later(CALM_S, self._calm, name)
            try:
                await part()
                cause = "it ended by itself"
            except Exception as error:
                if _says_what_to_do(error):
                    raise
                _log.exception("part_failed", part=name)
                cause = f"{type(error).__name__}: {error}"
            finally:
                calm.cancel()
            times = 1 if loop.time() - started_s > CALM_S else times + 1
            self.failing[name] = Failing(part=name, cause=cause, times=times)
            self._tell()
            await asyncio.sleep(pause_s(times))

    def _calm(self, name: str) -> None:
        if self.failing.pop(name, None):
            _log.info("part_well_again", part=name)
            self._tell()


def pause_s(times: int) -> float:
    """Before a part is tried again that has failed so many times in a row."""
    return float(min(FIRST_PAUSE_S * 2.0 ** min(times - 1, 20), LONGEST_PAUSE_S))


def _says_what_to_do(error: Exception) -> bool:
    if isinstance(error, ExceptionGroup):
        return all(_says_what_to_do(each) for each in error.exceptions)
    return isinstance(error, EdgeError)
