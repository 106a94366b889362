"""The real processes of a soak, each behind a line of its own that can fail: broker, central, agents with devices."""

import asyncio
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from random import Random

import aiohttp
import msgspec

from hardware_sims import settings
from hardware_sims.books.papers import JOURNAL, LEDGER, REPLICA
from hardware_sims.broker import Brand, Broker
from hardware_sims.platforms.hospital import HospitalSystem
from hardware_sims.ports import free_port
from hardware_sims.process import ManagedProcess, ProcessDiedError
from hardware_sims.program import Program
from hardware_sims.settings import Workplace
from hardware_sims.soak import recalls
from hardware_sims.soak.gauge import Gauge
from hardware_sims.soak.nemesis import BROKER, CENTRAL
from hardware_sims.soak.proxy import ChaosProxy

_FIRST_WAIT_S, _LONGEST_WAIT_S, _TRIES = 0.2, 5.0, 6
_LOOK_S = 0.5


class Memory(msgspec.Struct, kw_only=True):
    """The most that a process ever held, over all its lives."""

    peak_mb: dict[str, float] = {}

    def note(self, process: ManagedProcess) -> None:
        with suppress(OSError, StopIteration):
            text = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii", errors="replace")
            line = next(line for line in text.splitlines() if line.startswith("VmHWM:"))
            peak_mb = int(line.split()[1]) / 1024
            self.peak_mb[process.name] = round(max(peak_mb, self.peak_mb.get(process.name, 0.0)), 1)


class Crew:
    """``insurer``: the address of its platform; empty: nothing is reported."""

    def __init__(
        self, directory: Path, brand: Brand, *, seed: int, http: aiohttp.ClientSession, insurer: str = ""
    ) -> None:
        self.directory = directory
        self.memory = Memory()
        self.agents: dict[str, Program] = {}
        self.proxies: dict[str, ChaosProxy] = {}
        self._logs = directory / "logs"
        self._logs.mkdir(parents=True, exist_ok=True)
        self.broker = Broker(brand, self._logs, keeps=brand is Brand.MOSQUITTO)
        self.central_url = f"http://127.0.0.1:{free_port()}"
        self.hospital = HospitalSystem(self.central_url, token=settings.HOSPITAL_TOKEN, seed=seed, http=http)
        self._seed = seed
        self._http = http
        self._insurer = insurer
        self.central = self._program(CENTRAL, "codepool-central", self.central_url)
        self._expected_dead: set[str] = set()
        self._one_at_a_time = {name: asyncio.Lock() for name in (BROKER, CENTRAL)}

    @property
    def gauge(self) -> Gauge:
        return Gauge(
            ledger=self.directory / CENTRAL / LEDGER,
            journals={agent: self.directory / agent / JOURNAL for agent in self.agents},
            replicas={agent: self.directory / agent / REPLICA for agent in self.agents},
        )

    @asynccontextmanager
    async def working(self, workplaces: Mapping[str, Workplace]) -> AsyncIterator[None]:
        """All answer inside; whatever happens there, all are stopped, agents first."""
        async with AsyncExitStack() as lines:
            for name in (CENTRAL, *workplaces):
                proxy = ChaosProxy(self.broker.port, random=Random(f"soak line {self._seed} {name}"))
                self.proxies[name] = await lines.enter_async_context(proxy)
            try:
                await self._start_all(workplaces)
                async with _watched(self.memory, self.processes):
                    yield
            finally:
                await asyncio.gather(*(agent.stop() for agent in self.agents.values()))
                await self.central.stop()
                await self.broker.stop()

    @property
    def processes(self) -> dict[str, ManagedProcess]:
        return {BROKER: self.broker.process, CENTRAL: self.central, **self.agents}

    def alone_with(self, target: str) -> asyncio.Lock:
        """To be held by who kills, starts or pauses a process."""
        return self._one_at_a_time[target]

    async def kill(self, target: str) -> None:
        """SIGKILL; what the broker kept on its disk goes with it."""
        self._expected_dead.add(target)
        self.memory.note(self.processes[target])
        await self.processes[target].kill()
        if target == BROKER:
            self.broker.forget()
            for proxy in self.proxies.values():
                proxy.be_gone()

    async def kill_starting(self, target: str, *, after_s: float) -> None:
        """Start a killed process and kill it again, wherever it then is."""
        await self.processes[target].start()
        await asyncio.sleep(after_s)
        await self.kill(target)

    async def start(self, target: str) -> None:
        """Start again until it answers, with growing waits. Raises ProcessDiedError if it will not."""
        wait_s = _FIRST_WAIT_S
        for left in range(_TRIES, 0, -1):
            try:
                await (self._start_broker() if target == BROKER else self._programs[target].start_ready())
            except ProcessDiedError:
                if left == 1:
                    raise
                await asyncio.sleep(wait_s)
                wait_s = min(_LONGEST_WAIT_S, wait_s * 2)
            else:
                self._expected_dead.discard(target)
                return

    async def verified(self) -> str:
        """What central's own ``verify`` says of the ledger once all are stopped; empty if it is whole."""
        status, said = await self._ask_central("verify", "--data", str(self.directory / CENTRAL))
        return "" if status == 0 else said

    def raise_if_died(self) -> None:
        """Raise ProcessDiedError if one ended that nobody killed."""
        for name, process in self.processes.items():
            if process.has_died and name not in self._expected_dead:
                raise ProcessDiedError(process, "ended by itself during the soak")

    @property
    def _programs(self) -> dict[str, Program]:
        return {CENTRAL: self.central, **self.agents}

    async def _start_broker(self) -> None:
        await self.broker.start()
        for proxy in self.proxies.values():
            await proxy.listen()

    async def _start_all(self, workplaces: Mapping[str, Workplace]) -> None:
        await self.broker.start()
        await self._start_central()
        _, recall_key = await self._ask_central("recall-key", "--config", str(self._settings(CENTRAL)))
        for agent, workplace in workplaces.items():
            self._one_at_a_time[agent] = asyncio.Lock()
            port = free_port()
            self.agents[agent] = self._program(agent, "codepool-edge", f"http://127.0.0.1:{port}")
            text = settings.workplace_settings(
                agent,
                workplace,
                data=self.directory / agent,
                port=port,
                mqtt=self._line(agent),
                language="zh-CN",
                recall_keys=[recall_key],
            )
            self._settings(agent).write_text(text, encoding="utf-8")
        await asyncio.gather(*(agent.start_ready() for agent in self.agents.values()))

    async def _ask_central(self, *arguments: str) -> tuple[int, str]:
        """Exit status and answer of another of its commands."""
        program = Path(sys.executable).with_name("codepool-central")
        asking = await asyncio.create_subprocess_exec(program, *arguments, stdout=PIPE, stderr=STDOUT)
        said, _ = await asking.communicate()
        return await asking.wait(), said.decode(errors="replace").strip()

    async def _start_central(self) -> None:
        self._settings(CENTRAL).write_text(
            settings.central_settings(
                data=self.directory / CENTRAL,
                port=int(self.central_url.rpartition(":")[2]),
                mqtt=self._line(CENTRAL),
                insurer=self._insurer,
                language="zh-CN",
                scopes=(*settings.SCOPES, recalls.SCOPE),
            ),
            encoding="utf-8",
        )
        await self.central.start_ready()

    def _line(self, name: str) -> str:
        return f"mqtt://127.0.0.1:{self.proxies[name].port}"

    def _program(self, name: str, command: str, url: str) -> Program:
        (self.directory / name).mkdir(parents=True, exist_ok=True)
        log = self._logs / f"{name}.log"
        return Program(name, command, settings=self._settings(name), log=log, url=url, http=self._http)

    def _settings(self, name: str) -> Path:
        return self.directory / f"{name}.toml"


@asynccontextmanager
async def _watched(memory: Memory, processes: Mapping[str, ManagedProcess]) -> AsyncIterator[None]:
    """Peak memory is noted all the while."""

    async def look() -> None:
        while True:
            for process in processes.values():
                memory.note(process)
            await asyncio.sleep(_LOOK_S)

    looking = asyncio.create_task(look(), name="memory")
    try:
        yield
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
