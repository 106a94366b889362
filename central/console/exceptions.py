"""The work list: facts that do not fit, each with what disagrees and what to do about it."""

import msgspec

from central.api.documents import Place, Text
from central.console.visit import View, Visit
from central.console.words import ADVICE
from central.ledger import read_console
from central.ledger.schema import exception

PAGE = 100


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


async def show(visit: Visit) -> View:
    query, engine = visit.query(Query), visit.services.read
    is_open = {"open": exception.c.closed_us.is_(None), "closed": exception.c.closed_us.is_not(None)}
    state = [is_open[query.show]] if query.show in is_open else []
    pairs = ((query.reason, exception.c.reason), (query.device, exception.c.device), (query.code, exception.c.code))
    others = [column == value for value, column in pairs if value]
    found = await read_console.exception_page(engine, [*state, *others], before=query.before, limit=PAGE)
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
