"""The real programs of a month, each a process of its own, all in played time: broker, central, two agents.

The station is the pharmacy's. Nobody works at the other agent: the hospital's billing says there what went out without
a code, as the program of an automated cabinet says what it has vended. Nothing with a code ever lies at its place.
"""

import asyncio
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp

from hardware_sims import settings
from hardware_sims.broker import Brand, Broker
from hardware_sims.devices.scanner import SimScanner
from hardware_sims.platforms.hospital import HospitalSystem
from hardware_sims.ports import free_port
from hardware_sims.process import ManagedProcess, ProcessDiedError
from hardware_sims.program import Program
from hardware_sims.scenarios.plan import PHARMACY
from hardware_sims.serve import PtyPort
from hardware_sims.settings import Workplace

CENTRAL, STATION, BILLING = "central", "station-1", "billing-1"
AGENTS = (STATION, BILLING)
WITHOUT_CODES = "without-codes"
"""The place of the agent that billing speaks to."""
BILLING_TOKEN = "month-billing-5d2e91c04b"  # noqa: S105 - of this play's own processes on this machine only
_SCOPES = (*settings.SCOPES, "recalls")
_LEASED = 0
"""Items that the station asks a lease of: its codes are locked to orders, or asked for when they are scanned."""
_POLICY = """
[degraded.drug]
# Time leaps over nights in which nothing is played, and no copy is confirmed while it leaps.
mark_after_h = 8760
"""


class MonthSite:
    def __init__(
        self, directory: Path, brand: Brand, *, played_time: Path, insurer: str, http: aiohttp.ClientSession
    ) -> None:
        self.directory = directory
        self._brand = brand
        self._played_time = played_time
        self._insurer = insurer
        self._http = http
        self._logs = directory / "logs"
        self._logs.mkdir()
        self.broker = Broker(brand, self._logs)
        self.urls = {name: f"http://127.0.0.1:{free_port()}" for name in (CENTRAL, *AGENTS)}
        self.central = self._program(CENTRAL, "codepool-central")
        self._agents = {agent: self._program(agent, "codepool-edge") for agent in AGENTS}
        self.hospital = HospitalSystem(self.urls[CENTRAL], token=settings.HOSPITAL_TOKEN, seed=0, http=http)

    @property
    def processes(self) -> tuple[ManagedProcess, ...]:
        return self.broker.process, self.central, *self._agents.values()

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """All answer inside; whatever happens there, all are stopped, agents first."""
        async with AsyncExitStack() as wires:
            try:
                await self._start(wires)
                yield
            finally:
                await asyncio.gather(*(agent.stop() for agent in self._agents.values()))
                await self.central.stop()
                await self.broker.stop()

    def raise_if_died(self) -> None:
        """Raises ProcessDiedError if one ended by itself."""
        for process in self.processes:
            if process.has_died:
                raise ProcessDiedError(process, "ended while the months were played")

    async def verified(self) -> str:
        """What central's own ``verify`` says of the ledger once all are stopped; empty if it is whole."""
        status, said = await self._ask_central("verify", "--data", str(self.directory / CENTRAL))
        return "" if status == 0 else said

    async def _start(self, wires: AsyncExitStack) -> None:
        await self.broker.start()
        text = settings.central_settings(
            data=self.directory / CENTRAL,
            port=_port(self.urls[CENTRAL]),
            mqtt=self.broker.url,
            insurer=self._insurer,
            language="en",
            scopes=_SCOPES,
        )
        self._settings(CENTRAL).write_text(text, encoding="utf-8")
        await self.central.start_ready()
        _, recall_key = await self._ask_central("recall-key", "--config", str(self._settings(CENTRAL)))
        for agent in AGENTS:
            await self._write_agent(agent, await self._workplace(agent, wires), recall_key)
        await asyncio.gather(*(agent.start_ready() for agent in self._agents.values()))

    async def _workplace(self, agent: str, wires: AsyncExitStack) -> Workplace:
        """Staff scan by PDA; the scanner that a station must have lies there."""
        scanner = await wires.enter_async_context(PtyPort(self.directory / f"scanner-{agent}", SimScanner().talk))
        if agent == STATION:
            return settings.station(PHARMACY, scanner=scanner.url)
        return settings.station(WITHOUT_CODES, scanner=scanner.url, machines={"billing": BILLING_TOKEN})

    async def _write_agent(self, agent: str, workplace: Workplace, recall_key: str) -> None:
        text = settings.workplace_settings(
            agent,
            workplace,
            data=self.directory / agent,
            port=_port(self.urls[agent]),
            mqtt=self.broker.url,
            language="en",
            recall_keys=[recall_key],
            site=self.urls[CENTRAL],
            lease_items=_LEASED,
        )
        self._settings(agent).write_text(text + _POLICY, encoding="utf-8")

    async def _ask_central(self, *arguments: str) -> tuple[int, str]:
        """Exit status and answer of another of its commands."""
        program = Path(sys.executable).with_name("codepool-central")
        asking = await asyncio.create_subprocess_exec(program, *arguments, stdout=PIPE, stderr=STDOUT)
        said, _ = await asking.communicate()
        return await asking.wait(), said.decode(errors="replace").strip()

    def _program(self, name: str, command: str) -> Program:
        return Program(
            name,
            command,
            settings=self._settings(name),
            log=self._logs / f"{name}.log",
            url=self.urls[name],
            http=self._http,
            played_time=self._played_time,
        )

    def _settings(self, name: str) -> Path:
        return self.directory / f"{name}.toml"


def _port(url: str) -> int:
    return int(url.rpartition(":")[2])
