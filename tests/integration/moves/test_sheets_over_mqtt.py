"""A22 over a real broker and central: printed and scanned back with the network cut, in the ledger when it is back."""

import datetime as dt
from pathlib import Path
from typing import Any

import msgspec
import pytest
from playwright.async_api import Browser, Page

from edge_agent.check import Stock
from edge_agent.clock import Clock, SystemClock
from edge_agent.notify import Notifier
from edge_agent.people import People
from edge_agent.recorder import Recorder
from edge_agent.store.journal import Journal
from edge_agent.workflows.bench import Bench
from edge_agent.workflows.station import Station
from hardware_sims.broker import Broker
from sync_protocol.facts import How, What
from sync_protocol.items import State
from tests.browser.edge.pages import opened, sign_in
from tests.browser.edge.test_sheets_page import printed, record, write_line
from tests.browser.edge.test_station_page import shoot
from tests.browser.edge.test_tasks_page import turn_to
from tests.integration.recalls.house import Agent, House, box, until
from tests.unit.edge_work.site import Gun, serve

pytestmark = [pytest.mark.mosquitto, pytest.mark.browser]
BOXES = tuple(box(number) for number in range(1, 4))
ORDER = {
    "resourceType": "MedicationRequest",
    "identifier": [{"system": "urn:codepool:order-item", "value": "YZ-1"}],
    "status": "active",
    "intent": "order",
    "priority": "stat",
    "medicationCodeableConcept": {"coding": [{"system": "urn:codepool:product", "code": "ASP"}]},
    "subject": {"reference": "Patient/pt-1"},
    "encounter": {"reference": "Encounter/v-1"},
    "authoredOn": "2026-11-21T08:00:00+08:00",
    "requester": {"identifier": {"value": "dr-7"}},
    "extension": [{"url": "urn:codepool:ward", "valueString": "ICU"}],
    "dispenseRequest": {
        "quantity": {"value": 2},
        "performer": {"identifier": {"system": "urn:codepool:location", "value": "pharmacy"}},
    },
}


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """An agent's own parts, with its pages."""

    journal: Journal
    stock: Stock
    recorder: Recorder
    bench: Bench
    people: People
    clock: Clock


def place_of(agent: Agent) -> Place:
    clock = SystemClock()
    return Place(
        journal=agent.journal,
        stock=agent.stock,
        recorder=agent.recorder,
        bench=Bench(recorder=agent.recorder, stock=agent.stock, notifier=Notifier()),
        people=People(journal=agent.journal, stock=agent.stock, now_us=clock.wall_us),
        clock=clock,
    )


async def ordered(house: House, agent: Agent) -> None:
    """Three boxes here, two of them locked to an order, and all of it known to the agent."""
    await agent.receive(house, *BOXES)
    status, answer = await house.central.call("POST", "/fhir/MedicationRequest", ORDER)
    assert status == 201, answer
    await until(lambda: agent.stock.version == house.version and len(agent.stock.items_of_order("YZ-1")) == 2)


async def scan_back(page: Page, texts: list[str]) -> str:
    """Both boxes of the line by the symbols printed on it, at the minute that it is now; the sheet."""
    (line,) = [text for text in texts if text.endswith("-YZ-1")]
    await shoot(page, line)
    for code in texts:
        if code.isdigit():
            await shoot(page, code)
    now = dt.datetime.now(dt.timezone(dt.timedelta(hours=8)))
    await write_line(page, time=f"{now:%H:%M}", operator="N2", quantity=2)
    await page.fill("#side [name=day]", f"{now:%Y-%m-%d}")
    await record(page)
    await page.wait_for_selector("#verdict .verdict.done")
    return line.split("-")[1]


@pytest.mark.covers("A22")
async def test_paper_of_an_outage_is_in_the_ledger_when_it_is_over(
    house: House, broker: Broker, tmp_path: Path, browser: Browser
) -> None:
    with Agent(tmp_path, broker.port) as agent, Agent(tmp_path, broker.port, device="station-2") as other:
        async with agent.online():
            await ordered(house, agent)
        place, gun = place_of(agent), Gun()
        work = Station(place.bench, people=place.people, scanner=gun)
        async with (
            serve(place, work, sync=agent.shell.state) as url,
            opened(browser, url, size="desktop", lang="zh-CN") as page,
        ):
            await sign_in(page, "N1")
            await turn_to(page, "sheets")
            sheet = await scan_back(page, await printed(page, "orders", "outage-orders"))
        assert agent.waiting == 1
        # Another station, which knows nothing of the paper, hands out one of the two boxes for the same order.
        async with other.online():
            await until(lambda: other.stock.version == house.version)
            fact = other.fact(What.DISPENSED, BOXES[0], order="YZ-1", how=How.SCAN)
            await other.recorder.observe(fact)
            await until(lambda: other.waiting == 0)
        async with agent.online():
            await until(lambda: agent.waiting == 0)
            await until(lambda: (item := agent.stock.item(BOXES[1])) is not None and item.state is State.DISPENSED)
    central = house.central
    assert central.rows("SELECT code, order_id FROM item WHERE state = 'dispensed' ORDER BY code") == [
        (BOXES[0], "YZ-1"),
        (BOXES[1], "YZ-1"),
    ]
    assert central.rows("SELECT code, reason FROM exception") == [(BOXES[0], "already_dispensed")]
    for code in BOXES[:2]:
        events: list[dict[str, Any]] = (await house.call("GET", f"/timeline?code={code}"))["events"]
        event = events[-1]
        assert (event["what"], event["operator"], event["device"]) == ("dispensed", "N2", "station-1")
        assert (event["paper"]["sheet"], event["paper"]["line"], event["paper"]["by"]) == (sheet, 1, "N1")
        assert event["at_us"] % 60_000_000 == 0, "the minute that is written"
        assert bool(event["misfits"]) is (code == BOXES[0])
