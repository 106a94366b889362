"""The work list: facts that do not fit, each with what disagrees and what to do about it."""

from collections.abc import AsyncIterator, Sequence

import msgspec
from sqlalchemy import ColumnElement

from central.api.documents import Place, Text
from central.console.message import message
from central.console.sheet import AT_ONCE, Cell, Sheet, every
from central.console.visit import View, Visit
from central.console.words import ADVICE
from central.ledger import read_console
from central.ledger.read_rows import ExceptionRow
from central.ledger.schema import exception

PAGE = 100
_HEADS = (
    message("When"),
    message("Device"),
    message("Fact"),
    message("Code"),
    message("What disagrees"),
    message("Found"),
    message("Expected"),
    message("What to do"),
    message("Closed"),
    message("By"),
)


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """``show``: open, closed or all."""

    show: Text = "open"
    reason: Text = ""
    device: Text = ""
    code: Text = ""
    before: Place = 0

    @property
    def is_filtered(self) -> bool:
        return bool(self.reason or self.device or self.code)

    def state(self) -> list[ColumnElement[bool]]:
        is_open = {"open": exception.c.closed_us.is_(None), "closed": exception.c.closed_us.is_not(None)}
        return [is_open[self.show]] if self.show in is_open else []

    def others(self) -> list[ColumnElement[bool]]:
        pairs = ((self.reason, exception.c.reason), (self.device, exception.c.device), (self.code, exception.c.code))
        return [column == value for value, column in pairs if value]


async def show(visit: Visit) -> View:
    query, engine = visit.query(Query), visit.services.read
    state = query.state()
    found = await read_console.exception_page(engine, [*state, *query.others()], before=query.before, limit=PAGE)
    values = {
        "query": query,
        "exceptions": found,
        "next": found[-1].id if len(found) == PAGE else "",
        "by_reason": await read_console.counts(engine, exception.c.reason, *state),
        "devices": sorted(await read_console.counts(engine, exception.c.device)),
        "advised": ADVICE,
        "people": await read_console.people_names(engine, {row.closed_by for row in found}),
    }
    return View(template="exceptions.html", values=values)


async def sheet(visit: Visit) -> Sheet:
    """Every line that fits the filters of the URL."""
    return Sheet(name="exceptions", heads=visit.heads(_HEADS), rows=_rows(visit, visit.query(Query)))


async def _rows(visit: Visit, query: Query) -> AsyncIterator[Sequence[Cell]]:
    clauses = [*query.state(), *query.others()]

    async def page(before: int) -> list[ExceptionRow]:
        return await read_console.exception_page(visit.services.read, clauses, before=before, limit=AT_ONCE)

    async for row in every(page, 0, lambda row: row.id):
        yield (
            visit.stamp(row.raised_us),
            row.device,
            visit.word("fact", row.what) if row.what else "",
            row.code,
            visit.word("reason", row.reason),
            visit.terms(row.found) if row.found else "",
            visit.terms(row.expected) if row.expected else "",
            visit.word("advice", row.reason) if row.reason in ADVICE else "",
            visit.stamp(row.closed_us or 0),
            row.closed_by,
        )
