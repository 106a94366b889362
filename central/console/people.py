"""Users and roles: who may sign in, who may decide, and every change of that with two people's names."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec

from central.api.documents import Text
from central.console.acting import UNSIGNED, Form, asked, second_person, told
from central.console.message import message
from central.console.pins import Doubt, Pins
from central.console.sheet import AT_ONCE, Cell, Sheet, every
from central.console.visit import View, Visit
from central.errors import RequestError
from central.ledger import read_console, read_people
from central.ledger.read_people import PersonRow
from central.stock.roles import PersonChange, Role

PATH = "/people"
PAGE = 100
_HEADS = (
    message("Person"),
    message("Name"),
    message("Badge"),
    message("PIN"),
    message("May sign in"),
    message("Roles"),
)


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """``id``: the person who is shown beside the list; ``show``: active, inactive or all."""

    show: Text = "active"
    role: Role | None = None
    name: Text = ""
    id: Text = ""
    after: Text = ""

    @property
    def is_filtered(self) -> bool:
        return bool(self.role or self.name)

    @property
    def is_active(self) -> bool | None:
        return {"active": True, "inactive": False}.get(self.show)


async def show(visit: Visit) -> View:
    return await _page(visit, visit.query(Query))


async def change(visit: Visit, form: Form, pins: Pins) -> View | str:
    """Where to go when it is done; the page with what is wrong otherwise."""
    given = {name: asked(form, name) for name in ("id", "name", "badge", "witness")}
    roles = frozenset(role for role in Role if role in form.getall("role", []))
    is_new = "is_new" in form
    shown = Query(id="" if is_new else given["id"], show="all")
    kept = {"form": given | {"roles": roles, "is_active": "is_active" in form}}
    witness = await second_person(visit, form, pins)
    if isinstance(witness, Doubt):
        return await _page(visit, shown, cause=witness.cause, status=witness.status, **kept)
    try:
        await visit.services.roles.change(
            PersonChange(
                id=given["id"],
                is_new=is_new,
                name=given["name"],
                badge=given["badge"],
                pin=asked(form, "new_pin"),
                is_active="is_active" in form,
                roles=roles,
                operator=visit.actor,
                witness=witness,
            )
        )
    except RequestError as error:
        return await _page(visit, shown, cause=told(visit, error), status=422, **kept)
    return visit.link(PATH, id=given["id"], show="all")


async def sheet(visit: Visit) -> Sheet:
    """Everybody who fits the filters of the URL."""
    return Sheet(name="people", heads=visit.heads(_HEADS), rows=_rows(visit, visit.query(Query)))


async def _rows(visit: Visit, query: Query) -> AsyncIterator[Sequence[Cell]]:
    yes, no = visit.language.say("yes"), visit.language.say("no")

    async def page(after: str) -> list[PersonRow]:
        return await _people(visit, query, after=after, limit=AT_ONCE)

    async for row in every(page, "", lambda row: row.id):
        roles = ", ".join(visit.word("role", role) for role in row.roles)
        yield (row.id, row.name, row.badge, yes if row.has_pin else no, yes if row.is_active else no, roles)


async def _people(visit: Visit, query: Query, *, after: str, limit: int) -> list[PersonRow]:
    clauses = read_people.people_clauses(is_active=query.is_active, role=query.role or "", name=query.name)
    return await read_people.people_page(visit.services.read, clauses, after=after, limit=limit)


async def _page(visit: Visit, query: Query, *, status: int = 200, **values: Any) -> View:
    engine, roles = visit.services.read, visit.services.roles
    found = await _people(visit, query, after=query.after, limit=PAGE)
    one = await read_people.one_person(engine, query.id) if query.id else None
    changes = await read_people.changes_of(engine, query.id) if query.id else []
    signers = {name for each in changes for name in (each.operator, each.witness)}
    filled: dict[str, Any] = {"id": "", "name": "", "badge": "", "is_active": True, "roles": ()}
    if one is not None:
        filled = msgspec.structs.asdict(one)
    known = {
        "query": query,
        "people": found,
        "next": found[-1].id if len(found) == PAGE else "",
        "one": one,
        "changes": changes,
        "names": await read_console.people_names(engine, signers),
        "roles": list(Role),
        "is_in_force": roles.is_in_force,
        "may": not roles.is_in_force or visit.actor in roles.holders(Role.ADMINISTRATOR),
        "administrators": roles.holders(Role.ADMINISTRATOR),
        "form": {**UNSIGNED, **filled},
        "cause": "",
        "path": PATH,
        "here": visit.link(PATH, **msgspec.structs.asdict(query)),
    }
    return View(template="people.html", values=known | values, status=status)
