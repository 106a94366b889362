"""Quarantine: what was frozen, why and by whom; two people write it off or release it (A16)."""

from typing import Any

import msgspec

from central.api.documents import Text
from central.console.acting import Form, asked, second_person, told
from central.console.pins import Doubt, Pins
from central.console.visit import View, Visit
from central.errors import RequestError
from central.ledger import read_aside, read_console
from central.ledger.schema import item
from central.stock.quarantine import Decision
from sync_protocol.items import State

PATH = "/quarantine"
PAGE = 100
_REASON = 200


class Query(msgspec.Struct, frozen=True, kw_only=True):
    product: Text = ""
    lot: Text = ""
    location: Text = ""
    after: Text = ""

    @property
    def is_filtered(self) -> bool:
        return bool(self.product or self.lot or self.location)


async def show(visit: Visit) -> View:
    return await _page(visit, visit.query(Query))


async def decide(visit: Visit, form: Form, pins: Pins) -> View | str:
    """Where to go when it is done; the page with what is wrong otherwise."""
    given = {"act": asked(form, "act"), "witness": asked(form, "witness"), "reason": asked(form, "reason", _REASON)}
    codes = tuple(dict.fromkeys(str(code) for code in form.getall("code", [])))
    service = visit.services.quarantine
    decide = service.write_off if given["act"] == "write_off" else service.release
    witness = await second_person(visit, form, pins)
    if isinstance(witness, Doubt):
        return await _page(visit, Query(), form=given, chosen=codes, cause=witness.cause, status=witness.status)
    session = visit.session
    assert session is not None, "only people who are signed in act"
    try:
        await decide(Decision(codes=codes, operator=session.person, witness=witness, reason=given["reason"]))
    except RequestError as error:
        return await _page(visit, Query(), form=given, chosen=codes, cause=told(visit, error), status=422)
    return visit.link(PATH)


async def _page(visit: Visit, query: Query, *, status: int = 200, **values: Any) -> View:
    engine = visit.services.read
    pairs = ((query.product, item.c.product), (query.lot, item.c.lot), (query.location, item.c.location))
    clauses = [column == value for value, column in pairs if value]
    found = await read_aside.frozen(engine, clauses, after=query.after, limit=PAGE)
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
