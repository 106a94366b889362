"""The local pages of a ward, served on a free port of 127.0.0.1, and the hardware behind them by hand."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

import aiohttp
from aiohttp import web

from drivers.abilities import Device
from drivers.readings import DeviceHealth, LinkState, Scan
from edge_agent.check import Stock
from edge_agent.clock import Clock
from edge_agent.health import Health
from edge_agent.people import People
from edge_agent.recorder import Recorder
from edge_agent.safe_mode import SafeMode
from edge_agent.screens.routes import Parts, build
from edge_agent.store.journal import Journal
from edge_agent.sync.state import SyncState
from edge_agent.workflows.bench import Bench
from edge_agent.workflows.cabinet import Cabinet
from edge_agent.workflows.packaging import Packaging
from edge_agent.workflows.station import Station
from tests.unit.edge_work.ward import PIN

JSON = {"Accept": "application/json"}


class Gun:
    """A scanner whose trigger is pulled by the test."""

    name = "scanner-1"

    def __init__(self) -> None:
        self.state = LinkState.READY
        self.cause = ""
        self._scans: asyncio.Queue[Scan] = asyncio.Queue()

    @property
    def health(self) -> DeviceHealth:
        return DeviceHealth(name=self.name, driver="by-hand", state=self.state, cause=self.cause)

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def scans(self) -> AsyncIterator[Scan]:
        while True:
            yield await self._scans.get()

    def pull(self, text: str | bytes) -> None:
        self._scans.put_nowait(Scan(source=self.name, data=text if isinstance(text, bytes) else text.encode()))


class Place(Protocol):
    """What a workplace works with."""

    @property
    def journal(self) -> Journal: ...
    @property
    def stock(self) -> Stock: ...
    @property
    def recorder(self) -> Recorder: ...
    @property
    def bench(self) -> Bench: ...
    @property
    def people(self) -> People: ...
    @property
    def clock(self) -> Clock: ...


@asynccontextmanager
async def serve(
    ward: Place,
    work: Station | Cabinet | Packaging,
    *,
    devices: Sequence[Device] = (),
    sync: SyncState | None = None,
    language: str = "zh-CN",
    safe_mode: SafeMode | None = None,
) -> AsyncIterator[str]:
    """Yields the address of the pages while the workplace works."""
    numbers = itertools.count(1)
    health = Health(
        journal=ward.journal,
        stock=ward.stock,
        recorder=ward.recorder,
        sync=sync or SyncState(is_connected=True, is_welcome=True),
        devices=tuple(devices),
        now_us=ward.clock.wall_us,
        safe_mode=safe_mode or SafeMode(tell=lambda: None),
    )
    parts = Parts(
        bench=ward.bench,
        people=ward.people,
        health=health,
        work=work,
        language=language,
        new_key=lambda: f"key-{next(numbers)}",
    )
    runner = web.AppRunner(build(parts), shutdown_timeout=2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    task = asyncio.create_task(work.run(), name="workplace")
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await runner.cleanup()


@asynccontextmanager
async def client(url: str) -> AsyncIterator[aiohttp.ClientSession]:
    """A program as the routes' description wants it."""
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(url, cookie_jar=jar, headers=JSON) as session:
        yield session


async def sign_in(session: aiohttp.ClientSession, person: str = "P001", **more: str) -> None:
    async with session.post("/sign-in", json={"person": person, "pin": PIN, **more}) as answer:
        assert answer.status == 200, await answer.text()
