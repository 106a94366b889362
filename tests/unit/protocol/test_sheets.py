"""Sheets of paper: what their symbols say, how lines fill pages, and the mark that a fact of them carries."""

import datetime as dt
from typing import Any

import pytest
import zxingcpp
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from sync_protocol.codec import decode_fact, encode_fact
from sync_protocol.documents import Order, OrderKind, OrderState, Product, Route
from sync_protocol.errors import FactError
from sync_protocol.facts import Fact, Moment, Paper, What
from sync_protocol.items import Item, Kind, State
from sync_protocol.sheets import MAX_BOXES, MAX_LINES, Mark, Sheet, SheetLine, blank_lines, read_mark, sheet_id
from sync_protocol.symbols import symbol

PRODUCT = Product(id="P", name="药", name_en="Drug", spec="1 g", kind=Kind.BOX)
PAPER_MM = 226


def line(number: int, boxes: int, units: int) -> SheetLine:
    order = Order(
        id=f"RX{number}",
        kind=OrderKind.STAT,
        product="P",
        quantity=1,
        patient="p",
        visit="v",
        ward="w",
        location="l",
        route=Route.STATION,
        state=OrderState.LOCKED,
        ordered_us=number,
    )
    common: dict[str, Any] = {
        "product": "P",
        "lot": "L",
        "expiry": dt.date(2030, 1, 1),
        "location": "l",
        "state": State.LOCKED,
    }
    items = [Item(code=f"{number}-{each}", kind=Kind.BOX, **common) for each in range(boxes)]
    items += [Item(code=f"{number}#{each}", kind=Kind.UNIT, box=f"b{each % 3}", **common) for each in range(units)]
    return SheetLine(number=number, order=order, product=PRODUCT, items=tuple(items))


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 9)), min_size=1, max_size=40))
def test_every_line_is_on_one_page_and_every_page_fits_its_paper(sizes: list[tuple[int, int]]) -> None:
    lines = tuple(line(number, boxes, units) for number, (boxes, units) in enumerate(sizes, 1))
    pages = Sheet(id="A", lines=lines).pages
    assert [each for page in pages for each in page] == list(lines)
    assert all(sum(each.height_mm for each in page) <= PAPER_MM for page in pages)


def test_more_boxes_than_fit_are_counted() -> None:
    long = line(1, MAX_BOXES + 5, 0)
    assert (len(long.boxes), long.unprinted) == (MAX_BOXES, 5)


def test_loose_units_are_told_by_their_box() -> None:
    assert [(item.box, count) for item, count in line(1, 0, 7).loose] == [("b0", 3), ("b1", 2), ("b2", 2)]


@given(
    st.integers(1, MAX_LINES).flatmap(lambda lines: st.tuples(st.just(lines), st.integers(0, lines))),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=64),
)
def test_a_symbol_says_what_it_was_made_of(place: tuple[int, int], order: str) -> None:
    lines, number = place
    mark = Mark(sheet=sheet_id(order, place), lines=lines, line=number, order=order if number else "")
    assert read_mark(mark.text) == mark


@pytest.mark.parametrize("order", ["医嘱1", "has space", "x" * 65])
def test_an_order_that_no_symbol_can_name_is_left_out_of_it(order: str) -> None:
    mark = Mark(sheet="ABCDEFG2", lines=3, line=1, order=order)
    assert read_mark(mark.text) == Mark(sheet="ABCDEFG2", lines=3, line=1)


@pytest.mark.parametrize("text", ["83117650000000000011", "CPF-K7QF2M9X-14-3-RX00001", "(01)06901234567892(21)A1"])
def test_a_scanner_reads_what_is_drawn(text: str) -> None:
    drawn = symbol(text)
    assert drawn.width == drawn.height
    scale, quiet = 8, 4
    side = (drawn.width + 2 * quiet) * scale
    image = Image.new("L", (side, side), 255)
    pen = ImageDraw.Draw(image)
    # The outline is a row of rectangles: M x y, h width, v height, h back, Z.
    for rectangle in drawn.path.strip("Z").split("Z"):
        place, _, size = rectangle.strip("M").partition("h")
        x, y = map(int, place.split())
        width, _, rest = size.partition("v")
        height = int(rest.partition("h")[0])
        left, top = (x + quiet) * scale, (y + quiet) * scale
        pen.rectangle((left, top, left + int(width) * scale - 1, top + height * scale - 1), fill=0)
    assert [found.text for found in zxingcpp.read_barcodes(image)] == [text]


def test_sheets_have_ids_of_their_own() -> None:
    ids = {sheet_id("station-1", bytes(16), 1, number) for number in range(1_000)}
    assert len(ids) == 1_000
    assert all(len(each) == 8 for each in ids)


def test_a_blank_sheet_has_numbered_lines() -> None:
    assert [each.number for each in blank_lines(3)] == [1, 2, 3]


def test_a_fact_of_paper_says_when_it_was_recorded() -> None:
    at = Moment(wall_us=1_000, mono_us=5)
    fact = Fact(what=What.TAKEN, codes=("c",), at=at, operator="n1")
    assert fact.recorded_us == 1_000
    paper = Paper(sheet="ABCDEFG2", line=3, by="n2", at_us=9_000)
    late = Fact(what=What.TAKEN, codes=("c",), at=at, operator="n1", paper=paper)
    assert late.recorded_us == 9_000
    assert decode_fact(encode_fact(late)) == late


@pytest.mark.parametrize(
    ("field", "changes"), [("sheet", {"sheet": ""}), ("by", {"by": "x" * 257}), ("line", {"line": 0})]
)
def test_what_is_wrong_with_a_paper_is_named(field: str, changes: dict[str, object]) -> None:
    known: dict[str, object] = {"sheet": "ABCDEFG2", "line": 1, "by": "n1", "at_us": 1}
    with pytest.raises(FactError, match=f"paper.{field}"):
        Paper(**(known | changes))  # type: ignore[arg-type] # one of them is wrong
