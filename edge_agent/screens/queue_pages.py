"""The orders that wait at a station, for its seats and their programs: all of them, or one."""

from aiohttp import web

from edge_agent.screens import answers
from edge_agent.screens.site import as_json
from edge_agent.screens.station_pages import refusal_of, scanned, seat_of
from edge_agent.workflows.verdicts import Refuse


async def orders(request: web.Request) -> web.Response:
    """GET /orders."""
    site, desk, _ = seat_of(request)
    language = site.language(request)
    return as_json([answers.of_ticket(ticket, scanned(desk, ticket), language) for ticket in desk.steps.orders.queue()])


async def order(request: web.Request) -> web.Response:
    """GET /orders/{order}."""
    site, desk, _ = seat_of(request)
    try:
        ticket = desk.steps.orders.ticket(request.match_info["order"])
    except Refuse as refuse:
        return as_json(refusal_of(refuse, request), status=409)
    return as_json(answers.of_ticket(ticket, scanned(desk, ticket), site.language(request)))
