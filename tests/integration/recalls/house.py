"""A hospital of processes for recalls: central and broker are real, agents are their stores, recorder and sync."""

import asyncio
import base64
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from random import Random
from typing import Any, Self
from zoneinfo import ZoneInfo

import aiomqtt

from central.stock.recall_key import open_key
from edge_agent.check import Stock
from edge_agent.clock import SystemClock, Watch
from edge_agent.recorder import Recorder
from edge_agent.rights import Rights
from edge_agent.store.folder import JOURNAL, REPLICA, DataFolder
from edge_agent.store.identity import open_identity
from edge_agent.store.journal import Journal
from edge_agent.store.outgoing import waiting
from edge_agent.store.overlay import Overlay
from edge_agent.store.replica import Replica
from edge_agent.sync.fetching import Fetcher
from edge_agent.sync.leasing import Share
from edge_agent.sync.link import MqttLink
from edge_agent.sync.shell import SyncShell
from hardware_sims.broker import Broker
from sync_protocol import topics
from sync_protocol.documents import Route
from sync_protocol.facts import Fact, How, What
from sync_protocol.machines.holding import Holding
from sync_protocol.messages import Rows
from tests.integration.central_core.processes import CentralProcess

PLACE, LOT = "pharmacy", "L1"
PRODUCT = {
    "id": "ASP",
    "name": "阿司匹林肠溶片",
    "name_en": "Aspirin",
    "spec": "100mg×30片",
    "kind": "box",
    "drug_ids": ["8100001"],
}
SPLIT = PRODUCT | {"id": "CEF", "name": "头孢呋辛", "name_en": "Cefuroxime", "units": 10, "drug_ids": ["8100002"]}
PEOPLE = [{"id": "N1", "name": "李敏", "pin": "2468"}, {"id": "N2", "name": "王强", "pin": "1357"}]


def box(number: int, product: int = 1) -> str:
    return f"810000{product}{number:013d}"


class House:
    def __init__(self, folder: Path, broker: Broker, *, settings: str = "") -> None:
        self.folder = folder
        self.broker = broker
        self.central = CentralProcess(folder, broker.url, settings=settings)
        self._notes = 0

    @property
    def key(self) -> bytes:
        return open_key(self.folder / "data").public

    @property
    def key_text(self) -> str:
        return base64.b64encode(self.key).decode()

    @property
    def version(self) -> int:
        """Of the ledger."""
        ((version,),) = self.central.rows("SELECT value FROM meta WHERE key = 'version'")
        return int(version)

    async def open(self) -> None:
        await self.central.start()
        await self.call("PUT", "/products", {"products": [PRODUCT, SPLIT]})
        await self.call("PUT", "/people", {"people": PEOPLE})

    async def close(self) -> None:
        await self.central.stop()

    async def call(self, method: str, path: str, body: object = None) -> Any:
        status, answer = await self.central.call(method, f"/api/v1{path}", body)
        assert status in {200, 201}, answer
        return answer

    async def announce(self, *codes: str, product: str = "ASP", lot: str = LOT) -> str:
        """A delivery note of the codes; its number."""
        self._notes += 1
        line = {"product": product, "lot": lot, "expiry": "2031-12-31", "codes": codes}
        note = {"id": f"N-{self._notes}", "supplier": "S", "location": PLACE, "kind": "box", "lines": [line]}
        await self.call("POST", "/delivery-notes", note)
        return str(note["id"])

    async def recall(self, recall_id: str = "R1", *, product: str = "ASP", lot: str = LOT) -> Any:
        body = {"id": recall_id, "product": product, "lot": lot, "reason": "particles"}
        return await self.call("POST", "/recalls", body | {"operator": "N1", "witness": "N2"})

    async def cover(self, recall_id: str = "R1") -> Any:
        return await self.call("GET", f"/recalls/{recall_id}/cover")

    async def publish(self, data: bytes) -> None:
        """Leave something at the broker in the place of the recall set; nothing: wipe it."""
        async with aiomqtt.Client("127.0.0.1", self.broker.port) as client:
            await client.publish(topics.RECALLS, data, qos=1, retain=True)


class Agent:
    """Opened twice on one folder it is a restart. ``seen``: the version of the recall set at every delta applied."""

    def __init__(
        self,
        folder: Path,
        port: int,
        *keys: bytes,
        device: str = "station-1",
        site: str = "",
        location: str = PLACE,
    ) -> None:
        clock = SystemClock()
        self.watch = Watch(clock, ZoneInfo("Asia/Shanghai"))
        self._data = DataFolder.hold(folder / device)
        path = folder / device
        self.journal = Journal.open(path / JOURNAL, device=device, session=os.urandom(16), started_us=clock.wall_us())
        self.replica = Replica(path / REPLICA)
        self.stock = Stock(Overlay(self.journal), self.replica, clock.wall_us)
        granted_by, codes = self.journal.leased()
        holding = Holding(self.journal.start.session, codes, incarnation=granted_by, spoken_to=self.journal.incarnation)
        rights = Rights(holding, clock.mono_us)
        self.recorder = Recorder(
            journal=self.journal,
            stock=self.stock,
            watch=self.watch,
            data=self._data,
            rights=rights,
            location=location,
            device=device,
        )
        self.seen: list[int] = []
        self.shell = SyncShell(
            link=MqttLink(host="127.0.0.1", port=port, device=device, random=Random(1)),
            journal=self.journal,
            replica=self.replica,
            watch=self.watch,
            tell=self._tell,
            software="test",
            rights=rights,
            stock=self.stock,
            share=Share(location=location, route=Route.STATION, want=100),
            recalls=self.recorder.recalls,
            recall_keys=keys,
            identity=open_identity(path),
            fetcher=Fetcher(site, path, watch=self.watch, random=Random(2)) if site else None,
        )
        self.recorder.listen(lambda _items: self.shell.committed())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.replica.close()
        self.journal.close()
        self._data.release()

    @property
    def version(self) -> int:
        return self.recorder.recalls.version

    @property
    def waiting(self) -> int:
        return waiting(self.journal).facts

    @contextlib.asynccontextmanager
    async def online(self) -> AsyncIterator[Self]:
        """Connected while it is entered; before and after it is cut off and goes on working."""
        running = asyncio.create_task(self.shell.run())
        try:
            yield self
        finally:
            running.cancel()
            await asyncio.wait({running})
            assert running.cancelled(), f"the synchronisation of this agent ended: {running.exception()!r}"

    def fact(self, what: What, *codes: str, **fields: Any) -> Fact:
        known = {"operator": "N1", "location": self.recorder.location, "how": How.SCAN}
        return Fact(what=what, codes=codes, at=self.recorder.moment(), **(known | fields))

    async def receive(self, house: House, *codes: str, **line: Any) -> None:
        """Announced at central, received here, and known here as in stock."""
        note = await house.announce(*codes, **line)
        await until(lambda: all(self.stock.item(code) is not None for code in codes))
        await self.recorder.record(self.fact(What.RECEIVED, *codes, document=note))
        await until(lambda: self.waiting == 0)

    def _tell(self, rows: Rows | None) -> None:
        if rows is not None:
            self.seen.append(self.version)


async def until(is_so: Callable[[], bool], *, within_s: float = 60.0) -> None:
    async with asyncio.timeout(within_s):
        while not is_so():  # noqa: ASYNC110 -- it is asked of stores and another process, which tell nobody
            await asyncio.sleep(0.005)
