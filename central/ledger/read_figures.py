"""What the indicators are computed of. A moment is always when something happened (``happened_us``), in UTC.

Nothing happens after it was received, so the facts of a period stand at or after the first that was received in it;
that one is found by halving, because positions are in the order of receipt. Where central's own clock was set back they
are not quite, so the search begins a day earlier.
"""

from collections import Counter
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
that was left out, is a flaw of the record and is counted as a missed scan; of another product than ordered it is wrong,
too."""

_LAST = text("SELECT coalesce(max(position), 0) FROM fact")
_RECEIVED = text("SELECT received_us FROM fact WHERE position = :position")
# Of a hand-out that was undone nothing is left. A box is undone for an order before it is handed out for it again.
_STANDING = (
    "row.quantity - coalesce((SELECT sum(back.quantity) FROM insurer_row AS back JOIN fact AS its "
    "ON its.position = back.position WHERE back.is_return AND back.box = row.box AND back.order_id = row.order_id "
    "AND back.position > row.position AND undoes_hand_out(its.body) AND NOT EXISTS (SELECT 1 FROM insurer_row AS again "
    "WHERE again.order_id = row.order_id AND again.box = row.box AND NOT again.is_return "
    "AND again.position > row.position AND again.position < back.position)), 0)"
)
_SOLD = text(
    f"SELECT happened_us(fact.body, fact.received_us), {_STANDING}, row.state, row.order_id, "  # noqa: S608 -- constants
    "coalesce(orders.is_self_pay, 0), coalesce(orders.kind, ''), coalesce(orders.quantity, 0), "
    "coalesce(orders.placed_us, 0) FROM insurer_row AS row JOIN fact ON fact.position = row.position "
    "LEFT JOIN orders ON orders.id = row.order_id WHERE row.position BETWEEN :low AND :high AND NOT row.is_return "
    "ORDER BY row.position"
)
_SOLD_BEFORE = text(
    f"SELECT row.order_id, sum({_STANDING}) FROM insurer_row AS row WHERE row.order_id IN :orders "  # noqa: S608
    "AND row.position < :first AND NOT row.is_return GROUP BY row.order_id"
).bindparams(bindparam("orders", expanding=True))
_ERRORS = text(
    "SELECT happened_us(fact.body, fact.received_us) FROM fact WHERE fact.position IN (SELECT position FROM exception "
    "WHERE position >= :first AND what = 'dispensed' AND reason IN :reasons)"
).bindparams(bindparam("reasons", value=[*map(str, DISPENSING_ERRORS)], expanding=True))
# What went out for an order under codes that no scan had brought in: nothing of it can be reported.
_UNCODED = text(
    "SELECT happened_us(fact.body, fact.received_us), count(*), '', fact.order_id, orders.is_self_pay, orders.kind, "
    "orders.quantity, orders.placed_us, product_told(fact.body) NOT IN ('', orders.product) "
    "FROM exception JOIN fact ON fact.position = exception.position JOIN orders ON orders.id = fact.order_id "
    "WHERE exception.position >= :first AND exception.what = 'dispensed' AND exception.reason = 'unknown_code' "
    "GROUP BY exception.position"
)
_UNCODED_BEFORE = text(
    "SELECT fact.order_id, count(*) FROM fact JOIN exception ON exception.session = fact.session "
    "AND exception.seq = fact.seq JOIN orders ON orders.id = fact.order_id "
    "WHERE fact.order_id IN :orders AND fact.position < :first AND exception.what = 'dispensed' "
    "AND exception.reason = 'unknown_code' AND product_told(fact.body) IN ('', orders.product) GROUP BY fact.order_id"
).bindparams(bindparam("orders", expanding=True))
_COUNTS = text(
    "SELECT happened_us(fact.body, fact.received_us), counted, missing, surplus FROM count_check "
    "JOIN fact ON fact.position = count_check.position WHERE count_check.position >= :first"
)


class Sold(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Units of one box that were handed out, and how far the insurer knows of them. ``units``: boxes of a whole one.

    What was undone is left out. ``state`` empty: they went out without a known code, so nobody can tell the insurer.
    """

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
            sold += [one for one in msgspec.convert(rows, list[Sold], strict=False) if one.units > 0]
        errors = [us for (us,) in await _rows(connection, _ERRORS, first=first)]
        for *fields, is_other_product in await _rows(connection, _UNCODED, first=first):
            one = msgspec.convert(fields, Sold, strict=False)
            if is_other_product:
                errors.append(one.us)
            else:
                sold.append(one)
        early = {one.order for one in sold if one.order and one.arrived_us < since_us}
        return Figures(
            sold=sold,
            handed_before=await _before(connection, sorted(early), first),
            errors=errors,
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
    found: Counter[str] = Counter()
    for start in range(0, len(orders), _CHUNK):
        chunk = orders[start : start + _CHUNK]
        for query in (_SOLD_BEFORE, _UNCODED_BEFORE):
            found.update(dict(await _rows(connection, query, orders=chunk, first=first)))
    return found


async def _rows(connection: AsyncConnection, query: Any, **values: Any) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await connection.execute(query, values)]
