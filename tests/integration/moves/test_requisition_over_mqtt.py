"""A05 over a real broker and central: asked for at the console, issued and received at stations that are cut off."""

from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from central.ledger import signing
from central.ledger.verify import open_ledger, verify
from drivers.readings import Scan
from edge_agent.notify import Notifier
from edge_agent.people import People
from edge_agent.workflows.bench import Bench
from edge_agent.workflows.desk import Desk
from edge_agent.workflows.steps import steps_of
from edge_agent.workflows.verdicts import Result, Step
from hardware_sims.broker import Broker
from sync_protocol.documents import TransferState
from sync_protocol.facts import What
from tests.integration.recalls.house import PLACE, Agent, House, box, until

pytestmark = pytest.mark.mosquitto
STORE = "store"
BOXES = tuple(box(number) for number in range(1, 7))
PLACES = [
    {"id": STORE, "name": "药库", "level": 1},
    {"id": PLACE, "name": "中心药房", "level": 2, "parent": STORE},
]


def seat(agent: Agent) -> Desk:
    """Somebody signed in at the station of this agent."""
    bench = Bench(recorder=agent.recorder, stock=agent.stock, notifier=Notifier())
    people = People(journal=agent.journal, stock=agent.stock, now_us=lambda: agent.recorder.moment().wall_us)
    desk = Desk(steps_of(bench), people=people)
    desk.sign_in(agent.stock.person("N1"))
    return desk


async def scan(desk: Desk, *codes: str) -> list[Result]:
    return [(await desk.scan(Scan(source="scanner-1", data=code.encode()))).result for code in codes]


async def ask(house: House, form: dict[str, Any]) -> str:
    """By the console's own form; the number of the document."""
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(
        house.central.address, cookie_jar=jar, headers={"Sec-Fetch-Site": "same-origin"}
    ) as session:
        await session.post("/sign-in", data={"person": "N1", "pin": "2468", "next": "/pool"}, allow_redirects=False)
        async with session.post("/requisitions", data=form, allow_redirects=False) as answer:
            assert answer.status == 303, await answer.text()
            return answer.headers["Location"].partition("id=")[2]


async def stocked(house: House, store: Agent) -> None:
    line = {"product": "ASP", "lot": "L1", "expiry": "2031-12-31", "codes": BOXES}
    note = {"id": "N-1", "supplier": "S", "location": STORE, "kind": "box", "lines": [line]}
    await house.call("PUT", "/places", {"places": PLACES})
    await house.call("POST", "/delivery-notes", note)
    await until(lambda: store.stock.item(BOXES[0]) is not None)
    await store.recorder.record(store.fact(What.RECEIVED, *BOXES, document="N-1"))
    await until(lambda: store.waiting == 0)


async def told(house: House, document: str, wanted: TransferState, *agents: Agent) -> None:
    """Until these agents have all that the ledger has, and the document is in this state there."""

    def is_so() -> bool:
        version = house.version
        found = [(agent.stock.transfer(document), agent.stock.version, agent.waiting) for agent in agents]
        return all(
            transfer is not None and (transfer.state, at, waiting) == (wanted, version, 0)
            for transfer, at, waiting in found
        )

    await until(is_so)


@pytest.mark.covers("A05", "A21")
async def test_it_is_issued_and_received_with_the_network_cut_and_the_books_balance(
    house: House, broker: Broker, tmp_path: Path
) -> None:
    with (
        Agent(tmp_path, broker.port, device="station-store", location=STORE) as store,
        Agent(tmp_path, broker.port, device="station-1") as pharmacy,
    ):
        async with store.online():
            await stocked(house, store)
            document = await ask(house, {"target": PLACE, "product": "ASP", "quantity": "3", "of": "packages"})
            await told(house, document, TransferState.ASKED, store)
        desk = seat(store)
        desk.choose(Step.ISSUE)
        chosen, *issued = await scan(desk, document, *BOXES[:4])
        assert chosen is Result.PROGRESS
        assert issued == [Result.DONE] * 3 + [Result.REFUSED], "cut off: what was asked for goes, and no more"
        assert store.waiting == 3
        async with pharmacy.online():
            await told(house, document, TransferState.ASKED, pharmacy)
            assert await scan(_arriving(pharmacy), BOXES[0]) == [Result.REFUSED], (
                "the ledger has not heard of its issue"
            )
            async with store.online():
                await told(house, document, TransferState.ISSUED, store, pharmacy)
        assert await scan(_arriving(pharmacy), *BOXES[:3]) == [Result.DONE] * 3
        assert pharmacy.waiting == 3
        async with pharmacy.online(), store.online():
            await told(house, document, TransferState.DONE, store, pharmacy)
    rows = house.central.rows("SELECT location, state, count(*) FROM item GROUP BY 1, 2 ORDER BY 1")
    assert rows == [(PLACE, "in_stock", 3), (STORE, "in_stock", 3)]
    assert house.central.rows("SELECT count(*) FROM exception") == [(0,)]
    await house.central.stop()
    folder = house.folder / "data"
    with closing(open_ledger(folder / "ledger.db", is_still=True)) as connection:
        assert verify(connection, folder, signing.trusted(folder), lambda _done, _of: None).flaws == ()


def _arriving(agent: Agent) -> Desk:
    desk = seat(agent)
    desk.choose(Step.ARRIVE)
    return desk
