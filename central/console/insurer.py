"""What the insurer has been told: each row waiting, accepted, refused or not known yet, with its cause."""

import msgspec

from central.api.documents import Place, Text
from central.console.visit import View, Visit
from central.ledger import read_console
from central.ledger.read_console import INSURER_STATES
from central.ledger.schema import insurer_row

PAGE = 100


class Query(msgspec.Struct, frozen=True, kw_only=True):
    state: Text = ""
    order: Text = ""
    box: Text = ""
    before: Place = 0

    @property
    def is_filtered(self) -> bool:
        return bool(self.state or self.order or self.box)


async def show(visit: Visit) -> View:
    query, engine = visit.query(Query), visit.services.read
    pairs = ((query.state, insurer_row.c.state), (query.order, insurer_row.c.order_id), (query.box, insurer_row.c.box))
    clauses = [column == value for value, column in pairs if value]
    found = await read_console.insurer_page(engine, clauses, before=query.before, limit=PAGE)
    by_state = await read_console.counts(engine, insurer_row.c.state)
    total = sum(by_state.values())
    values = {
        "query": query,
        "rows": found,
        "next": found[-1].id if len(found) == PAGE else "",
        "by_state": by_state,
        "states": INSURER_STATES,
        "total": total,
        "rate": by_state.get("accepted", 0) / total if total else None,
    }
    return View(template="insurer.html", values=values)
