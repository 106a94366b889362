"""Recalls: issue and lift one with a second person's PIN; who has confirmed it, where its items are, who got one."""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from central.api.documents import Text
from central.console.acting import Form, second_person, told
from central.console.message import message
from central.console.pins import Doubt, Pins
from central.console.sheet import Cell, Sheet, listed
from central.console.visit import View, Visit
from central.errors import RequestError
from central.ledger import read_console, read_recalls
from central.ledger.read_recalls import Cover, RecallRow
from central.stock.recalls import NewRecall
from sync_protocol.items import State

PATH = "/recalls"
_MOST = 1_000_000
"""Rows of the file: as many as may ever have been handed out of one recall."""
_HEADS = (
    message("Recall"),
    message("Patient"),
    message("Visit"),
    message("Ward"),
    message("Order number"),
    message("Code"),
    message("Lot"),
    message("Handed out"),
    message("Device"),
    message("By"),
    message("After the recall"),
)
_FIELDS = ("id", "product", "lot", "codes", "reason", "witness")
_LONGEST = {"codes": 400_000, "reason": 200}
_LONGEST_OTHER = 128


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """``id``: the recall that is shown; the first of the list without it."""

    id: Text = ""


async def show(visit: Visit) -> View:
    return await _page(visit, visit.query(Query).id)


async def issue(visit: Visit, form: Form, pins: Pins) -> View | str:
    """Where to go when it is done; the page with what is wrong otherwise."""
    given = _given(form)
    doubt = await second_person(visit, form, pins)
    if isinstance(doubt, Doubt):
        return await _page(visit, "", form=given, cause=doubt.cause, status=doubt.status)
    try:
        await visit.services.recalls.issue(
            NewRecall(
                id=given["id"],
                product=given["product"],
                lot=given["lot"],
                codes=tuple(dict.fromkeys(given["codes"].split())),
                reason=given["reason"],
                operator=visit.actor,
                witness=given["witness"],
            )
        )
    except RequestError as error:
        return await _page(visit, "", form=given, cause=told(visit, error), status=422)
    return visit.link(PATH, id=given["id"])


async def lift(visit: Visit, form: Form, pins: Pins) -> View | str:
    """As ``issue``."""
    recall_id, given = visit.request.match_info["id"], _given(form)
    doubt = await second_person(visit, form, pins)
    if isinstance(doubt, Doubt):
        return await _page(visit, recall_id, lift_form=given, lift_cause=doubt.cause, status=doubt.status)
    try:
        await visit.services.recalls.lift(
            recall_id, operator=visit.actor, witness=given["witness"], reason=given["reason"]
        )
    except RequestError as error:
        return await _page(visit, recall_id, lift_form=given, lift_cause=told(visit, error), status=422)
    return visit.link(PATH, id=recall_id)


async def sheet(visit: Visit) -> Sheet:
    """Who got what is recalled: a row an item."""
    recall_id = visit.query(Query).id
    cover = await read_recalls.cover(visit.services.read, recall_id, most=_MOST) if recall_id else None
    yes, no = visit.language.say("yes"), visit.language.say("no")
    rows: list[Sequence[Cell]] = [
        (
            recall_id,
            each.patient,
            each.visit,
            each.ward,
            each.order,
            each.code,
            each.lot,
            visit.stamp(each.at_us),
            each.device,
            each.operator,
            yes if each.is_after_recall else no,
        )
        for each in (cover.exposed if cover else ())
    ]
    return Sheet(name="recall", heads=visit.heads(_HEADS), rows=listed(rows))


async def _page(visit: Visit, chosen: str, *, status: int = 200, **values: Any) -> View:
    engine = visit.services.read
    recalls = await read_recalls.recalls(engine)
    shown = chosen or (recalls[0].id if recalls else "")
    cover = await read_recalls.cover(engine, shown) if shown else None
    held, agents = await read_recalls.confirmed_counts(engine)
    known = {
        "recalls": recalls,
        "cover": cover,
        "sentence": sentence(visit, cover) if cover else "",
        "missing": bool(cover) and not _is_everywhere(cover),
        "confirmed": lambda row: sum(version >= row.version for version in held),
        "agents": agents,
        "products": await read_console.products(engine),
        "people": await read_console.people_names(engine, _people(recalls, cover)),
        "states": [state.value for state in State if cover and state in cover.items],
        "form": dict.fromkeys(_FIELDS, "") | {"id": _fresh_id(visit)},
        "cause": "",
        "lift_form": dict.fromkeys(_FIELDS, ""),
        "lift_cause": "",
        "path": PATH,
        "here": visit.link(PATH, id=shown),  # also where the answer to a form is shown
    }
    return View(template="recalls.html", values=known | values, status=status)


def sentence(visit: Visit, cover: Cover) -> str:
    """Whether the recall, or its end, is in force everywhere, in one sentence."""
    say, count = visit.language.say, visit.language.count
    missing = [agent.device for agent in cover.agents if not agent.is_confirmed]
    if not cover.agents:
        return say("No agent has spoken to central yet: the recall waits for the first one.")
    if missing and not cover.recall.is_active:
        return say(
            "Lifted, and not confirmed by %(devices)s: there it is refused until it is connected.",
            devices=say(", ").join(missing),
        )
    if missing:
        return say(
            "Not confirmed by %(devices)s. It takes effect there the moment it is connected: until then, call them.",
            devices=say(", ").join(missing),
        )
    return count("The one agent has confirmed it.", "All %(n)d agents have confirmed it.", len(cover.agents))


def _is_everywhere(cover: Cover | None) -> bool:
    return cover is not None and all(agent.is_confirmed for agent in cover.agents)


def _people(recalls: list[RecallRow], cover: Cover | None) -> set[str]:
    names = {name for row in recalls for name in (row.issued_by, row.witness, row.lifted_by, row.lift_witness)}
    return names | ({each.operator for each in cover.exposed} if cover else set())


def _given(form: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(form.get(name, "")).strip()[: _LONGEST.get(name, _LONGEST_OTHER)] for name in _FIELDS}


def _fresh_id(visit: Visit) -> str:
    """A number that nobody has given yet: pressing the button twice is one recall."""
    return f"R-{visit.services.time.today():%Y%m%d}-{secrets.token_hex(2)}"
