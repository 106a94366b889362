"""Base stock as its page shows it: levels with what lies there and what is on its way, and what was used of which lot.

Used: handed out, less what came back, on the day when it happened. Where: at the place of the fact; where a fact says
none, at that of the item.
"""

import asyncio
import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence

import msgspec
from sqlalchemy import RowMapping, bindparam, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from central.ledger.happened import happened_us
from central.ledger.read_api import rows_of
from central.ledger.read_figures import first_position, windows
from central.ledger.schema import item, par_change, par_level, replenishment
from sync_protocol.codec import decode_fact
from sync_protocol.errors import ProtocolError
from sync_protocol.items import State

_SIGNS = {"dispensed": 1, "returned": -1}
_FACTS = text(
    "SELECT position, body, received_us FROM fact WHERE position BETWEEN :low AND :high AND what IN :whats "
    "ORDER BY position"
).bindparams(bindparam("whats", value=[*_SIGNS], expanding=True))
_MISFITS = text("SELECT position, code FROM exception WHERE position >= :first AND code != ''")
_ITEMS = text("SELECT code, location, product, lot FROM item WHERE code IN :codes").bindparams(
    bindparam("codes", expanding=True)
)
_CHUNK = 5_000
_KEPT_AT_MOST = 6
"""Periods: a few lengths, of today and of yesterday."""
_HERE = (State.IN_STOCK, State.LOCKED)
Spot = tuple[str, str]
"""Location and product."""


class Used(msgspec.Struct, frozen=True, kw_only=True, order=True):
    day: dt.date
    location: str
    product: str
    lot: str
    quantity: int


async def levels(engine: AsyncEngine) -> Sequence[RowMapping]:
    return await rows_of(engine, select(par_level).order_by(par_level.c.location, par_level.c.product))


async def on_hand(engine: AsyncEngine) -> dict[Spot, dict[str, int]]:
    """Items in stock by kind, where there is a level."""
    query = (
        select(item.c.location, item.c.product, item.c.kind, func.count().label("n"))
        .join(par_level, (par_level.c.product == item.c.product) & (par_level.c.location == item.c.location))
        .where(item.c.state.in_(_HERE))
        .group_by(item.c.location, item.c.product, item.c.kind)
    )
    found: dict[Spot, dict[str, int]] = defaultdict(dict)
    for row in await rows_of(engine, query):
        found[row["location"], row["product"]][row["kind"]] = row["n"]
    return found


async def on_the_way(engine: AsyncEngine) -> dict[Spot, int]:
    """What was requested and has not arrived."""
    query = (
        select(
            replenishment.c.location,
            replenishment.c.product,
            func.sum(replenishment.c.quantity - replenishment.c.arrived).label("n"),
        )
        .where(replenishment.c.state == "requested")
        .group_by(replenishment.c.location, replenishment.c.product)
    )
    return {(row["location"], row["product"]): row["n"] for row in await rows_of(engine, query)}


async def requests(
    engine: AsyncEngine, *, state: str, location: str, product: str, before: int, limit: int
) -> Sequence[RowMapping]:
    """The newest first, before that id."""
    query = select(replenishment).order_by(replenishment.c.id.desc()).limit(limit)
    pairs = (
        (state, replenishment.c.state),
        (location, replenishment.c.location),
        (product, replenishment.c.product),
    )
    query = query.where(*(column == value for value, column in pairs if value))
    return await rows_of(engine, query.where(replenishment.c.id < before) if before else query)


async def changes(engine: AsyncEngine, *, location: str, product: str, limit: int) -> Sequence[RowMapping]:
    """Of a level, the newest first."""
    query = select(par_change).where(par_change.c.location == location, par_change.c.product == product)
    return await rows_of(engine, query.order_by(par_change.c.id.desc()).limit(limit))


class Uses:
    """What was used. Facts are looked at once: asked again, only those that came since then are."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._kept: dict[int, _Kept] = {}
        self._looking = asyncio.Lock()

    async def of(self, spots: Collection[Spot], *, since_us: int, day_of: Callable[[int], dt.date]) -> list[Used]:
        """Of these products at these places, by day and lot."""
        async with self._looking:
            kept = self._kept.pop(since_us, None)
            if kept is None or kept.spots != frozenset(spots):
                kept = _Kept(frozenset(spots))
            await kept.go_on(self._engine, since_us, day_of)
            self._kept[since_us] = kept
            while len(self._kept) > _KEPT_AT_MOST:
                self._kept.pop(next(iter(self._kept)))
        return kept.used()


class _Kept:
    """Sums up to a position of the ledger."""

    def __init__(self, spots: frozenset[Spot]) -> None:
        self.spots = spots
        self._places = {location for location, _ in spots} | {""}
        self._position = 0
        self._sums: Counter[tuple[dt.date, str, str, str]] = Counter()

    def used(self) -> list[Used]:
        return sorted(
            Used(day=day, location=location, product=product, lot=lot, quantity=quantity)
            for (day, location, product, lot), quantity in self._sums.items()
            if quantity
        )

    async def go_on(self, engine: AsyncEngine, since_us: int, day_of: Callable[[int], dt.date]) -> None:
        async with engine.connect() as connection:
            first = self._position + 1 if self._position else await first_position(connection, since_us)
            misfits = {(position, code) for position, code in await connection.execute(_MISFITS, {"first": first})}
            async for rows in windows(connection, _FACTS, first=first):
                moved: list[tuple[dt.date, str, str, int]] = []
                for position, body, received_us in rows:
                    self._position, us = position, happened_us(body, received_us)
                    for place, code, sign in _moved(body) if us >= since_us else ():
                        if place in self._places and (position, code) not in misfits:
                            moved.append((day_of(us), place, code, sign))
                await self._add(connection, moved)

    async def _add(self, connection: AsyncConnection, moved: Sequence[tuple[dt.date, str, str, int]]) -> None:
        items = await _items(connection, sorted({code for _, _, code, _ in moved}))
        for day, place, code, sign in moved:
            home, product, lot = items.get(code, ("", "", ""))
            if (place or home, product) in self.spots:
                self._sums[day, place or home, product, lot] += sign


def _moved(body: bytes) -> list[tuple[str, str, int]]:
    """Place, code and sign."""
    try:
        fact = decode_fact(body)
    except ProtocolError:  # it is on the work list as unreadable
        return []
    return [(fact.location, code, _SIGNS[fact.what]) for code in fact.codes]


async def _items(connection: AsyncConnection, codes: Sequence[str]) -> Mapping[str, tuple[str, str, str]]:
    """Location, product and lot by code."""
    found = {}
    for start in range(0, len(codes), _CHUNK):
        for code, *rest in await connection.execute(_ITEMS, {"codes": codes[start : start + _CHUNK]}):
            found[code] = tuple(rest)
    return found
