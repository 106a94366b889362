"""GET /api/v1/snapshots/<hash>: a snapshot of the replica, whole or from a byte on, against a ticket (REQ-06).

The ticket stands where other callers have their token; it came to the agent in the answer to its pull. Not part of the
OpenAPI document: nobody but an agent can have a ticket.
"""

from aiohttp import web

from central.sync.snapshots import PATH, Snapshots

_CHUNK = 1 << 18


def add_routes(app: web.Application, snapshots: Snapshots) -> None:
    async def fetch(request: web.Request) -> web.StreamResponse:
        scheme, _, ticket = request.headers.get("Authorization", "").partition(" ")
        path = snapshots.redeem(ticket.strip(), request.match_info["file"]) if scheme.lower() == "bearer" else None
        if path is None:
            detail = "expected a header Authorization: Bearer <ticket> with a ticket for this file that is still good"
            raise web.HTTPUnauthorized(text=detail, headers={"WWW-Authenticate": 'Bearer realm="codepool"'})
        return web.FileResponse(path, chunk_size=_CHUNK, headers={"Content-Type": "application/zstd"})

    app.router.add_get(f"{PATH}/{{file}}", fetch, allow_head=False)
