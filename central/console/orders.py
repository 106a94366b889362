"""Order lines: what waits, what is locked, what was handed out and how long it took."""

import msgspec

from central.api.documents import Text
from central.console.visit import View, Visit
from central.ledger import read_console
from central.ledger.schema import orders
from sync_protocol.documents import Order, OrderKind, OrderState

PAGE = 100


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

    def cursor(self) -> tuple[int, str] | None:
        us, mark, key = self.before.partition("~")
        return (int(us), key) if mark and us.isdecimal() and us.isascii() else None


async def show(visit: Visit) -> View:
    query, engine = visit.query(Query), visit.services.read
    clauses = read_console.order_clauses(
        state=query.state or "", kind=query.kind or "", product_id=query.product, ward=query.ward, order_id=query.id
    )
    found = await read_console.order_page(engine, clauses, before=query.cursor(), limit=PAGE)
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


def _wait_s(visit: Visit, order: Order, done_us: int) -> float:
    """From the order to its hand-out, or until now."""
    return ((done_us or visit.services.time.now_us()) - order.ordered_us) / 1_000_000
