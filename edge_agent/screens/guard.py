"""What every answer carries and every request must show: no foreign page may act here, no script but ours may run."""

from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import structlog
from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_log: structlog.stdlib.BoundLogger = structlog.get_logger("edge_agent.screens")


async def add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-store")


@web.middleware
async def same_origin(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A page of another site may send forms here with the cookie: what it cannot do is name our origin."""
    if request.method not in {"GET", "HEAD"} and not _is_ours(request):
        _log.warning("foreign_request", path=request.path, origin=request.headers.get("Origin", ""))
        raise web.HTTPForbidden(text="this request came from a page of another site; open this agent's own page\n")
    return await handler(request)


def _is_ours(request: web.Request) -> bool:
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in {"same-origin", "none"}
    origin = request.headers.get("Origin")
    # A program that is no browser sends neither: it has no cookie that it was not given.
    return origin is None or urlsplit(origin).netloc == request.host
