"""One of the two programs as a process: ready once it says so itself and answers at its address."""

import asyncio
import sys
from contextlib import suppress
from pathlib import Path

import aiohttp

from hardware_sims.process import ManagedProcess, ProcessDiedError

_READY_S = 40.0
_POLL_S = 0.05
_ANSWER = aiohttp.ClientTimeout(total=5)


class Program(ManagedProcess):
    """``command``: codepool-central or codepool-edge, run with the configuration file ``settings``.

    ``played_time``: the file that says what time it is for the program; None: the machine's clock does.
    """

    def __init__(
        self,
        name: str,
        command: str,
        *,
        settings: Path,
        log: Path,
        url: str,
        http: aiohttp.ClientSession,
        played_time: Path | None = None,
    ) -> None:
        # The command that was installed with this one, whatever the PATH says.
        program = str(Path(sys.executable).with_name(command))
        played = [] if played_time is None else ["--played-time", str(played_time)]
        super().__init__(name, [program, "run", "--config", str(settings), *played], log)
        self.url = url
        self._http = http

    async def start_ready(self) -> None:
        """Return once it answers at /healthz. Raises ProcessDiedError, with the end of its log."""
        told = self.log.stat().st_size if self.log.exists() else 0
        await self.start()
        deadline = asyncio.get_running_loop().time() + _READY_S
        # By its own word: what answers at the address may be another program that took the port first.
        while not (self._says_ready(told) and await self._answers()):
            if self.has_died:
                raise ProcessDiedError(self, "ended while starting")
            if asyncio.get_running_loop().time() > deadline:
                await self.kill()  # or it would stand in the way of the next one that is started
                raise ProcessDiedError(self, f"does not answer at {self.url}/healthz after {_READY_S:.0f} s")
            await asyncio.sleep(_POLL_S)

    async def _answers(self) -> bool:
        """Whether it answers at all: how it is, is for others to wait for."""
        with suppress(aiohttp.ClientError, TimeoutError):
            async with self._http.get(f"{self.url}/healthz", timeout=_ANSWER):
                return True
        return False

    def _says_ready(self, since: int) -> bool:
        """Whether its log, from byte ``since`` on, says that it serves."""
        with self.log.open("rb") as file:
            file.seek(since)
            return b'"event": "ready"' in file.read()
