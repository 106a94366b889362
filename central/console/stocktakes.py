"""Stocktakes (A18): open a sheet, see how far it is, post what agrees, each code that differs by name.

Blind: what was found of a line is shown when object and code agree, and not before. Who counts again must not know.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import RowMapping

from central.api.documents import Place, Text
from central.console.acting import Form, asked, second_person, told, whole
from central.console.message import message
from central.console.paging import Paged, paged
from central.console.pins import Doubt, Pins
from central.console.sheet import Cell, Sheet, listed
from central.console.visit import View, Visit
from central.errors import RequestError
from central.ledger import read_console, read_stocktake
from central.ledger.read_stocktake import SheetRow
from central.stock.stocktake import LineState, Opening, Posting, remedies, standing
from central.stock.stocktake_rows import HandCount, Key, count_of, number_of
from sync_protocol.facts import What
from sync_protocol.items import Item

PATH = "/stocktakes"
PAGE = 50
LINES = 100
_REASON = 200
_DIGITS = 15
_MOST_PRODUCTS = 1_000
_HEADS = (
    message("Stocktake sheet"),
    message("Location"),
    message("Product"),
    message("Name"),
    message("Form"),
    message("State"),
    message("Book"),
    message("Objects"),
    message("Codes"),
    message("Counted by"),
    message("Difference"),
    message("Code"),
)


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """``id``: the sheet that is shown beside the list; ``line``: lines of it in this state."""

    state: Text = ""
    location: Text = ""
    id: Place | None = None
    line: LineState | None = None
    page: Place = 1
    before: Place | None = None

    @property
    def is_filtered(self) -> bool:
        return bool(self.state or self.location)


class LineView(msgspec.Struct, frozen=True, kw_only=True):
    """A line. ``count``: what it rests on, None until object and code agree; ``heard``: who has counted it."""

    location: str
    product: str
    kind: str
    state: str
    count: HandCount | None
    heard: tuple[tuple[HandCount, bool], ...]
    """Every count, and whether it was taken."""
    posted_by: str
    witness: str
    reason: str
    posted_us: int

    @property
    def differences(self) -> int:
        return len(self.count.missing) + len(self.count.surplus) if self.count else 0


async def show(visit: Visit) -> View:
    return await _page(visit, visit.query(Query))


async def open_sheet(visit: Visit, form: Form, _pins: Pins) -> View | str:
    """Where to go when it is done; the page with what is wrong otherwise."""
    location, products = asked(form, "location"), [str(each) for each in form.getall("product", []) if each]
    given = {"location": location, "products": products}
    try:
        opening = Opening(location=location, products=tuple(products[:_MOST_PRODUCTS]), person=visit.actor)
        key = await visit.services.stocktakes.open(opening)
    except RequestError as error:
        return await _page(visit, Query(), opening=given, opening_cause=told(visit, error), status=422)
    return visit.link(PATH, id=key)


async def act(visit: Visit, form: Form, pins: Pins) -> View | str:
    """Post what agrees, or end the sheet without the rest."""
    key = whole(visit.request.match_info["id"], _DIGITS) or 0
    given = {"reason": asked(form, "reason", _REASON), "witness": asked(form, "witness")}
    witness = await second_person(visit, form, pins)
    if isinstance(witness, Doubt):
        return await _page(visit, Query(id=key), form=given, cause=witness.cause, status=witness.status)
    posting = Posting(sheet=key, operator=visit.actor, witness=witness, reason=given["reason"])
    stocktakes = visit.services.stocktakes
    try:
        if asked(form, "act") == "close":
            await stocktakes.close(posting)
        else:
            await stocktakes.post(posting)
    except RequestError as error:
        return await _page(visit, Query(id=key), form=given, cause=told(visit, error), status=422)
    return visit.link(PATH, id=key)


async def sheet(visit: Visit) -> Sheet:
    """Every line of the sheet, and a row for each code in which book and count differ."""
    query = visit.query(Query)
    lines = await _lines(visit, query.id or 0)
    products = await read_console.products(visit.services.read, {line.product for line in lines})
    heads = visit.heads(_HEADS)
    rows = [row for line in lines for row in _rows(visit, query.id or 0, line, visit.full(products, line.product))]
    return Sheet(name="stocktake", heads=heads, rows=listed(rows))


async def _page(visit: Visit, query: Query, *, status: int = 200, **values: Any) -> View:
    engine = visit.services.read
    is_open = {"open": True, "closed": False}.get(query.state)
    found = await read_stocktake.sheets(
        engine, is_open=is_open, location=query.location, before=query.before or 0, limit=PAGE
    )
    shown = await read_stocktake.sheet(engine, query.id) if query.id else None
    lines = await _lines(visit, query.id) if query.id and shown else []
    wanted = [line for line in lines if query.line in {None, line.state}]
    page: Paged[LineView] = paged(wanted, query.page, size=LINES)
    items = await read_stocktake.items(engine, {code for line in page.rows for code in _codes(line)})
    known = {
        "query": query,
        "sheets": found,
        "next": found[-1].row["id"] if len(found) == PAGE else "",
        "shown": shown,
        "lines": page,
        "line_states": list(LineState),
        "items": items,
        "step": _step,
        "number": number_of,
        "products": await read_console.products(engine),
        "locations": await read_console.locations(engine),
        "people": await read_console.people_names(engine, _people(found, shown, page.rows)),
        "opening": {"location": "", "products": []},
        "opening_cause": "",
        "form": {"reason": "", "witness": ""},
        "cause": "",
        "path": PATH,
        "here": visit.link(PATH, **msgspec.structs.asdict(query)),  # also where the answer to a form is shown
    }
    return View(template="stocktakes.html", values=known | values, status=status)


async def _lines(visit: Visit, key: int) -> list[LineView]:
    """What must be looked at first: lines that differ, that are to be counted again, that nobody counted."""
    engine = visit.services.read
    counts: dict[Key, list[HandCount]] = defaultdict(list)
    for row in await read_stocktake.counts(engine, key):
        count = count_of(tuple(row.values()))
        counts[count.key].append(count)
    lines = [_view(row, counts) for row in await read_stocktake.lines(engine, key)]
    order = {state: number for number, state in enumerate((LineState.RECOUNT, LineState.AGREED, LineState.WAITING))}
    return sorted(lines, key=lambda line: (order.get(LineState(line.state), len(order)), -line.differences))


def _view(row: RowMapping, counts: Mapping[Key, Sequence[HandCount]]) -> LineView:
    mine = counts.get((row["location"], row["product"], row["kind"]), ())
    _, _, unheard = standing(mine)
    names = ("location", "product", "kind", "state", "posted_by", "witness", "reason", "posted_us")
    is_open = row["state"] in {LineState.WAITING, LineState.RECOUNT}
    return LineView(
        **{name: row[name] for name in names},
        count=None if is_open else next(count for count in mine if count.position == row["position"]),
        heard=tuple((count, count.position not in unheard) for count in mine),
    )


def _codes(line: LineView) -> tuple[str, ...]:
    return line.count.missing + line.count.surplus if line.count else ()


def _step(item: Item | None, line: LineView) -> What | None:
    """By which step a code that is too much comes into the book here; None: a person must settle it."""
    found = remedies(item, line.location) if item is not None and item.product == line.product else ()
    return found[-1] if found else None


def _people(found: Sequence[SheetRow], shown: SheetRow | None, lines: Sequence[LineView]) -> set[str]:
    rows = [each.row for each in (*found, *([shown] if shown else []))]
    names = {row[name] for row in rows for name in ("opened_by", "closed_by", "witness")}
    names |= {count.operator for line in lines for count, _ in line.heard}
    return names | {name for line in lines for name in (line.posted_by, line.witness)}


def _rows(visit: Visit, key: int, line: LineView, name: str) -> list[Sequence[Cell]]:
    count, say = line.count, visit.language.say
    about = (number_of(key), line.location, line.product, name, visit.word("kind", line.kind))
    state = visit.word("stocktake_line", line.state)
    if count is None:
        return [(*about, state, None, None, None, "", "", "")]
    figures = (count.book, count.objects, count.scanned, count.operator)
    differ = [(say("missing"), code) for code in count.missing] + [(say("surplus"), code) for code in count.surplus]
    return [(*about, state, *figures, *each) for each in differ or [("", "")]]
