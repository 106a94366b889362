"""Two stations hand out the same boxes at once, over a real broker and central.

Who asks first gets the right to a box, and the other does not issue it. What people did all the same is recorded: one
wins, the other is told.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Coroutine
from pathlib import Path
from random import Random
from typing import Any

import pytest

from edge_agent.errors import Refused
from edge_agent.sync.state import LATE_AT_MOST
from hardware_sims.broker import Broker
from sync_protocol.facts import Fact, How, What
from sync_protocol.items import State
from sync_protocol.lifecycle import Reason
from tests.integration.recalls.house import Agent, House, box, until

pytestmark = pytest.mark.mosquitto
BOXES, BOXES_ASKED = 150, 30


def order_of(agent: Agent, code: str) -> str | None:
    """None: it is not in stock here and has not left."""
    item = agent.stock.item(code)
    return item.order if item and item.state in {State.IN_STOCK, State.DISPENSED} else None


def dispensed(agent: Agent, code: str, order: str) -> Fact:
    return agent.fact(What.DISPENSED, code, order=order, how=How.LATE_SCAN)


async def hand_out(agent: Agent, codes: list[str], order: str) -> set[str]:
    """What this station had the right to."""
    recorded = set()
    for code in codes:
        with contextlib.suppress(Refused):
            await agent.recorder.record(dispensed(agent, code, order))
            recorded.add(code)
    return recorded


async def have_handed_out(agent: Agent, codes: list[str], order: str) -> set[str]:
    """What this station recorded as done; the rest it had seen to be gone."""
    recorded = set()
    for code in codes:
        if order_of(agent, code) == "":
            await agent.recorder.observe(dispensed(agent, code, order))
            recorded.add(code)
        await asyncio.sleep(0.002)
    return recorded


HandOut = Callable[[Agent, list[str], str], Coroutine[Any, Any, set[str]]]


@pytest.mark.covers("X01")
@pytest.mark.fault(40)
async def test_who_has_the_right_issues_and_the_other_does_not(house: House, broker: Broker, tmp_path: Path) -> None:
    with (
        Agent(tmp_path, broker.port, device="station-1") as one,
        Agent(tmp_path, broker.port, device="station-2") as two,
    ):
        async with one.online(), two.online():
            first, second = await race(house, one, two, hand_out, BOXES_ASKED)
        orders, lost = read_ledger(house)
        assert not first & second
        assert not lost
        assert first, "the rights were all with the other: the test shows nothing"
        assert second, "the rights were all with the other: the test shows nothing"
        assert orders == dict.fromkeys(first, "YZ1") | dict.fromkeys(second, "YZ2")


async def race(house: House, one: Agent, two: Agent, how: HandOut, count: int) -> tuple[set[str], set[str]]:
    """What each of them recorded, when central and both replicas know it."""
    codes = [box(number) for number in range(count)]
    await one.receive(house, *codes)
    await until(lambda: all(order_of(two, code) == "" for code in codes))
    shuffled = Random(40).sample(codes, count)
    async with asyncio.TaskGroup() as tasks:  # if one fails the other does not outlive its journal
        first = tasks.create_task(how(one, codes, "YZ1"))
        second = tasks.create_task(how(two, shuffled, "YZ2"))
    await until(lambda: not one.waiting and not two.waiting)
    version = house_version(house)
    await until(lambda: one.replica.version == two.replica.version == version)
    return first.result(), second.result()


@pytest.mark.covers("X02")
@pytest.mark.fault(40)
async def test_one_wins_and_the_other_is_told(house: House, broker: Broker, tmp_path: Path) -> None:
    codes = [box(number) for number in range(BOXES)]
    with (
        Agent(tmp_path, broker.port, device="station-1") as one,
        Agent(tmp_path, broker.port, device="station-2") as two,
    ):
        async with one.online(), two.online():
            first, second = await race(house, one, two, have_handed_out, BOXES)
            orders, lost = read_ledger(house)
            # What a station believed gives way once its replica shows the verdict.
            await until(lambda: all({order_of(one, code), order_of(two, code)} == {orders[code]} for code in codes))
        assert first | second == set(codes)
        both = first & second
        assert set(orders) == set(codes), "each box left once, for one order"
        assert set(lost) == both, "each fact of both is kept; one of the two is an exception"
        for agent, mine in ((one, "YZ1"), (two, "YZ2")):
            beaten = {code for code in both if orders[code] != mine}
            told = {refusal.code for refusal in agent.shell.state.late}
            assert all(lost[code] == agent.recorder.device for code in beaten)
            assert told <= beaten
            assert len(told) == min(len(beaten), LATE_AT_MOST)
            assert {refusal.reason for refusal in agent.shell.state.late} <= {Reason.ALREADY_DISPENSED}
        assert both, "they never met: the test shows nothing"


def house_version(house: House) -> int:
    with contextlib.closing(sqlite3.connect(house.folder / "data" / "ledger.db")) as ledger:
        return int(ledger.execute("SELECT value FROM meta WHERE key = 'version'").fetchone()[0])


def read_ledger(house: House) -> tuple[dict[str, str], dict[str, str]]:
    """The order that each box went to, and for each that was handed out twice whose fact is the exception."""
    with contextlib.closing(sqlite3.connect(house.folder / "data" / "ledger.db")) as ledger:
        orders = dict(ledger.execute("SELECT code, order_id FROM item WHERE state = 'dispensed'").fetchall())
        lost = ledger.execute("SELECT code, device FROM exception WHERE reason = 'already_dispensed'").fetchall()
    assert len(lost) == len(dict(lost))
    return orders, dict(lost)
