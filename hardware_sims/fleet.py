"""The real programs of the demo, each a process of its own: broker, central, three agents."""

import asyncio
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp

from hardware_sims.books.papers import JOURNAL
from hardware_sims.books.report import CENTRAL
from hardware_sims.broker import Brand, Broker
from hardware_sims.ports import free_port, is_free
from hardware_sims.process import ProcessDiedError
from hardware_sims.program import Program
from hardware_sims.settings import AGENTS, CABINET, PACKAGER, STATION, Doors, Wires, agent_settings, central_settings

USUAL_DOORS = Doors(central=8100, station=8101, cabinet=8102, packager=8103)


def choose_doors(*, is_for_people: bool) -> Doors:
    """For people the usual ports, each replaced by a free one where somebody has it; else any free ones."""
    usual = (USUAL_DOORS.central, USUAL_DOORS.station, USUAL_DOORS.cabinet, USUAL_DOORS.packager)
    ports = (port if is_for_people and is_free(port) else free_port() for port in usual)
    central, station, cabinet, packager = ports
    return Doors(central=central, station=station, cabinet=cabinet, packager=packager)


class Fleet:
    """Use as an async context manager: all that was started is stopped, whatever happens inside."""

    def __init__(
        self,
        directory: Path,
        *,
        doors: Doors,
        brand: Brand,
        wires: Wires,
        insurer: str,
        language: str,
        http: aiohttp.ClientSession,
    ) -> None:
        self.directory = directory
        self.doors = doors
        self._logs = directory / "logs"
        self._logs.mkdir(parents=True, exist_ok=True)
        self.broker = Broker(brand, self._logs)
        self._http = http
        self._central = self._program("central", CENTRAL, "codepool-central", self.central_url)
        self._agents = {agent: self._program(agent, agent, "codepool-edge", self.agent_url(agent)) for agent in AGENTS}
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
        await asyncio.gather(*(program.start_ready() for program in (self._central, *self._agents.values())))

    async def stop(self) -> None:
        """Agents first, so that nobody waits for a central that is gone."""
        await asyncio.gather(*(agent.stop() for agent in self._agents.values()))
        await self._central.stop()
        await self.broker.stop()

    async def kill(self, agent: str) -> None:
        await self._agents[agent].kill()

    async def start_agent(self, agent: str) -> None:
        await self._agents[agent].start_ready()

    def raise_if_died(self) -> None:
        """Raise ProcessDiedError if central or an agent ended by itself."""
        for program in (self._central, *self._agents.values()):
            if program.has_died:
                raise ProcessDiedError(program, "ended while the morning was played")

    def _program(self, name: str, folder: str, command: str, url: str) -> Program:
        (self.directory / folder).mkdir(parents=True, exist_ok=True)
        log = self._logs / f"{name}.log"
        return Program(name, command, settings=self._settings(name), log=log, url=url, http=self._http)

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
                site=f"http://127.0.0.1:{self.doors.central}",
            )
            self._settings(agent).write_text(settings, encoding="utf-8")
