"""Coming in and going out: the sign-in page, PIN and badge, language, and the parts that every page has."""

from ipaddress import ip_address
from typing import Any

from aiohttp import web

from edge_agent.errors import SignInRefusedError, StoreError
from edge_agent.notify import Change
from edge_agent.screens import answers, cabinet_pages, packager_pages, station_pages
from edge_agent.screens.language import LANGUAGES
from edge_agent.screens.site import (
    LANGUAGE_COOKIE,
    LANGUAGE_KEPT_S,
    SITE,
    as_json,
    fields,
    needed,
    refreshed,
    wants_json,
)
from edge_agent.screens.visits import COOKIE, Seat, Visit
from edge_agent.workflows.cabinet import Cabinet
from edge_agent.workflows.packaging import Packaging
from edge_agent.workflows.station import Station
from edge_agent.workflows.verdicts import StepReason


async def home(request: web.Request) -> web.Response:
    """GET / and GET /pda."""
    site = request.app[SITE]
    seat = Seat.PDA if request.path == "/pda" else Seat.SCREEN
    visit = site.visit(request)
    fresh = visit is None or visit.seat is not seat
    if visit is None or fresh:
        visit = site.visits.open(seat)
    if not fresh and site.visits.person(visit) is not None:
        return _work(request)
    if _is_beside(request):
        site.visits.await_badge(visit)
    response = site.page(request, "sign_in.html", seat_asked=seat, refusal=None, person_id="", **_heard(request))
    _keep(response, visit)
    return response


async def sign_in(request: web.Request) -> web.Response:
    """POST /sign-in."""
    site = request.app[SITE]
    values = await fields(request)
    seat = Seat.PDA if values.get("seat") == Seat.PDA else Seat.SCREEN
    person_id = needed(values, "person").strip().upper()
    try:
        person = await site.parts.people.by_pin(person_id, needed(values, "pin"))
    except SignInRefusedError as error:
        return _refused(request, error.reason, seat=seat, person_id=person_id, wait_s=error.wait_s)
    except StoreError as error:
        return _refused(request, StepReason.NOT_STORED, seat=seat, person_id=person_id, found=str(error))
    # A fresh name for the browser, so that one that was known before the sign-in opens nothing.
    visit = site.visits.open(seat)
    site.visits.sign_in(visit, person)
    if isinstance(site.parts.work, Cabinet):
        site.parts.work.leave()
    response = as_json(answers.of_person(person)) if wants_json(request) else refreshed(request, to=_place(seat))
    _keep(response, visit)
    return response


async def sign_out(request: web.Request) -> web.Response:
    """POST /sign-out."""
    site = request.app[SITE]
    visit = site.visit(request)
    seat = visit.seat if visit else Seat.SCREEN
    if visit is not None:
        site.visits.sign_out(visit)
    if isinstance(site.parts.work, Cabinet):
        site.parts.work.leave()
    return as_json({}) if wants_json(request) else refreshed(request, to=_place(seat))


async def choose_language(request: web.Request) -> web.Response:
    """POST /language."""
    lang = needed(await fields(request), "lang")
    if lang not in LANGUAGES:
        raise web.HTTPBadRequest(text=f"lang: found {lang!r}, expected one of {', '.join(LANGUAGES)}\n")
    visit = request.app[SITE].visit(request)
    to = _place(visit.seat if visit else Seat.SCREEN)
    response = as_json({"lang": lang}) if wants_json(request) else refreshed(request, to=to)
    response.set_cookie(LANGUAGE_COOKIE, lang, max_age=LANGUAGE_KEPT_S, samesite="Strict")
    return response


async def status_part(request: web.Request) -> web.Response:
    """GET /part/status."""
    return request.app[SITE].page(request, "part_status.html")


async def seen(request: web.Request) -> web.Response:
    """POST /late-refusals/seen."""
    site = request.app[SITE]
    site.parts.health.seen()
    site.parts.bench.notifier.publish(Change.SYNC)
    return as_json({}) if wants_json(request) else await status_part(request)


async def who_part(request: web.Request) -> web.Response:
    """GET /part/who?shown=ID: has the page loaded anew if somebody else sits here by now."""
    person = request.app[SITE].person(request)
    if (person.id if person else "") == request.query.get("shown", ""):
        return web.Response(status=204)
    return web.Response(headers={"HX-Refresh": "true"})


async def heard_part(request: web.Request) -> web.Response:
    """GET /part/heard: what the attached scanner made of the last scan while nobody was signed in."""
    return request.app[SITE].page(request, "part_heard.html", **_heard(request))


def _work(request: web.Request) -> web.Response:
    match request.app[SITE].parts.work:
        case Station():
            return station_pages.page(request)
        case Cabinet():
            return cabinet_pages.page(request)
        case Packaging():
            return packager_pages.page(request)


def _heard(request: web.Request) -> dict[str, Any]:
    """The last verdict of the attached scanner's seat, while nobody sits there."""
    station = request.app[SITE].station
    is_free = station is not None and station.desk.person is None and request.path != "/pda"
    verdicts = station.desk.verdicts if station is not None and is_free else ()
    is_cabinet = isinstance(request.app[SITE].parts.work, Cabinet)
    return {"heard": next(iter(verdicts), None), "has_scanner": station is not None, "is_cabinet": is_cabinet}


def _refused(
    request: web.Request, reason: str, *, seat: Seat, person_id: str, wait_s: int = 0, found: str = ""
) -> web.Response:
    site = request.app[SITE]
    refusal = answers.of_refusal(reason, site.language(request), wait_s=wait_s, found=found)
    if wants_json(request):
        return as_json(refusal, status=401)
    template = "part_sign_in.html" if "HX-Request" in request.headers else "sign_in.html"
    return site.page(request, template, seat_asked=seat, refusal=refusal, person_id=person_id, **_heard(request))


def _place(seat: Seat) -> str:
    return "/pda" if seat is Seat.PDA else "/"


def _keep(response: web.Response, visit: Visit) -> None:
    response.set_cookie(COOKIE, visit.key, httponly=True, samesite="Strict")


def _is_beside(request: web.Request) -> bool:
    """Whether the browser runs on the agent's own computer, where the attached scanner stands."""
    try:
        return request.remote is not None and ip_address(request.remote).is_loopback
    except ValueError:
        return False
