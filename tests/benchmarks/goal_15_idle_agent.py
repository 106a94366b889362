"""Goal 15: an idle agent's memory, and how long from its start to the first scan that it has accepted.

Both are real processes on simulated devices: a cabinet with reader and lock board, a station with its scanner.
"""

import asyncio
import os
import shutil
import sqlite3
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

from edge_agent.store.folder import JOURNAL, REPLICA
from edge_agent.store.journal import Journal
from edge_agent.store.replica import Replica
from hardware_sims.broker import Brand, Broker
from hardware_sims.equipment import Equipment, plugged_in
from hardware_sims.process import ManagedProcess, ProcessDiedError
from hardware_sims.scenarios.plan import PHARMACY
from hardware_sims.settings import CABINET, STATION, Wires, agent_settings
from sync_protocol.documents import Person, Product
from sync_protocol.items import Item, Kind, State
from sync_protocol.messages import Delta, Rows
from tests.benchmarks import pool
from tests.benchmarks.measuring import Bench, Figures, Result, at_most

GOAL = 15
POOL = 20_000
IDLE_S = 3.0
PATIENCE_S = 30.0
AGAIN_S = 0.03
"""What was scanned before the port was open is lost, as with any scanner: the person scans again."""
BADGE = "BADGE-0001"
_DRUG = Product(
    id="D1", name="头孢呋辛", name_en="Cefuroxime", spec="0.75 g × 10", kind=Kind.BOX, units=10, drug_ids=("8100001",)
)
_BARE = (
    "import asyncio, sqlite3, sys, aiohttp, aiomqtt, msgspec, structlog\n"
    "sys.stdout.write('up\\n')\nsys.stdout.flush()\nsys.stdin.read()"
)


async def measure(bench: Bench) -> list[Result]:
    folder = bench.place("goal-15")
    replica = await pool.replica(bench, bench.count(POOL, least=200))
    equipment = Equipment(15)
    broker = Broker(Brand.MOSQUITTO, folder)
    await broker.start()
    try:
        async with plugged_in(equipment, folder, seed=15) as wires:
            agents = _Agents(folder, replica, broker, wires, equipment)
            memory = await bench.alternate(raw=_bare_memory_mb, own=agents.memory_mb, is_on_disk=False)
            start = await bench.alternate(raw=_bare_start_s, own=agents.first_scan_s, is_on_disk=True)
    finally:
        await broker.stop()
    note = "raw: bare Python with the same libraries"
    return [
        memory.result(
            goal=GOAL,
            name="idle cabinet agent, resident memory, MB",
            floor=at_most(90, "value"),
            aim=at_most(60, "value"),
            note=note,
        ),
        start.result(
            goal=GOAL,
            name="start of a station to its first accepted scan, s",
            floor=at_most(2, "value"),
            aim=at_most(1, "value"),
            note=note,
        ),
    ]


class _Agents:
    def __init__(self, folder: Path, replica: Path, broker: Broker, wires: Wires, equipment: Equipment) -> None:
        self._folder = folder
        self._replica = replica
        self._broker = broker
        self._wires = wires
        self._equipment = equipment

    async def memory_mb(self, number: int) -> Figures:
        agent = await self._agent(CABINET, number)
        await agent.start()
        try:
            await asyncio.sleep(IDLE_S)
            _raise_if_died(agent)
            return [_resident_mb(agent.pid)]
        finally:
            await agent.stop()

    async def first_scan_s(self, number: int) -> Figures:
        agent = await self._agent(STATION, number)
        journal = self._folder / f"{STATION}-{number}" / JOURNAL
        began_s = time.perf_counter()
        await agent.start()
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not agent.has_died and not _has_fact(journal):
                    await self._equipment.scanner.scan(BADGE)
                    await self._equipment.scanner.scan(_box(number).code)
                    await asyncio.sleep(AGAIN_S)
            ended_s = time.perf_counter()
            _raise_if_died(agent)
            return [ended_s - began_s]
        finally:
            await agent.stop()

    async def _agent(self, name: str, number: int) -> ManagedProcess:
        """An agent as it was switched off yesterday: its replica is there, and its journal has no facts yet."""
        data = self._folder / f"{name}-{number}"
        data.mkdir()
        shutil.copy(self._replica, data / REPLICA)
        with closing(Replica(data / REPLICA)) as replica:
            rows = Rows(items=(_box(number),), products=(_DRUG,), people=(Person(id="p1", name="张药师", badge=BADGE),))
            version = replica.version
            await replica.apply(
                Delta(after=version, to=version + 1, rows=rows, latest=version + 1), as_of_us=time.time_ns() // 1_000
            )
        Journal.open(data / JOURNAL, device=name, session=os.urandom(16), started_us=1).close()
        settings = data / "edge.toml"
        text = agent_settings(name, data=data, port=0, mqtt=self._broker.url, language="zh-CN", wires=self._wires)
        settings.write_text(text, encoding="utf-8")
        command = [str(Path(sys.executable).with_name("codepool-edge")), "run", "--config", str(settings)]
        return ManagedProcess(name, command, data / "agent.log")


def _raise_if_died(agent: ManagedProcess) -> None:
    if agent.has_died:
        raise ProcessDiedError(agent, "ended while it was measured")


def _box(number: int) -> Item:
    return Item(
        code=f"8100001{number:013d}",
        kind=Kind.BOX,
        product=_DRUG.id,
        lot="L1",
        expiry=pool.EXPIRY,
        state=State.IN_STOCK,
        location=PHARMACY,
    )


def _has_fact(journal: Path) -> bool:
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"{journal.as_uri()}?mode=ro", uri=True)) as connection:
        return bool(connection.execute("SELECT count(*) FROM fact").fetchone()[0])
    return False


async def _bare(*, measure_memory: bool) -> float:
    began_s = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _BARE, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    await process.stdout.readline()
    figure = _resident_mb(process.pid) if measure_memory else time.perf_counter() - began_s
    await process.communicate(b"")
    return figure


async def _bare_memory_mb(_: int) -> Figures:
    return [await _bare(measure_memory=True)]


async def _bare_start_s(_: int) -> Figures:
    return [await _bare(measure_memory=False)]


def _resident_mb(pid: int) -> float:
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    (line,) = (line for line in text.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024
