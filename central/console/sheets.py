"""Sheets of paper for a place whose own computer or printer is down (A22): nothing of them is kept here.

Whatever station scans them back knows them from their symbols.
"""

import secrets

import msgspec

from central.api.documents import Text
from central.console.visit import View, Visit
from central.ledger import read_api, read_console, read_sheets
from sync_protocol.sheets import BLANK_LINES, Sheet, SheetLine, blank_lines, sheet_id
from sync_protocol.symbols import symbol


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """``is_blank``: numbered lines in the place of the orders that wait there."""

    place: Text = ""
    is_blank: bool = False


async def show(visit: Visit) -> View:
    query, engine = visit.query(Query), visit.services.read
    waiting = len(await read_sheets.waiting(engine, query.place)) if query.place else 0
    values = {"query": query, "places": await read_console.locations(engine), "waiting": waiting}
    return View(template="sheets.html", values=values)


async def show_print(visit: Visit) -> View:
    """The page that is printed; without a place or an order, the one that asks for them."""
    query, engine = visit.query(Query), visit.services.read
    lines: tuple[SheetLine, ...] = blank_lines(BLANK_LINES)
    if not query.is_blank:
        lines = await read_sheets.lines(engine, query.place)
    if not query.place or not lines:
        return await show(visit)
    assert visit.session is not None, "only people who are signed in get here"
    now_us = visit.services.time.now_us()
    sheet = Sheet(
        id=sheet_id(secrets.token_hex(8)),
        lines=lines,
        place=query.place,
        printed_us=now_us,
        printed_by=visit.session.name,
        version=await read_api.ledger_version(engine),
        as_of_us=now_us,
    )
    back = visit.link("/sheets", place=query.place)
    return View(template="sheet.html", values={"sheet": sheet, "symbol": symbol, "local": visit.minute, "back": back})
