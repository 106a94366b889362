"""REQ-06: rows of a replica that changed behind its agent's back are found and put right, and nothing else is."""

import contextlib
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from hardware_sims.broker import Broker
from sync_protocol.facts import What
from sync_protocol.items import State
from tests.integration.bootstrap.stocked import Agent, Stocked, box, until
from tests.integration.bootstrap.test_snapshot import facts_of

pytestmark = [pytest.mark.mosquitto, pytest.mark.fault(6)]
FEW = 300


@pytest.fixture
async def comparing(tmp_path: Path, broker: Broker) -> AsyncIterator[Stocked]:
    house = Stocked(tmp_path, broker, compare_s=1.0)
    await house.open()
    yield house
    await house.close()


@contextlib.contextmanager
def behind_its_back(folder: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(folder / "station-1" / "replica.db")) as replica, replica:
        yield replica


def content(agent: Agent) -> list[tuple[object, ...]]:
    return agent.replica.query("SELECT * FROM item ORDER BY code") + agent.replica.query("SELECT * FROM shown")


async def test_what_drifted_is_put_right_row_by_row(comparing: Stocked, tmp_path: Path) -> None:
    house = comparing
    with Agent(tmp_path, house.broker.port) as agent:
        async with agent.online():
            await agent.receive(house, *(box(number) for number in range(FEW)))
            await agent.recorder.record(agent.fact(What.LENT, box(1)))
            await until(lambda: agent.waiting == 0 and agent.replica.version == house.version)
            right, facts = content(agent), facts_of(tmp_path)
            with behind_its_back(tmp_path) as replica:
                replica.execute("UPDATE item SET body = (SELECT body FROM item WHERE code = ?)", (box(9),))
                replica.execute("DELETE FROM item WHERE code > ?", (box(FEW - 3),))
                replica.execute("UPDATE item SET place = 7 WHERE code = ?", (box(4),))
            assert content(agent) != right
            await until(lambda: agent.replica.incarnation > 0 and content(agent) == right, within_s=60)
            assert facts_of(tmp_path) == facts


async def test_a_few_rows_are_counted_and_said(comparing: Stocked, tmp_path: Path) -> None:
    house = comparing
    with Agent(tmp_path, house.broker.port) as agent:
        async with agent.online():
            await agent.receive(house, *(box(number) for number in range(FEW)))
            await agent.recorder.record(agent.fact(What.LENT, box(1)))
            await until(lambda: agent.waiting == 0 and agent.replica.version == house.version)
            right, facts = content(agent), facts_of(tmp_path)
            with behind_its_back(tmp_path) as replica:
                (body,) = replica.execute("SELECT body FROM item WHERE code = ?", (box(9),)).fetchone()
                replica.execute("UPDATE item SET body = ? WHERE code = ?", (body[:-1] + b"\xff", box(9)))
                replica.execute("DELETE FROM item WHERE code = ?", (box(10),))
                replica.execute("INSERT INTO item SELECT 'stranger', body, place, order_id FROM item LIMIT 1")
                replica.execute("UPDATE item SET place = 7 WHERE code = ?", (box(4),))
            await until(lambda: content(agent) == right, within_s=60)
            await until(lambda: house.central.rows("SELECT device, items FROM drift") == [("station-1", 4)])
            assert agent.shell.state.drift is not None
            assert agent.shell.state.drift.items == 4
            assert facts_of(tmp_path) == facts
            item = agent.stock.item(box(1))
            assert item is not None
            assert item.state is State.LENT


async def test_work_that_goes_on_meanwhile_is_no_drift(comparing: Stocked, tmp_path: Path) -> None:
    house = comparing
    with Agent(tmp_path, house.broker.port) as agent:
        async with agent.online():
            await agent.receive(house, *(box(number) for number in range(FEW)))
            for number in range(FEW):
                await agent.recorder.record(agent.fact(What.LENT, box(number)))
            await until(lambda: agent.waiting == 0 and agent.replica.version == house.version)
            assert agent.shell.state.drift is None
    assert house.central.rows("SELECT * FROM drift") == []
