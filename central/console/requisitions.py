"""Requisitions and transfers (A05): who asks whom for what, what should go, what went, what arrived, what differs."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement

from central.api.documents import Text
from central.console.acting import Form, asked, second_person, told, whole
from central.console.message import message
from central.console.pins import Doubt, Pins
from central.console.sheet import Cell, Sheet
from central.console.visit import View, Visit
from central.errors import InvalidError, RequestError
from central.ledger import read_console, read_requisitions
from central.ledger.read_requisitions import Detail, Line, Moved
from central.ledger.schema import transfer
from central.stock.requisitions import Asking, Wish
from sync_protocol.documents import OPEN_TRANSFERS, TransferKind, TransferState

PATH = "/requisitions"
PAGE = 50
WISHES = 8
"""Lines of the form."""
CODES_SHOWN = 200
UNITS = "units"
_REASON = 200
_DIGITS = 4
_MARK = " · "
"""Between the name of a product and its id, in the list that a person chooses from."""
_HEADS = (
    message("Document"),
    message("Kind"),
    message("From"),
    message("To"),
    message("State"),
    message("Asked"),
    message("By"),
    message("Product"),
    message("Name"),
    message("Asked for"),
    message("Lot"),
    message("Expiry"),
    message("Code"),
    message("What became of it"),
    message("Issued"),
    message("Issued by"),
    message("Arrived"),
    message("Received by"),
)


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """``id``: the document beside the list. ``before``: time and id of the last one of the page before, by a tilde."""

    state: TransferState | None = None
    kind: TransferKind | None = None
    source: Text = ""
    target: Text = ""
    id: Text = ""
    before: Text = ""

    @property
    def is_filtered(self) -> bool:
        return bool(self.state or self.kind or self.source or self.target)

    def clauses(self) -> list[ColumnElement[bool]]:
        pairs = (
            (self.state, transfer.c.state),
            (self.kind, transfer.c.kind),
            (self.source, transfer.c.source),
            (self.target, transfer.c.target),
        )
        return [column == value for value, column in pairs if value]

    def cursor(self) -> tuple[int, str] | None:
        us, mark, key = self.before.partition("~")
        return (int(us), key) if mark and us.isdecimal() and us.isascii() else None


async def show(visit: Visit) -> View:
    return await _page(visit, visit.query(Query))


async def ask(visit: Visit, form: Form, _pins: Pins) -> View | str:
    """The new document; the page with what is wrong otherwise."""
    wishes = [tuple(str(value)[:_REASON].strip() for value in row) for row in _rows(form)]
    target, source = asked(form, "target"), asked(form, "source")
    try:
        asking = Asking(
            target=target,
            source=source,
            wishes=tuple(_wish(*wish) for wish in wishes if wish[0] or wish[1]),
            operator=visit.actor,
        )
        made = await visit.services.requisitions.ask(asking)
    except RequestError as error:
        given = {"target": target, "source": source, "wishes": wishes}
        return await _page(visit, Query(), asking=given, ask_cause=told(visit, error), status=422)
    return visit.link(PATH, id=made.id)


async def close(visit: Visit, _form: Form, _pins: Pins) -> View | str:
    """Where to go when it is done; the page with what is wrong otherwise."""
    transfer_id = visit.request.match_info["id"]
    try:
        await visit.services.requisitions.close(transfer_id)
    except RequestError as error:
        return await _page(visit, Query(id=transfer_id), cause=told(visit, error), status=422)
    return visit.link(PATH, id=transfer_id)


async def write_off(visit: Visit, form: Form, pins: Pins) -> View | str:
    """Where to go when it is done; the page with what is wrong otherwise."""
    transfer_id = visit.request.match_info["id"]
    query, given = Query(id=transfer_id), {"reason": asked(form, "reason", _REASON), "witness": asked(form, "witness")}
    witness = await second_person(visit, form, pins)
    if isinstance(witness, Doubt):
        return await _page(visit, query, form=given, missing_cause=witness.cause, status=witness.status)
    try:
        service = visit.services.requisitions
        await service.write_off(transfer_id, operator=visit.actor, witness=witness, reason=given["reason"])
    except RequestError as error:
        return await _page(visit, query, form=given, missing_cause=told(visit, error), status=422)
    return visit.link(PATH, id=transfer_id)


async def sheet(visit: Visit) -> Sheet:
    """A row a code, and one for each line that has none."""
    heads = visit.heads(_HEADS)
    return Sheet(name="requisitions", heads=heads, rows=_sheet_rows(visit, visit.query(Query)))


async def _page(visit: Visit, query: Query, *, status: int = 200, **values: Any) -> View:
    engine, today = visit.services.read, visit.services.time.today()
    found = await read_requisitions.page(engine, query.clauses(), before=query.cursor(), limit=PAGE)
    shown = await read_requisitions.detail(engine, query.id, today=today) if query.id else None
    last = found[-1].transfer if len(found) == PAGE else None
    places = await read_requisitions.places(engine)
    names = {row.transfer.asked_by for row in found} | (_people(shown) if shown else set())
    known = {
        "query": query,
        "rows": found,
        "next": f"{last.asked_us}~{last.id}" if last else "",
        "shown": shown,
        "by_state": await read_console.counts(engine, transfer.c.state),
        "states": list(TransferState),
        "kinds": list(TransferKind),
        "open": OPEN_TRANSFERS,
        "places": places,
        "place": lambda key: _place(visit, places, key),
        "place_names": [(key, _place(visit, places, key)) for key in places],
        "asking_places": [(key, _place(visit, places, key)) for key, one in places.items() if one.parent],
        "products": await read_console.products(engine),
        "people": await read_console.people_names(engine, names),
        "most": CODES_SHOWN,
        "mark": _MARK,
        "asking": {"target": "", "source": "", "wishes": []},
        "wishes": WISHES,
        "form": {"reason": "", "witness": ""},
        "cause": "",
        "ask_cause": "",
        "missing_cause": "",
        "path": PATH,
        "here": visit.link(PATH, **msgspec.structs.asdict(query)),  # also where the answer to a form is shown
    }
    return View(template="requisitions.html", values=known | values, status=status)


def _place(visit: Visit, places: dict[str, Any], key: str) -> str:
    """The name of a place in the language of the page; its id where nobody gave it one."""
    one = places.get(key)
    if one is None:
        return key
    return (visit.language.code == "en" and one.name_en) or str(one.name)


def _people(shown: Detail) -> set[str]:
    return {shown.transfer.asked_by} | {name for move in shown.moves for name in (move.operator, move.witness)}


def _rows(form: Form) -> Sequence[tuple[object, ...]]:
    columns = (form.getall(name, []) for name in ("product", "quantity", "of"))
    return list(zip(*columns, strict=False))


def _wish(product: str, quantity: str, of: str) -> Wish:
    """``product``: its id, alone or behind its name. Raises InvalidError."""
    number = whole(quantity, _DIGITS)
    if number is None:
        raise InvalidError("quantity", quantity or "nothing", "a whole number")
    return Wish(product=product.rpartition(_MARK)[2], quantity=number, is_units=of == UNITS)


async def _sheet_rows(visit: Visit, query: Query) -> AsyncIterator[Sequence[Cell]]:
    engine, today = visit.services.read, visit.services.time.today()
    clauses = [transfer.c.id == query.id] if query.id else query.clauses()
    products = await read_console.products(engine)
    before = None
    while found := await read_requisitions.page(engine, clauses, before=before, limit=PAGE):
        for row in found:
            shown = await read_requisitions.detail(engine, row.transfer.id, today=today)
            for line in shown.lines if shown else ():
                for cells in _line_rows(visit, line):
                    yield (*_document_cells(visit, row.transfer), line.line.product,
                           visit.full(products, line.line.product), line.line.quantity, *cells)  # fmt: skip
        before = (found[-1].transfer.asked_us, found[-1].transfer.id)


def _document_cells(visit: Visit, one: Any) -> tuple[Cell, ...]:
    kind, state = visit.word("transfer_kind", one.kind), visit.word("transfer_state", one.state)
    return (one.id, kind, one.source, one.target, state, visit.stamp(one.asked_us), one.asked_by)


def _line_rows(visit: Visit, line: Line) -> list[tuple[Cell, ...]]:
    if not line.codes:
        return [("",) * 8]
    return [
        (
            code.item.lot,
            code.item.expiry,
            code.item.code,
            visit.word("transfer_code", code.status),
            *_who_and_when(visit, code.out),
            *_who_and_when(visit, code.arrived),
        )
        for code in line.codes
    ]


def _who_and_when(visit: Visit, move: Moved | None) -> tuple[Cell, ...]:
    return (visit.stamp(move.at_us), move.operator) if move else ("", "")
