"""What the hand-out queue reads: open orders of one kind, the oldest first, and how many there are."""

from collections.abc import Mapping

import msgspec
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from central.ledger.read_api import rows_of, with_codes
from central.ledger.schema import orders
from sync_protocol.documents import OPEN_ORDERS, Order, OrderKind


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """``orders``: those that have waited longest, of all in ``states``. ``middle_us``: when half of them were there."""

    kind: OrderKind
    states: Mapping[str, int]
    orders: tuple[Order, ...]
    middle_us: int

    @property
    def total(self) -> int:
        return sum(self.states.values())


async def queue(engine: AsyncEngine, kind: OrderKind, *, location: str, limit: int) -> Queue:
    wanted = [orders.c.kind == kind, orders.c.state.in_(OPEN_ORDERS)]
    wanted += [orders.c.location == location] if location else []
    counted = select(orders.c.state, func.count().label("n")).where(*wanted).group_by(orders.c.state)
    states = {row["state"]: row["n"] for row in await rows_of(engine, counted)}
    oldest = select(orders).where(*wanted).order_by(orders.c.ordered_us, orders.c.id)
    found = await with_codes(engine, await rows_of(engine, oldest.limit(limit)))
    half = (sum(states.values()) - 1) // 2
    middle = select(orders.c.ordered_us).where(*wanted).order_by(orders.c.ordered_us).offset(half).limit(1)
    row = (await rows_of(engine, middle))[0] if states else {"ordered_us": 0}
    return Queue(kind=kind, states=states, orders=tuple(order for order, _ in found), middle_us=int(row["ordered_us"]))


async def locations(engine: AsyncEngine) -> list[str]:
    """Places that anything open is handed out at, by name."""
    query = select(orders.c.location).where(orders.c.state.in_(OPEN_ORDERS)).distinct().order_by(orders.c.location)
    return [row["location"] for row in await rows_of(engine, query)]
