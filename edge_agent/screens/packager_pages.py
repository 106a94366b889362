"""The packager's page: orders in the machine, their pouches, and each trouble with its cause and what to do."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from edge_agent.screens import answers, words
from edge_agent.screens.site import SITE, Site, as_json, fields, needed, refreshed, wants_json
from edge_agent.screens.station_pages import signed_out
from edge_agent.workflows.packaging import Packaging, PouchState
from edge_agent.workflows.verdicts import Refuse

ORDERS_SHOWN = 60


def page(request: web.Request) -> web.Response:
    site, packaging = _seat(request)
    return site.page(request, "packager.html", **_values(packaging))


async def part(request: web.Request) -> web.Response:
    """GET /part/packager."""
    site, packaging = _seat(request)
    return site.page(request, "part_packager.html", **_values(packaging))


async def state(request: web.Request) -> web.Response:
    """GET /packager."""
    _, packaging = _seat(request)
    return as_json([answers.of_batch(batch) for batch in packaging.batches()])


async def again(request: web.Request) -> web.Response:
    """POST /packager/again."""
    site, packaging = _seat(request)
    values = await fields(request)
    refusal = None
    try:
        packaging.again(needed(values, "order"), values.get("code", ""))
    except Refuse as refuse:
        refusal = answers.of_refusal(refuse.reason, site.language(request), found=refuse.found)
    if wants_json(request):
        return as_json(refusal, status=409) if refusal else as_json({})
    if "HX-Request" not in request.headers:
        return refreshed(request)
    return site.page(request, "part_packager.html", **_values(packaging, refusal=refusal))


def _seat(request: web.Request) -> tuple[Site, Packaging]:
    site = request.app[SITE]
    visit = site.visit(request)
    packaging = site.parts.work
    if visit is None or site.visits.person(visit) is None or not isinstance(packaging, Packaging):
        raise signed_out(request)
    if request.method == "POST":
        site.visits.touch(visit)
    return site, packaging


def _values(packaging: Packaging, *, refusal: answers.RefusalAnswer | None = None) -> Mapping[str, Any]:
    batches = packaging.batches()
    stuck = [batch for batch in batches if batch.stuck or batch.cause]
    return {
        "batches": [batch for batch in batches if batch not in stuck][:ORDERS_SHOWN],
        "stuck": stuck,
        "waiting": len(batches),
        "pouches": sum(len(batch.pouches) for batch in batches),
        "made": sum(batch.made for batch in batches),
        "trouble": packaging.trouble,
        "pouch_state": PouchState,
        "troubles": words.POUCH_TROUBLES,
        "refusal": refusal,
    }
