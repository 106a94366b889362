"""The web site of central: the interface, FHIR, the console, health and metrics on one aiohttp application."""

from collections.abc import Callable

import msgspec
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from central.api import health, serve
from central.api.calls import PREFIX as API
from central.api.problems import problem_of
from central.api.snapshots import add_routes as add_snapshots
from central.auth import COOKIE, Client, Clients, is_same_site
from central.console.serve import Console
from central.errors import StartError
from central.fhir.answers import outcome_for
from central.fhir.serve import PREFIX as FHIR
from central.fhir.serve import Fhir
from central.stock.services import Services
from central.sync.snapshots import Snapshots

MAX_BODY = 4 * 1024 * 1024
"""Bytes of a request: a delivery note of 2,000 codes is a tenth of it."""
_SAFE = frozenset(("GET", "HEAD", "OPTIONS"))
_CONTENT_SECURITY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _CONTENT_SECURITY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_SORRY = "central could not answer. Try again; if it stays, tell the administrator the time"
_log = structlog.get_logger()


class SiteSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``clients``: programs that may call. ``language``: of the console where the browser has chosen none."""

    clients: tuple[Client, ...] = ()
    language: str = "zh-CN"


def build_site(
    services: Services,
    settings: SiteSettings,
    *,
    on_fatal: Callable[[StartError], None] | None = None,
    snapshots: Snapshots | None = None,
) -> web.Application:
    """``on_fatal`` is told when a request finds that the ledger is lost: the process has to end."""
    metrics = health.Metrics(services)
    console = Console(services, settings.language)
    app = web.Application(middlewares=[_answering(console, metrics, on_fatal), _same_site], client_max_size=MAX_BODY)
    app.on_response_prepare.append(_harden)
    clients = Clients(settings.clients)
    serve.add_routes(app, services, clients)
    if snapshots is not None:
        add_snapshots(app, snapshots)
    Fhir(services, clients).add_routes(app)
    health.add_routes(app, services, metrics)
    console.add_routes(app)
    return app


def _face(request: web.Request) -> str:
    for face, prefix in (("api", API), ("fhir", FHIR)):
        if request.path == prefix or request.path.startswith(f"{prefix}/"):
            return face
    return "console"


def _answering(console: Console, metrics: health.Metrics, on_fatal: Callable[[StartError], None] | None) -> Middleware:
    """Every error becomes an answer in the words of the face that was asked."""

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        face = _face(request)
        response: web.StreamResponse
        try:
            response = await handler(request)
        except web.HTTPRedirection:
            raise
        except Exception as error:  # noqa: BLE001 -- the boundary of a request: one that fails must not end the others
            if isinstance(error, StartError) and on_fatal is not None:
                on_fatal(error)
            known = await _fault(face, request, error, console)
            if known is None:
                _log.exception("request failed", method=request.method, path=request.path)
                known = await _fault(face, request, web.HTTPInternalServerError(text=_SORRY), console)
            assert known is not None, "every face has an answer to an HTTPException"
            response = known
        metrics.answered(face, response.status)
        return response

    return answer


async def _fault(face: str, request: web.Request, error: Exception, console: Console) -> web.Response | None:
    match face:
        case "api":
            return problem_of(error)
        case "fhir":
            return outcome_for(error)
    return await console.fault(request, error)


@web.middleware
async def _same_site(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A page of another site may not make a browser change anything here."""
    if request.method not in _SAFE and not is_same_site(
        fetch_site=request.headers.get("Sec-Fetch-Site"),
        origin=request.headers.get("Origin"),
        host=request.host,
        is_from_browser=_face(request) == "console" or COOKIE in request.cookies,
    ):
        raise web.HTTPForbidden(text="the request does not come from a page of this site")
    return await handler(request)


async def _harden(request: web.Request, response: web.StreamResponse) -> None:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-cache" if request.path.startswith("/static/") else "no-store")
