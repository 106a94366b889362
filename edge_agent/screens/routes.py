"""The local pages of an agent, and the same routes for programs (PDAs, scripted staff).

A page gets HTML. With ``Accept: application/json`` every POST answers JSON and every list below does, too. A POST takes
a form or a JSON object whose values are texts. Refusals: 409 with ``reason``, ``title``, ``advice``, ``found``,
``expected``; not signed in: 401 with the same; a field that is missing or too long: 400 and one line of text.
The cookie ``codepool`` that the sign-in sets names the person from then on (a program's cookie jar must keep cookies of
plain IP addresses: ``aiohttp.CookieJar(unsafe=True)``). ``?lang=en`` or the cookie ``codepool_lang`` chooses English.

========================== =========================================== =================================================
every workplace
GET  /                     the page, or the sign-in page
POST /sign-in              person, pin[, seat=screen|pda]              {id, name}; 401 with wait_s above 0 if locked out
POST /sign-out                                                         {}
POST /language             lang=zh-CN|en                               {lang}
POST /late-refusals/seen                                               {}
GET  /events               server-sent events named as ``notify.Change``: which panels went stale
GET  /healthz              HealthReport as JSON; 503 while nothing can be recorded
GET  /metrics              Prometheus
station
GET  /pda                  the page for a PDA: a seat of its own, not that of the attached scanner
POST /step                 step[, note][, order][, choice][, pick]    {step, note, order, choice, pick}
POST /scan                 code                                        a verdict
POST /picture              picture: a file, multipart                  a verdict, and in codes one for each code in it
POST /hand-out             order[, witness, witness_pin, emergency]    a verdict; only what needs no (more) scan goes;
                                                                       emergency: why, though it was not granted
POST /hand-out             order, code, reason, witness, witness_pin   a verdict: a locked box whose code cannot be read
                                                                       counts, in the name of two people
POST /receive              note[, reason, witness, witness_pin]        a verdict; with a reason: what is here of a note
                                                                       that differs, in the name of two people
POST /receive              note, code, reason, witness, witness_pin    the same as at hand-out, for a box of the note
POST /take                 pick, quantity[, witness, witness_pin]      a verdict: so many units are dealt with
                           [, reason]
POST /take                 digits, witness, witness_pin                a verdict: damage of what no scanner reads, by
                                                                       the last digits of its code, six or more
POST /undo                 number[, witness, witness_pin]              a verdict (is_undone): of one's own last step
                                                                       here, a hand-out or loan, for 10 minutes;
                                                                       number: of its verdict
POST /count                a number by line of GET /count; or again=1  a verdict: the count of the chosen place is
                                                                       recorded; or forgotten, to begin anew: {}
GET  /count                what is counted at the chosen place: line, product, kind, scanned
POST /sheets               kind=orders|blank                           what was printed: sheet, symbol, lines, open; a
                                                                       page is led to it
GET  /sheets                                                           sheets of paper that are not all scanned back
GET  /sheets/{sheet}                                                   the page that is printed
POST /sheets/line          sheet, line, day, time, quantity, operator  a verdict: the line is recorded; sure: though
                           [, witness][, order | ward][, sure=1];      something does not fit; again: what was scanned
                           or again=1                                  for it is forgotten: {}
POST /sheets/close         sheet, why=not_used|at_the_screen|copied    a verdict: its other lines were not used
GET  /picks                what units can be named of: pick, product, most, whose, order, needs_witness, needs_reason
GET  /transfers            what is asked of this place or coming to it: document, source, target, lines with codes,
                           going and lots
POST /vends                vend, product, quantity, operator, order    what was recorded: codes, without_code, reasons;
                           or ward[, witness]                          for a machine of [station] machines, by its token
                                                                       (Authorization: Bearer); said again: the same
GET  /orders               the queue: order, kind, need=nothing|scans|late_scans, boxes, scanned, short, ...
GET  /orders/{order}       one open order, as in the queue; 409: it is not open here
GET  /notes                open notes: note, codes, done, missing, packs, extra, awaited
GET  /verdicts             the last verdicts of this seat, newest first: the attached scanner's, too
cabinet
POST /cabinet/start        task=receive|take|count[, note]             the session
POST /cabinet/leave                                                    the session
GET  /cabinet              the session: phase=idle|opening|open|reading|recording|result|failed, and its outcome
GET  /notes                open notes of this cabinet
packager
GET  /packager             orders in the machine with their pouches
POST /packager/again       order[, code]                               {}
========================== =========================================== =================================================

Steps: receive, prescan, hand_out, late_scan, look_up, return, lend (``choice``: the ward), damage (``choice``: broken,
spoilt, past_expiry, label_unreadable or suspect), issue and arrive (``choice``: a requisition or transfer), count
(``choice``: the place), sheets (``choice``: a sheet of paper, ``pick``: its line). ``pick`` is an order, an opened box
or a loan; for issue and arrive what a verdict ``asks``, or ``DOCUMENT~units:PRODUCT``; of a count also ``objects``: the
scans are over, and a person says how many there are.

A verdict: {result=done|progress|repeat|told|refused, step, number, code, reason, title, advice, found, expected,
product, product_name, lot, expiry, units, order, note, person, done, total, missing, boxes, extra, is_awaited, asks,
state, place, document, misfits, sooner, is_undone, codes}. A ``reason`` is a ``lifecycle.Reason``, a ``CodeFlaw``, a
``StepReason`` or a ``SignInFlaw``. ``codes``: of a picture, a verdict for each code in it. The scanner that is attached
needs no route: its scans are answered for whoever sits at the station's screen, in the step there.
"""

from pathlib import Path

from aiohttp import web

from edge_agent.screens import (
    cabinet_pages,
    counting,
    entry,
    machine_pages,
    metrics,
    packager_pages,
    queue_pages,
    sheet_pages,
    station_pages,
)
from edge_agent.screens.events import Events
from edge_agent.screens.guard import add_headers, same_origin
from edge_agent.screens.site import SITE, Parts, Site, as_json
from edge_agent.workflows.cabinet import Cabinet
from edge_agent.workflows.packaging import Packaging
from edge_agent.workflows.station import Station

__all__ = ["Parts", "build"]

BODY_AT_MOST = 16_384
_EVENTS: web.AppKey[Events] = web.AppKey("events", Events)


def build(parts: Parts) -> web.Application:
    """The pages of one workplace."""
    app = web.Application(middlewares=[same_origin], client_max_size=BODY_AT_MOST)
    app[SITE] = Site(parts)
    app[_EVENTS] = events = Events(parts.bench.notifier)
    app.on_response_prepare.append(add_headers)
    app.on_shutdown.append(events.close)
    app.add_routes(
        [
            web.get("/", entry.home),
            web.post("/sign-in", entry.sign_in),
            web.post("/sign-out", entry.sign_out),
            web.post("/language", entry.choose_language),
            web.get("/part/status", entry.status_part),
            web.post("/late-refusals/seen", entry.seen),
            web.get("/part/who", entry.who_part),
            web.get("/part/heard", entry.heard_part),
            web.get("/events", events.handle),
            web.get("/healthz", _healthz),
            web.get("/metrics", _metrics),
            *_routes_of(parts.work),
        ]
    )
    app.router.add_static("/static", Path(__file__).parent / "static")
    return app


def _routes_of(work: Station | Cabinet | Packaging) -> list[web.RouteDef]:
    match work:
        case Station():
            return [
                web.get("/pda", entry.home),
                web.get("/part/{name:verdict|side|tabs}", station_pages.part),
                web.post("/step", station_pages.choose),
                web.post("/scan", station_pages.scan),
                web.post("/picture", station_pages.picture),
                web.post("/hand-out", station_pages.hand_out),
                web.post("/receive", station_pages.receive),
                web.post("/take", station_pages.take),
                web.post("/undo", station_pages.undo),
                web.post("/count", counting.record),
                web.get("/count", counting.lines),
                web.post("/sheets", sheet_pages.make),
                web.get("/sheets", sheet_pages.waiting),
                web.get("/sheets/{sheet}", sheet_pages.shown),
                web.post("/sheets/line", sheet_pages.take_in),
                web.post("/sheets/close", sheet_pages.close),
                web.get("/picks", station_pages.picks),
                web.get("/transfers", station_pages.transfers),
                web.post("/vends", machine_pages.vend),
                web.get("/orders", queue_pages.orders),
                web.get("/orders/{order}", queue_pages.order),
                web.get("/notes", station_pages.notes),
                web.get("/verdicts", station_pages.verdicts),
            ]
        case Cabinet():
            return [
                web.get("/part/cabinet", cabinet_pages.part),
                web.get("/cabinet", cabinet_pages.state),
                web.get("/notes", cabinet_pages.notes),
                web.post("/cabinet/start", cabinet_pages.start),
                web.post("/cabinet/leave", cabinet_pages.leave),
            ]
        case Packaging():
            return [
                web.get("/part/packager", packager_pages.part),
                web.get("/packager", packager_pages.state),
                web.post("/packager/again", packager_pages.again),
            ]


async def _healthz(request: web.Request) -> web.Response:
    report = request.app[SITE].report()
    if report is None:
        return as_json({"is_recording": False, "cause": "the journal cannot be read"}, status=503)
    return as_json(report, status=200 if report.is_recording else 503)


async def _metrics(request: web.Request) -> web.Response:
    site = request.app[SITE]
    report = site.report()
    if report is None:
        raise web.HTTPServiceUnavailable(text="the journal cannot be read\n")
    tally = site.station.steps.tally if site.station is not None else None
    page = metrics.exposition(
        report,
        results=tally.results if tally else {},
        refusals=tally.refusals if tally else {},
        pages=request.app[_EVENTS].pages,
    )
    return web.Response(body=page, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})
