"""Station, cabinet and packager by their routes, on the shipping drivers and simulated devices on real lines."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from drivers.abilities import Device
from drivers.lock_board import LockBoard8A
from drivers.packager import TcpPackager
from drivers.readings import LinkState
from drivers.rfid_llrp import LlrpReader
from drivers.scanner_serial import SerialScanner
from edge_agent.workflows.cabinet import Cabinet
from edge_agent.workflows.door import Settings
from edge_agent.workflows.orders import Orders
from edge_agent.workflows.packaging import Packaging
from edge_agent.workflows.station import Station
from hardware_sims.devices.llrp_reader import LlrpReader as SimReader
from hardware_sims.devices.lock_board import SimLockBoard
from hardware_sims.devices.packager import SimPackager
from hardware_sims.devices.scanner import SimScanner
from hardware_sims.radio import Place, RadioField
from hardware_sims.serve import PtyPort, TcpPort
from sync_protocol.documents import OrderState, Route
from sync_protocol.facts import What
from sync_protocol.items import Kind, State
from tests.unit.edge_work.site import client, serve, sign_in
from tests.unit.edge_work.ward import (
    AMOXICILLIN,
    CABINET,
    METOPROLOL,
    Ward,
    box,
    box_code,
    note,
    order,
    piece,
    units,
)

WITHIN_S = 30.0


@asynccontextmanager
async def running(*devices: Device) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(device.run(), name=device.name) for device in devices]
    try:
        await wait_until(lambda: all(device.health.state is LinkState.READY for device in devices))
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def wait_until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not condition():  # noqa: ASYNC110 -- what is waited for is seen from outside only
            await asyncio.sleep(0.02)


async def told(session: aiohttp.ClientSession, path: str, **values: str) -> Any:
    async with session.post(path, json=values) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def until(session: aiohttp.ClientSession, path: str, **expected: object) -> Any:
    """Ask until the answer is as expected, as the staff of the demo do."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            async with session.get(path) as answer:
                state = await answer.json()
            if all(state[name] == value for name, value in expected.items()):
                return state
            await asyncio.sleep(0.05)


@pytest.mark.covers("A02", "A03", "A11")
async def test_a_scanner_on_a_serial_line_opens_a_box_and_garbage_does_not_stop_it(ward: Ward, tmp_path: Path) -> None:
    await ward.load(items=(box(AMOXICILLIN, 1),))
    gun = SimScanner()
    async with PtyPort(tmp_path / "tty", gun.talk) as port:
        scanner = SerialScanner(name="scanner-1", url=port.url)
        station = Station(ward.bench, people=ward.people, scanner=scanner)
        async with running(scanner), serve(ward, station, devices=(scanner,)) as url, client(url) as session:
            await gun.scan(box_code(AMOXICILLIN, 1))
            with ward.notifier.subscribe() as changes:
                async with asyncio.timeout(WITHIN_S):
                    while not station.desk.verdicts:
                        await changes.next()
            await sign_in(session)
            with ward.notifier.subscribe() as changes:
                await gun.send(b"\xff\x00\xfe\r")
                await gun.scan_glued(box_code(AMOXICILLIN, 1), box_code(AMOXICILLIN, 2))
                await gun.scan(box_code(AMOXICILLIN, 1))
                async with asyncio.timeout(WITHIN_S):
                    while not ward.facts():
                        await changes.next()
            assert [verdict.result for verdict in station.desk.verdicts] == ["done", "refused", "refused"]
    (fact,) = ward.facts()
    assert (fact.what, fact.operator, fact.source) == (What.PRESCANNED, "P001", "scanner-1")


@pytest.fixture
async def cabinet_ward(tmp_path: Path) -> AsyncIterator[Ward]:
    ward = Ward(tmp_path / "data", location=CABINET, device="cabinet-1")
    await ward.load(**Ward.catalogue())
    yield ward
    ward.close()


@pytest.mark.covers("B01", "B03", "B04", "B07")
async def test_a_note_is_received_taken_from_put_back_and_counted_by_radio(cabinet_ward: Ward, tmp_path: Path) -> None:
    arriving = [piece(serial, State.EXPECTED) for serial in range(1, 9)]
    await cabinet_ward.load(items=tuple(arriving), notes=(note("DN-P1", arriving, kind=Kind.PIECE, location=CABINET),))
    field, board = RadioField(seed=7), SimLockBoard()
    async with SimReader(field) as sim, PtyPort(tmp_path / "lock", board.talk) as port:
        reader = LlrpReader(name="reader-1", host="127.0.0.1", port=sim.port)
        lock = LockBoard8A(name="lock-1", url=port.url)
        settings = Settings(round_s=0.1, door_poll_s=0.1)
        cabinet = Cabinet(cabinet_ward.bench, reader=reader, lockboard=lock, lock=1, settings=settings)
        async with (
            running(reader, lock),
            serve(cabinet_ward, cabinet, devices=(reader, lock)) as url,
            client(url) as session,
        ):
            await sign_in(session)

            async def visit(task: str, *, put: Sequence[str] = (), take: Sequence[str] = (), **values: str) -> Any:
                await told(session, "/cabinet/start", task=task, **values)
                if task != "count":
                    await until(session, "/cabinet", phase="open")
                    for epc in put:
                        field.place(epc, Place(cabinet=1))
                    for epc in take:
                        field.remove(epc)
                    await board.close(1)
                return await until(session, "/cabinet", phase="result")

            codes = [item.code for item in arriving]
            incomplete = await visit("receive", put=codes[:7], note="DN-P1")
            assert (incomplete["is_received"], incomplete["not_arrived"]) == (False, codes[7:])
            assert cabinet_ward.facts() == []

            whole = await visit("receive", put=codes[7:], note="DN-P1")
            assert (whole["is_received"], len(whole["arrived"])) == (True, 8)

            taken = await visit("take", take=codes[:2])
            assert taken["missing"] == codes[:2]

            back = await visit("take", put=codes[:1])
            assert (back["put_back"], back["missing"]) == (codes[:1], [])

            counted = await visit("count")
            assert len(counted["present"]) == 7
            assert board.open_doors == frozenset()
    whats = [fact.what for fact in cabinet_ward.facts()]
    assert whats == [What.RECEIVED, What.TAKEN, What.PUT_BACK, What.COUNTED]
    certificates = [fact.certificate for fact in cabinet_ward.facts()]
    assert all(certificate is not None and certificate.rounds >= 3 for certificate in certificates)


@pytest.mark.covers("A13")
async def test_pouches_are_made_by_the_machine_also_after_waste_an_empty_canister_and_a_pulled_cable(
    ward: Ward,
) -> None:
    await ward.load(
        items=tuple(units(METOPROLOL, 1, locked=4, order="RX00001")),
        orders=(order(1, METOPROLOL, 4, OrderState.LOCKED),),
    )
    sim = SimPackager(canisters={METOPROLOL.id: 3}, pouch_s=0.02)
    sim.waste_next()
    async with TcpPort(sim.talk) as port:
        packager = TcpPackager(name="packager-1", url=port.url)
        packaging = Packaging(ward.bench, Orders(ward.bench, route=Route.PACKAGER), packager=packager)
        async with running(packager), serve(ward, packaging, devices=(packager,)) as url, client(url) as session:
            await sign_in(session)
            await wait_until(lambda: sum(len(batch.stuck) for batch in packaging.batches()) == 2)
            await port.unplug()
            sim.fill(METOPROLOL.id, 10)
            await port.plug()
            async with session.get("/packager") as answer:
                (batch,) = await answer.json()
            stuck = [pouch for pouch in batch["pouches"] if pouch["state"] == "stuck"]
            assert {pouch["outcome"] for pouch in stuck} == {"empty_canister"}
            for pouch in stuck:
                assert await told(session, "/packager/again", order="RX00001", code=pouch["code"]) == {}
            await wait_until(lambda: not packaging.batches())
            async with session.post("/packager/again", json={"order": "RX00001", "code": "x"}) as answer:
                assert (answer.status, (await answer.json())["reason"]) == (409, "order_gone")
    facts = ward.facts()
    assert [fact.what for fact in facts] == [What.PACKED] * 4 + [What.DISPENSED]
    assert len({fact.codes for fact in facts[:4]}) == len({fact.pouch for fact in facts[:4]}) == 4
