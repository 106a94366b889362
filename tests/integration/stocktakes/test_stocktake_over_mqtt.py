"""A18 over a real broker and central: counted by two people at a station that is cut off, and posted by two."""

import asyncio
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import aiohttp
import pytest

from central.ledger import signing
from central.ledger.verify import open_ledger, verify
from edge_agent.notify import Notifier
from edge_agent.people import People
from edge_agent.workflows.bench import Bench
from edge_agent.workflows.desk import Desk
from edge_agent.workflows.steps import steps_of
from edge_agent.workflows.verdicts import Result, Step
from hardware_sims.broker import Broker
from tests.integration.recalls.house import PLACE, Agent, House, box, until

pytestmark = pytest.mark.mosquitto
BOXES = tuple(box(number) for number in range(1, 7))
LINES = "SELECT product, kind, state FROM stocktake_line"


async def count(agent: Agent, person: str, *codes: str, objects: int) -> Result:
    """At the station of this agent, whether it is connected or not."""
    bench = Bench(recorder=agent.recorder, stock=agent.stock, notifier=Notifier())
    people = People(journal=agent.journal, stock=agent.stock, now_us=lambda: agent.recorder.moment().wall_us)
    desk = Desk(steps_of(bench), people=people)
    desk.sign_in(agent.stock.person(person))
    desk.choose(Step.COUNT, choice=PLACE)
    for code in codes:
        assert (await desk.enter(code, source="pda")).result is Result.PROGRESS
    return (await desk.count({"box:ASP": str(objects)})).result


async def shown(agent: Agent, is_so: Callable[[], bool]) -> None:
    """Until the agent has all that it recorded in its copy of the ledger, and this is so there."""
    await until(lambda: agent.waiting == 0 and is_so())
    # What is seen in the file may still be at work in the agent, and must not be cut off in the middle of it.
    told = -1
    while told < len(agent.seen):
        told = len(agent.seen)
        await asyncio.sleep(0.3)


async def act(house: House, path: str, form: dict[str, str]) -> None:
    """By a form of the console."""
    jar = aiohttp.CookieJar(unsafe=True)
    headers = {"Sec-Fetch-Site": "same-origin"}
    async with aiohttp.ClientSession(house.central.address, cookie_jar=jar, headers=headers) as session:
        await session.post("/sign-in", data={"person": "N1", "pin": "2468", "next": "/pool"}, allow_redirects=False)
        async with session.post(path, data=form, allow_redirects=False) as answer:
            assert answer.status == 303, await answer.text()


@pytest.mark.covers("A18", "A21")
async def test_it_is_counted_with_the_network_cut_and_posted_when_object_and_code_agree(
    house: House, broker: Broker, tmp_path: Path
) -> None:
    with Agent(tmp_path, broker.port) as station:
        async with station.online():
            await until(lambda: station.stock.person("N2") is not None)
            await station.receive(house, *BOXES)
            await act(house, "/stocktakes", {"location": PLACE})
            await shown(station, lambda: bool(station.stock.sheets()))
        assert await count(station, "N1", *BOXES[:4], objects=5) is Result.DONE
        assert station.waiting == 1
        async with station.online():
            await shown(station, lambda: station.stock.sheets()[0].lines[0].counted_by == ("N1",))
        assert house.central.rows(LINES) == [("ASP", "box", "recount")]
        assert await count(station, "N2", *BOXES[:5], objects=5) is Result.DONE
        async with station.online():
            await shown(station, lambda: not station.stock.sheets()[0].lines)
            assert house.central.rows(LINES) == [("ASP", "box", "agreed")]
            await act(house, "/stocktakes/1", {"act": "post", "reason": "月度盘点", "witness": "N2", "pin": "1357"})
            await until(lambda: not station.stock.sheets())
    rows = house.central.rows("SELECT state, count(*) FROM item GROUP BY 1 ORDER BY 1")
    assert rows == [("abnormal", 1), ("in_stock", 5)]
    assert house.central.rows("SELECT counted, missing, surplus FROM count_check") == [(5, 1, 0)]
    await house.central.stop()
    folder = house.folder / "data"
    with closing(open_ledger(folder / "ledger.db", is_still=True)) as connection:
        assert verify(connection, folder, signing.trusted(folder), lambda _done, _of: None).flaws == ()
