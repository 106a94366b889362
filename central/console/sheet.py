"""A table as a CSV file for a spreadsheet program, sent while it is read.

Such programs run a text that begins like a formula, guess an encoding where none is marked, and turn long numbers into
rounded ones. So a text of that kind gets an apostrophe in front, and the file the mark of UTF-8. Numbers stay numbers.
"""

import csv
import datetime as dt
import io
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

import msgspec
from aiohttp import web

_Row = TypeVar("_Row")
_Cursor = TypeVar("_Cursor")
Cell = str | int | float | dt.date | None
MARK = "\ufeff"
AT_ONCE = 2_000
"""Rows that are read together for a file."""
_CHUNK = 64 * 1024
_FORMULA = re.compile(r"\s*[=+\-@＝＋－＠]|[\t\r\n]")
_LONG_NUMBER = re.compile(r"[0-9]{16,}")
"""Digits from which a spreadsheet keeps only the first fifteen: trace codes have twenty."""
_NAME = re.compile(r"[A-Za-z0-9._-]+")


class Sheet(msgspec.Struct, frozen=True, kw_only=True):
    """``name``: of the file, without its ending."""

    name: str
    heads: tuple[str, ...]
    rows: AsyncIterator[Sequence[Cell]]


def line(cells: Iterable[Cell]) -> str:
    """One row, with its end of line."""
    text = io.StringIO()
    csv.writer(text).writerow([_guarded(cell) for cell in cells])
    return text.getvalue()


async def listed(rows: Iterable[Sequence[Cell]]) -> AsyncIterator[Sequence[Cell]]:
    """Rows that are there already."""
    for row in rows:
        yield row


async def every(
    page: Callable[[_Cursor], Awaitable[Sequence[_Row]]], first: _Cursor, after: Callable[[_Row], _Cursor]
) -> AsyncIterator[_Row]:
    """All rows of a list that is read by pages, each from where the last row of the page before says."""
    cursor = first
    while rows := await page(cursor):
        for row in rows:
            yield row
        cursor = after(rows[-1])


async def send(request: web.Request, sheet: Sheet) -> web.StreamResponse:
    assert _NAME.fullmatch(sheet.name), "names of files are ours"
    response = web.StreamResponse(
        headers={
            "Content-Type": "text/csv; charset=utf-8",
            "Content-Disposition": f'attachment; filename="{sheet.name}.csv"',
        }
    )
    waiting = MARK + line(sheet.heads)
    async for row in sheet.rows:
        waiting += line(row)
        if len(waiting) > _CHUNK:
            if not response.prepared:
                await response.prepare(request)
            await response.write(waiting.encode())
            waiting = ""
    if not response.prepared:
        await response.prepare(request)
    await response.write(waiting.encode())
    await response.write_eof()
    return response


def _guarded(cell: Cell) -> str | int | float | dt.date:
    if cell is None:
        return ""
    if isinstance(cell, str) and (_FORMULA.match(cell) or _LONG_NUMBER.fullmatch(cell)):
        return f"'{cell}"
    return cell
