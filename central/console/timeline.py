"""The life of one code: where it came from, who moved it, which patient got it, and what did not fit."""

import datetime as dt
from collections import Counter
from collections.abc import AsyncIterator, Sequence

import msgspec

from central.api.documents import CodeText, Place
from central.console.message import message
from central.console.sheet import AT_ONCE, Cell, Sheet, every
from central.console.visit import View, Visit
from central.ledger import read_api, read_console
from central.ledger.read_rows import Event
from sync_protocol.codes import Code, CodeRefused, Entry, parse_scan
from sync_protocol.degraded import NEVER_S
from sync_protocol.items import Item, Kind

PAGE = 200
MAX_UNITS_SHOWN = 300
_HEADS = (
    message("When"),
    message("In the ledger"),
    message("Fact"),
    message("Code"),
    message("Device"),
    message("By"),
    message("Second person"),
    message("Location"),
    message("Order number"),
    message("Document"),
    message("Reason"),
    message("What disagrees"),
)


class Query(msgspec.Struct, frozen=True, kw_only=True):
    code: CodeText = ""
    after: Place = 0


async def show(visit: Visit) -> View:
    query = visit.query(Query)
    empty: dict[str, object] = {
        "query": query,
        "item": None,
        "refusal": "",
        "events": [],
        "never_s": NEVER_S,
        "units": [],
        "unit_states": {},
        "next": "",
    }
    if not query.code:
        return View(template="timeline.html", values=empty)
    found, refusal = await _find(visit, query.code)
    if found is None:
        return View(template="timeline.html", values=empty | {"refusal": refusal})
    return View(template="timeline.html", values=empty | await _life(visit, query, found))


async def sheet(visit: Visit) -> Sheet:
    """Every fact about the code of the URL; none if there is no such code."""
    found, _ = await _find(visit, visit.query(Query).code)
    return Sheet(name="timeline", heads=visit.heads(_HEADS), rows=_rows(visit, found))


async def _rows(visit: Visit, found: Item | None) -> AsyncIterator[Sequence[Cell]]:
    codes = [code for code in (found.box, found.code) if code] if found else []

    async def page(after: int) -> list[Event]:
        return await read_api.timeline(visit.services.read, codes, after=after, limit=AT_ONCE)

    async for event in every(page, 0, lambda event: event.position):
        yield (
            visit.stamp(event.at_us),
            visit.stamp(event.received_us),
            visit.word("fact", event.what) if event.what else "",
            event.code,
            event.device,
            event.operator,
            event.witness,
            event.location,
            event.order,
            event.document,
            visit.why(event.reason),
            ", ".join(visit.word("reason", misfit.reason) for misfit in event.misfits),
        )


async def _life(visit: Visit, query: Query, found: Item) -> dict[str, object]:
    engine = visit.services.read
    events = await read_api.timeline(
        engine, [code for code in (found.box, found.code) if code], after=query.after, limit=PAGE
    )
    units = await read_console.units_of(engine, found.code, limit=MAX_UNITS_SHOWN) if found.kind is Kind.BOX else []
    order = visit.services.orders.found([found.order]).get(found.order)
    people = {event.operator for event in events} | {event.witness for event in events} | {found.holder}
    people |= {event.paper.by for event in events if event.paper is not None}
    return {
        "item": found,
        "events": events,
        "never_s": NEVER_S,
        "next": events[-1].position if len(events) == PAGE else "",
        "units": units,
        "unit_states": Counter(unit.state for unit in units),
        "order": order[0] if order else None,
        "product": (await read_console.products(engine, [found.product])).get(found.product),
        "supplier": await read_console.supplier_of(engine, found.document),
        "people": await read_console.people_names(engine, people),
    }


async def _find(visit: Visit, text: str) -> tuple[Item | None, str]:
    """The item of a code as it is stored, as it is scanned or as its tag says; else why there is none."""
    engine = visit.services.read
    known = await read_api.one_item(engine, text.strip())
    if known is not None:
        return known[0], ""
    today = visit.services.time.today()
    code = _parsed(text, today)
    key = await read_console.code_by_tag(engine, text.strip()) or (code.key if isinstance(code, Code) else "")
    known = await read_api.one_item(engine, key) if key else None
    if known is not None:
        return known[0], ""
    if isinstance(code, CodeRefused):
        return None, str(code)
    return None, visit.language.say("The ledger has no item with the code %(code)s.", code=code.key)


def _parsed(text: str, today: dt.date) -> Code | CodeRefused:
    try:
        return parse_scan(text.encode(), entry=Entry.KEYBOARD, today=today)
    except CodeRefused as refusal:
        return refusal
