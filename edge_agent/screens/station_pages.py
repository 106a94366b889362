"""The station and its PDAs: steps, scans, the last verdicts, the queue of orders, the notes."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from edge_agent.errors import SignInRefusedError
from edge_agent.people import SignInFlaw
from edge_agent.screens import answers
from edge_agent.screens.site import SITE, Site, as_json, as_text, fields, needed, refreshed, wants_json
from edge_agent.screens.visits import Seat, Visit
from edge_agent.workflows.damage import Harm
from edge_agent.workflows.desk import NEEDS_EMERGENCY, Desk
from edge_agent.workflows.orders import Need, Ticket
from edge_agent.workflows.station import Station
from edge_agent.workflows.verdicts import MAIN_STEPS, TASKS, Refuse, Step, StepReason, Verdict
from sync_protocol.documents import Product

LAST_SHOWN = 8
ORDERS_SHOWN = 60
LONGEST_REASON = 120
DIGITS_AT_MOST = 4


def page(request: web.Request) -> web.Response:
    """The whole page of whoever sits here."""
    site, desk, _ = _seat(request)
    return site.page(request, "station.html", **_values(site, desk))


async def part(request: web.Request) -> web.Response:
    """GET /part/verdict, /part/side and /part/tabs."""
    site, desk, _ = _seat(request)
    return site.page(request, f"part_{request.match_info['name']}.html", **_values(site, desk))


async def choose(request: web.Request) -> web.Response:
    """POST /step."""
    site, desk, _ = _seat(request)
    values = await fields(request)
    asked = needed(values, "step")
    if asked not in set(Step):
        raise web.HTTPBadRequest(text=f"step: found {asked!r}, expected one of {', '.join(Step)}\n")
    try:
        desk.choose(Step(asked), **{name: values.get(name, "") for name in ("note", "order", "choice", "pick")})
    except Refuse as refuse:
        if wants_json(request):
            return as_json(_refusal(refuse, request), status=409)
        desk.choose(Step(asked))
    if wants_json(request):
        chosen = {"step": desk.step, "note": desk.note, "order": desk.order}
        return as_json(chosen | {"choice": desk.choice, "pick": desk.picked})
    return _work(request, site, desk)


async def scan(request: web.Request) -> web.Response:
    """POST /scan."""
    site, desk, visit = _seat(request)
    values = await fields(request)
    source = "pda" if visit.seat is Seat.PDA else "screen"
    verdict = await desk.enter(values.get("code", ""), source=source)
    return _told(request, site, desk, verdict)


async def hand_out(request: web.Request) -> web.Response:
    """POST /hand-out."""
    site, desk, _ = _seat(request)
    values = await fields(request)
    order = needed(values, "order")
    try:
        witness = await _witness(site, values)
    except SignInRefusedError as error:
        return _told(request, site, desk, desk.refuse(Refuse(SignInFlaw(error.reason)), order=order))
    emergency = values.get("emergency", "").strip()[:LONGEST_REASON]
    return _told(request, site, desk, await desk.hand_out(order, witness=witness, emergency=emergency))


async def take(request: web.Request) -> web.Response:
    """POST /take."""
    site, desk, visit = _seat(request)
    values = await fields(request)
    pick, asked = needed(values, "pick"), needed(values, "quantity")
    if not (asked.isascii() and asked.isdigit() and len(asked) <= DIGITS_AT_MOST):
        raise web.HTTPBadRequest(text=f"quantity: found {asked!r}, expected a whole number\n")
    try:
        witness = await _witness(site, values)
    except SignInRefusedError as error:
        return _told(request, site, desk, desk.refuse(Refuse(SignInFlaw(error.reason))))
    source = "pda" if visit.seat is Seat.PDA else "screen"
    return _told(request, site, desk, await desk.take(pick, int(asked), witness=witness, source=source))


async def picks(request: web.Request) -> web.Response:
    """GET /picks."""
    site, desk, _ = _seat(request)
    language = site.language(request)
    found = desk.steps.returns.picks() if desk.step is Step.RETURN else [desk.pick()]
    return as_json([answers.of_pick(pick, language) for pick in found if pick is not None])


async def receive(request: web.Request) -> web.Response:
    """POST /receive."""
    site, desk, _ = _seat(request)
    values = await fields(request)
    note = needed(values, "note")
    if "reason" not in values:
        return _told(request, site, desk, await desk.receive(note))
    try:
        witness = await _witness(site, values)
    except SignInRefusedError as error:
        return _told(request, site, desk, desk.refuse(Refuse(SignInFlaw(error.reason)), note=note))
    return _told(request, site, desk, await desk.accept(note, reason=values["reason"], witness=witness))


async def orders(request: web.Request) -> web.Response:
    """GET /orders."""
    site, desk, _ = _seat(request)
    language = site.language(request)
    return as_json(
        [answers.of_ticket(ticket, _scanned(desk, ticket), language) for ticket in desk.steps.orders.queue()]
    )


async def verdicts(request: web.Request) -> web.Response:
    """GET /verdicts."""
    site, desk, _ = _seat(request)
    language = site.language(request)
    return as_json([answers.of_verdict(verdict, language) for verdict in desk.verdicts])


async def notes(request: web.Request) -> web.Response:
    """GET /notes."""
    _, desk, _ = _seat(request)
    receiving = desk.steps.receive
    return as_json([answers.of_progress(receiving.progress(note)) for note in receiving.notes()])


async def _witness(site: Site, values: Mapping[str, str]) -> str:
    """Who signs as second person; empty: nobody does. Raises SignInRefusedError."""
    if not values.get("witness"):
        return ""
    return (await site.parts.people.by_pin(values["witness"].strip().upper(), values.get("witness_pin", ""))).id


def _seat(request: web.Request) -> tuple[Site, Desk, Visit]:
    """The desk of the signed-in person. Raises the answer that asks to sign in."""
    site = request.app[SITE]
    visit = site.visit(request)
    desk = site.visits.desk(visit) if visit is not None else None
    if visit is None or desk is None or desk.person is None or not isinstance(site.parts.work, Station):
        raise signed_out(request)
    if request.method == "POST":
        site.visits.touch(visit)
    return site, desk, visit


def signed_out(request: web.Request) -> web.HTTPException:
    """The answer to whoever is not signed in: programs are told so, pages load anew."""
    site = request.app[SITE]
    if wants_json(request):
        refusal = answers.of_refusal(StepReason.NOBODY_SIGNED_IN, site.language(request))
        return web.HTTPUnauthorized(text=as_text(refusal), content_type="application/json")
    if "HX-Request" in request.headers:
        return web.HTTPOk(headers={"HX-Refresh": "true"})
    return web.HTTPSeeOther("/")


def _told(request: web.Request, site: Site, desk: Desk, verdict: Verdict) -> web.Response:
    if wants_json(request):
        status = 409 if verdict.is_refused else 200
        return as_json(answers.of_verdict(verdict, site.language(request)), status=status)
    return _work(request, site, desk)


def _work(request: web.Request, site: Site, desk: Desk) -> web.Response:
    if "HX-Request" not in request.headers:
        visit = site.visit(request)
        return refreshed(request, to="/pda" if visit and visit.seat is Seat.PDA else "/")
    return site.page(request, "part_work.html", **_values(site, desk))


def _values(site: Site, desk: Desk) -> Mapping[str, Any]:
    steps = desk.steps
    tickets = steps.orders.queue()
    late = [ticket for ticket in tickets if ticket.need is Need.LATE_SCANS]
    ready = [ticket for ticket in tickets if ticket.need is not Need.LATE_SCANS]
    notes = steps.receive.notes()
    listed = late if desk.step is Step.LATE_SCAN else ready
    chosen = next((ticket for ticket in tickets if ticket.order.id == desk.order), None)
    note = next((note for note in notes if note.id == desk.note), None)
    verdicts = list(desk.verdicts)
    is_emergency = any(
        verdict.reason in NEEDS_EMERGENCY and verdict.order == desk.order for verdict in verdicts[:1] if desk.order
    )
    present = next((verdict for verdict in verdicts[:1] if verdict.number > desk.since), None)
    return {
        "desk": desk,
        "step": desk.step,
        "steps": MAIN_STEPS,
        "tasks": TASKS,
        "need": Need,
        "tickets": [ticket for ticket in listed if ticket is not chosen][:ORDERS_SHOWN],
        "hidden": max(0, len(listed) - ORDERS_SHOWN),
        "counts": {Step.RECEIVE: len(notes), Step.HAND_OUT: len(ready), Step.LATE_SCAN: len(late)},
        "chosen": chosen,
        "scanned": _scanned(desk, chosen) if chosen else (),
        "progress": steps.handout.progress(chosen) if chosen else (0, 0),
        "notes": [each for each in notes if each is not note],
        "note": steps.receive.progress(note) if note else None,
        "verdict": present,
        "last": [verdict for verdict in verdicts[: LAST_SHOWN + 1] if verdict is not present][:LAST_SHOWN],
        "products": _named(site, present),
        "handout": steps.handout,
        "is_emergency": is_emergency,
        "longest_reason": LONGEST_REASON,
        "pick": desk.pick(),
        "picks": steps.returns.picks() if desk.step is Step.RETURN else (),
        "wards": steps.lending.wards() if desk.step is Step.LEND and not desk.choice else (),
        "harms": Harm,
    }


def _named(site: Site, verdict: Verdict | None) -> Mapping[str, Product]:
    """Products that a refusal names."""
    names = {verdict.found, verdict.expected} if verdict is not None and verdict.is_refused else set()
    found = {name: site.parts.bench.stock.product(name) for name in names if name}
    return {name: product for name, product in found.items() if product is not None}


def _scanned(desk: Desk, ticket: Ticket) -> tuple[str, ...]:
    return tuple(item.code for item in desk.steps.handout.tray(ticket))


def _refusal(refuse: Refuse, request: web.Request) -> answers.RefusalAnswer:
    language = request.app[SITE].language(request)
    return answers.of_refusal(refuse.reason, language, found=refuse.found, expected=refuse.expected)
