"""The cabinet's touchscreen: one decision a screen, from the choice of the task to the result of the reading."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from edge_agent.screens import answers, words
from edge_agent.screens.site import SITE, Site, as_json, fields, needed, refreshed, wants_json
from edge_agent.screens.station_pages import signed_out
from edge_agent.workflows.cabinet import Cabinet
from edge_agent.workflows.door import Grade, Phase, Session, Task
from edge_agent.workflows.verdicts import Refuse
from sync_protocol.documents import DeliveryNote, Person, Product
from sync_protocol.items import Item

SHOWN = 60


def page(request: web.Request) -> web.Response:
    site, cabinet, _ = _seat(request)
    return site.page(request, "cabinet.html", **_values(site, cabinet))


async def part(request: web.Request) -> web.Response:
    """GET /part/cabinet."""
    site, cabinet, _ = _seat(request)
    return site.page(request, "part_cabinet.html", **_values(site, cabinet, is_choosing=_is_choosing(request)))


async def state(request: web.Request) -> web.Response:
    """GET /cabinet."""
    _, cabinet, _ = _seat(request)
    return as_json(answers.of_session(cabinet.session))


async def notes(request: web.Request) -> web.Response:
    """GET /notes."""
    _, cabinet, _ = _seat(request)
    return as_json([answers.of_note(note) for note in cabinet.notes()])


async def start(request: web.Request) -> web.Response:
    """POST /cabinet/start."""
    site, cabinet, person = _seat(request)
    values = await fields(request)
    task = needed(values, "task")
    if task not in set(Task):
        raise web.HTTPBadRequest(text=f"task: found {task!r}, expected one of {', '.join(Task)}\n")
    refusal = None
    try:
        cabinet.start(Task(task), person, note=values.get("note", ""))
    except Refuse as refuse:
        refusal = answers.of_refusal(refuse.reason, site.language(request), found=refuse.found)
    return _told(request, site, cabinet, refusal)


async def leave(request: web.Request) -> web.Response:
    """POST /cabinet/leave."""
    site, cabinet, _ = _seat(request)
    cabinet.leave()
    return _told(request, site, cabinet, None)


def _seat(request: web.Request) -> tuple[Site, Cabinet, Person]:
    site = request.app[SITE]
    visit = site.visit(request)
    person = site.visits.person(visit)
    cabinet = site.parts.work
    if visit is None or person is None or not isinstance(cabinet, Cabinet):
        raise signed_out(request)
    if request.method == "POST" or cabinet.session.is_busy:
        site.visits.touch(visit)
    return site, cabinet, person


def _told(request: web.Request, site: Site, cabinet: Cabinet, refusal: answers.RefusalAnswer | None) -> web.Response:
    if wants_json(request):
        return as_json(refusal, status=409) if refusal else as_json(answers.of_session(cabinet.session))
    if "HX-Request" not in request.headers:
        return refreshed(request)
    return site.page(request, "part_cabinet.html", **_values(site, cabinet, refusal=refusal))


def _is_choosing(request: web.Request) -> bool:
    return request.query.get("choose") == "note"


def _values(
    site: Site, cabinet: Cabinet, *, is_choosing: bool = False, refusal: answers.RefusalAnswer | None = None
) -> Mapping[str, Any]:
    session = cabinet.session
    notes = cabinet.notes()
    return {
        "session": session,
        "phase": Phase,
        "task": Task,
        "grade": Grade,
        "notes": notes,
        "is_choosing": is_choosing,
        "refusal": refusal,
        "products": _products(site, session, notes),
        "troubles": words.TROUBLES,
        "strays": words.STRAYS,
        "shown": SHOWN,
        "not_arrived": _known(site, session),
    }


def _known(site: Site, session: Session) -> list[Item]:
    """Pieces of the note that were not heard, as far as this agent knows them."""
    codes = session.outcome.not_arrived if session.outcome else ()
    found = (site.parts.bench.stock.item(code) for code in codes[:SHOWN])
    return [item for item in found if item is not None]


def _products(site: Site, session: Session, notes: list[DeliveryNote]) -> Mapping[str, Product]:
    """Every product that the screen names, by id."""
    ids = {line.product for note in notes for line in note.lines}
    if session.note is not None:
        ids |= {line.product for line in session.note.lines}
    if session.outcome is not None:
        contents = session.outcome.contents
        groups = (contents.missing, contents.back, contents.cancelled_back, contents.arrived)
        ids |= {item.product for group in groups for item in group}
        ids |= {stray.item.product for stray in contents.strays if stray.item is not None}
    found = {product_id: site.parts.bench.stock.product(product_id) for product_id in ids}
    return {product_id: product for product_id, product in found.items() if product is not None}
