"""A Bundle of type batch: orders placed and cancelled in one request, each entry answered as if it came alone.

An interface engine that sends what was ordered in a minute at once spares both sides a request and a commit for each.
"""

import asyncio
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

import msgspec

from central.errors import RequestError
from central.fhir.answers import refusal_of
from central.fhir.intake import Draft, draft_of, parse
from central.fhir.outcome import Issue, OutcomeError
from central.fhir.present import etag, request_of
from central.fhir.rules import check_create, check_id, is_cancelled_by, not_found, order_of
from central.stock.orders import Act
from central.stock.services import Services
from sync_protocol.documents import Order, Product

MAX_ENTRIES = 500
_RESOURCE = "MedicationRequest"
_CONDITIONS = ("ifNoneExist", "ifMatch", "ifNoneMatch", "ifModifiedSince")


class _Request(msgspec.Struct, frozen=True):
    method: str = ""
    url: str = ""
    ifNoneExist: str = ""  # noqa: N815 - FHIR's own names
    ifMatch: str = ""  # noqa: N815
    ifNoneMatch: str = ""  # noqa: N815
    ifModifiedSince: str = ""  # noqa: N815


class Entry(msgspec.Struct, frozen=True):
    request: _Request = _Request()
    resource: msgspec.Raw = msgspec.Raw()


class _Bundle(msgspec.Struct, frozen=True):
    resourceType: str = ""  # noqa: N815
    type: str = ""
    entry: tuple[Entry, ...] = ()


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """An entry that could be read. ``updates``: it is a PUT."""

    draft: Draft
    updates: bool


_decode = msgspec.json.Decoder(_Bundle).decode
Amiss = OutcomeError | RequestError


def read_batch(body: bytes) -> tuple[Entry, ...]:
    """Raises OutcomeError for what is no batch as a whole."""
    try:
        bundle = _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise OutcomeError(HTTPStatus.BAD_REQUEST, Issue(code="structure", diagnostics=str(error))) from error
    if bundle.resourceType != "Bundle" or bundle.type != "batch":
        found = f"{bundle.resourceType or 'nothing'} of type {bundle.type or 'nothing'}"
        message = f"found {found}, expected a Bundle of type batch"
        raise OutcomeError(HTTPStatus.BAD_REQUEST, _issue("Bundle.type", message, "not-supported"))
    if not 1 <= len(bundle.entry) <= MAX_ENTRIES:
        message = f"found {len(bundle.entry)} entries, expected 1 to {MAX_ENTRIES}; send the rest in another batch"
        raise OutcomeError(HTTPStatus.UNPROCESSABLE_ENTITY, _issue("Bundle.entry", message, "too-long"))
    return bundle.entry


class Batches:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def take(self, entries: Sequence[Entry], *, base: str, is_minimal: bool) -> dict[str, Any]:
        """The batch-response: as many entries, in the same order. Raises BusyError: send the whole batch again."""
        asked: list[Asked | OutcomeError] = []
        for entry in entries:
            asked.append(_read(entry))
            await asyncio.sleep(0)  # half a millisecond each: facts and pages get their turn between them
        read = [one for one in asked if isinstance(one, Asked)]
        known = self._orders(read)
        products = self._services.masterdata.products(one.draft.product for one in read)
        acts = [one if isinstance(one, OutcomeError) else self._act(one, known, products) for one in asked]
        amiss = iter(await self._services.orders.take([one for one in acts if isinstance(one, Act)]))
        ended = [next(amiss) if isinstance(one, Act) else one for one in acts]
        now = self._orders(read)
        answers = []
        for one, found in zip(asked, ended, strict=True):
            if found is None and isinstance(one, Asked):
                status = HTTPStatus.OK if one.updates or one.draft.id in known else HTTPStatus.CREATED
                answers.append(self._done(status, *now[one.draft.id], base=base, is_minimal=is_minimal))
            else:
                assert found is not None, "what could not be read was amiss"
                answers.append(_refused(found))
        return {"resourceType": "Bundle", "type": "batch-response", "entry": answers}

    def _act(self, one: Asked, known: dict[str, tuple[Order, int]], products: dict[str, Product]) -> Act | Amiss | None:
        """None: there is nothing to do."""
        draft = one.draft
        try:
            if not one.updates:
                check_create(draft)
                order = order_of(draft, products.get(draft.product), now_us=self._services.time.now_us())
                return Act(order=order, cancels=False)
            if draft.id not in known:
                return not_found(draft.id)
            order, _ = known[draft.id]
            return Act(order=order, cancels=True) if is_cancelled_by(draft, order) else None
        except OutcomeError as error:
            return error

    def _orders(self, asked: Iterable[Asked]) -> dict[str, tuple[Order, int]]:
        return self._services.orders.found(one.draft.id for one in asked)

    def _done(self, status: HTTPStatus, order: Order, version: int, *, base: str, is_minimal: bool) -> dict[str, Any]:
        response = {"status": _line(status), "etag": etag(version)}
        if status is HTTPStatus.CREATED:
            response["location"] = f"{base}/{_RESOURCE}/{order.id}"
        if is_minimal:
            return {"response": response}
        return {"resource": request_of(order, version, self._services.time.zone), "response": response}


def _read(entry: Entry) -> Asked | OutcomeError:
    try:
        _check_conditions(entry.request)
        order_id = _target(entry.request)
        draft = draft_of(parse(bytes(entry.resource)))
        if order_id:
            check_id(draft, order_id)
    except OutcomeError as error:
        return error
    return Asked(draft=draft, updates=bool(order_id))


def _check_conditions(request: _Request) -> None:
    """A create that is repeated changes nothing anyway."""
    for name in _CONDITIONS:
        if getattr(request, name):
            message = "expected none in a batch; send this one alone"
            raise OutcomeError(HTTPStatus.BAD_REQUEST, _issue(f"Bundle.entry.request.{name}", message, "not-supported"))


def _target(request: _Request) -> str:
    """The id of the order that is updated; empty: one is created."""
    kind, _, order_id = request.url.partition("/")
    match request.method, kind, unquote(order_id):
        case "POST", "MedicationRequest", "":
            return ""
        case "PUT", "MedicationRequest", order_id if order_id:
            return order_id
    message = f"found {request.method} {request.url}, expected POST {_RESOURCE} or PUT {_RESOURCE}/<id>"
    raise OutcomeError(HTTPStatus.BAD_REQUEST, _issue("Bundle.entry.request", message, "not-supported"))


def _refused(amiss: Amiss) -> dict[str, Any]:
    status, outcome = refusal_of(amiss)
    return {"response": {"status": _line(status), "outcome": outcome}}


def _line(status: HTTPStatus) -> str:
    return f"{status.value} {status.phrase}"


def _issue(expression: str, diagnostics: str, code: str) -> Issue:
    return Issue(code=code, expression=expression, diagnostics=diagnostics)
