"""Two stations, one pool, partitioned: central as a process, a real broker, the shipped stores and sync of both.

No code is issued twice while nobody says it is an emergency; an emergency that doubles is kept twice and told.
"""

import asyncio
import contextlib
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from random import Random
from typing import Any, Self
from zoneinfo import ZoneInfo

import msgspec
import pytest

from edge_agent.check import Stock
from edge_agent.clock import SystemClock, Watch
from edge_agent.errors import Refused
from edge_agent.recorder import Recorder
from edge_agent.rights import build_rights
from edge_agent.store.folder import JOURNAL, REPLICA, DataFolder
from edge_agent.store.identity import open_identity
from edge_agent.store.journal import Journal
from edge_agent.store.overlay import Overlay
from edge_agent.store.pocket import open_pocket
from edge_agent.store.replica import Replica
from edge_agent.sync.leasing import Share
from edge_agent.sync.link import MqttLink
from edge_agent.sync.shell import SyncShell
from hardware_sims.broker import Brand, Broker
from sync_protocol.codec import decode_fact
from sync_protocol.documents import Route
from sync_protocol.facts import Fact, How, What
from sync_protocol.lifecycle import Reason
from tests.integration.central_core.processes import CentralProcess
from tests.unit.central_core.desk import PLACE, WHOLE, box

pytestmark = pytest.mark.mosquitto
BOXES = tuple(box(WHOLE, number) for number in range(1, 21))
PATIENCE_S = 30.0
_OF_ANOTHER = {Reason.LEASED, Reason.NOT_LEASED, Reason.ALREADY_DISPENSED}


class Station:
    """Opened twice on one folder it is a restart of the process on the same computer."""

    def __init__(self, folder: Path, port: int, device: str) -> None:
        clock, path = SystemClock(), folder / device
        self.device = device
        self._watch = Watch(clock, ZoneInfo("Asia/Shanghai"))
        self._data = DataFolder.hold(path)
        session = os.urandom(16)
        self.journal = Journal.open(path / JOURNAL, device=device, session=session, started_us=clock.wall_us())
        self._replica = Replica(path / REPLICA)
        self._pocket = open_pocket(path)
        self.stock = Stock(Overlay(self.journal), self._replica, clock.wall_us)
        self.rights = build_rights(self.journal, self._pocket, clock)
        self.recorder = Recorder(
            journal=self.journal,
            stock=self.stock,
            watch=self._watch,
            data=self._data,
            rights=self.rights,
            location=PLACE,
            device=device,
        )
        self.shell = SyncShell(
            link=MqttLink(host="127.0.0.1", port=port, device=device, random=Random(device)),
            journal=self.journal,
            replica=self._replica,
            watch=self._watch,
            tell=lambda _rows: None,
            software="test",
            rights=self.rights,
            stock=self.stock,
            share=Share(location=PLACE, route=Route.STATION, want=100),
            recalls=self.recorder.recalls,
            identity=open_identity(path),
        )
        self.recorder.listen(lambda _items: self.shell.committed())
        self._running: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pocket.close()
        self._replica.close()
        self.journal.close()
        self._data.release()

    def plug_in(self) -> None:
        self._running = asyncio.create_task(self.shell.run())

    async def cut_off(self) -> None:
        assert self._running is not None, "it was plugged in"
        self._running.cancel()
        await asyncio.wait([self._running])
        self.shell._lost("cut off")  # what the link says when it is torn

    async def issue(self, code: str, **more: object) -> bool:
        """Whether it was recorded."""
        fact = Fact(
            what=What.DISPENSED,
            codes=(code,),
            at=self.recorder.moment(),
            operator="n1",
            location=PLACE,
            order=f"RX-{self.device}",
            how=How.LATE_SCAN,
        )
        try:
            await self.recorder.record(msgspec.structs.replace(fact, **more))
        except Refused as refused:
            if any(refusal.reason not in _OF_ANOTHER for refusal in refused.refusals):
                raise
            return False
        return True


async def together(*issues: Coroutine[Any, Any, bool]) -> list[bool]:
    """What each of them says; if one fails none outlives its journal."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(issue) for issue in issues]
    return [task.result() for task in tasks]


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not is_so():  # noqa: ASYNC110 -- other processes: there is nothing to wait for but time
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def hospital(folder: Path) -> AsyncIterator[tuple[CentralProcess, int]]:
    """Central with twenty boxes in stock, and the port of its broker."""
    broker = Broker(Brand.MOSQUITTO, folder)
    await broker.start()
    central = CentralProcess(folder, broker.url)
    await central.start()
    try:
        whole = {"id": WHOLE.id, "name": WHOLE.name, "kind": "box", "route": "station", "units": 1}
        assert (await central.call("PUT", "/api/v1/products", {"products": [whole]}))[0] == 200
        line = {"product": WHOLE.id, "lot": "L1", "expiry": "2030-12-31", "codes": BOXES}
        note = {"id": "N-1", "supplier": "S", "location": PLACE, "kind": "box", "lines": [line]}
        assert (await central.call("POST", "/api/v1/delivery-notes", note))[0] == 201
        with Station(folder, broker.port, "station-0") as dock:
            dock.plug_in()
            await until(lambda: dock.stock.item(BOXES[-1]) is not None)
            moment = dock.recorder.moment()
            await dock.recorder.record(
                Fact(what=What.RECEIVED, codes=BOXES, at=moment, operator="n1", location=PLACE, document="N-1")
            )
            await until(lambda: central.rows("SELECT count(*) FROM item WHERE state = 'in_stock'") == [(20,)])
            dock.shell.leave()
            await until(lambda: central.rows("SELECT count(*) FROM leased") == [(0,)])
            await dock.cut_off()
        yield central, broker.port
    finally:
        await central.stop()
        await broker.stop()


def everywhere(central: CentralProcess, *stations: Station) -> bool:
    """Every fact of every station is in the ledger."""
    (((count),),) = (central.rows("SELECT count(*) FROM fact WHERE what = 'dispensed'"),)
    return bool(count == (sum(station.journal.head for station in stations),))


@pytest.mark.covers("X01")
@pytest.mark.fault(40, 41)
async def test_two_stations_one_pool_partitioned(tmp_path: Path) -> None:
    async with hospital(tmp_path) as (central, port):
        with Station(tmp_path, port, "station-1") as one, Station(tmp_path, port, "station-2") as other:
            stations = (one, other)
            for station in stations:
                station.plug_in()
            await until(lambda: all(station.rights.holding.count for station in stations))
            await until(lambda: all(station.stock.item(BOXES[-1]) is not None for station in stations))
            # Connected: both reach for the same boxes at the same moment.
            got = await together(*(station.issue(code) for code in BOXES[:4] for station in stations))
            assert [sum(got[n : n + 2]) for n in range(0, 8, 2)] == [1, 1, 1, 1]
            # Partitioned: each goes on with what it holds.
            for station in stations:
                await station.cut_off()
            issued = [await together(*(station.issue(code) for code in BOXES[4:])) for station in stations]
            assert not any(mine and theirs for mine, theirs in zip(*issued, strict=True))
            assert all(any(mine) for mine in issued), "each had something left to issue"
            # An emergency takes what may be the other's: it says so.
            doubled = BOXES[4 + issued[1].index(True)]
            assert await one.issue(doubled, is_provisional=True, reason="bleeding", witness="n2")
            for station in stations:
                station.plug_in()
            await until(lambda: everywhere(central, *stations))
            bodies = [body for (body,) in central.rows("SELECT body FROM fact WHERE what = 'dispensed'")]
            issues = Counter(code for body in bodies for code in decode_fact(body).codes)
            twice = [(code, count) for code, count in issues.items() if count > 1]
            assert twice == [(doubled, 2)]
            reasons = central.rows(f"SELECT reason FROM exception WHERE code = '{doubled}'")
            assert reasons in ([("issued_twice",)], [("already_dispensed",)])
            for station in stations:
                await station.cut_off()


@pytest.mark.covers("X01")
@pytest.mark.fault(45)
async def test_a_station_that_starts_again_without_a_network_goes_on(tmp_path: Path) -> None:
    async with hospital(tmp_path) as (central, port):
        with Station(tmp_path, port, "station-1") as before:
            before.plug_in()
            await until(lambda: before.rights.holding.count == len(BOXES))
            await until(lambda: before.stock.item(BOXES[-1]) is not None)
            await before.cut_off()
            assert await before.issue(BOXES[0])
        with Station(tmp_path, port, "station-1") as after:
            assert not await after.issue(BOXES[0])
            assert await after.issue(BOXES[1])
            after.plug_in()
            await until(lambda: central.rows("SELECT count(*) FROM fact WHERE what = 'dispensed'") == [(2,)])
            await until(lambda: central.rows("SELECT count(*) FROM leased") == [(18,)])
            assert central.rows("SELECT count(*) FROM exception") == [(0,)]
            await after.cut_off()
