"""The station and its PDAs: steps, scans, the last verdicts, the queue of orders, the notes."""

from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from edge_agent.errors import SignInRefusedError
from edge_agent.people import SignInFlaw
from edge_agent.screens import answers, answers_of_moves, paper
from edge_agent.screens.site import SITE, Site, as_json, as_text, fields, needed, refreshed, uploaded, wants_json
from edge_agent.screens.visits import Seat, Visit
from edge_agent.workflows.count import OBJECTS, Line, Spot
from edge_agent.workflows.damage import UNREAD, Harm
from edge_agent.workflows.desk import NEEDS_EMERGENCY, Desk
from edge_agent.workflows.orders import Need, Ticket
from edge_agent.workflows.picture import BYTES_AT_MOST, STEPS
from edge_agent.workflows.station import Station
from edge_agent.workflows.transfers import Progress
from edge_agent.workflows.undoing import needs_witness
from edge_agent.workflows.vending import Vended
from edge_agent.workflows.verdicts import MAIN_STEPS, TASKS, TRANSFER_STEPS, Refuse, Step, StepReason, Verdict
from sync_protocol.documents import Product

LAST_SHOWN = 8
ORDERS_SHOWN = 60
LONGEST_REASON = 120
DIGITS_AT_MOST = 4
DIGITS_OF_A_VERDICT = 9


def page(request: web.Request) -> web.Response:
    """The whole page of whoever sits here."""
    site, desk, _ = seat_of(request)
    return site.page(request, "station.html", **_values(site, desk))


async def part(request: web.Request) -> web.Response:
    """GET /part/verdict, /part/side and /part/tabs."""
    site, desk, _ = seat_of(request)
    return site.page(request, f"part_{request.match_info['name']}.html", **_values(site, desk))


async def choose(request: web.Request) -> web.Response:
    """POST /step."""
    site, desk, _ = seat_of(request)
    values = await fields(request)
    asked = needed(values, "step")
    if asked not in set(Step):
        raise web.HTTPBadRequest(text=f"step: found {asked!r}, expected one of {', '.join(Step)}\n")
    try:
        desk.choose(Step(asked), **{name: values.get(name, "") for name in ("note", "order", "choice", "pick")})
    except Refuse as refuse:
        if wants_json(request):
            return as_json(refusal_of(refuse, request), status=409)
        desk.choose(Step(asked))
    if wants_json(request):
        chosen = {"step": desk.step, "note": desk.note, "order": desk.order}
        return as_json(chosen | {"choice": desk.choice, "pick": desk.picked})
    return work(request, site, desk)


async def scan(request: web.Request) -> web.Response:
    """POST /scan."""
    site, desk, visit = seat_of(request)
    values = await fields(request)
    verdict = await desk.enter(values.get("code", ""), source=_source(visit))
    return told(request, site, desk, verdict)


async def picture(request: web.Request) -> web.Response:
    """POST /picture."""
    site, desk, visit = seat_of(request)
    source = "pda-camera" if visit.seat is Seat.PDA else "camera"
    content = await uploaded(request, "picture", most=BYTES_AT_MOST)
    if len(content) > BYTES_AT_MOST:
        refuse = Refuse(StepReason.PICTURE_TOO_LARGE, expected=f"≤ {BYTES_AT_MOST >> 20} MB")
        return told(request, site, desk, desk.refuse(refuse))
    return told(request, site, desk, await desk.picture(content, source=source))


async def hand_out(request: web.Request) -> web.Response:
    """POST /hand-out."""
    site, desk, visit = seat_of(request)
    values = await fields(request)
    order = needed(values, "order")
    try:
        witness = await _witness(site, values)
    except SignInRefusedError as error:
        return told(request, site, desk, desk.refuse(Refuse(SignInFlaw(error.reason)), order=order))
    if "code" in values:
        return told(request, site, desk, await _override(desk, visit, values, order=order, witness=witness))
    emergency = values.get("emergency", "").strip()[:LONGEST_REASON]
    return told(request, site, desk, await desk.hand_out(order, witness=witness, emergency=emergency))


async def take(request: web.Request) -> web.Response:
    """POST /take."""
    site, desk, visit = seat_of(request)
    values = await fields(request)
    if "digits" in values:
        pick, quantity = f"{UNREAD}{values['digits']}", 1
    else:
        pick, quantity = needed(values, "pick"), _whole(values, "quantity", digits=DIGITS_AT_MOST)
    try:
        witness = await _witness(site, values)
    except SignInRefusedError as error:
        return told(request, site, desk, desk.refuse(Refuse(SignInFlaw(error.reason))))
    reason = values.get("reason", "")[:LONGEST_REASON]
    verdict = await desk.take(pick, quantity, witness=witness, reason=reason, source=_source(visit))
    return told(request, site, desk, verdict)


async def undo(request: web.Request) -> web.Response:
    """POST /undo."""
    site, desk, visit = seat_of(request)
    values = await fields(request)
    number = _whole(values, "number", digits=DIGITS_OF_A_VERDICT)
    try:
        witness = await _witness(site, values)
    except SignInRefusedError as error:
        return told(request, site, desk, desk.refuse(Refuse(SignInFlaw(error.reason))))
    return told(request, site, desk, await desk.undo(number, witness=witness, source=_source(visit)))


async def picks(request: web.Request) -> web.Response:
    """GET /picks."""
    site, desk, _ = seat_of(request)
    language = site.language(request)
    found = desk.steps.returns.picks() if desk.step is Step.RETURN else [desk.pick()]
    return as_json([answers.of_pick(pick, language) for pick in found if pick is not None])


async def transfers(request: web.Request) -> web.Response:
    """GET /transfers."""
    site, desk, _ = seat_of(request)
    language, service = site.language(request), desk.steps.transfers
    found = [service.advised(each.transfer) for each in service.to_issue()] + service.to_come()
    return as_json([answers_of_moves.of_transfer(each, language) for each in found])


async def receive(request: web.Request) -> web.Response:
    """POST /receive."""
    site, desk, visit = seat_of(request)
    values = await fields(request)
    note = needed(values, "note")
    if values.keys().isdisjoint({"reason", "code"}):
        return told(request, site, desk, await desk.receive(note))
    try:
        witness = await _witness(site, values)
    except SignInRefusedError as error:
        return told(request, site, desk, desk.refuse(Refuse(SignInFlaw(error.reason)), note=note))
    if "code" in values:
        return told(request, site, desk, await _override(desk, visit, values, note=note, witness=witness))
    return told(request, site, desk, await desk.accept(note, reason=values["reason"], witness=witness))


async def verdicts(request: web.Request) -> web.Response:
    """GET /verdicts."""
    site, desk, _ = seat_of(request)
    language = site.language(request)
    return as_json([answers.of_verdict(verdict, language) for verdict in desk.verdicts])


async def notes(request: web.Request) -> web.Response:
    """GET /notes."""
    _, desk, _ = seat_of(request)
    receiving = desk.steps.receive
    return as_json([answers.of_progress(receiving.progress(note)) for note in receiving.notes()])


async def _override(
    desk: Desk, visit: Visit, values: Mapping[str, str], *, order: str = "", note: str = "", witness: str
) -> Verdict:
    """A box whose code cannot be read counts by the word of two people."""
    reason = values.get("reason", "")[:LONGEST_REASON]
    return await desk.override(
        needed(values, "code"), order=order, note=note, reason=reason, witness=witness, source=_source(visit)
    )


def _whole(values: Mapping[str, str], name: str, *, digits: int) -> int:
    asked = needed(values, name)
    if not (asked.isascii() and asked.isdigit() and len(asked) <= digits):
        raise web.HTTPBadRequest(text=f"{name}: found {asked!r}, expected a whole number\n")
    return int(asked)


def _source(visit: Visit) -> str:
    return "pda" if visit.seat is Seat.PDA else "screen"


async def _witness(site: Site, values: Mapping[str, str]) -> str:
    """Who signs as second person; empty: nobody does. Raises SignInRefusedError."""
    if not values.get("witness"):
        return ""
    return (await site.parts.people.by_pin(values["witness"].strip().upper(), values.get("witness_pin", ""))).id


def seat_of(request: web.Request) -> tuple[Site, Desk, Visit]:
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


def told(request: web.Request, site: Site, desk: Desk, verdict: Verdict) -> web.Response:
    if wants_json(request):
        status = 409 if verdict.is_refused else 200
        return as_json(answers.of_verdict(verdict, site.language(request)), status=status)
    return work(request, site, desk)


def work(request: web.Request, site: Site, desk: Desk) -> web.Response:
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
    is_totalling = desk.picked == OBJECTS
    if is_totalling and present is not None and not present.is_refused:
        present = None  # what was scanned is out of sight while the objects are counted
    return {
        "desk": desk,
        "step": desk.step,
        "takes_pictures": desk.step in STEPS,
        "steps": MAIN_STEPS,
        "tasks": TASKS,
        "need": Need,
        "tickets": [ticket for ticket in listed if ticket is not chosen][:ORDERS_SHOWN],
        "hidden": max(0, len(listed) - ORDERS_SHOWN),
        "counts": {Step.RECEIVE: len(notes), Step.HAND_OUT: len(ready), Step.LATE_SCAN: len(late)},
        "chosen": chosen,
        "scanned": scanned(desk, chosen) if chosen else (),
        "overridden": steps.handout.overridden(chosen) if chosen else (),
        "progress": steps.handout.progress(chosen) if chosen else (0, 0),
        "notes": [each for each in notes if each is not note],
        "note": steps.receive.progress(note) if note else None,
        "verdict": present,
        "last": [verdict for verdict in verdicts[: LAST_SHOWN + 1] if verdict is not present][:LAST_SHOWN],
        "undoable": desk.undoable(),
        "undo_needs_witness": needs_witness,
        "products": _named(site, present),
        "handout": steps.handout,
        "is_emergency": is_emergency,
        "longest_reason": LONGEST_REASON,
        "pick": desk.pick(),
        "picks": steps.returns.picks() if desk.step is Step.RETURN else (),
        "wards": steps.lending.wards() if desk.step is Step.LEND and not desk.choice else (),
        "harms": Harm,
        "transfer_steps": TRANSFER_STEPS,
        "machines": site.station.machines if site.station else {},
        "vends": _vends(site, desk),
        "is_totalling": is_totalling,
        "spots": counting_spots(desk),
        "others": steps.count.others(desk.person.id, desk.choice) if desk.person and desk.step is Step.COUNT else 0,
        "counted": counted_lines(desk) if desk.step is Step.COUNT else (),
        **_transfers(site, desk),
        **paper.of_desk(desk),
    }


def _vends(site: Site, desk: Desk) -> list[tuple[Vended, Product | None]]:
    """What the machines of this place have vended, where the choice of steps shows it."""
    if desk.step is not Step.LOOK_UP or site.station is None or not site.station.machines:
        return []
    stock = site.parts.bench.stock
    return [(vended, stock.product(vended.vend.product)) for vended in site.station.vending.last(LAST_SHOWN)]


def _transfers(site: Site, desk: Desk) -> Mapping[str, Any]:
    """What is asked of this place and what is coming, where a step or the choice of steps shows it."""
    service = desk.steps.transfers
    is_shown = desk.step in TRANSFER_STEPS or desk.step is Step.LOOK_UP
    to_issue: list[Progress] = service.to_issue() if is_shown else []
    to_come: list[Progress] = service.to_come() if is_shown else []
    transfer = service.find(desk.choice) if desk.step in TRANSFER_STEPS and desk.choice else None
    now_us = site.parts.bench.recorder.moment().wall_us
    return {
        "to_issue": to_issue,
        "to_come": to_come,
        "transfer": service.advised(transfer) if transfer is not None else None,
        "waited_s": lambda transfer: (now_us - transfer.asked_us) / 1e6,
    }


def counting_spots(desk: Desk) -> Sequence[Spot]:
    """Places to choose from, as long as none is chosen."""
    is_choosing = desk.step is Step.COUNT and not desk.choice
    return desk.steps.count.spots(desk.person.id) if is_choosing and desk.person else ()


def counted_lines(desk: Desk) -> Sequence[Line]:
    """What is counted at the place that was chosen."""
    return desk.steps.count.lines(desk.person.id, desk.choice) if desk.person and desk.choice else ()


def _named(site: Site, verdict: Verdict | None) -> Mapping[str, Product]:
    """Products that a refusal names."""
    names = {verdict.found, verdict.expected} if verdict is not None and verdict.is_refused else set()
    found = {name: site.parts.bench.stock.product(name) for name in names if name}
    return {name: product for name, product in found.items() if product is not None}


def scanned(desk: Desk, ticket: Ticket) -> tuple[str, ...]:
    return tuple(laid.item.code for laid in desk.steps.handout.tray(ticket))


def refusal_of(refuse: Refuse, request: web.Request) -> answers.RefusalAnswer:
    language = request.app[SITE].language(request)
    return answers.of_refusal(refuse.reason, language, found=refuse.found, expected=refuse.expected)
