"""Allocation: first expiry first, one lot a line where it can, fewest boxes, never what is out of date."""

import datetime as dt
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from sync_protocol.allocation import Free, Rule, allocate

TODAY = dt.date(2026, 3, 2)


def units(box: str, count: int, *, lot: str = "A", days: int = 100, start: int = 1) -> list[Free]:
    expiry = TODAY + dt.timedelta(days=days)
    return [Free(code=f"{box}#{n:03d}", lot=lot, expiry=expiry, box=box) for n in range(start, start + count)]


def test_the_first_lot_to_expire_that_covers_the_line_is_taken_alone() -> None:
    free = units("B1", 2, lot="A", days=10) + units("B2", 5, lot="B", days=20) + units("B3", 9, lot="C", days=30)
    choice = allocate(4, free, today=TODAY)
    assert (choice.rule, choice.lots, choice.boxes, choice.short) == (Rule.ONE_LOT, ("B",), 1, 0)


def test_no_lot_covers_the_line() -> None:
    free = units("B1", 2, lot="A", days=10) + units("B2", 3, lot="B", days=20)
    choice = allocate(4, free, today=TODAY)
    assert (choice.rule, choice.lots) == (Rule.SEVERAL_LOTS, ("A", "B"))
    assert choice.codes[:2] == ("B1#001", "B1#002")
    short = allocate(9, free, today=TODAY)
    assert (len(short.codes), short.short) == (5, 4)
    assert "short 4" in short.why


def test_the_lot_that_the_order_has_already_is_kept() -> None:
    free = units("B1", 5, lot="A", days=10) + units("B2", 5, lot="B", days=20)
    assert allocate(3, free, today=TODAY, held_lot="B").rule is Rule.LOT_HELD


def test_an_opened_box_that_fits_is_emptied_first() -> None:
    free = units("B1", 10) + units("B2", 3)
    assert {code[:2] for code in allocate(3, free, today=TODAY).codes} == {"B2"}
    assert allocate(12, free, today=TODAY).boxes == 2


def test_today_is_not_out_of_date_and_yesterday_is() -> None:
    assert allocate(1, units("B1", 1, days=0), today=TODAY).short == 0
    choice = allocate(1, units("B1", 2, days=-1), today=TODAY)
    assert (choice.rule, choice.codes, choice.expired) == (Rule.NOTHING_FREE, (), 2)


@st.composite
def stocks(draw: st.DrawFn) -> list[Free]:
    free: list[Free] = []
    for number in range(draw(st.integers(0, 6))):
        lot, days = draw(st.sampled_from([("A", -3), ("B", 5), ("C", 5), ("D", 60)]))
        free += units(f"B{number}", draw(st.integers(1, 5)), lot=lot, days=days)
    return draw(st.permutations(free))


@given(free=stocks(), quantity=st.integers(1, 20), held=st.sampled_from(["", "A", "C"]))
def test_what_is_allocated_is_free_in_date_and_as_much_as_there_is(free: list[Free], quantity: int, held: str) -> None:
    usable = {item.code: item for item in free if item.expiry >= TODAY}
    choice = allocate(quantity, free, today=TODAY, held_lot=held)
    assert set(choice.codes) <= set(usable)
    assert len(set(choice.codes)) == len(choice.codes) == min(quantity, len(usable))
    assert choice.short == quantity - len(choice.codes)
    lots: dict[str, int] = {}
    for item in usable.values():
        lots[item.lot] = lots.get(item.lot, 0) + 1
    if any(count >= quantity for count in lots.values()):
        assert len(choice.lots) == 1
    else:
        chosen = [usable[code].expiry for code in choice.codes]
        left = [item.expiry for code, item in usable.items() if code not in choice.codes]
        assert not chosen or not left or max(chosen) <= min(left)


@given(free=stocks(), quantity=st.integers(1, 12))
def test_no_other_choice_of_the_lot_touches_fewer_boxes(free: list[Free], quantity: int) -> None:
    one_lot = [item for item in free if item.lot == "B"]
    choice = allocate(quantity, one_lot, today=TODAY)
    boxes: dict[str, int] = {}
    for item in one_lot:
        boxes[item.box] = boxes.get(item.box, 0) + 1
    wanted = min(quantity, len(one_lot))
    fewest = next(
        size
        for size in range(len(boxes) + 1)
        if any(sum(boxes[name] for name in some) >= wanted for some in combinations(boxes, size))
    )
    assert choice.boxes == fewest


@given(free=stocks(), quantity=st.integers(1, 12))
def test_the_same_stock_gives_the_same_choice_in_any_order(free: list[Free], quantity: int) -> None:
    assert allocate(quantity, free, today=TODAY) == allocate(
        quantity, sorted(free, key=lambda item: item.code), today=TODAY
    )


def test_stock_without_a_lot_is_no_lot_that_an_order_has() -> None:
    free = units("B1", 3, lot="A", days=10) + units("B2", 3, lot="", days=20)
    choice = allocate(2, free, today=TODAY)
    assert (choice.rule, choice.lots) == (Rule.ONE_LOT, ("A",)), "first expiry first"
