"""Book, object and code: what a sheet makes of counts, and what is posted of them."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from central.errors import ConflictError, InvalidError
from central.stock.stocktake import Opening, Posting, Stocktakes
from sync_protocol.documents import OrderState, Person
from sync_protocol.facts import How, What
from sync_protocol.items import Kind, State
from tests.unit.central_core.desk import PLACE, SPLIT, WHOLE, Desk, an_order, box

BOXES = [box(WHOLE, number) for number in range(6)]


class Room(Desk):
    """A desk with stock, and an open sheet about its place."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.stocktakes = Stocktakes(self.ledger)
        self.sheet = 0

    def count(self, *codes: str, objects: int | None = None, operator: str = "n1", **fields: Any) -> None:
        known: dict[str, Any] = {"product": WHOLE.id, "kind": Kind.BOX, "operator": operator}
        self.record(What.COUNTED, *codes, units=len(codes) if objects is None else objects, **known | fields)

    def lines(self) -> dict[tuple[str, str], str]:
        query = "SELECT product, kind, state FROM stocktake_line WHERE sheet = ?"
        return {(product, kind): state for product, kind, state in self.rows(query, self.sheet)}

    def line(self) -> str:
        return self.lines()[WHOLE.id, "box"]

    def posting(self, **fields: Any) -> Posting:
        known: dict[str, Any] = {"sheet": self.sheet, "operator": "n1", "witness": "n2", "reason": "月度盘点"}
        return Posting(**known | fields)

    def checks(self) -> list[tuple[int, int, int]]:
        return [tuple(row) for row in self.rows("SELECT counted, missing, surplus FROM count_check ORDER BY position")]


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    room = Room(tmp_path / "data")
    await room.catalogue()
    await room.people.put([Person(id=name, name=name) for name in ("n1", "n2", "n3")])
    await room.in_stock(WHOLE, BOXES, note="N-W")
    await room.units(1, 2)
    room.clock.us += 1
    room.sheet = await room.stocktakes.open(Opening(location=PLACE, products=(), person="n1"))
    yield room
    room.close()


async def test_a_sheet_has_a_line_for_each_product_and_form(room: Room) -> None:
    assert room.lines() == {(SPLIT.id, "unit"): "waiting", (WHOLE.id, "box"): "waiting"}
    with pytest.raises(ConflictError):
        await room.stocktakes.open(Opening(location="", products=(WHOLE.id,), person="n1"))
    for opening in (("", ()), ("nowhere", ()), (PLACE, ("unknown",))):
        with pytest.raises(InvalidError):
            await room.stocktakes.open(Opening(location=opening[0], products=opening[1], person="n1"))


async def test_where_object_and_code_disagree_another_person_counts_again(room: Room) -> None:
    room.count(*BOXES[:5], objects=6)
    assert room.line() == "recount"
    with pytest.raises(ConflictError):
        await room.stocktakes.post(room.posting())
    room.count(*BOXES, operator="n1")
    assert room.line() == "recount", "whoever has counted it is not asked again"
    room.count(*BOXES[:4], objects=5, operator="n2")
    assert room.line() == "recount"
    room.count(*BOXES[:5], operator="n3")
    assert room.line() == "agreed"
    assert room.checks() == [(6, 0, 0), (5, 1, 0)], "only counts that agree are held against the book for good"


async def test_what_is_missing_goes_out_for_good_and_orders_get_other_boxes(room: Room) -> None:
    await room.orders.place(an_order("O-1", WHOLE, 1))
    (locked,) = room.orders.get("O-1").codes
    room.count(*(code for code in BOXES if code != locked))
    assert await room.stocktakes.post(room.posting()) == 1
    assert room.state(locked) is State.ABNORMAL
    (other,) = (code for code in room.orders.get("O-1").codes if room.state(code) is State.LOCKED)
    assert other != locked
    assert room.orders.get("O-1").state is OrderState.LOCKED
    query = "SELECT what, document, operator FROM fact WHERE device = 'central' AND document != '' ORDER BY position"
    assert (What.WRITTEN_OFF, "PD-000001", "n1") in room.rows(query)
    assert room.rows("SELECT closed_us FROM stocktake") == [(0,)], "a line is left"


async def test_what_is_too_much_comes_back_by_the_step_that_nobody_recorded(room: Room) -> None:
    away, given = box(WHOLE, 50), box(WHOLE, 51)
    lent, unknown, out = BOXES[0], box(WHOLE, 99), BOXES[1]
    await room.in_stock(WHOLE, [away, given], note="N-A")
    room.record(What.TRANSFERRED_OUT, away, document="T-1", location="store")
    room.record(What.TRANSFERRED_IN, away, document="T-1", location="store")
    room.record(What.TRANSFERRED_OUT, given, document="T-2", location=PLACE)
    room.record(What.LENT, lent, location="ward 3")
    room.record(What.DISPENSED, out, order="O-9", how=How.LATE_SCAN)
    room.count(*BOXES, away, given, unknown)
    assert room.checks() == [(9, 0, 5)]
    await room.stocktakes.post(room.posting())
    assert [room.state(code) for code in (away, given, lent, out)] == [State.IN_STOCK] * 3 + [State.DISPENSED]
    assert room.rows("SELECT location FROM item WHERE code = ?", away) == [(PLACE,)]
    room.count(*BOXES, away, given, unknown)
    assert room.checks()[-1] == (9, 0, 2), "what was handed out and what nobody knows is for a person to settle"


async def test_a_product_of_which_nothing_is_left_is_missing_as_a_whole(room: Room) -> None:
    room.count(objects=0)
    assert (room.line(), room.checks()) == ("agreed", [(0, 6, 0)])
    room.count(objects=0, kind=Kind.UNIT, product=SPLIT.id)
    room.count(objects=0, kind=Kind.BOX, product=SPLIT.id)
    assert room.lines() == {(SPLIT.id, "unit"): "agreed", (WHOLE.id, "box"): "agreed"}
    with pytest.raises(InvalidError):
        await room.stocktakes.post(room.posting(witness="n1"))
    with pytest.raises(InvalidError):
        await room.stocktakes.post(room.posting(reason=""))
    assert await room.stocktakes.post(room.posting()) == 2
    assert room.states() == {"abnormal": 26, "opened": 2}
    assert room.rows("SELECT closed_by, witness FROM stocktake") == [("n1", "n2")]
    with pytest.raises(ConflictError):
        await room.stocktakes.post(room.posting())


async def test_what_moved_since_the_count_is_left_as_the_book_has_it(room: Room) -> None:
    room.count(*BOXES[:3])
    room.record(What.DISPENSED, BOXES[3], order="O-9", how=How.LATE_SCAN)
    room.record(What.FROZEN, BOXES[4], reason="hold")
    await room.stocktakes.post(room.posting())
    assert [room.state(code) for code in BOXES[3:]] == [State.DISPENSED, State.ABNORMAL, State.ABNORMAL]


async def test_a_count_from_before_the_sheet_and_one_elsewhere_are_not_of_it(room: Room) -> None:
    at = room.fact(What.COUNTED, BOXES[0]).at
    early = type(at)(wall_us=at.wall_us - 100_000_000, mono_us=1, offset_us=0)
    fact = room.fact(What.COUNTED, *BOXES, product=WHOLE.id, kind=Kind.BOX, units=6)
    fields = {name: getattr(fact, name) for name in fact.__struct_fields__} | {"at": early}
    room.ledger.commit(lambda transaction: transaction.record(type(fact)(**fields)))
    room.count(*BOXES, location="store")
    assert room.line() == "waiting"


async def test_a_sheet_is_ended_without_the_rest(room: Room) -> None:
    room.count(*BOXES[:3])
    await room.stocktakes.close(room.posting(reason="停电"))
    assert room.states() == {"in_stock": 26, "opened": 2}
    room.count(*BOXES)
    assert room.line() == "agreed"
    await room.stocktakes.open(Opening(location=PLACE, products=(WHOLE.id,), person="n1"))
