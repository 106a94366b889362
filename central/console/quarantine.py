"""Quarantine: what was frozen, why and by whom; two people write it off or release it (A16)."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement

from central.api.documents import Text
from central.console.acting import Form, asked, second_person, told
from central.console.message import message
from central.console.pins import Doubt, Pins
from central.console.sheet import AT_ONCE, Cell, Sheet, every
from central.console.visit import View, Visit
from central.errors import RequestError
from central.ledger import read_aside, read_console
from central.ledger.read_aside import Aside
from central.ledger.schema import item
from central.stock.quarantine import Decision
from sync_protocol.items import State

PATH = "/quarantine"
PAGE = 100
_REASON = 200
_HEADS = (
    message("Code"),
    message("Product"),
    message("Name"),
    message("Lot"),
    message("Expiry"),
    message("Location"),
    message("Frozen"),
    message("By"),
    message("Device"),
    message("Reason"),
    message("Document"),
)


class Query(msgspec.Struct, frozen=True, kw_only=True):
    product: Text = ""
    lot: Text = ""
    location: Text = ""
    after: Text = ""

    @property
    def is_filtered(self) -> bool:
        return bool(self.product or self.lot or self.location)

    def clauses(self) -> list[ColumnElement[bool]]:
        pairs = ((self.product, item.c.product), (self.lot, item.c.lot), (self.location, item.c.location))
        return [column == value for value, column in pairs if value]


async def show(visit: Visit) -> View:
    return await _page(visit, visit.query(Query))


async def decide(visit: Visit, form: Form, pins: Pins) -> View | str:
    """Where to go when it is done; the page with what is wrong otherwise."""
    given = {"act": asked(form, "act"), "witness": asked(form, "witness"), "reason": asked(form, "reason", _REASON)}
    query, codes = visit.query(Query), tuple(dict.fromkeys(str(code) for code in form.getall("code", [])))
    service = visit.services.quarantine
    decide = service.write_off if given["act"] == "write_off" else service.release
    witness = await second_person(visit, form, pins)
    if isinstance(witness, Doubt):
        return await _page(visit, query, form=given, chosen=codes, cause=witness.cause, status=witness.status)
    try:
        await decide(Decision(codes=codes, operator=visit.actor, witness=witness, reason=given["reason"]))
    except RequestError as error:
        return await _page(visit, query, form=given, chosen=codes, cause=told(visit, error), status=422)
    return visit.link(PATH, **msgspec.structs.asdict(msgspec.structs.replace(query, after="")))


async def sheet(visit: Visit) -> Sheet:
    """Everything frozen that fits the filters of the URL."""
    return Sheet(name="quarantine", heads=visit.heads(_HEADS), rows=_rows(visit, visit.query(Query)))


async def _rows(visit: Visit, query: Query) -> AsyncIterator[Sequence[Cell]]:
    engine = visit.services.read
    products = await read_console.products(engine)

    async def page(after: str) -> list[Aside]:
        return await read_aside.frozen(engine, query.clauses(), after=after, limit=AT_ONCE)

    async for each in every(page, "", lambda each: each.item.code):
        yield (
            each.item.code,
            each.item.product,
            visit.full(products, each.item.product),
            each.item.lot,
            each.item.expiry,
            each.item.location,
            visit.stamp(each.at_us),
            each.operator,
            each.device,
            each.reason,
            each.document,
        )


async def _page(visit: Visit, query: Query, *, status: int = 200, **values: Any) -> View:
    engine = visit.services.read
    found = await read_aside.frozen(engine, query.clauses(), after=query.after, limit=PAGE)
    known = {
        "query": query,
        "frozen": found,
        "total": await read_aside.count(engine, State.FROZEN),
        "recalls": await read_aside.recalls_of(engine, found),
        "products": await read_console.products(engine),
        "locations": await read_console.locations(engine),
        "people": await read_console.people_names(engine, {each.operator for each in found}),
        "next": found[-1].item.code if len(found) == PAGE else "",
        "form": {"reason": "", "witness": "", "act": ""},
        "chosen": (),
        "cause": "",
        "path": PATH,
        "here": visit.link(PATH, **msgspec.structs.asdict(query)),
    }
    return View(template="quarantine.html", values=known | values, status=status)
