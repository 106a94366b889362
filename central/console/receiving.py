"""Receiving (A01): delivery notes with their progress, live; what differs, and closing what will not come."""

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
from central.ledger import read_console, read_receiving
from central.ledger.read_receiving import NoteRow
from central.ledger.schema import note
from sync_protocol.documents import NoteState
from sync_protocol.items import Kind

PATH = "/receiving"
PAGE = 50
CODES_SHOWN = 100
_REASON = 200
_HEADS = (
    message("Delivery note"),
    message("Supplier"),
    message("Location"),
    message("Kind"),
    message("State"),
    message("Expected"),
    message("Here"),
)


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

    def clauses(self) -> list[ColumnElement[bool]]:
        pairs = (
            (self.state, note.c.state),
            (self.kind, note.c.kind),
            (self.location, note.c.location),
            (self.supplier, note.c.supplier),
        )
        return [column == value for value, column in pairs if value]


async def show(visit: Visit) -> View:
    return await _page(visit, visit.query(Query))


async def close(visit: Visit, form: Form, pins: Pins) -> View | str:
    """Where to go when it is done; the page with what is wrong otherwise."""
    note_id = visit.request.match_info["id"]
    given = {"reason": asked(form, "reason", _REASON), "witness": asked(form, "witness")}
    witness = await second_person(visit, form, pins)
    if isinstance(witness, Doubt):
        return await _page(visit, Query(id=note_id), form=given, cause=witness.cause, status=witness.status)
    try:
        await visit.services.receiving.close(note_id, operator=visit.actor, witness=witness, reason=given["reason"])
    except RequestError as error:
        return await _page(visit, Query(id=note_id), form=given, cause=told(visit, error), status=422)
    return visit.link(PATH, id=note_id)


async def sheet(visit: Visit) -> Sheet:
    """Every note that fits the filters of the URL."""
    return Sheet(name="receiving", heads=visit.heads(_HEADS), rows=_rows(visit, visit.query(Query)))


async def _rows(visit: Visit, query: Query) -> AsyncIterator[Sequence[Cell]]:
    async def page(before: str) -> list[NoteRow]:
        return await read_receiving.note_page(visit.services.read, query.clauses(), before=before, limit=AT_ONCE)

    async for row in every(page, "", lambda row: row.id):
        yield (
            row.id,
            row.supplier,
            row.location,
            visit.word("kind", row.kind),
            visit.word("note_state", row.state),
            row.total,
            row.here,
        )


async def _page(visit: Visit, query: Query, *, status: int = 200, **values: Any) -> View:
    engine = visit.services.read
    found = await read_receiving.note_page(engine, query.clauses(), before=query.before, limit=PAGE)
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
