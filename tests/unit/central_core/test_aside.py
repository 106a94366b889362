"""Loans are bound, what is frozen is decided on: by the right people, of the right codes, or not at all."""

import msgspec
import pytest

from central.errors import ConflictError, InvalidError, NotFoundError
from central.stock.loans import Binding, Loans, proposals
from central.stock.quarantine import Decision, Quarantine
from sync_protocol.documents import Order, OrderState, Person
from sync_protocol.facts import How, What
from sync_protocol.items import State
from tests.unit.central_core.desk import NOON_US, SPLIT, WHOLE, Desk, an_order, box

UNITS = tuple(f"{box(SPLIT, 1)}#{number:03d}" for number in range(1, 11))
HOUR_US = 3_600_000_000
PEOPLE = [Person(id="N1", name="one"), Person(id="N2", name="two"), Person(id="N3", name="gone", is_active=False)]


@pytest.fixture
async def house(desk: Desk) -> Desk:
    await desk.catalogue()
    await desk.people.put(PEOPLE)
    await desk.units(1)
    desk.record(What.LENT, *UNITS[:4], operator="N1", location="ward-3")
    return desk


def order(number: int, *, ward: str = "ward-3", at_us: int = NOON_US, quantity: int = 4) -> Order:
    placed = an_order(f"O-{number}", SPLIT, quantity)
    return msgspec.structs.replace(placed, ward=ward, ordered_us=at_us)


def test_the_likeliest_order_is_proposed_first() -> None:
    orders = [
        order(1, ward="ward-1", at_us=NOON_US + HOUR_US),
        order(2, at_us=NOON_US - HOUR_US),
        order(3, at_us=NOON_US + 2 * HOUR_US, quantity=9),
        order(4, at_us=NOON_US + 2 * HOUR_US),
        order(5, at_us=NOON_US + HOUR_US),
        order(6, ward="ward-1", at_us=NOON_US + HOUR_US, quantity=1),
    ]
    found = proposals(orders, ward="ward-3", lent_us=NOON_US, quantity=4)
    assert [each.id for each in found] == ["O-5", "O-4", "O-3", "O-2", "O-1"]


async def test_a_loan_that_is_bound_is_handed_out_and_frees_what_was_locked(house: Desk) -> None:
    await house.orders.place(order(1))
    assert house.states()["locked"] == 4
    assert house.rows("SELECT * FROM insurer_row") == []
    await Loans(house.ledger).bind(Binding(order="O-1", codes=UNITS[:3], operator="N1"))
    assert house.orders.get("O-1").state is OrderState.LOCKED
    assert (house.states()["dispensed"], house.states()["locked"], house.states()["lent"]) == (3, 1, 1)
    assert house.rows("SELECT order_id, quantity FROM insurer_row") == [("O-1", 3)]
    await Loans(house.ledger).bind(Binding(order="O-1", codes=UNITS[3:4], operator="N1"))
    assert house.orders.get("O-1").state is OrderState.DISPENSED
    assert "locked" not in house.states()


async def test_what_does_not_fit_is_not_bound(house: Desk) -> None:
    await house.orders.place(order(1, quantity=2))
    await house.orders.place(an_order("O-9", WHOLE, 1))
    loans = Loans(house.ledger)
    for binding, error, field in (
        (Binding(order="O-1", codes=(), operator="N1"), InvalidError, "codes"),
        (Binding(order="O-0", codes=UNITS[:1], operator="N1"), NotFoundError, "order"),
        (Binding(order="O-1", codes=UNITS[:3], operator="N1"), InvalidError, "codes"),
        (Binding(order="O-9", codes=UNITS[:1], operator="N1"), InvalidError, "codes"),
        (Binding(order="O-1", codes=UNITS[8:9], operator="N1"), ConflictError, "codes"),
        (Binding(order="O-1", codes=("83" + "0" * 18,), operator="N1"), NotFoundError, "codes"),
    ):
        with pytest.raises(error) as caught:
            await loans.bind(binding)
        assert caught.value.field == field
    await house.orders.cancel("O-1")
    with pytest.raises(ConflictError):
        await loans.bind(Binding(order="O-1", codes=UNITS[:1], operator="N1"))
    assert house.states()["lent"] == 4


async def test_a_controlled_drug_is_bound_by_two_people(house: Desk) -> None:
    controlled = msgspec.structs.replace(WHOLE, id="MORPHINE", is_controlled=True, drug_ids=("8400001",))
    await house.masterdata.put_products([controlled])
    await house.in_stock(controlled, [box(controlled, 1)], note="N-M")
    house.record(What.LENT, box(controlled, 1), operator="N1", witness="N2", location="ward-3")
    await house.orders.place(an_order("O-5", controlled, 1))
    loans = Loans(house.ledger)
    with pytest.raises(InvalidError, match="witness"):
        await loans.bind(Binding(order="O-5", codes=(box(controlled, 1),), operator="N1"))
    await loans.bind(Binding(order="O-5", codes=(box(controlled, 1),), operator="N1", witness="N2"))
    assert house.state(box(controlled, 1)) is State.DISPENSED


async def test_two_people_write_off_or_release_what_is_frozen(house: Desk) -> None:
    house.record(What.FROZEN, *UNITS[4:7], operator="N1", reason="broken")
    quarantine = Quarantine(house.ledger)
    good = Decision(codes=UNITS[4:6], operator="N1", witness="N2", reason="crushed")
    for decision, error in (
        (msgspec.structs.replace(good, codes=()), InvalidError),
        (msgspec.structs.replace(good, reason=""), InvalidError),
        (msgspec.structs.replace(good, witness="N1"), InvalidError),
        (msgspec.structs.replace(good, witness="N3"), InvalidError),
        (msgspec.structs.replace(good, codes=UNITS[6:8]), ConflictError),
        (msgspec.structs.replace(good, codes=("none",)), NotFoundError),
    ):
        with pytest.raises(error):
            await quarantine.write_off(decision)
    assert house.states()["frozen"] == 3
    await quarantine.write_off(good)
    await quarantine.release(msgspec.structs.replace(good, codes=UNITS[6:7]))
    assert [house.state(code) for code in UNITS[4:7]] == [State.ABNORMAL, State.ABNORMAL, State.IN_STOCK]
    with pytest.raises(ConflictError, match="abnormal"):
        await quarantine.release(good)


async def test_a_return_is_of_the_order_that_it_was_handed_out_for(house: Desk) -> None:
    placed = await house.orders.place(order(1, quantity=2))
    house.record(What.DISPENSED, *placed.codes, order="O-1", how=How.AUTOMATIC)
    house.record(What.RETURNED, placed.codes[0], order="O-2")
    assert house.state(placed.codes[0]) is State.DISPENSED
    assert house.rows("SELECT reason FROM exception") == [("wrong_order",)]
    house.record(What.RETURNED, placed.codes[0], order="O-1")
    house.record(What.RETURNED, placed.codes[0], order="O-1")
    assert house.state(placed.codes[0]) is State.IN_STOCK
    assert len(house.rows("SELECT reason FROM exception")) == 2, "it came back once"
