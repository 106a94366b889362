"""The table of routes on aiohttp: token, scope, query and body are checked here, once for all."""

import functools
from collections.abc import Awaitable, Callable
from http import HTTPStatus

import msgspec
from aiohttp import web

from central.api.calls import PREFIX, Call, Route
from central.api.decode import MalformedError, Mistake, decode_body, decode_query
from central.api.openapi import document_of
from central.api.routes import ROUTES
from central.auth import Client, Clients, Scope
from central.stock.services import Services

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
JSON = "application/json"


def add_routes(app: web.Application, services: Services, clients: Clients) -> None:
    for route in ROUTES:
        app.router.add_route(route.method, PREFIX + route.path, _handler(route, services, clients))

    async def openapi(_request: web.Request) -> web.Response:
        return web.Response(body=_document(), content_type=JSON)

    app.router.add_get(f"{PREFIX}/openapi.json", openapi)


@functools.cache
def _document() -> bytes:
    return msgspec.json.encode(document_of(ROUTES))


def client_of(request: web.Request, clients: Clients, scope: Scope) -> Client:
    """Raises HTTPUnauthorized without a known token, HTTPForbidden without the scope."""
    client = clients.by_authorization(request.headers.get("Authorization", ""))
    if client is None:
        detail = "expected a header Authorization: Bearer <token> with the token of a configured client"
        raise web.HTTPUnauthorized(text=detail, headers={"WWW-Authenticate": 'Bearer realm="codepool"'})
    if scope not in client.scopes:
        found = ", ".join(sorted(client.scopes)) or "none"
        raise web.HTTPForbidden(text=f"client {client.name} has the scopes {found}, expected {scope}")
    return client


async def read_json(request: web.Request, *kinds: str) -> bytes:
    """The body. Raises HTTPUnsupportedMediaType for any other content type: a form of a foreign page has another."""
    if request.content_type not in kinds:
        raise web.HTTPUnsupportedMediaType(text=f"found {request.content_type}, expected {' or '.join(kinds)}")
    return await request.read()


def _handler(route: Route, services: Services, clients: Clients) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        client = client_of(request, clients, route.scope)
        if route.query is None and request.query:
            raise MalformedError(
                tuple(
                    Mistake(field=name, found="given", expected="no query", advice="remove it")
                    for name in request.query
                )
            )
        call = Call(
            services=services,
            client=client,
            path=dict(request.match_info),
            query=decode_query(request.query.items(), route.query) if route.query else None,
            body=decode_body(await read_json(request, JSON), route.body) if route.body else None,
        )
        reply = await route.handler(call)
        status = HTTPStatus.CREATED if reply.location else HTTPStatus.OK
        headers = {"Location": reply.location} if reply.location else {}
        body = msgspec.json.encode(reply.document)
        return web.Response(status=status, body=body, content_type=JSON, headers=headers)

    return handle
