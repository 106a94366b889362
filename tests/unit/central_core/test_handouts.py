"""A lock is a plan: what a workplace handed out before it could know of a new one is its order's, and not twice."""

import datetime as dt

import msgspec
import pytest

from central.stock.recalls import NewRecall
from sync_protocol.documents import OrderKind, OrderState, Person
from sync_protocol.facts import How, What
from sync_protocol.items import State
from tests.unit.central_core.desk import EXPIRY, SPLIT, Desk, HandAgent, an_order, box

UNITS = tuple(f"{box(SPLIT, 2)}#{number:03d}" for number in range(1, 11))


@pytest.fixture
async def pharmacy(desk: Desk) -> Desk:
    """A box of ten units of lot L1 and one of lot L2, and an order that holds three of the first."""
    await desk.catalogue()
    await desk.people.put([Person(id="n1", name="李敏"), Person(id="n2", name="王强")])
    await desk.units(1, lot="L2")
    await desk.units(2, expiry=EXPIRY - dt.timedelta(days=365))
    await desk.orders.place(an_order("O-1"))
    assert desk.orders.get("O-1").codes == UNITS[:3]
    return desk


async def hand_out(desk: Desk, order: str, *codes: str, checked_at: int) -> list[str]:
    """By a station that saw the ledger at a version; the reasons of what became exceptions."""
    station = HandAgent("station-1")
    fact = desk.fact(What.DISPENSED, *codes, order=order, how=How.AUTOMATIC)
    (ack,) = await desk.send(station, station.batch(msgspec.structs.replace(fact, checked_at=checked_at)))
    return [refusal.reason for verdict in ack.exceptions for refusal in verdict.refusals]


def of_order(desk: Desk, order: str) -> dict[str, State]:
    return {code: desk.state(code) for code in desk.orders.get(order).codes}


async def recalled_and_cleared(desk: Desk) -> int:
    """The order was filled from the other lot, and its first units are free again. The version before it."""
    seen = desk.ledger.version
    recall = NewRecall(id="R1", product="SPLIT", lot="L1", reason="particles", operator="n1", witness="n2")
    await desk.recalls.issue(recall)
    await desk.recalls.lift("R1", reason="cleared", operator="n1", witness="n2")
    assert {desk.state(code) for code in UNITS} == {State.IN_STOCK}
    return seen


async def test_a_recall_that_came_and_went_takes_nothing_back(pharmacy: Desk) -> None:
    seen = await recalled_and_cleared(pharmacy)
    assert await hand_out(pharmacy, "O-1", *UNITS[:3], checked_at=seen) == []
    assert of_order(pharmacy, "O-1") == dict.fromkeys(UNITS[:3], State.DISPENSED)
    assert pharmacy.orders.get("O-1").state is OrderState.DISPENSED
    assert pharmacy.states() == {"opened": 2, "dispensed": 3, "in_stock": 17}
    assert pharmacy.rows("SELECT count(*) FROM exception") == [(0,)]
    assert pharmacy.rows("SELECT count(*) FROM insurer_row WHERE state = 'waiting'") == [(1,)]


async def test_an_order_that_loses_them_is_filled_anew(pharmacy: Desk) -> None:
    seen = await recalled_and_cleared(pharmacy)
    await pharmacy.orders.place(an_order("O-2", kind=OrderKind.STAT, quantity=10))
    assert set(pharmacy.orders.get("O-2").codes) == set(UNITS)
    assert await hand_out(pharmacy, "O-1", *UNITS[:3], checked_at=seen) == []
    assert of_order(pharmacy, "O-1") == dict.fromkeys(UNITS[:3], State.DISPENSED)
    assert set(of_order(pharmacy, "O-2").values()) == {State.LOCKED}
    assert pharmacy.orders.get("O-2").state is OrderState.LOCKED
    assert pharmacy.states() == {"opened": 2, "dispensed": 3, "locked": 10, "in_stock": 7}


async def test_who_knew_the_plan_is_an_exception(pharmacy: Desk) -> None:
    await pharmacy.orders.place(an_order("O-2", quantity=2))
    others = pharmacy.orders.get("O-2").codes
    assert await hand_out(pharmacy, "O-1", *others, checked_at=pharmacy.ledger.version) == ["wrong_order"] * 2
    assert of_order(pharmacy, "O-2") == dict.fromkeys(others, State.LOCKED)


@pytest.mark.parametrize("order", ["O-1", "O-unknown"])
async def test_an_order_that_has_all_it_needs_gets_nothing_more_without_a_person(pharmacy: Desk, order: str) -> None:
    seen = pharmacy.ledger.version
    assert await hand_out(pharmacy, "O-1", *UNITS[:3], checked_at=seen) == []
    assert await hand_out(pharmacy, order, *UNITS[3:6], checked_at=0) == ["wrong_state"] * 3
    assert {pharmacy.state(code) for code in UNITS[3:6]} == {State.IN_STOCK}
