"""The FHIR face on aiohttp: MedicationRequest in, read back, cancelled."""

from http import HTTPStatus
from urllib.parse import parse_qs, quote

from aiohttp import web

from central.api.serve import JSON, client_of, read_json
from central.auth import Clients, Scope
from central.fhir.answers import ELEMENTS, answer
from central.fhir.capability import capability_statement
from central.fhir.intake import ORDER_ITEM, STOPPED, Draft, draft_of, parse
from central.fhir.outcome import MEDIA_TYPE, Issue, OutcomeError, outcome_of
from central.fhir.present import bundle_of, etag, request_of
from central.ledger import read_api
from central.stock.services import Services
from sync_protocol.documents import Order, OrderState

PREFIX = "/fhir"
RESOURCE = f"{PREFIX}/MedicationRequest"
_ACCEPTED = frozenset((MEDIA_TYPE, JSON, "*/*", "application/*", "json"))
# What a repeated request may not change. Codes, state and route are central's; the time may not be known.
_CONTENT = ("kind", "product", "quantity", "patient", "visit", "ward", "location", "prescriber", "is_self_pay")


class Fhir:
    def __init__(self, services: Services, clients: Clients) -> None:
        self._services = services
        self._clients = clients

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get(f"{PREFIX}/metadata", self.metadata)
        app.router.add_post(RESOURCE, self.create)
        app.router.add_get(RESOURCE, self.search)
        app.router.add_get(RESOURCE + "/{id}", self.read)
        app.router.add_put(RESOURCE + "/{id}", self.update)

    async def metadata(self, request: web.Request) -> web.Response:
        _check_accept(request)
        return answer(HTTPStatus.OK, capability_statement(f"{request.url.origin()}{PREFIX}"))

    async def create(self, request: web.Request) -> web.Response:
        _check_accept(request)
        client_of(request, self._clients, Scope.ORDERS)
        draft = draft_of(parse(await read_json(request, MEDIA_TYPE, JSON)))
        if draft.status != "active":
            raise _unfit("status", f"found {draft.status}, expected active", "business-rule")
        wanted = request.headers.get("If-None-Exist")
        if wanted is not None:
            known = await self._find(_identifier_of(parse_qs(wanted.removeprefix("?"))))
            if known is not None:
                return self._represent(request, HTTPStatus.OK, *known)
        is_known = await self._find(draft.id) is not None
        await self._services.orders.place(await self._order(draft))
        placed, version = await self._found(draft.id)
        return self._represent(request, HTTPStatus.OK if is_known else HTTPStatus.CREATED, placed, version)

    async def read(self, request: web.Request) -> web.Response:
        _check_accept(request)
        client_of(request, self._clients, Scope.READ)
        found, version = await self._found(request.match_info["id"])
        if request.headers.get("If-None-Match") == etag(version):
            return web.Response(status=HTTPStatus.NOT_MODIFIED, headers={"ETag": etag(version)})
        return self._represent(request, HTTPStatus.OK, found, version)

    async def search(self, request: web.Request) -> web.Response:
        _check_accept(request)
        client_of(request, self._clients, Scope.READ)
        known = await self._find(_identifier_of(parse_qs(request.query_string)))
        resources = [request_of(*known, self._services.time.zone)] if known else []
        return answer(HTTPStatus.OK, bundle_of(resources, f"{request.url.origin()}{RESOURCE}"))

    async def update(self, request: web.Request) -> web.Response:
        _check_accept(request)
        client_of(request, self._clients, Scope.ORDERS)
        draft = draft_of(parse(await read_json(request, MEDIA_TYPE, JSON)))
        if draft.id != request.match_info["id"]:
            raise OutcomeError(
                400, _issue("identifier.value", f"found {draft.id}, expected the id of the URL", "invalid")
            )
        known, version = await self._found(draft.id)
        if request.headers.get("If-Match", etag(version)) != etag(version):
            message = f"found another version, expected {etag(version)}; read it again"
            raise OutcomeError(412, Issue(code="conflict", diagnostics=message))
        _check_unchanged(draft, known)
        if draft.status in STOPPED:
            await self._services.orders.cancel(draft.id)
        elif draft.status != ("cancelled" if known.state is OrderState.CANCELLED else "active"):
            message = f"found {draft.status}, expected active, or one of {', '.join(sorted(STOPPED))} to cancel"
            raise _unfit("status", message, "business-rule")
        return self._represent(request, HTTPStatus.OK, *await self._found(draft.id))

    async def _order(self, draft: Draft) -> Order:
        product = await read_api.one_product(self._services.read, draft.product)
        if product is None:
            message = f"found {draft.product}, expected the id of a product of the catalogue"
            raise _unfit(ELEMENTS["product"], message, "business-rule")
        return draft.order(product, now_us=self._services.time.now_us())

    async def _find(self, order_id: str) -> tuple[Order, int] | None:
        return await read_api.one_order(self._services.read, order_id)

    async def _found(self, order_id: str) -> tuple[Order, int]:
        known = await self._find(order_id)
        if known is None:
            raise OutcomeError(404, Issue(code="not-found", diagnostics=f"no order with the id {order_id}"))
        return known

    def _represent(self, request: web.Request, status: HTTPStatus, order: Order, version: int) -> web.Response:
        headers = {"ETag": etag(version)}
        if status is HTTPStatus.CREATED:
            headers["Location"] = f"{request.url.origin()}{RESOURCE}/{quote(order.id)}"
        match request.headers.get("Prefer", ""):
            case "return=minimal":
                return web.Response(status=status, headers=headers)
            case "return=OperationOutcome":
                done = Issue(
                    code="informational", severity="information", diagnostics=f"order {order.id}: {order.state}"
                )
                return answer(status, outcome_of(done), headers)
        return answer(status, request_of(order, version, self._services.time.zone), headers)


def _check_accept(request: web.Request) -> None:
    offered = request.query.get("_format") or request.headers.get("Accept") or "*/*"
    kinds = {part.partition(";")[0].strip() for part in offered.split(",")}
    if not kinds & _ACCEPTED:
        raise web.HTTPNotAcceptable(text=f"found {offered}, expected {MEDIA_TYPE}")


def _identifier_of(query: dict[str, list[str]]) -> str:
    values = query.pop("identifier", [])
    query.pop("_format", None)
    system, _, value = values[0].partition("|") if len(values) == 1 else ("", "", "")
    if query or system != ORDER_ITEM or not value:
        message = f"expected identifier={ORDER_ITEM}|<value> and no other criterion"
        raise OutcomeError(HTTPStatus.BAD_REQUEST, Issue(code="not-supported", diagnostics=message))
    return value


def _check_unchanged(draft: Draft, known: Order) -> None:
    issues = [
        _issue(ELEMENTS[name], f"found {getattr(draft, name)}, expected {getattr(known, name)} as placed", "conflict")
        for name in _CONTENT
        if getattr(draft, name) != getattr(known, name)
    ]
    if issues:
        raise OutcomeError(HTTPStatus.CONFLICT, *issues)


def _issue(element: str, diagnostics: str, code: str) -> Issue:
    return Issue(code=code, expression=f"MedicationRequest.{element}", diagnostics=diagnostics)


def _unfit(element: str, diagnostics: str, code: str) -> OutcomeError:
    return OutcomeError(HTTPStatus.UNPROCESSABLE_ENTITY, _issue(element, diagnostics, code))
