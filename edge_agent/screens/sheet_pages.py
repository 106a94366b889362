"""Sheets of paper at a station: printed, looked at again, scanned back line by line, closed (A22)."""

from collections.abc import Mapping

from aiohttp import web

from edge_agent.screens import answers_of_moves, paper
from edge_agent.screens.site import as_json, fields, needed, wants_json
from edge_agent.screens.station_pages import DIGITS_AT_MOST, LONGEST_REASON, refusal_of, seat_of, told, work
from edge_agent.screens.visits import Seat
from edge_agent.workflows.sheet_line import Written
from edge_agent.workflows.sheets import Why
from edge_agent.workflows.verdicts import Refuse, Step

_KINDS = ("orders", "blank")


async def make(request: web.Request) -> web.Response:
    """POST /sheets."""
    _, desk, _ = seat_of(request)
    kind = needed(await fields(request), "kind")
    if kind not in _KINDS:
        raise web.HTTPBadRequest(text=f"kind: found {kind!r}, expected one of {', '.join(_KINDS)}\n")
    assert desk.person is not None, "only who is signed in has a seat"
    try:
        sheets = desk.steps.sheets
        sheet = sheets.print_orders(desk.person) if kind == "orders" else sheets.print_blank(desk.person)
    except Refuse as refuse:
        if wants_json(request):
            return as_json(refusal_of(refuse, request), status=409)
        desk.refuse(refuse)
        raise web.HTTPSeeOther("/") from refuse
    if wants_json(request):
        return as_json(answers_of_moves.of_sheet(sheet))
    raise web.HTTPSeeOther(f"/sheets/{sheet.id}")


async def shown(request: web.Request) -> web.Response:
    """GET /sheets/{sheet}: the page that is printed, the same each time."""
    site, desk, visit = seat_of(request)
    kept = desk.steps.sheets.find(request.match_info["sheet"])
    if kept is None or not kept.sheet.printed_us:
        raise web.HTTPNotFound(text="this sheet was not printed here\n")
    language, zone_min = site.language(request).code, desk.steps.bench.recorder.moment().zone_min
    values = dict(paper.of_print(kept.sheet, language=language, zone_min=zone_min))
    return site.page(request, "sheet.html", **values | {"back": "/pda" if visit.seat is Seat.PDA else "/"})


async def waiting(request: web.Request) -> web.Response:
    """GET /sheets."""
    _, desk, _ = seat_of(request)
    return as_json([answers_of_moves.of_kept(kept) for kept in desk.steps.sheets.outstanding()])


async def take_in(request: web.Request) -> web.Response:
    """POST /sheets/line. The form names its line: another one may have been scanned since it was shown."""
    site, desk, visit = seat_of(request)
    values = await fields(request)
    sheets, sheet, line = desk.steps.sheets, needed(values, "sheet"), needed(values, "line")
    if values.get("again"):
        sheets.begin_anew(sheet, line)
        return as_json({}) if wants_json(request) else work(request, site, desk)
    written = _written(values)
    source = "pda" if visit.seat is Seat.PDA else "screen"
    verdict = await desk.on_paper(lambda act: sheets.record(sheet, line, written, act), source=source)
    desk.choose(Step.SHEETS, choice=sheet, pick=line if verdict.is_refused else "")
    return told(request, site, desk, verdict)


async def close(request: web.Request) -> web.Response:
    """POST /sheets/close."""
    site, desk, _ = seat_of(request)
    values = await fields(request)
    sheet, why = needed(values, "sheet"), needed(values, "why")
    if why not in set(Why):
        raise web.HTTPBadRequest(text=f"why: found {why!r}, expected one of {', '.join(Why)}\n")
    verdict = await desk.on_paper(lambda act: desk.steps.sheets.close(sheet, Why(why), act))
    desk.choose(Step.SHEETS)
    return told(request, site, desk, verdict)


def _written(values: Mapping[str, str]) -> Written:
    asked = needed(values, "quantity")
    if not (asked.isascii() and asked.isdigit() and len(asked) <= DIGITS_AT_MOST):
        raise web.HTTPBadRequest(text=f"quantity: found {asked!r}, expected a whole number\n")
    needed(values, "operator")
    texts = {
        name: values.get(name, "").strip()[:LONGEST_REASON]
        for name in ("day", "time", "order", "ward", "operator", "witness")
    }
    people = {name: texts[name].upper() for name in ("operator", "witness")}
    return Written(quantity=int(asked), is_sure=bool(values.get("sure")), **texts | people)
