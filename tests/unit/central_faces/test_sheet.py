"""Files for spreadsheet programs: no text of ours is a formula to them, and no code loses its digits."""

import csv
import datetime as dt
import io

import pytest

from central.console.paging import paged
from central.console.sheet import line


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "＝1+1", "－1", '=HYPERLINK("http://x","y")'],
)
def test_a_formula_gets_an_apostrophe(text: str) -> None:
    (row,) = csv.reader(io.StringIO(line([text])))
    assert row == [f"'{text}"]


@pytest.mark.parametrize("text", ["阿莫西林", "1-2", "a=b", "O-1", "", "123456789012345", "5mg×7片"])
def test_other_text_stays_as_it_is(text: str) -> None:
    (row,) = csv.reader(io.StringIO(line([text, "x"])))
    assert row == [text, "x"]


def test_numbers_stay_numbers_and_codes_keep_their_digits() -> None:
    cells = [-3, -0.5, None, dt.date(2026, 11, 22), "81000010000000000001"]
    assert line(cells) == "-3,-0.5,,2026-11-22,'81000010000000000001\r\n"


def test_a_cell_with_everything_in_it_is_one_cell() -> None:
    text = 'a "b", c\nd;e'
    (row,) = csv.reader(io.StringIO(line([text, "x"])))
    assert row == [text, "x"]


def test_pages_of_a_list() -> None:
    rows = list(range(250))
    first, last = paged(rows, 1), paged(rows, 3)
    assert (first.rows, first.before, first.next, first.pages) == (rows[:100], "", 2, 3)
    assert (last.rows, last.before, last.next) == (rows[200:], 2, "")
    assert paged(rows, 99).number == 3
    assert paged(rows, 0).number == 1
    assert paged([], 1).rows == []
