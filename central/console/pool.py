"""The code pool: every code in stock, live, by filters that stand in the URL."""

import datetime as dt
from collections import Counter
from collections.abc import AsyncIterator, Sequence

import msgspec

from central.api.documents import Text
from central.console.message import message
from central.console.sheet import AT_ONCE, Cell, Sheet, every
from central.console.visit import View, Visit
from central.ledger import read_console
from central.ledger.read_api import ItemFilter
from central.ledger.read_console import IN_POOL, ProductCount
from sync_protocol.items import Item, Kind, State

PAGE = 50
"""Rows that are drawn while a person waits: more of them would be felt."""
SOON_DAYS = 90
"""An expiry that near is marked: time to use the lot first or to send it back."""
POOL, ALL = "pool", "all"
_HEADS = (
    message("Code"),
    message("Kind"),
    message("Product"),
    message("Name"),
    message("Lot"),
    message("Expiry"),
    message("State"),
    message("Location"),
    message("Box"),
    message("Delivery note"),
    message("Order number"),
    message("Held by"),
)


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """``state``: a state, ``pool`` for what is here and not issued, ``all``."""

    state: Text = POOL
    kind: Kind | None = None
    product: Text = ""
    lot: Text = ""
    location: Text = ""
    order: Text = ""
    box: Text = ""
    document: Text = ""
    code: Text = ""
    expires_by: dt.date | None = None
    after: Text = ""

    @property
    def is_filtered(self) -> bool:
        return self != Query(after=self.after)

    def states(self) -> tuple[str, ...]:
        if self.state == POOL:
            return IN_POOL
        return () if self.state == ALL else (self.state,)

    def items(self) -> ItemFilter:
        return ItemFilter(
            kind=self.kind or "",
            product=self.product,
            lot=self.lot,
            location=self.location,
            order=self.order,
            box=self.box,
            document=self.document,
            code=self.code,
            expires_by=self.expires_by.isoformat() if self.expires_by else "",
        )


async def show(visit: Visit) -> View:
    query, engine = visit.query(Query), visit.services.read
    wanted = query.items()
    clauses = read_console.pool_clauses(wanted, query.states())
    counts = await visit.services.pool_counts.of(wanted)
    by_state = sum((Counter(count.states) for count in counts), Counter[str]())
    by_product = [narrowed for count in counts if (narrowed := count.narrowed(query.states())).states]
    codes = await read_console.pool_page(engine, clauses, after=query.after, limit=PAGE)
    values = {
        "query": query,
        "by_state": {state.value: by_state[state] for state in State if state in by_state},
        "in_pool": sum(by_state.get(state, 0) for state in IN_POOL),
        "everywhere": sum(by_state.values()),
        "by_product": by_product,
        "shown_states": _shown(by_product),
        "matching": sum(count.total for count in by_product),
        "codes": codes,
        "next": codes[-1].code if len(codes) == PAGE else "",
        "products": await read_console.products(engine),
        "locations": await read_console.locations(engine),
        "kinds": list(Kind),
        "states": list(State),
        "soon_days": SOON_DAYS,
        "people": await read_console.people_names(engine, {found.holder for found in codes}),
    }
    return View(template="pool.html", values=values)


async def sheet(visit: Visit) -> Sheet:
    """Every code that fits the filters of the URL."""
    return Sheet(name="pool", heads=visit.heads(_HEADS), rows=_rows(visit, visit.query(Query)))


async def _rows(visit: Visit, query: Query) -> AsyncIterator[Sequence[Cell]]:
    engine = visit.services.read
    products = await read_console.products(engine)
    clauses = read_console.pool_clauses(query.items(), query.states())

    async def page(after: str) -> list[Item]:
        return await read_console.pool_page(engine, clauses, after=after, limit=AT_ONCE)

    async for item in every(page, "", lambda item: item.code):
        yield (
            item.code,
            visit.word("kind", item.kind),
            item.product,
            visit.full(products, item.product),
            item.lot,
            item.expiry,
            visit.word("state", item.state),
            item.location,
            item.box,
            item.document,
            item.order,
            item.holder,
        )


def _shown(by_product: list[ProductCount]) -> list[State]:
    """Columns of the table by product: the states that anything is in, at most six."""
    found = {state for count in by_product for state in count.states}
    return [state for state in State if state in found][:6]
