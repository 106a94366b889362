"""What is printed for a place whose own computer is down: its open orders with what is locked to them (A22)."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from central.ledger import read_api, read_console
from central.ledger.read_rows import item_of
from central.ledger.schema import item, orders
from sync_protocol.documents import BY_URGENCY, OPEN_ORDERS, Order
from sync_protocol.items import Item, State
from sync_protocol.sheets import MAX_LINES, SheetLine

_CHUNK = 500


async def waiting(engine: AsyncEngine, place: str) -> list[Order]:
    """The most urgent first, then by age."""
    query = (
        select(orders)
        .where(orders.c.location == place, orders.c.state.in_([str(state) for state in OPEN_ORDERS]))
        .order_by(orders.c.ordered_us, orders.c.id)
        .limit(MAX_LINES)
    )
    found = [order for order, _ in await read_api.with_codes(engine, await read_api.rows_of(engine, query))]
    return sorted(found, key=lambda order: BY_URGENCY.index(order.kind))


async def lines(engine: AsyncEngine, place: str) -> tuple[SheetLine, ...]:
    """A line for each of them whose product is known."""
    open_orders = await waiting(engine, place)
    products = await read_console.products(engine, {order.product for order in open_orders})
    locked = await _locked(engine, [code for order in open_orders for code in order.codes])
    named = [order for order in open_orders if order.product in products]
    return tuple(
        SheetLine(
            number=number,
            order=order,
            product=products[order.product],
            items=tuple(locked[code] for code in order.codes if code in locked),
        )
        for number, order in enumerate(named, 1)
    )


async def _locked(engine: AsyncEngine, codes: list[str]) -> dict[str, Item]:
    found = {}
    for start in range(0, len(codes), _CHUNK):
        chunk = codes[start : start + _CHUNK]
        query = select(item).where(item.c.code.in_(chunk), item.c.state == str(State.LOCKED))
        found.update({row["code"]: item_of(row) for row in await read_api.rows_of(engine, query)})
    return found
