"""Base stock: what is proposed, requested and received, and what was used of which lot."""

import datetime as dt
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from central.errors import ConflictError, InvalidError, NotFoundError
from central.ledger.read import open_reader
from central.ledger.read_base_stock import Uses
from central.stock.base_stock import BaseStock, Level
from sync_protocol.facts import How, What
from tests.unit.central_core.desk import LATE, PLACE, SPLIT, WHOLE, Desk, HandAgent, box

CART = "麻醉车 2"
BOXES = [box(WHOLE, number) for number in range(12)]
LEVELS = ((WHOLE.id, 6), (SPLIT.id, 24))


class Cart(Desk):
    """Stock in the pharmacy, and a cart that has levels."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.base = BaseStock(self.ledger)

    async def level(self, product: str, quantity: int, location: str = CART) -> None:
        await self.base.set_level(Level(location=location, product=product, quantity=quantity, person="n1"))

    def move(self, *codes: str, to: str = CART, **fields: Any) -> None:
        self.record(What.TRANSFERRED_OUT, *codes, document="T-1", location=to)
        self.record(What.TRANSFERRED_IN, *codes, document="T-1", location=to, **fields)

    def requests(self) -> list[tuple[str, int, int, str]]:
        return [(*row,) for row in self.rows("SELECT product, quantity, arrived, state FROM replenishment ORDER BY id")]


@pytest.fixture
async def cart(tmp_path: Path) -> AsyncIterator[Cart]:
    cart = Cart(tmp_path / "data")
    await cart.catalogue()
    await cart.in_stock(WHOLE, BOXES[:8], note="N-1", lot="L1")
    await cart.in_stock(WHOLE, BOXES[8:], note="N-2", lot="L2")
    await cart.units(1, 2, 3, note="N-U")
    await cart.in_stock(SPLIT, [box(SPLIT, 9)], note="N-9")
    for product, quantity in LEVELS:
        await cart.level(product, quantity)
    yield cart
    cart.close()


async def test_every_change_of_a_level_is_kept(cart: Cart) -> None:
    await cart.level(WHOLE.id, 6)
    await cart.level(WHOLE.id, 4)
    await cart.level(WHOLE.id, 0)
    query = "SELECT before, after, person FROM par_change WHERE product = ? ORDER BY id"
    assert cart.rows(query, WHOLE.id) == [(0, 6, "n1"), (6, 4, "n1"), (4, 0, "n1")]
    assert cart.rows("SELECT product FROM par_level") == [(SPLIT.id,)]
    for product, quantity, location in (("unknown", 1, CART), (WHOLE.id, -1, CART), (WHOLE.id, 1, "")):
        with pytest.raises(InvalidError):
            await cart.level(product, quantity, location)


async def test_what_is_missing_is_requested_once_and_received_by_scan(cart: Cart) -> None:
    spots = [(CART, WHOLE.id), (CART, SPLIT.id)]
    cart.move(BOXES[0], box(SPLIT, 9), *(f"{box(SPLIT, 1)}#{n:03d}" for n in range(1, 5)))
    assert await cart.base.request(spots, "n1") == 2
    assert cart.requests() == [(WHOLE.id, 5, 0, "requested"), (SPLIT.id, 10, 0, "requested")]
    with pytest.raises(ConflictError):
        await cart.base.request(spots, "n1")
    cart.move(*BOXES[1:4])
    assert cart.requests()[0] == (WHOLE.id, 5, 3, "requested")
    cart.move(BOXES[4], how=How.CONSOLE)
    assert cart.requests()[0] == (WHOLE.id, 5, 3, "requested"), "nobody scanned it there"
    cart.record(What.TRANSFERRED_OUT, BOXES[5], document="T-1", location=CART)
    two = {"operator": "n1", "witness": "n2", "reason": "label torn", "how": How.CONSOLE}
    vouched = cart.fact(What.TRANSFERRED_IN, BOXES[5], document="T-1", location=CART, **two)
    agent = HandAgent("station-1")
    await cart.send(agent, agent.batch(vouched))
    assert cart.requests()[0] == (WHOLE.id, 5, 4, "requested"), "two people there say that it is"
    cart.move(BOXES[6])
    assert cart.requests()[0] == (WHOLE.id, 5, 5, "received")
    await cart.level(WHOLE.id, 9)
    assert await cart.base.request(spots, "n1") == 1
    await cart.level(WHOLE.id, 11)
    assert await cart.base.request(spots, "n1") == 1
    cart.move(*BOXES[7:11])
    assert cart.requests()[2:] == [(WHOLE.id, 2, 2, "received"), (WHOLE.id, 2, 2, "received")]
    await cart.base.cancel(2, "n2")
    assert cart.requests()[1] == (SPLIT.id, 10, 0, "cancelled")
    with pytest.raises(ConflictError):
        await cart.base.cancel(2, "n2")
    with pytest.raises(NotFoundError):
        await cart.base.cancel(99, "n2")


async def test_what_was_used_by_day_and_lot(cart: Cart) -> None:
    cart.move(*BOXES)
    day_us = 86_400_000_000
    cart.record(What.DISPENSED, BOXES[0], BOXES[9], order="O-1", how=LATE, location=CART)
    cart.record(What.DISPENSED, BOXES[0], order="O-1", how=LATE, location=CART)  # once more: an exception
    cart.clock.us += day_us
    cart.record(What.DISPENSED, *BOXES[1:4], order="O-2", how=LATE, location=CART)
    cart.record(What.RETURNED, BOXES[1], order="O-2", location=CART)
    cart.record(What.DISPENSED, BOXES[4], order="O-2", how=LATE, location="")
    cart.record(What.DISPENSED, f"{box(SPLIT, 1)}#001", order="O-3", how=LATE, location=PLACE)

    def day_of(us: int) -> dt.date:
        return cart.time.local(us).date()

    engine = open_reader(cart.path)
    try:
        first = cart.time.today() - dt.timedelta(days=1)
        uses = Uses(engine)
        since_us = cart.time.midnight_us(first)
        await uses.of({(CART, SPLIT.id)}, since_us=since_us, day_of=day_of)
        early = await uses.of({(CART, WHOLE.id)}, since_us=since_us, day_of=day_of)
        cart.record(What.RETURNED, BOXES[2], order="O-2", location=CART)
        found = await uses.of({(CART, WHOLE.id)}, since_us=since_us, day_of=day_of)
        assert found == await Uses(engine).of({(CART, WHOLE.id)}, since_us=since_us, day_of=day_of)
    finally:
        await engine.dispose()
    assert [(each.day, each.lot, each.quantity) for each in early] == [
        (first, "L1", 1),
        (first, "L2", 1),
        (cart.time.today(), "L1", 3),
    ]
    assert found[-1].quantity == 2
    assert {(each.location, each.product) for each in found} == {(CART, WHOLE.id)}
