"""What the indicators are computed of. A moment is always when something happened (``happened_us``), in UTC.

Nothing happens after it was received, so the facts of a period stand at or after the first that was received in it;
that one is found by halving, because positions are in the order of receipt. Where central's own clock was set back they
are not quite, so the search begins a day earlier.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec
from sqlalchemy import bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from sync_protocol.lifecycle import Reason

_CHUNK = 5_000
_WINDOW = 10_000
_SET_BACK_US = 86_400_000_000
"""How far central's clock may have been set back."""
DISPENSING_ERRORS = (
    Reason.ALREADY_DISPENSED,
    Reason.EXPIRED,
    Reason.FROZEN,
    Reason.NOT_BOUND,
    Reason.OUT_FOR_GOOD,
    Reason.RECALLED,
    Reason.WRONG_KIND,
    Reason.WRONG_ORDER,
    Reason.WRONG_PRODUCT,
)
"""What is wrong with a hand-out itself: the wrong thing, or for the wrong order. A code that is not known, or a step
that was left out, is a flaw of the record and is counted as a missed scan."""

_LAST = text("SELECT coalesce(max(position), 0) FROM fact")
_RECEIVED = text("SELECT received_us FROM fact WHERE position = :position")
_SOLD = text(
    "SELECT happened_us(fact.body, fact.received_us), row.quantity, row.state, row.order_id, "
    "coalesce(orders.is_self_pay, 0), coalesce(orders.kind, ''), coalesce(orders.quantity, 0), "
    "coalesce(orders.placed_us, 0) FROM insurer_row AS row JOIN fact ON fact.position = row.position "
    "LEFT JOIN orders ON orders.id = row.order_id WHERE row.position BETWEEN :low AND :high ORDER BY row.position"
)
_SOLD_BEFORE = text(
    "SELECT order_id, sum(quantity) FROM insurer_row WHERE order_id IN :orders AND position < :first GROUP BY order_id"
).bindparams(bindparam("orders", expanding=True))
_ERRORS = text(
    "SELECT happened_us(fact.body, fact.received_us) FROM fact WHERE fact.position IN (SELECT position FROM exception "
    "WHERE position >= :first AND what = 'dispensed' AND reason IN :reasons)"
).bindparams(bindparam("reasons", value=[*map(str, DISPENSING_ERRORS)], expanding=True))
_COUNTS = text(
    "SELECT happened_us(fact.body, fact.received_us), counted, missing, surplus FROM count_check "
    "JOIN fact ON fact.position = count_check.position WHERE count_check.position >= :first"
)


class Sold(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Units of one box that were handed out, and how far the insurer knows of them. ``units``: boxes of a whole one."""

    us: int
    units: int
    state: str
    order: str
    is_self_pay: bool
    kind: str
    """Of the order; empty: the ledger has no such order."""
    ordered: int
    arrived_us: int


class Counted(msgspec.Struct, frozen=True, array_like=True, gc=False):
    us: int
    counted: int
    missing: int
    surplus: int


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Everything from a moment on. ``handed_before``: what orders in ``sold`` had got before that."""

    sold: list[Sold]
    handed_before: Mapping[str, int]
    errors: list[int]
    counts: list[Counted]

    @property
    def is_empty(self) -> bool:
        return not (self.sold or self.errors or self.counts)


async def figures(engine: AsyncEngine, *, since_us: int) -> Figures:
    async with engine.connect() as connection:
        first = await first_position(connection, since_us)
        sold: list[Sold] = []
        async for rows in windows(connection, _SOLD, first=first):
            sold += msgspec.convert(rows, list[Sold], strict=False)
        early = {one.order for one in sold if one.order and one.arrived_us < since_us}
        return Figures(
            sold=sold,
            handed_before=await _before(connection, sorted(early), first),
            errors=[us for (us,) in await _rows(connection, _ERRORS, first=first)],
            counts=msgspec.convert(await _rows(connection, _COUNTS, first=first), list[Counted]),
        )


async def windows(connection: AsyncConnection, query: Any, *, first: int) -> AsyncIterator[list[tuple[Any, ...]]]:
    """Rows of the facts from ``first`` on, some thousand facts at a time: central goes on with its work between them.

    ``query`` has the places ``low`` and ``high``.
    """
    last = int((await connection.execute(_LAST)).scalar_one())
    for low in range(first, last + 1, _WINDOW):
        yield await _rows(connection, query, low=low, high=min(low + _WINDOW - 1, last))


async def first_position(connection: AsyncConnection, since_us: int) -> int:
    """Of a fact before which none happened at this moment or later."""
    since_us -= _SET_BACK_US
    low, high = 1, int((await connection.execute(_LAST)).scalar_one()) + 1
    while low < high:
        middle = (low + high) // 2
        received_us = (await connection.execute(_RECEIVED, {"position": middle})).scalar_one()
        low, high = (middle + 1, high) if received_us < since_us else (low, middle)
    return low


async def _before(connection: AsyncConnection, orders: list[str], first: int) -> dict[str, int]:
    found: dict[str, int] = {}
    for start in range(0, len(orders), _CHUNK):
        chunk = orders[start : start + _CHUNK]
        found.update(await _rows(connection, _SOLD_BEFORE, orders=chunk, first=first))
    return found


async def _rows(connection: AsyncConnection, query: Any, **values: Any) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await connection.execute(query, values)]
