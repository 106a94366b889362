"""Stocktake sheets as their page shows them: each with how far its lines are; one with its lines and counts."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import RowMapping, Select, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from central.ledger.read_api import rows_of
from central.ledger.read_rows import item_of
from central.ledger.schema import item, stocktake, stocktake_count, stocktake_line
from sync_protocol.items import Item

_CHUNK = 500


class SheetRow(msgspec.Struct, frozen=True, kw_only=True):
    """A sheet, with its lines by state. ``row``: of the table."""

    row: RowMapping
    lines: Counter[str]

    @property
    def total(self) -> int:
        return self.lines.total()


async def sheets(
    engine: AsyncEngine, *, is_open: bool | None, location: str, before: int, limit: int
) -> list[SheetRow]:
    """The newest first, before that id; ``is_open`` None: open or closed."""
    query = select(stocktake).order_by(stocktake.c.id.desc()).limit(limit)
    if is_open is not None:
        query = query.where(stocktake.c.closed_us == 0 if is_open else stocktake.c.closed_us > 0)
    if location:
        query = query.where(stocktake.c.location == location)
    return await _with_lines(engine, query.where(stocktake.c.id < before) if before else query)


async def sheet(engine: AsyncEngine, key: int) -> SheetRow | None:
    found = await _with_lines(engine, select(stocktake).where(stocktake.c.id == key))
    return found[0] if found else None


async def lines(engine: AsyncEngine, key: int) -> Sequence[RowMapping]:
    query = select(stocktake_line).where(stocktake_line.c.sheet == key)
    return await rows_of(
        engine, query.order_by(stocktake_line.c.location, stocktake_line.c.product, stocktake_line.c.kind)
    )


async def counts(engine: AsyncEngine, key: int) -> Sequence[RowMapping]:
    """In the order of the ledger."""
    query = select(stocktake_count).where(stocktake_count.c.sheet == key).order_by(stocktake_count.c.position)
    return await rows_of(engine, query)


async def items(engine: AsyncEngine, codes: Iterable[str]) -> dict[str, Item]:
    """Those that are known, by code."""
    wanted, found = sorted(set(codes)), {}
    for start in range(0, len(wanted), _CHUNK):
        rows = await rows_of(engine, select(item).where(item.c.code.in_(wanted[start : start + _CHUNK])))
        found.update({row["code"]: item_of(row) for row in rows})
    return found


async def _with_lines(engine: AsyncEngine, query: Select[Any]) -> list[SheetRow]:
    found = await rows_of(engine, query)
    by_sheet: dict[int, Counter[str]] = defaultdict(Counter)
    tally = (
        select(stocktake_line.c.sheet, stocktake_line.c.state, func.count().label("n"))
        .where(stocktake_line.c.sheet.in_([row["id"] for row in found]))
        .group_by(stocktake_line.c.sheet, stocktake_line.c.state)
    )
    for row in await rows_of(engine, tally):
        by_sheet[row["sheet"]][row["state"]] = row["n"]
    return [SheetRow(row=row, lines=by_sheet[row["id"]]) for row in found]
