"""The count at a station: what was scanned at the chosen place, and the objects that a person counted by hand."""

from aiohttp import web

from edge_agent.screens import answers
from edge_agent.screens.site import as_json, fields, wants_json
from edge_agent.screens.station_pages import counted_lines, seat_of, told, work
from edge_agent.screens.visits import Seat


async def lines(request: web.Request) -> web.Response:
    """GET /count."""
    site, desk, _ = seat_of(request)
    language = site.language(request)
    return as_json([answers.of_line(line, language) for line in counted_lines(desk)])


async def record(request: web.Request) -> web.Response:
    """POST /count."""
    site, desk, visit = seat_of(request)
    values = await fields(request)
    if values.get("again"):
        desk.count_again()
        return as_json({}) if wants_json(request) else work(request, site, desk)
    source = "pda" if visit.seat is Seat.PDA else "screen"
    return told(request, site, desk, await desk.count(values, source=source))
