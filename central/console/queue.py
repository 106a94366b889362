"""The hand-out queue: open orders by kind, those that have waited longest first, and whether their codes are locked."""

from collections.abc import AsyncIterator, Sequence

import msgspec

from central.api.documents import Text
from central.console.message import message
from central.console.sheet import Cell, Sheet
from central.console.visit import View, Visit
from central.ledger import read_console, read_queue
from central.ledger.read_queue import Queue
from sync_protocol.documents import BY_URGENCY, OPEN_ORDERS, OrderKind

SHOWN = 50
"""Of each kind: who has waited longest comes first."""
_MOST = 100_000
_HEADS = (
    message("Kind"),
    message("Order number"),
    message("Ordered"),
    message("Waiting seconds"),
    message("State"),
    message("Product"),
    message("Name"),
    message("Quantity"),
    message("Codes"),
    message("Patient"),
    message("Ward"),
    message("Handed out at"),
)


class Query(msgspec.Struct, frozen=True, kw_only=True):
    kind: OrderKind | None = None
    location: Text = ""

    @property
    def kinds(self) -> list[OrderKind]:
        return [self.kind] if self.kind else list(BY_URGENCY)


async def show(visit: Visit) -> View:
    query, engine = visit.query(Query), visit.services.read
    queues = await _queues(visit, query, limit=SHOWN)
    values = {
        "query": query,
        "queues": queues,
        "total": sum(queue.total for queue in queues),
        "waited_s": lambda us: _waited_s(visit, us),
        "kinds": list(BY_URGENCY),
        "states": [state for state in OPEN_ORDERS if any(state in queue.states for queue in queues)],
        "locations": await read_queue.locations(engine),
        "products": await read_console.products(engine),
    }
    return View(template="queue.html", values=values)


async def sheet(visit: Visit) -> Sheet:
    """Everything that waits and fits the filters of the URL."""
    return Sheet(name="queue", heads=visit.heads(_HEADS), rows=_rows(visit, visit.query(Query)))


async def _rows(visit: Visit, query: Query) -> AsyncIterator[Sequence[Cell]]:
    products = await read_console.products(visit.services.read)
    for queue in await _queues(visit, query, limit=_MOST):
        for order in queue.orders:
            yield (
                visit.word("order_kind", order.kind),
                order.id,
                visit.stamp(order.ordered_us),
                round(_waited_s(visit, order.ordered_us)),
                visit.word("order_state", order.state),
                order.product,
                visit.full(products, order.product),
                order.quantity,
                len(order.codes),
                order.patient,
                order.ward,
                order.location,
            )


async def _queues(visit: Visit, query: Query, *, limit: int) -> list[Queue]:
    engine = visit.services.read
    found = [await read_queue.queue(engine, kind, location=query.location, limit=limit) for kind in query.kinds]
    return [queue for queue in found if queue.total]


def _waited_s(visit: Visit, ordered_us: int) -> float:
    return (visit.services.time.now_us() - ordered_us) / 1_000_000
