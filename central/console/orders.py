"""Order lines: what waits, what is locked, what was handed out and how long it took."""

from collections.abc import AsyncIterator, Sequence

import msgspec
from sqlalchemy import ColumnElement

from central.api.documents import Text
from central.console.message import message
from central.console.sheet import AT_ONCE, Cell, Sheet, every
from central.console.visit import View, Visit
from central.ledger import read_console
from central.ledger.schema import orders
from sync_protocol.documents import Order, OrderKind, OrderState

PAGE = 100
_HEADS = (
    message("Ordered"),
    message("Order number"),
    message("Kind"),
    message("Product"),
    message("Name"),
    message("Quantity"),
    message("Codes"),
    message("State"),
    message("Patient"),
    message("Ward"),
    message("Handed out at"),
    message("Handed out"),
    message("Seconds from order to hand-out"),
)


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """``before``: time and id of the last order of the page before, joined by a tilde."""

    state: OrderState | None = None
    kind: OrderKind | None = None
    product: Text = ""
    ward: Text = ""
    id: Text = ""
    before: Text = ""

    @property
    def is_filtered(self) -> bool:
        return self != Query(before=self.before)

    def clauses(self) -> list[ColumnElement[bool]]:
        return read_console.order_clauses(
            state=self.state or "", kind=self.kind or "", product_id=self.product, ward=self.ward, order_id=self.id
        )

    def cursor(self) -> tuple[int, str] | None:
        us, mark, key = self.before.partition("~")
        return (int(us), key) if mark and us.isdecimal() and us.isascii() else None


async def show(visit: Visit) -> View:
    query, engine = visit.query(Query), visit.services.read
    found = await read_console.order_page(engine, query.clauses(), before=query.cursor(), limit=PAGE)
    last = found[-1][0] if len(found) == PAGE else None
    values = {
        "query": query,
        "orders": found,
        "next": f"{last.ordered_us}~{last.id}" if last else "",
        "by_state": await read_console.counts(engine, orders.c.state),
        "states": list(OrderState),
        "kinds": list(OrderKind),
        "products": await read_console.products(engine),
        "wait_s": lambda order, done_us: _wait_s(visit, order, done_us),
    }
    return View(template="orders.html", values=values)


async def sheet(visit: Visit) -> Sheet:
    """Every order that fits the filters of the URL."""
    return Sheet(name="orders", heads=visit.heads(_HEADS), rows=_rows(visit, visit.query(Query)))


async def _rows(visit: Visit, query: Query) -> AsyncIterator[Sequence[Cell]]:
    engine, clauses = visit.services.read, query.clauses()
    products = await read_console.products(engine)

    async def page(before: tuple[int, str] | None) -> list[tuple[Order, int]]:
        return await read_console.order_page(engine, clauses, before=before, limit=AT_ONCE)

    async for order, done_us in every(page, None, lambda row: (row[0].ordered_us, row[0].id)):
        yield (
            visit.stamp(order.ordered_us),
            order.id,
            visit.word("order_kind", order.kind),
            order.product,
            visit.full(products, order.product),
            order.quantity,
            len(order.codes),
            visit.word("order_state", order.state),
            order.patient,
            order.ward,
            order.location,
            visit.stamp(done_us),
            round(_wait_s(visit, order, done_us), 1) if done_us else None,
        )


def _wait_s(visit: Visit, order: Order, done_us: int) -> float:
    """From the order to its hand-out, or until now."""
    return ((done_us or visit.services.time.now_us()) - order.ordered_us) / 1_000_000
