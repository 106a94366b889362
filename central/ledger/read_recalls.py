"""Who holds a recall, where its items are, and which patients got one: what the cover page reads (A16, X10)."""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, RowMapping, and_, case, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncEngine

from central.ledger.read_api import rows_of
from central.ledger.read_lives import facts_about
from central.ledger.read_rows import said_at
from central.ledger.schema import agent, exception, fact, item, orders, recall, recall_confirm, usage
from sync_protocol.facts import What
from sync_protocol.items import State

MAX_EXPOSED = 2_000
_codes = msgspec.msgpack.Decoder(tuple[str, ...]).decode


class RecallRow(msgspec.Struct, frozen=True, kw_only=True):
    """A recall as it was issued, and lifted if it was. ``given_back_by``: a restored ledger has it from this agent."""

    id: str
    version: int
    product: str
    lot: str
    codes: tuple[str, ...]
    reason: str
    issued_us: int
    issued_by: str
    witness: str
    is_active: bool
    lifted_us: int
    lifted_by: str
    lift_witness: str
    lift_reason: str
    given_back_by: str


class AgentCover(msgspec.Struct, frozen=True, kw_only=True):
    """Whether an agent has the recall, or its end, in force; ``since_us`` 0: not known to have it."""

    device: str
    is_confirmed: bool
    since_us: int
    is_connected: bool
    last_seen_us: int


class Exposed(msgspec.Struct, frozen=True, kw_only=True):
    """One recalled item that a patient got. ``is_after_recall``: at a time when the recall had been issued."""

    code: str
    lot: str
    order: str
    patient: str
    visit: str
    ward: str
    device: str
    operator: str
    at_us: int
    is_after_recall: bool


class Cover(msgspec.Struct, frozen=True, kw_only=True):
    recall: RecallRow
    agents: tuple[AgentCover, ...]
    items: dict[str, int]
    """By state."""
    exposed: tuple[Exposed, ...]
    """The latest first: all of ``exposed_items``, or as many as were asked for."""
    exposed_items: int
    patients: int

    @property
    def confirmed(self) -> int:
        return sum(agent.is_confirmed for agent in self.agents)


async def recalls(engine: AsyncEngine) -> list[RecallRow]:
    """Those in force first, then the latest first."""
    query = select(recall).order_by(recall.c.is_active.desc(), recall.c.issued_us.desc(), recall.c.id)
    return [_recall_of(row) for row in await rows_of(engine, query)]


async def cover(engine: AsyncEngine, recall_id: str, *, most: int = MAX_EXPOSED) -> Cover | None:
    """``most``: how many exposed items are named at most."""
    found = await rows_of(engine, select(recall).where(recall.c.id == recall_id))
    if not found:
        return None
    row = _recall_of(found[0])
    covered = _covered(row)
    got = or_(item.c.state == State.DISPENSED, _misfit())
    count = (
        select(func.count().label("n"), func.count(func.distinct(func.nullif(_patient(), ""))).label("patients"))
        .select_from(_given(covered))
        .where(covered, got)
    )
    (sums,) = await rows_of(engine, count)
    return Cover(
        recall=row,
        agents=tuple(await _agents(engine, row.version)),
        items=await _by_state(engine, covered),
        exposed=tuple(await _exposed(engine, row, covered, got, most)),
        exposed_items=sums["n"],
        patients=sums["patients"],
    )


async def confirmed_counts(engine: AsyncEngine) -> tuple[list[int], int]:
    """Versions of the sets that agents hold, and the number of agents: for a list of recalls."""
    held = [row["recall_version"] for row in await rows_of(engine, select(agent.c.recall_version))]
    return held, len(held)


def _covered(row: RecallRow) -> ColumnElement[bool]:
    if row.codes:
        return or_(item.c.code.in_(row.codes), and_(item.c.box != "", item.c.box.in_(row.codes)))
    of_product = item.c.product == row.product
    return and_(of_product, item.c.lot == row.lot) if row.lot else of_product


async def _agents(engine: AsyncEngine, version: int) -> list[AgentCover]:
    since = (
        select(func.min(recall_confirm.c.confirmed_us))
        .where(recall_confirm.c.device == agent.c.device, recall_confirm.c.version >= version)
        .scalar_subquery()
    )
    query = select(agent, since.label("since_us")).order_by(agent.c.recall_version >= version, agent.c.device)
    return [
        AgentCover(
            device=row["device"],
            is_confirmed=row["recall_version"] >= version,
            since_us=(row["since_us"] or 0) if row["recall_version"] >= version else 0,
            is_connected=bool(row["is_connected"]),
            last_seen_us=row["last_seen_us"],
        )
        for row in await rows_of(engine, query)
    ]


async def _by_state(engine: AsyncEngine, covered: ColumnElement[bool]) -> dict[str, int]:
    query = select(item.c.state, func.count().label("n")).where(covered).group_by(item.c.state)
    return {row["state"]: row["n"] for row in await rows_of(engine, query)}


def _misfit() -> ColumnElement[bool]:
    """The ledger could not follow that it was dispensed; that it was, a workplace has said."""
    refused = (exception.c.code == item.c.code, exception.c.what == What.DISPENSED, exception.c.reason == State.FROZEN)
    return exists().where(*refused)


def _given(covered: ColumnElement[bool]) -> Any:
    """Items, each with the last fact that dispensed it, its order, and the message that told of its use."""
    about = facts_about(covered, exception.c.code.in_(select(item.c.code).where(covered)))
    dispensed = fact.alias("dispensed")
    last = (
        select(about.c.code, func.max(about.c.position).label("position"))
        .join(dispensed, dispensed.c.position == about.c.position)
        .where(dispensed.c.what == What.DISPENSED)
        .group_by(about.c.code)
        .subquery("last")
    )
    told = and_(usage.c.id == fact.c.document, usage.c.code == item.c.code, fact.c.document != "")
    order_id = case((fact.c.order_id != "", fact.c.order_id), else_=item.c.order_id)
    given = item.join(last, last.c.code == item.c.code).join(fact, fact.c.position == last.c.position)
    return given.outerjoin(orders, orders.c.id == order_id).outerjoin(usage, told)


def _patient() -> ColumnElement[str]:
    return func.coalesce(orders.c.patient, usage.c.patient, "")


async def _exposed(
    engine: AsyncEngine, row: RecallRow, covered: ColumnElement[bool], got: ColumnElement[bool], most: int
) -> list[Exposed]:
    query = (
        select(
            item.c.code,
            item.c.lot,
            item.c.order_id.label("item_order"),
            fact.c.order_id,
            _patient().label("patient"),
            func.coalesce(orders.c.visit, "").label("visit"),
            func.coalesce(orders.c.ward, "").label("ward"),
            fact.c.device,
            fact.c.operator,
            fact.c.wall_us,
            fact.c.body,
        )
        .select_from(_given(covered))
        .where(covered, got)
        .order_by(fact.c.position.desc(), item.c.code)
        .limit(most)
    )
    return [_exposed_of(found, row.issued_us) for found in await rows_of(engine, query)]


def _exposed_of(row: RowMapping, issued_us: int) -> Exposed:
    at_us = said_at(row)
    names = ("code", "lot", "patient", "visit", "ward", "device", "operator")
    return Exposed(
        **{name: row[name] for name in names},
        order=row["order_id"] or row["item_order"],
        at_us=at_us,
        is_after_recall=at_us >= issued_us,
    )


def _recall_of(row: RowMapping) -> RecallRow:
    names: Sequence[str] = RecallRow.__struct_fields__
    values = {name: row[name] for name in names} | {"codes": _codes(row["codes"]), "is_active": bool(row["is_active"])}
    return RecallRow(**values)
