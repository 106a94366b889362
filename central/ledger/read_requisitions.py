"""What the page of requisitions and transfers reads: the documents, what became of each code, what the source has."""

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence

import msgspec
from sqlalchemy import ColumnElement, RowMapping, select
from sqlalchemy.ext.asyncio import AsyncEngine

from central.ledger.place_rows import Place, place_of
from central.ledger.read_api import rows_of
from central.ledger.read_rows import item_of, said_at
from central.ledger.rows import transfer_of
from central.ledger.schema import exception, fact, item, place, transfer
from central.ledger.statements import TRANSFER_COLUMNS
from sync_protocol.allocation import Allocation, Free, allocate
from sync_protocol.codec import decode_fact
from sync_protocol.documents import Transfer, TransferLine
from sync_protocol.facts import What
from sync_protocol.items import Item, State

ON_THE_WAY, RECEIVED, MISSING = "on_the_way", "received", "missing"
_CHUNK = 500
_COLUMNS = [transfer.c[name] for name in TRANSFER_COLUMNS.split(", ")]
_STEPS = (What.TRANSFERRED_OUT, What.TRANSFERRED_IN, What.WRITTEN_OFF)


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """One fact of a document: so many codes issued, received, come back, or written off."""

    what: str
    at_us: int
    device: str
    operator: str
    witness: str
    reason: str
    codes: tuple[str, ...]
    is_back: bool


class Code(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a code that was issued. ``status``: on_the_way, received or missing."""

    item: Item
    status: str
    out: Moved | None
    arrived: Moved | None

    @property
    def is_unscanned(self) -> bool:
        """Its issue was recorded where it arrived, by two people."""
        return self.out is not None and bool(self.out.reason)


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """``on_hand``: free items at the source; ``choice``: which of them should go for what is still open."""

    line: TransferLine
    codes: tuple[Code, ...]
    on_hand: int
    choice: Allocation | None
    chosen: tuple[Item, ...]

    def count(self, status: str) -> int:
        return sum(code.status == status for code in self.codes)

    @property
    def extra(self) -> int:
        """Issued beyond what was asked for."""
        return max(0, len(self.codes) - self.line.quantity)


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A document in the list."""

    transfer: Transfer
    on_the_way: int

    @property
    def asked(self) -> int:
        return sum(line.quantity for line in self.transfer.lines)

    @property
    def issued(self) -> int:
        """Of what was asked for."""
        return sum(min(line.quantity, len(line.codes)) for line in self.transfer.lines)


class Detail(msgspec.Struct, frozen=True, kw_only=True):
    transfer: Transfer
    lines: tuple[Line, ...]
    moves: tuple[Moved, ...]

    def count(self, status: str) -> int:
        return sum(line.count(status) for line in self.lines)


async def places(engine: AsyncEngine) -> dict[str, Place]:
    """Drug stores first, by level and id."""
    rows = await rows_of(engine, select(place).order_by(place.c.level, place.c.id))
    return {row["id"]: place_of(row.values()) for row in rows}


async def page(
    engine: AsyncEngine, clauses: Sequence[ColumnElement[bool]], *, before: tuple[int, str] | None, limit: int
) -> list[Row]:
    """The last asked first; those before a time and id."""
    query = select(*_COLUMNS).where(*clauses)
    if before is not None:
        us, key = before
        query = query.where((transfer.c.asked_us < us) | ((transfer.c.asked_us == us) & (transfer.c.id < key)))
    rows = await rows_of(engine, query.order_by(transfer.c.asked_us.desc(), transfer.c.id.desc()).limit(limit))
    found = [transfer_of(tuple(row.values())) for row in rows]
    items = await _items(engine, [code for each in found for code in each.codes])
    return [Row(transfer=each, on_the_way=_on_the_way(each, items)) for each in found]


async def detail(engine: AsyncEngine, transfer_id: str, *, today: dt.date) -> Detail | None:
    """The document with each of its codes, and what should go next; None: there is none."""
    rows = await rows_of(engine, select(*_COLUMNS).where(transfer.c.id == transfer_id))
    if not rows:
        return None
    found = transfer_of(tuple(rows[0].values()))
    items = await _items(engine, found.codes)
    moves = await _moves(engine, found)
    by_code: dict[str, list[Moved]] = defaultdict(list)
    for move in moves:
        for code in move.codes:
            by_code[code].append(move)
    codes = {code: _code(found, items[code], by_code[code]) for code in found.codes}
    lines = tuple([await _line(engine, found, line, codes, today) for line in found.lines])
    return Detail(transfer=found, lines=lines, moves=moves)


async def _line(
    engine: AsyncEngine, found: Transfer, line: TransferLine, codes: Mapping[str, Code], today: dt.date
) -> Line:
    free = [] if found.is_full or not line.open else await _free(engine, found.source, line)
    choice = allocate(line.open, map(Free.of, free), today=today) if free else None
    chosen = set(choice.codes) if choice else set()
    return Line(
        line=line,
        codes=tuple(codes[code] for code in line.codes),
        on_hand=len(free),
        choice=choice,
        chosen=tuple(each for each in free if each.code in chosen),
    )


async def _free(engine: AsyncEngine, location: str, line: TransferLine) -> list[Item]:
    """First expiry first."""
    wanted = (item.c.product == line.product, item.c.kind == line.kind)
    query = select(item).where(item.c.location == location, item.c.state == State.IN_STOCK, *wanted)
    rows = await rows_of(engine, query.order_by(item.c.expiry, item.c.lot, item.c.box, item.c.code))
    return [item_of(row) for row in rows]


async def _items(engine: AsyncEngine, codes: Sequence[str]) -> dict[str, Item]:
    found: dict[str, Item] = {}
    for start in range(0, len(codes), _CHUNK):
        query = select(item).where(item.c.code.in_(codes[start : start + _CHUNK]))
        found |= {row["code"]: item_of(row) for row in await rows_of(engine, query)}
    return found


def _on_the_way(found: Transfer, items: Mapping[str, Item]) -> int:
    return sum(found.has_on_the_way(items[code]) for code in found.codes)


def _code(found: Transfer, of: Item, moves: Sequence[Moved]) -> Code:
    """``moves``: those of this code."""
    steps = {move.what: move for move in moves if not move.is_back}
    arrived = steps.get(What.TRANSFERRED_IN)
    is_gone = arrived is None and of.is_final
    status = ON_THE_WAY if found.has_on_the_way(of) else MISSING if is_gone else RECEIVED
    return Code(item=of, status=status, out=steps.get(What.TRANSFERRED_OUT), arrived=arrived)


async def _moves(engine: AsyncEngine, found: Transfer) -> tuple[Moved, ...]:
    """In the order of the ledger, without the codes that a fact did not fit."""
    query = select(fact).where(fact.c.document == found.id, fact.c.document != "", fact.c.what.in_(_STEPS))
    rows = await rows_of(engine, query.order_by(fact.c.position))
    refused: dict[int, set[str]] = defaultdict(set)
    wrong = select(exception.c.position, exception.c.code).where(
        exception.c.session.in_({row["session"] for row in rows}), exception.c.what.in_(_STEPS)
    )
    for row in await rows_of(engine, wrong):
        refused[row["position"]].add(row["code"])
    moves = (_moved(found, row, refused[row["position"]]) for row in rows)
    return tuple(move for move in moves if move.codes)


def _moved(found: Transfer, row: RowMapping, refused: set[str]) -> Moved:
    said = decode_fact(row["body"])
    return Moved(
        what=said.what,
        at_us=said_at(row),
        device=row["device"],
        operator=said.operator,
        witness=said.witness,
        reason=said.reason,
        codes=tuple(code for code in said.codes if code not in refused),
        is_back=said.what is What.TRANSFERRED_IN and said.location == found.source,
    )
