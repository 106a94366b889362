"""Items that lie aside: frozen ones with what froze them, and what wards have on loan."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import ColumnElement, false, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from central.ledger.read_api import rows_of, with_codes
from central.ledger.read_lives import facts_about
from central.ledger.read_rows import item_of, said_at
from central.ledger.schema import fact, item, orders, recall
from sync_protocol.codec import decode_fact
from sync_protocol.documents import Order
from sync_protocol.errors import ProtocolError
from sync_protocol.facts import What
from sync_protocol.items import Item, State


class Aside(msgspec.Struct, frozen=True, kw_only=True):
    """An item, and the last fact that put it where it is. ``document``: of that fact; the recall that froze it."""

    item: Item
    at_us: int
    device: str
    operator: str
    reason: str
    document: str


async def frozen(engine: AsyncEngine, clauses: Sequence[ColumnElement[bool]], *, after: str, limit: int) -> list[Aside]:
    """Frozen items by code, after that code."""
    wanted = (item.c.state == State.FROZEN, *clauses)
    return await _aside(engine, wanted, What.FROZEN, after=after, limit=limit)


async def lent(engine: AsyncEngine, *, limit: int) -> list[Aside]:
    """Items on loan that are bound to no order, by code."""
    wanted = (item.c.state == State.LENT, item.c.order_id == "")
    return await _aside(engine, wanted, What.LENT, after="", limit=limit)


async def count(engine: AsyncEngine, state: State) -> int:
    query = select(func.count().label("n")).select_from(item).where(item.c.state == state)
    return int((await rows_of(engine, query))[0]["n"])


async def recalls_of(engine: AsyncEngine, aside: Sequence[Aside]) -> set[str]:
    """Which of the documents are recalls."""
    ids = {each.document for each in aside if each.document}
    return {row["id"] for row in await rows_of(engine, select(recall.c.id).where(recall.c.id.in_(sorted(ids))))}


async def open_orders(engine: AsyncEngine, products: set[str], states: Sequence[str]) -> list[Order]:
    """Orders of these products in these states, oldest first."""
    wanted = (orders.c.product.in_(sorted(products)), orders.c.state.in_(states))
    query = select(orders).where(*wanted).order_by(orders.c.ordered_us, orders.c.id)
    return [order for order, _ in await with_codes(engine, await rows_of(engine, query))]


async def _aside(
    engine: AsyncEngine, wanted: Sequence[ColumnElement[bool]], what: What, *, after: str, limit: int
) -> list[Aside]:
    page = select(item).where(item.c.code > after, *wanted).order_by(item.c.code).limit(limit)
    rows = await rows_of(engine, page)
    codes = [row["code"] for row in rows]
    about = facts_about(item.c.code.in_(codes), false())
    last = (
        select(about.c.code, func.max(about.c.position).label("position"))
        .join(fact, fact.c.position == about.c.position)
        .where(fact.c.what == what)
        .group_by(about.c.code)
        .subquery("last")
    )
    query = select(last.c.code, fact).join(fact, fact.c.position == last.c.position)
    facts = {row["code"]: row for row in await rows_of(engine, query)}
    found = []
    for row in rows:
        cause = facts[row["code"]]
        found.append(
            Aside(
                item=item_of(row),
                at_us=said_at(cause),
                device=cause["device"],
                operator=cause["operator"],
                reason=_reason(cause["body"]),
                document=cause["document"],
            )
        )
    return found


def _reason(body: bytes) -> str:
    try:
        return decode_fact(body).reason
    except ProtocolError:
        return ""
