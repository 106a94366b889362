"""What callers of the interfaces read. Pages are cut by key: the last page of a long list costs as the first."""

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy.exc
from sqlalchemy import ColumnElement, Executable, RowMapping, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from central.errors import BusyError
from central.ledger.read_lives import facts_about
from central.ledger.read_rows import (
    AgentRow,
    Event,
    ExceptionRow,
    InsurerRow,
    Misfit,
    OnPaper,
    agent_of,
    exception_of,
    insurer_row_of,
    item_of,
    order_of,
)
from central.ledger.read_scans import is_forced
from central.ledger.schema import agent, exception, fact, insurer_row, item, meta, note, orders
from sync_protocol.codec import decode_fact
from sync_protocol.documents import DeliveryNote, NoteLine, NoteState, Order, Pack
from sync_protocol.errors import ProtocolError
from sync_protocol.items import OF_ITS_ORDER, Item, Kind

MAX_EVENTS = 500
_CHUNK = 500
_lines = msgspec.msgpack.Decoder(tuple[NoteLine, ...])
_packs = msgspec.msgpack.Decoder(tuple[Pack, ...])


class ItemFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Empty: any. ``code`` is a part of the code."""

    state: str = ""
    kind: str = ""
    product: str = ""
    lot: str = ""
    location: str = ""
    order: str = ""
    box: str = ""
    document: str = ""
    code: str = ""
    expires_by: str = ""
    """ISO date: items that expire on it or before."""

    def clauses(self) -> list[ColumnElement[bool]]:
        pairs: tuple[tuple[str, Any], ...] = (
            (self.state, item.c.state),
            (self.kind, item.c.kind),
            (self.product, item.c.product),
            (self.lot, item.c.lot),
            (self.location, item.c.location),
            (self.order, item.c.order_id),
            (self.box, item.c.box),
            (self.document, item.c.document),
        )
        clauses: list[ColumnElement[bool]] = [column == value for value, column in pairs if value]
        if self.code:
            clauses.append(item.c.code.contains(self.code, autoescape=True))
        if self.expires_by:
            clauses.append(item.c.expiry <= self.expires_by)
        return clauses


async def ledger_version(engine: AsyncEngine) -> int:
    rows = await rows_of(engine, select(meta.c.value).where(meta.c.key == "version"))
    return int(rows[0]["value"]) if rows else 0


async def items(engine: AsyncEngine, wanted: ItemFilter, *, after: str, limit: int) -> list[tuple[Item, int]]:
    """Items with the version of their last change, by code."""
    query = select(item).where(item.c.code > after, *wanted.clauses()).order_by(item.c.code).limit(limit)
    return [(item_of(row), row["version"]) for row in await rows_of(engine, query)]


async def one_item(engine: AsyncEngine, code: str) -> tuple[Item, int] | None:
    rows = await rows_of(engine, select(item).where(item.c.code == code))
    return (item_of(rows[0]), rows[0]["version"]) if rows else None


async def order_page(engine: AsyncEngine, *, state: str, after: str, limit: int) -> list[tuple[Order, int]]:
    """Orders with the version of their last change, by id."""
    query = select(orders).where(orders.c.id > after).order_by(orders.c.id).limit(limit)
    if state:
        query = query.where(orders.c.state == state)
    return await with_codes(engine, await rows_of(engine, query))


async def with_codes(engine: AsyncEngine, rows: Sequence[RowMapping]) -> list[tuple[Order, int]]:
    """Rows of orders, each with the codes that are locked to it or were dispensed for it."""
    codes: dict[str, list[str]] = {row["id"]: [] for row in rows}
    names = list(codes)
    for start in range(0, len(names), _CHUNK):
        chunk = names[start : start + _CHUNK]
        query = select(item.c.code, item.c.order_id).where(item.c.order_id != "", item.c.order_id.in_(chunk))
        query = query.where(item.c.state.in_(sorted(OF_ITS_ORDER)))
        for row in await rows_of(engine, query.order_by(item.c.code)):
            codes[row["order_id"]].append(row["code"])
    return [(order_of(row, tuple(codes[row["id"]])), row["version"]) for row in rows]


async def one_note(engine: AsyncEngine, note_id: str) -> DeliveryNote | None:
    rows = await rows_of(engine, select(note).where(note.c.id == note_id))
    if not rows:
        return None
    row = rows[0]
    return DeliveryNote(
        id=row["id"],
        supplier=row["supplier"],
        location=row["location"],
        kind=Kind(row["kind"]),
        state=NoteState(row["state"]),
        lines=_lines.decode(row["lines"]),
        packs=_packs.decode(row["packs"]),
    )


async def exceptions(engine: AsyncEngine, *, is_open: bool | None, after: int, limit: int) -> list[ExceptionRow]:
    """Oldest first; ``is_open`` None: closed ones too."""
    query = select(exception).where(exception.c.id > after).order_by(exception.c.id).limit(limit)
    if is_open is not None:
        query = query.where(exception.c.closed_us.is_(None) if is_open else exception.c.closed_us.is_not(None))
    return [exception_of(row) for row in await rows_of(engine, query)]


async def agents(engine: AsyncEngine) -> list[AgentRow]:
    version = await ledger_version(engine)
    return [agent_of(row, version) for row in await rows_of(engine, select(agent).order_by(agent.c.device))]


async def insurer_rows(engine: AsyncEngine, *, state: str, order: str, after: int, limit: int) -> list[InsurerRow]:
    """Oldest first."""
    query = select(insurer_row).where(insurer_row.c.id > after).order_by(insurer_row.c.id).limit(limit)
    if state:
        query = query.where(insurer_row.c.state == state)
    if order:
        query = query.where(insurer_row.c.order_id == order)
    return [insurer_row_of(row) for row in await rows_of(engine, query)]


async def timeline(
    engine: AsyncEngine, codes: Sequence[str], *, after: int = 0, limit: int = MAX_EVENTS
) -> list[Event]:
    """The facts about any of the codes (a unit and its box), in the ledger's order."""
    about = facts_about(item.c.code.in_(codes), exception.c.code.in_(codes))
    query = (
        select(fact, func.max(about.c.code).label("code"))
        .join(about, about.c.position == fact.c.position)
        .where(fact.c.position > after)
        .group_by(fact.c.position)
        .order_by(fact.c.position)
        .limit(limit)
    )
    rows = await rows_of(engine, query)
    found = select(exception).where(exception.c.code.in_(codes)).order_by(exception.c.id).limit(MAX_EVENTS)
    misfits: dict[int, list[Misfit]] = {}
    for row in await rows_of(engine, found):
        misfit = Misfit(**{name: row[name] for name in Misfit.__struct_fields__})
        misfits.setdefault(row["position"] or 0, []).append(misfit)
    return [_event(row, tuple(misfits.get(row["position"], ()))) for row in rows]


def _event(row: RowMapping, misfits: tuple[Misfit, ...]) -> Event:
    common = {name: row[name] for name in ("position", "what", "code", "device", "seq", "received_us")}
    try:
        said = decode_fact(row["body"])
    except ProtocolError as error:
        return Event(**common, at_us=row["wall_us"], reason=str(error), misfits=misfits)
    names = ("operator", "witness", "location", "document", "order", "source", "reason", "pouch")
    marks = ("is_provisional", "stale_s")
    return Event(
        **common,
        **{name: getattr(said, name) for name in names + marks},
        at_us=said.at.corrected_us,
        how=said.how,
        is_forced=is_forced(said),
        codes=len(said.codes),
        paper=None if said.paper is None else OnPaper(**msgspec.structs.asdict(said.paper)),
        misfits=misfits,
    )


async def matching(engine: AsyncEngine, wanted: ItemFilter) -> int:
    rows = await rows_of(engine, select(func.count().label("n")).select_from(item).where(*wanted.clauses()))
    return int(rows[0]["n"])


async def rows_of(engine: AsyncEngine, query: Executable) -> Sequence[RowMapping]:
    """Raises BusyError if no reader became free."""
    try:
        async with engine.connect() as connection:
            rows: Sequence[RowMapping] = (await connection.execute(query)).mappings().all()
            return rows
    except sqlalchemy.exc.TimeoutError as error:
        raise BusyError("all readers of the ledger are busy") from error
