"""The FHIR face on aiohttp: MedicationRequest in, read back, cancelled, one by one or many in a batch."""

from http import HTTPStatus
from urllib.parse import parse_qs, quote

from aiohttp import web

from central.api.serve import JSON, client_of, read_json
from central.auth import Clients, Scope
from central.fhir.answers import answer
from central.fhir.batch import Batches, read_batch
from central.fhir.capability import capability_statement
from central.fhir.intake import ORDER_ITEM, draft_of, parse
from central.fhir.outcome import MEDIA_TYPE, Issue, OutcomeError, outcome_of
from central.fhir.present import bundle_of, etag, request_of
from central.fhir.rules import check_create, check_id, is_cancelled_by, not_found, order_of
from central.stock.services import Services
from sync_protocol.documents import Order

PREFIX = "/fhir"
RESOURCE = f"{PREFIX}/MedicationRequest"
_ACCEPTED = frozenset((MEDIA_TYPE, JSON, "*/*", "application/*", "json"))


class Fhir:
    def __init__(self, services: Services, clients: Clients) -> None:
        self._services = services
        self._clients = clients
        self._batches = Batches(services)

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get(f"{PREFIX}/metadata", self.metadata)
        app.router.add_post(PREFIX, self.batch)
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
        check_create(draft)
        wanted = request.headers.get("If-None-Exist")
        if wanted is not None:
            known = self._find(_identifier_of(parse_qs(wanted.removeprefix("?"))))
            if known is not None:
                return self._represent(request, HTTPStatus.OK, *known)
        is_known = self._find(draft.id) is not None
        product = self._services.masterdata.products([draft.product]).get(draft.product)
        await self._services.orders.place(order_of(draft, product, now_us=self._services.time.now_us()))
        placed, version = self._found(draft.id)
        return self._represent(request, HTTPStatus.OK if is_known else HTTPStatus.CREATED, placed, version)

    async def batch(self, request: web.Request) -> web.Response:
        _check_accept(request)
        client_of(request, self._clients, Scope.ORDERS)
        entries = read_batch(await read_json(request, MEDIA_TYPE, JSON))
        is_minimal = request.headers.get("Prefer", "") == "return=minimal"
        done = await self._batches.take(entries, base=f"{request.url.origin()}{PREFIX}", is_minimal=is_minimal)
        return answer(HTTPStatus.OK, done)

    async def read(self, request: web.Request) -> web.Response:
        _check_accept(request)
        client_of(request, self._clients, Scope.READ)
        found, version = self._found(request.match_info["id"])
        if request.headers.get("If-None-Match") == etag(version):
            return web.Response(status=HTTPStatus.NOT_MODIFIED, headers={"ETag": etag(version)})
        return self._represent(request, HTTPStatus.OK, found, version)

    async def search(self, request: web.Request) -> web.Response:
        _check_accept(request)
        client_of(request, self._clients, Scope.READ)
        known = self._find(_identifier_of(parse_qs(request.query_string)))
        resources = [request_of(*known, self._services.time.zone)] if known else []
        return answer(HTTPStatus.OK, bundle_of(resources, f"{request.url.origin()}{RESOURCE}"))

    async def update(self, request: web.Request) -> web.Response:
        _check_accept(request)
        client_of(request, self._clients, Scope.ORDERS)
        draft = draft_of(parse(await read_json(request, MEDIA_TYPE, JSON)))
        check_id(draft, request.match_info["id"])
        known, version = self._found(draft.id)
        if request.headers.get("If-Match", etag(version)) != etag(version):
            message = f"found another version, expected {etag(version)}; read it again"
            raise OutcomeError(412, Issue(code="conflict", diagnostics=message))
        if is_cancelled_by(draft, known):
            await self._services.orders.cancel(draft.id)
        return self._represent(request, HTTPStatus.OK, *self._found(draft.id))

    def _find(self, order_id: str) -> tuple[Order, int] | None:
        return self._services.orders.found([order_id]).get(order_id)

    def _found(self, order_id: str) -> tuple[Order, int]:
        known = self._find(order_id)
        if known is None:
            raise not_found(order_id)
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
