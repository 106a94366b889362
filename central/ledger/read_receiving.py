"""What the receiving page reads: delivery notes with their progress, what differs, and what the code platform said."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from central.ledger.read_api import one_note, rows_of
from central.ledger.schema import fact, item, note, pack, platform_task
from sync_protocol.codec import decode_fact
from sync_protocol.documents import DeliveryNote, NoteLine, NoteState
from sync_protocol.facts import What
from sync_protocol.items import State

_CHUNK = 500
_MOST_RECEIPTS = 200
_lines = msgspec.msgpack.Decoder(tuple[NoteLine, ...])


class NoteRow(msgspec.Struct, frozen=True, kw_only=True):
    """A note in the list. ``here``: boxes that have come; ``relation``: state of its question."""

    id: str
    supplier: str
    location: str
    kind: str
    state: str
    total: int
    here: int
    relation: str

    @property
    def is_part(self) -> bool:
        return 0 < self.here < self.total


class Line(msgspec.Struct, frozen=True, kw_only=True):
    line: NoteLine
    expected: int
    gone: int
    """Boxes that two people said will not come."""
    other_lots: Mapping[str, str]
    """Codes of which the code platform says another lot."""

    @property
    def total(self) -> int:
        return len(self.line.codes)

    @property
    def here(self) -> int:
        return self.total - self.expected - self.gone


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """One received fact of a note and what became of its bill. ``state`` empty: it was not reported (no boxes)."""

    at_us: int
    operator: str
    witness: str
    reason: str
    codes: int
    bill: str
    state: str
    cause: str


class NoteDetail(msgspec.Struct, frozen=True, kw_only=True):
    note: DeliveryNote
    lines: tuple[Line, ...]
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    receipts: tuple[Receipt, ...]
    relation: str
    relation_cause: str

    @property
    def total(self) -> int:
        return sum(line.total for line in self.lines)

    @property
    def here(self) -> int:
        return sum(line.here for line in self.lines)


async def note_page(
    engine: AsyncEngine, clauses: Sequence[ColumnElement[bool]], *, before: str, limit: int
) -> list[NoteRow]:
    """By id, the last first; those before ``before``."""
    asked = platform_task.c.kind == "relation", platform_task.c.subject == note.c.id
    state = func.coalesce(platform_task.c.state, "").label("relation")
    query = select(note, state).outerjoin(platform_task, asked[0] & asked[1]).where(*clauses)
    query = query.where(note.c.id < before) if before else query
    found = []
    rows = await rows_of(engine, query.order_by(note.c.id.desc()).limit(limit))
    gone = await _not_come(engine, [row["id"] for row in rows])
    for row in rows:
        codes = [code for line in _lines.decode(row["lines"]) for code in line.codes]
        is_open = row["state"] == NoteState.EXPECTED
        expected = await _count_expected(engine, codes) if is_open else 0
        known = {name: row[name] for name in ("id", "supplier", "location", "kind", "state", "relation")}
        found.append(NoteRow(**known, total=len(codes), here=len(codes) - expected - len(gone[row["id"]])))
    return found


async def note_detail(engine: AsyncEngine, note_id: str) -> NoteDetail | None:
    found = await one_note(engine, note_id)
    if found is None:
        return None
    states = await _by_code(engine, found.codes, item.c.code, item.c.state)
    gone = (await _not_come(engine, [note_id]))[note_id]
    lots = await _by_code(engine, found.codes, pack.c.code, pack.c.lot)
    lines = tuple(
        Line(
            line=line,
            expected=sum(states.get(code) == State.EXPECTED for code in line.codes),
            gone=len(gone.intersection(line.codes)),
            other_lots={code: lots[code] for code in line.codes if lots.get(code) and lots[code] != line.lot},
        )
        for line in found.lines
    )
    tasks = await rows_of(engine, select(platform_task).where(platform_task.c.document == note_id))
    relation: Mapping[str, Any] = next((dict(task) for task in tasks if task["kind"] == "relation"), {})
    return NoteDetail(
        note=found,
        lines=lines,
        missing=tuple(code for code in found.codes if states.get(code) == State.EXPECTED),
        extra=tuple(sorted({code for each in found.packs for code in each.extra})),
        receipts=await _receipts(engine, note_id, {task["position"]: dict(task) for task in tasks}),
        relation=relation.get("state", ""),
        relation_cause=relation.get("cause", ""),
    )


async def _receipts(engine: AsyncEngine, note_id: str, bills: Mapping[int, Mapping[str, Any]]) -> tuple[Receipt, ...]:
    query = select(fact.c.position, fact.c.body).where(
        fact.c.document == note_id, fact.c.document != "", fact.c.what.in_((What.RECEIVED, What.WRITTEN_OFF))
    )
    receipts = []
    for row in await rows_of(engine, query.order_by(fact.c.position).limit(_MOST_RECEIPTS)):
        said, bill = decode_fact(row["body"]), bills.get(row["position"], {})
        receipts.append(
            Receipt(
                at_us=said.at.corrected_us,
                operator=said.operator,
                witness=said.witness,
                reason=said.reason,
                codes=len(said.codes) if said.what is What.RECEIVED else -len(said.codes),
                bill=bill.get("subject", ""),
                state=bill.get("state", ""),
                cause=bill.get("cause", ""),
            )
        )
    return tuple(receipts)


async def _not_come(engine: AsyncEngine, ids: Sequence[str]) -> Mapping[str, set[str]]:
    """Codes that were written off in the name of their note, by note: it was closed without them."""
    query = select(fact.c.document, fact.c.body).where(
        fact.c.document.in_(ids), fact.c.document != "", fact.c.what == What.WRITTEN_OFF
    )
    gone: dict[str, set[str]] = defaultdict(set)
    for row in await rows_of(engine, query):
        gone[row["document"]].update(decode_fact(row["body"]).codes)
    return gone


async def _count_expected(engine: AsyncEngine, codes: Sequence[str]) -> int:
    total = 0
    for start in range(0, len(codes), _CHUNK):
        chunk = item.c.code.in_(codes[start : start + _CHUNK])
        query = select(func.count().label("n")).select_from(item).where(chunk, item.c.state == State.EXPECTED)
        total += (await rows_of(engine, query))[0]["n"]
    return total


async def _by_code(
    engine: AsyncEngine, codes: Sequence[str], key: ColumnElement[str], value: ColumnElement[str]
) -> dict[str, str]:
    found: dict[str, str] = {}
    for start in range(0, len(codes), _CHUNK):
        query = select(key.label("key"), value.label("value")).where(key.in_(codes[start : start + _CHUNK]))
        found |= {row["key"]: row["value"] for row in await rows_of(engine, query)}
    return found
