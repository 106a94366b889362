"""What orders are filled from is read by its day of expiry, and the choice is that from all there is."""

import datetime as dt
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from central.ledger import statements
from central.ledger.transaction import Transaction, nobody
from central.stock.shelf import Shelf
from sync_protocol.allocation import Free, allocate
from sync_protocol.facts import Moment
from sync_protocol.recalls import InForce
from tests.unit.central_core.desk import NOON_US, PLACE, SPLIT, WHOLE, Desk, an_order, box

TODAY = dt.date(2026, 3, 2)


class Stock:
    """Answers what a shelf asks of a transaction. ``days``: those of which everything was read."""

    def __init__(self, free: list[Free]) -> None:
        self._free = free
        self.days: list[str] = []
        self.recalls = InForce()
        self.held_by = nobody

    def moment(self) -> Moment:
        return Moment(wall_us=NOON_US, mono_us=0, offset_us=0)

    def select(self, statement: str, values: tuple[str, ...]) -> list[tuple[Any, ...]]:
        if statement == statements.FREE_EXPIRY:
            return [(min((day for one in self._free if (day := one.expiry.isoformat()) > values[2]), default=None),)]
        assert statement == statements.FREE_STOCK
        self.days.append(values[2])
        found = sorted((one.lot, one.box, one.code) for one in self._free if one.expiry.isoformat() == values[2])
        return [(code, box, lot) for lot, box, code in found]


def shelf_of(stock: Stock) -> Shelf:
    return Shelf(cast("Transaction", stock), SPLIT, PLACE)


@st.composite
def stocks(draw: st.DrawFn) -> list[Free]:
    free: list[Free] = []
    for number in range(draw(st.integers(0, 7))):
        lot, days = draw(st.sampled_from([("A", -3), ("B", 0), ("C", 5), ("D", 5), ("", 9), ("C", 60)]))
        expiry = TODAY + dt.timedelta(days=days)
        free += [
            Free(code=f"B{number}#{n:03d}", lot=lot, expiry=expiry, box=f"B{number}")
            for n in range(draw(st.integers(1, 5)))
        ]
    return free


@given(
    free=stocks(), lines=st.lists(st.tuples(st.integers(1, 12), st.sampled_from(["", "", "C", "D", "Z"])), max_size=6)
)
def test_the_choice_is_as_from_all_that_is_free(free: list[Free], lines: list[tuple[int, str]]) -> None:
    shelf = shelf_of(Stock(free))
    left = {one.code: one for one in free if one.expiry >= TODAY}
    for quantity, held_lot in lines:
        assert shelf.is_empty is not bool(left)
        choice = shelf.take(quantity, held_lot)
        expected = allocate(quantity, left.values(), today=TODAY, held_lot=held_lot)
        assert (choice.codes, choice.why) == (expected.codes, expected.why)
        for code in choice.codes:
            del left[code]


def test_what_expires_later_is_not_read_before_it_is_needed() -> None:
    expiries = [TODAY + dt.timedelta(days=n) for n in range(50)]
    stock = Stock([Free(code=f"B#{n:03d}", lot=f"L{n}", expiry=expiry, box="B") for n, expiry in enumerate(expiries)])
    shelf = shelf_of(stock)
    assert shelf.take(1, "").codes == ("B#000",)
    assert stock.days == ["2026-03-02"]
    assert shelf.take(1, "").codes == ("B#001",)
    assert stock.days == ["2026-03-02", "2026-03-03"]


async def test_orders_of_one_commit_share_what_is_there(desk: Desk) -> None:
    await desk.catalogue()
    for number in range(3):
        expiry = dt.date(2027, 1, 1 + number)
        await desk.in_stock(WHOLE, [box(WHOLE, number)], note=f"N-{number}", lot=f"L{number}", expiry=expiry)
    await desk.orders.place(an_order("RX-1", WHOLE, 1))
    await desk.orders.place(an_order("RX-2", WHOLE, 2))
    assert desk.orders.get("RX-1").codes == (box(WHOLE, 0),)
    assert set(desk.orders.get("RX-2").codes) == {box(WHOLE, 1), box(WHOLE, 2)}
