"""Base stock (A29): what each place should have and has, what is missing, what was requested, what was used by lot."""

import asyncio
import datetime as dt
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from sqlalchemy import RowMapping

from central.api.documents import Place, Text
from central.console.acting import Form, asked, told, whole
from central.console.message import message
from central.console.paging import paged
from central.console.pins import Pins
from central.console.sheet import Cell, Sheet, listed
from central.console.visit import View, Visit
from central.errors import InvalidError, RequestError
from central.ledger import read_base_stock, read_console
from central.ledger.read_base_stock import Used
from central.stock.base_stock import Level, Replenishing, Spot, measure, missing
from sync_protocol.documents import Product
from sync_protocol.items import Kind

PATH = "/base-stock"
PAGE = 100
REQUESTS = 50
CHANGES = 20
DAYS = (7, 14, 28)
_DIGITS = 9
_HEADS = (
    message("Location"),
    message("Product"),
    message("Name"),
    message("Measure"),
    message("Par level"),
    message("On hand"),
    message("Requested"),
    message("Missing"),
    message("Used today"),
    message("Used a day"),
)
_USE_HEADS = (
    message("Day"),
    message("Location"),
    message("Product"),
    message("Name"),
    message("Lot"),
    message("Used"),
)
_spots = msgspec.json.Decoder(tuple[str, str])
_spot = msgspec.json.Encoder()


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """``at`` and ``of``: place and product of the level whose use, requests and changes are shown beside."""

    location: Text = ""
    product: Text = ""
    short: bool = False
    days: Place = 7
    at: Text = ""
    of: Text = ""
    state: Replenishing | None = None
    page: Place = 1
    before: Place | None = None

    @property
    def is_filtered(self) -> bool:
        return bool(self.location or self.product or self.short)

    def is_about(self, location: str, product: str) -> bool:
        return self.location in {"", location} and self.product in {"", product}

    @property
    def period(self) -> int:
        """Raises InvalidError."""
        if self.days not in DAYS:
            raise InvalidError("days", str(self.days), " or ".join(map(str, DAYS)))
        return self.days


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A level and how things stand. ``used``: of all days, ``today`` of this one."""

    location: str
    product: str
    level: int
    on_hand: int
    requested: int
    today: int
    used: int

    @property
    def missing(self) -> int:
        return missing(level=self.level, on_hand=self.on_hand, requested=self.requested)

    @property
    def key(self) -> str:
        """As the form names it."""
        return _spot.encode((self.location, self.product)).decode()


async def show(visit: Visit) -> View:
    return await _page(visit, visit.query(Query))


async def set_level(visit: Visit, form: Form, _pins: Pins) -> View | str:
    """Where to go when it is done; the page with what is wrong otherwise."""
    given = {name: asked(form, name) for name in ("location", "product", "quantity")}
    quantity = given["quantity"]
    try:
        number = whole(quantity, _DIGITS)
        if number is None:
            raise InvalidError("quantity", quantity or "nothing", "a whole number")
        level = Level(location=given["location"], product=given["product"], quantity=number, person=visit.actor)
        await visit.services.base_stock.set_level(level)
    except RequestError as error:
        return await _page(visit, Query(), form=given, cause=told(visit, error), status=422)
    return visit.link(PATH, at=level.location, of=level.product)


async def request(visit: Visit, form: Form, _pins: Pins) -> View | str:
    """Request what is missing of the levels that are ticked."""
    try:
        spots = [_read(str(each)) for each in form.getall("want", [])]
        await visit.services.base_stock.request(spots, visit.actor)
    except RequestError as error:
        return await _page(visit, Query(), want_cause=told(visit, error), status=422)
    return visit.link(PATH, state=Replenishing.REQUESTED)


async def cancel(visit: Visit, _form: Form, _pins: Pins) -> View | str:
    key = whole(visit.request.match_info["id"], _DIGITS) or 0
    try:
        await visit.services.base_stock.cancel(key, visit.actor)
    except RequestError as error:
        return await _page(visit, Query(), want_cause=told(visit, error), status=422)
    return visit.link(PATH)


async def sheet(visit: Visit) -> Sheet:
    query = visit.query(Query)
    rows, _ = await _rows(visit, query)
    products = await read_console.products(visit.services.read, {row.product for row in rows})
    heads = visit.heads(_HEADS)
    return Sheet(name="base-stock", heads=heads, rows=listed(_cells(visit, query, rows, products)))


async def use_sheet(visit: Visit) -> Sheet:
    """Day by day and lot by lot."""
    query = visit.query(Query)
    _, used = await _rows(visit, query)
    products = await read_console.products(visit.services.read, {each.product for each in used})
    heads = visit.heads(_USE_HEADS)
    rows = (
        (each.day, each.location, each.product, visit.full(products, each.product), each.lot, each.quantity)
        for each in used
    )
    return Sheet(name="base-stock-use", heads=heads, rows=listed(rows))


def measure_of(product: Product | None) -> Kind:
    """What a quantity of it is counted in."""
    if product is None:
        return Kind.BOX
    return Kind.UNIT if product.is_split else product.kind


async def _page(visit: Visit, query: Query, *, status: int = 200, **values: Any) -> View:
    engine = visit.services.read
    rows, used = await _rows(visit, query)
    row = next((row for row in rows if (row.location, row.product) == (query.at, query.of)), None)
    spot = {"location": query.at or query.location, "product": query.of or query.product}
    asked_for = await read_base_stock.requests(
        engine, state=query.state or "", before=query.before or 0, limit=REQUESTS, **spot
    )
    changes = await read_base_stock.changes(engine, location=query.at, product=query.of, limit=CHANGES)
    known = {
        "query": query,
        "rows": paged([row for row in rows if row.missing or not query.short], query.page, size=PAGE),
        "short": sum(row.missing > 0 for row in rows),
        "row": row,
        "use": [each for each in used if (each.location, each.product) == (query.at, query.of)],
        "changes": changes,
        "requests": asked_for,
        "next": asked_for[-1]["id"] if len(asked_for) == REQUESTS else "",
        "states": list(Replenishing),
        "periods": DAYS,
        "measure": measure_of,
        "products": await read_console.products(engine),
        "locations": await read_console.locations(engine),
        "people": await read_console.people_names(engine, _people(asked_for, changes)),
        "form": {"location": query.at, "product": query.of, "quantity": row.level if row else ""},
        "cause": "",
        "want_cause": "",
        "path": PATH,
        "here": visit.link(PATH, **msgspec.structs.asdict(query)),  # also where the answer to a form is shown
    }
    return View(template="base_stock.html", values=known | values, status=status)


async def _rows(visit: Visit, query: Query) -> tuple[list[Row], list[Used]]:
    """Levels as the filter wants them, and what was used of them, the last day first."""
    services, time = visit.services, visit.services.time
    engine = services.read
    levels = await read_base_stock.levels(engine)
    spots = {(each["location"], each["product"]) for each in levels}
    first = time.today() - dt.timedelta(days=query.period - 1)
    used, on_hand, on_the_way = await asyncio.gather(
        services.uses.of(spots, since_us=time.midnight_us(first), day_of=lambda us: time.local(us).date()),
        read_base_stock.on_hand(engine),
        read_base_stock.on_the_way(engine),
    )
    levels = [each for each in levels if query.is_about(each["location"], each["product"])]
    used = [each for each in used if query.is_about(each.location, each.product)]
    products = await read_console.products(engine, {product for _, product in spots})
    sums: Counter[Spot] = Counter()
    today: Counter[Spot] = Counter()
    for each in used:
        sums[each.location, each.product] += each.quantity
        today[each.location, each.product] += each.quantity if each.day == time.today() else 0
    found = []
    for entry in levels:
        spot = (entry["location"], entry["product"])
        found.append(
            Row(
                location=spot[0],
                product=spot[1],
                level=entry["quantity"],
                on_hand=measure(products.get(spot[1]), on_hand.get(spot, {})),
                requested=on_the_way.get(spot, 0),
                today=today[spot],
                used=sums[spot],
            )
        )
    return found, used[::-1]


def _cells(visit: Visit, query: Query, rows: Sequence[Row], products: dict[str, Product]) -> Iterator[Sequence[Cell]]:
    for row in rows:
        name, kind = visit.full(products, row.product), visit.word("kind", measure_of(products.get(row.product)))
        figures = (row.level, row.on_hand, row.requested, row.missing, row.today, round(row.used / query.period, 2))
        yield row.location, row.product, name, kind, *figures


def _read(text: str) -> Spot:
    try:
        return _spots.decode(text)
    except msgspec.MsgspecError as error:
        raise InvalidError("product", text[:64], "a place and a product") from error


def _people(requests: Sequence[RowMapping], changes: Sequence[RowMapping]) -> set[str]:
    names = {row[name] for row in requests for name in ("asked_by", "ended_by")}
    return names | {row["person"] for row in changes}
