"""What the pages of the console and the scrape read: counts, newest first, names beside ids."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, RowMapping, Select, case, func, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncEngine

from central.ledger.read_api import ItemFilter, rows_of, with_codes
from central.ledger.read_rows import ExceptionRow, exception_of, item_of
from central.ledger.schema import (
    agent,
    backup,
    drift,
    exception,
    fact,
    insurer_row,
    item,
    note,
    orders,
    person,
    platform_task,
    product,
)
from sync_protocol.documents import Order, Product
from sync_protocol.items import Item, State

INSURER_STATES = ("waiting", "sending", "unknown", "accepted", "refused", "exempt")
PLATFORM_STATES = ("waiting", "sending", "unknown", "sent", "done", "refused")
IN_POOL = (
    State.IN_STOCK,
    State.LOCKED,
    State.TAKEN,
    State.LENT,
    State.AWAITING_PUT_BACK,
    State.IN_TRANSIT,
    State.FROZEN,
)
"""States of items that the hospital has and has not issued yet: the code pool (码池)."""
_MAX_NAMES = 2_000
_products = msgspec.msgpack.Decoder(Product)
# From one location to the next along the index: DISTINCT would look at every item.
_LOCATIONS = text(
    "WITH RECURSIVE place (location) AS (SELECT min(location) FROM item WHERE location > '' UNION ALL "
    "SELECT (SELECT min(item.location) FROM item WHERE item.location > place.location) FROM place "
    "WHERE place.location IS NOT NULL LIMIT :most) SELECT location FROM place WHERE location IS NOT NULL"
).bindparams(most=_MAX_NAMES)


class Levels(msgspec.Struct, frozen=True, kw_only=True):
    facts: int
    exceptions_open: int
    agents_connected: int
    facts_waiting: int
    insurer_rows: Mapping[str, int]
    platform_tasks: Mapping[str, int]


class ProductCount(msgspec.Struct, frozen=True, kw_only=True):
    """Items of one product that fit the filter, by state, and when the first of those in stock expires."""

    product: str
    states: Mapping[str, int]
    first_expiry: str

    @property
    def total(self) -> int:
        return sum(self.states.values())

    def narrowed(self, states: Sequence[str]) -> "ProductCount":
        """Only the items in these states; none given: in any."""
        if not states:
            return self
        kept = {state: count for state, count in self.states.items() if state in states}
        first_expiry = self.first_expiry if State.IN_STOCK in kept else ""
        return ProductCount(product=self.product, states=kept, first_expiry=first_expiry)


async def levels(engine: AsyncEngine) -> Levels:
    facts = await rows_of(engine, select(func.coalesce(func.max(fact.c.position), 0).label("n")))
    still_open = select(func.count().label("n")).select_from(exception).where(exception.c.closed_us.is_(None))
    heard = select(
        func.coalesce(func.sum(case((agent.c.is_connected, 1), else_=0)), 0).label("connected"),
        func.coalesce(func.sum(agent.c.facts_waiting), 0).label("waiting"),
    )
    agents = (await rows_of(engine, heard))[0]
    return Levels(
        facts=facts[0]["n"],
        exceptions_open=(await rows_of(engine, still_open))[0]["n"],
        agents_connected=agents["connected"],
        facts_waiting=agents["waiting"],
        insurer_rows=await counts(engine, insurer_row.c.state),
        platform_tasks=await counts(engine, platform_task.c.state),
    )


async def counts(engine: AsyncEngine, column: ColumnElement[str], *clauses: ColumnElement[bool]) -> dict[str, int]:
    """Rows by the value of a column."""
    query = select(column.label("value"), func.count().label("n")).where(*clauses).group_by(column)
    return {row["value"]: row["n"] for row in await rows_of(engine, query)}


def pool_clauses(wanted: ItemFilter, states: Sequence[str]) -> list[ColumnElement[bool]]:
    """``states`` empty: any."""
    return [*wanted.clauses(), *([item.c.state.in_(states)] if states else [])]


async def product_counts(engine: AsyncEngine, clauses: Sequence[ColumnElement[bool]]) -> list[ProductCount]:
    """By product id."""
    query = (
        select(item.c.product, item.c.state, func.count().label("n"), func.min(item.c.expiry).label("expiry"))
        .where(*clauses)
        .group_by(item.c.product, item.c.state)
        .order_by(item.c.product)
    )
    states: dict[str, dict[str, int]] = {}
    expiries: dict[str, str] = {}
    for row in await rows_of(engine, query):
        states.setdefault(row["product"], {})[row["state"]] = row["n"]
        if row["state"] == State.IN_STOCK:
            expiries[row["product"]] = row["expiry"]
    return [
        ProductCount(product=key, states=found, first_expiry=expiries.get(key, "")) for key, found in states.items()
    ]


async def pool_page(
    engine: AsyncEngine, clauses: Sequence[ColumnElement[bool]], *, after: str, limit: int
) -> list[Item]:
    """Items by code, after that code."""
    query = select(item).where(item.c.code > after, *clauses).order_by(item.c.code).limit(limit)
    return [item_of(row) for row in await rows_of(engine, query)]


async def units_of(engine: AsyncEngine, box: str, *, limit: int) -> list[Item]:
    query = select(item).where(item.c.box == box, item.c.box != "").order_by(item.c.code).limit(limit)
    return [item_of(row) for row in await rows_of(engine, query)]


async def code_by_tag(engine: AsyncEngine, tag: str) -> str:
    """Code of the piece that answers to this tag since it was relabelled; empty: none."""
    rows = await rows_of(engine, select(item.c.code).where(item.c.tag == tag, item.c.tag != "").limit(1))
    return rows[0]["code"] if rows else ""


async def locations(engine: AsyncEngine) -> list[str]:
    return [row["location"] for row in await rows_of(engine, _LOCATIONS)]


async def products(engine: AsyncEngine, ids: Iterable[str] | None = None) -> dict[str, Product]:
    """Catalogue entries by id; all, at most 2,000, without ``ids``."""
    query = select(product.c.body).order_by(product.c.id).limit(_MAX_NAMES)
    if ids is not None:
        query = query.where(product.c.id.in_(list(ids)[:_MAX_NAMES]))
    found = [_products.decode(row["body"]) for row in await rows_of(engine, query)]
    return {entry.id: entry for entry in found}


async def people_names(engine: AsyncEngine, ids: Iterable[str]) -> dict[str, str]:
    query = select(person.c.id, person.c.name).where(person.c.id.in_([key for key in ids if key][:_MAX_NAMES]))
    return {row["id"]: row["name"] for row in await rows_of(engine, query)}


async def sign_in_of(engine: AsyncEngine, person_id: str) -> tuple[str, str] | None:
    """Name and PIN verifier of an active person."""
    query = select(person.c.name, person.c.pin).where(person.c.id == person_id, person.c.is_active)
    rows = await rows_of(engine, query)
    return (rows[0]["name"], rows[0]["pin"]) if rows else None


async def supplier_of(engine: AsyncEngine, note_id: str) -> str:
    rows = await rows_of(engine, select(note.c.supplier).where(note.c.id == note_id))
    return str(rows[0]["supplier"]) if rows else ""


def order_clauses(*, state: str, kind: str, product_id: str, ward: str, order_id: str) -> list[ColumnElement[bool]]:
    pairs = (
        (state, orders.c.state),
        (kind, orders.c.kind),
        (product_id, orders.c.product),
        (ward, orders.c.ward),
        (order_id, orders.c.id),
    )
    return [column == value for value, column in pairs if value]


async def order_page(
    engine: AsyncEngine, clauses: Sequence[ColumnElement[bool]], *, before: tuple[int, str] | None, limit: int
) -> list[tuple[Order, int]]:
    """Orders with their hand-out time (0: not yet), the newest first, those older than ``before`` (ordered_us, id)."""
    query = select(orders).where(*clauses).order_by(orders.c.ordered_us.desc(), orders.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(tuple_(orders.c.ordered_us, orders.c.id) < before)
    rows = await rows_of(engine, query)
    done = {row["id"]: row["dispensed_us"] for row in rows}
    return [(order, done[order.id]) for order, _ in await with_codes(engine, rows)]


async def exception_page(
    engine: AsyncEngine, clauses: Sequence[ColumnElement[bool]], *, before: int, limit: int
) -> list[ExceptionRow]:
    """The newest first; ``before`` 0: from the newest."""
    query = _older(select(exception).where(*clauses), exception.c.id, before)
    return [exception_of(row) for row in await rows_of(engine, query.limit(limit))]


async def last_backup(engine: AsyncEngine) -> RowMapping | None:
    """The newest verified backup."""
    rows = await rows_of(engine, select(backup).order_by(backup.c.taken_us.desc()).limit(1))
    return rows[0] if rows else None


async def drifts(engine: AsyncEngine, *, since_us: int) -> dict[str, RowMapping]:
    """The last time that the replica of a device was found to differ, by device."""
    query = select(drift).where(drift.c.found_us > since_us).order_by(drift.c.id.desc()).limit(_MAX_NAMES)
    return {row["device"]: row for row in reversed(await rows_of(engine, query))}


def _older(query: Select[Any], key: ColumnElement[int], before: int) -> Select[Any]:
    query = query.order_by(key.desc())
    return query.where(key < before) if before else query
