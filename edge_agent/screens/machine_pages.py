"""The way in for an automated dispensing cabinet: its own program says what it has vended, with its own token."""

import hmac

from aiohttp import web

from edge_agent.errors import StoreError
from edge_agent.screens import answers, answers_of_moves
from edge_agent.screens.site import SITE, Site, as_json, fields, needed
from edge_agent.workflows.station import Station
from edge_agent.workflows.vending import Vend
from edge_agent.workflows.verdicts import Refuse, StepReason

LONGEST = 64
DIGITS_AT_MOST = 4
_BEARER = "Bearer "


async def vend(request: web.Request) -> web.Response:
    """POST /vends."""
    site, station, machine = _machine(request)
    values = await fields(request)
    quantity = needed(values, "quantity")
    if not (quantity.isascii() and quantity.isdigit() and len(quantity) <= DIGITS_AT_MOST):
        raise web.HTTPBadRequest(text=f"quantity: found {quantity!r}, expected a whole number\n")
    if bool(values.get("order")) == bool(values.get("ward")):
        raise web.HTTPBadRequest(text="order, ward: expected one of the two: the order, or the ward that borrows\n")
    texts = {name: values.get(name, "") for name in ("order", "ward", "witness")}
    texts |= {name: needed(values, name) for name in ("product", "operator")}
    number = needed(values, "vend")
    for name, value in (texts | {"vend": number}).items():
        if len(value) > LONGEST:
            raise web.HTTPBadRequest(text=f"{name}: found {len(value)} characters, expected at most {LONGEST}\n")
    try:
        vended, is_repeat = await station.vending.record(
            Vend(id=number, machine=machine, quantity=int(quantity), **texts)
        )
    except Refuse as refuse:
        refusal = answers.of_refusal(
            refuse.reason, site.language(request), found=refuse.found, expected=refuse.expected
        )
        return as_json(refusal, status=409)
    except StoreError as error:
        refusal = answers.of_refusal(StepReason.NOT_STORED, site.language(request), found=str(error))
        return as_json(refusal, status=503)
    return as_json(answers_of_moves.of_vended(vended, is_repeat=is_repeat))


def _machine(request: web.Request) -> tuple[Site, Station, str]:
    """The name of the machine whose token this is. Raises HTTPUnauthorized."""
    site = request.app[SITE]
    station = site.parts.work
    said = request.headers.get("Authorization", "")
    token = said.removeprefix(_BEARER) if said.startswith(_BEARER) else ""
    if isinstance(station, Station):
        for name, expected in station.machines.items():
            if token and hmac.compare_digest(token.encode(), expected.encode()):
                return site, station, name
    raise web.HTTPUnauthorized(text="no machine of this station has this token: see [station] machines\n")
