"""The real programs of the demo, each a process of its own: broker, central, three agents."""

import asyncio
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp

from hardware_sims.books.papers import JOURNAL
from hardware_sims.books.report import CENTRAL
from hardware_sims.broker import Brand, Broker, free_port, is_free
from hardware_sims.process import ManagedProcess, ProcessDiedError
from hardware_sims.settings import AGENTS, CABINET, PACKAGER, STATION, Doors, Wires, agent_settings, central_settings

USUAL_DOORS = Doors(central=8100, station=8101, cabinet=8102, packager=8103)
_READY_S = 40.0
_POLL_S = 0.1
_ANSWER = aiohttp.ClientTimeout(total=5)


def choose_doors() -> Doors:
    """The usual ports, each replaced by a free one where somebody has it."""
    usual = (USUAL_DOORS.central, USUAL_DOORS.station, USUAL_DOORS.cabinet, USUAL_DOORS.packager)
    central, station, cabinet, packager = (port if is_free(port) else free_port() for port in usual)
    return Doors(central=central, station=station, cabinet=cabinet, packager=packager)


class Fleet:
    """Use as an async context manager: all that was started is stopped, whatever happens inside."""

    def __init__(
        self, directory: Path, *, brand: Brand, wires: Wires, insurer: str, language: str, http: aiohttp.ClientSession
    ) -> None:
        self.directory = directory
        self.doors = choose_doors()
        self._logs = directory / "logs"
        self._logs.mkdir(parents=True, exist_ok=True)
        self.broker = Broker(brand, self._logs)
        self._http = http
        self._central = self._program("central", CENTRAL, "codepool-central")
        self._agents = {agent: self._program(agent, agent, "codepool-edge") for agent in AGENTS}
        self._write_settings(wires, insurer, language)

    @property
    def central_url(self) -> str:
        return f"http://127.0.0.1:{self.doors.central}"

    def agent_url(self, agent: str) -> str:
        return f"http://127.0.0.1:{self.doors.of(agent)}"

    def journal(self, agent: str) -> Path:
        return self.directory / agent / JOURNAL

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Return once each answers at /healthz. Raises ProcessDiedError, with the end of the log of whoever failed."""
        await self.broker.start()
        programs = {self._central: self.central_url} | {self._agents[name]: self.agent_url(name) for name in AGENTS}
        await asyncio.gather(*(self._start(program, url) for program, url in programs.items()))

    async def stop(self) -> None:
        """Agents first, so that nobody waits for a central that is gone."""
        await asyncio.gather(*(agent.stop() for agent in self._agents.values()))
        await self._central.stop()
        await self.broker.stop()

    async def kill(self, agent: str) -> None:
        await self._agents[agent].kill()

    async def start_agent(self, agent: str) -> None:
        await self._start(self._agents[agent], self.agent_url(agent))

    def raise_if_died(self) -> None:
        """Raise ProcessDiedError if central or an agent ended by itself."""
        for program in (self._central, *self._agents.values()):
            if program.has_died:
                raise ProcessDiedError(program, "ended while the morning was played")

    async def _start(self, program: ManagedProcess, url: str) -> None:
        await program.start()
        deadline = asyncio.get_running_loop().time() + _READY_S
        while not await self._answers(url):
            if program.has_died:
                raise ProcessDiedError(program, "ended while starting")
            if asyncio.get_running_loop().time() > deadline:
                raise ProcessDiedError(program, f"does not answer at {url}/healthz after {_READY_S:.0f} s")
            await asyncio.sleep(_POLL_S)

    async def _answers(self, url: str) -> bool:
        """Whether it answers at all: how it is, is for the scenario to wait for."""
        with suppress(aiohttp.ClientError, TimeoutError):
            async with self._http.get(f"{url}/healthz", timeout=_ANSWER):
                return True
        return False

    def _program(self, name: str, folder: str, command_name: str) -> ManagedProcess:
        (self.directory / folder).mkdir(parents=True, exist_ok=True)
        # The command that was installed with this one, whatever the PATH says.
        command = [str(Path(sys.executable).with_name(command_name)), "run", "--config", str(self._settings(name))]
        return ManagedProcess(name, command, self._logs / f"{name}.log")

    def _settings(self, name: str) -> Path:
        return self.directory / f"{name}.toml"

    def _write_settings(self, wires: Wires, insurer: str, language: str) -> None:
        central = central_settings(
            data=self.directory / CENTRAL,
            port=self.doors.central,
            mqtt=self.broker.url,
            insurer=insurer,
            language=language,
        )
        self._settings("central").write_text(central, encoding="utf-8")
        for agent in (STATION, CABINET, PACKAGER):
            settings = agent_settings(
                agent,
                data=self.directory / agent,
                port=self.doors.of(agent),
                mqtt=self.broker.url,
                language=language,
                wires=wires,
            )
            self._settings(agent).write_text(settings, encoding="utf-8")
