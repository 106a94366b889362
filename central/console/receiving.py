"""Receiving (A01): delivery notes with their progress, live; what differs, and closing what will not come."""

from typing import Any

import msgspec

from central.api.documents import Text
from central.console.acting import Form, asked, second_person, told
from central.console.pins import Doubt, Pins
from central.console.visit import View, Visit
from central.errors import RequestError
from central.ledger import read_console, read_receiving
from central.ledger.schema import note
from sync_protocol.documents import NoteState
from sync_protocol.items import Kind

PATH = "/receiving"
PAGE = 50
CODES_SHOWN = 100
_REASON = 200


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """``id``: the note that is shown beside the list."""

    state: NoteState | None = None
    kind: Kind | None = None
    location: Text = ""
    supplier: Text = ""
    id: Text = ""
    before: Text = ""

    @property
    def is_filtered(self) -> bool:
        return bool(self.state or self.kind or self.location or self.supplier)


async def show(visit: Visit) -> View:
    return await _page(visit, visit.query(Query))


async def close(visit: Visit, form: Form, pins: Pins) -> View | str:
    """Where to go when it is done; the page with what is wrong otherwise."""
    note_id = visit.request.match_info["id"]
    given = {"reason": asked(form, "reason", _REASON), "witness": asked(form, "witness")}
    session = visit.session
    assert session is not None, "only people who are signed in act"
    witness = await second_person(visit, form, pins)
    if isinstance(witness, Doubt):
        return await _page(visit, Query(id=note_id), form=given, cause=witness.cause, status=witness.status)
    try:
        await visit.services.receiving.close(note_id, operator=session.person, witness=witness, reason=given["reason"])
    except RequestError as error:
        return await _page(visit, Query(id=note_id), form=given, cause=told(visit, error), status=422)
    return visit.link(PATH, id=note_id)


async def _page(visit: Visit, query: Query, *, status: int = 200, **values: Any) -> View:
    engine = visit.services.read
    pairs = (
        (query.state, note.c.state),
        (query.kind, note.c.kind),
        (query.location, note.c.location),
        (query.supplier, note.c.supplier),
    )
    clauses = [column == value for value, column in pairs if value]
    found = await read_receiving.note_page(engine, clauses, before=query.before, limit=PAGE)
    shown = await read_receiving.note_detail(engine, query.id) if query.id else None
    receipts = shown.receipts if shown else ()
    known = {
        "query": query,
        "notes": found,
        "next": found[-1].id if len(found) == PAGE else "",
        "shown": shown,
        "by_state": await read_console.counts(engine, note.c.state),
        "states": list(NoteState),
        "kinds": [Kind.BOX, Kind.PIECE],
        "locations": await read_console.locations(engine),
        "products": await read_console.products(engine),
        "people": await read_console.people_names(engine, {name for r in receipts for name in (r.operator, r.witness)}),
        "relation": relation,
        "most": CODES_SHOWN,
        "form": {"reason": "", "witness": ""},
        "cause": "",
        "path": PATH,
        "here": visit.link(PATH, **msgspec.structs.asdict(query)),  # also where the answer to a form is shown
    }
    return View(template="receiving.html", values=known | values, status=status)


def relation(kind: str, state: str) -> str:
    """Where the relation of outer packs comes from: the platform, awaited from it, or the note's own codes."""
    if kind != Kind.BOX or state in {"", "refused"}:
        return "note"
    return "platform" if state == "done" else "awaited"
