"""FHIR resources and errors as HTTP answers."""

from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

from central.api.problems import retry_after, status_of
from central.errors import BusyError, RequestError
from central.fhir.outcome import MEDIA_TYPE, Issue, OutcomeError, outcome_of

_ISSUE_CODES = {
    HTTPStatus.UNAUTHORIZED: "login",
    HTTPStatus.FORBIDDEN: "forbidden",
    HTTPStatus.NOT_FOUND: "not-found",
    HTTPStatus.METHOD_NOT_ALLOWED: "not-supported",
    HTTPStatus.NOT_ACCEPTABLE: "not-supported",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "too-long",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "not-supported",
    HTTPStatus.CONFLICT: "conflict",
    HTTPStatus.UNPROCESSABLE_ENTITY: "business-rule",
}
# Where in a MedicationRequest the fields of an order came from.
ELEMENTS = {
    "id": "identifier",
    "product": "medicationCodeableConcept.coding.code",
    "quantity": "dispenseRequest.quantity.value",
    "patient": "subject.reference",
    "visit": "encounter.reference",
    "ward": "extension.valueString",
    "is_self_pay": "extension.valueBoolean",
    "location": "dispenseRequest.performer.identifier.value",
    "ordered_us": "authoredOn",
    "prescriber": "requester.identifier.value",
    "kind": "priority",
    "state": "status",
}


def refusal_of(error: OutcomeError | RequestError) -> tuple[HTTPStatus, dict[str, Any]]:
    """Status and OperationOutcome of what cannot be done as it was asked."""
    if isinstance(error, OutcomeError):
        return HTTPStatus(error.status), outcome_of(*error.issues)
    status = HTTPStatus(status_of(error))
    where = f"MedicationRequest.{ELEMENTS[error.field]}" if error.field in ELEMENTS else ""
    return status, outcome_of(Issue(code=_ISSUE_CODES[status], diagnostics=str(error), expression=where))


def outcome_for(error: Exception) -> web.Response | None:
    """The OperationOutcome of an error that a caller can do something about; None: it is ours."""
    match error:
        case OutcomeError():
            return answer(*refusal_of(error), error.headers)
        case RequestError():
            return answer(*refusal_of(error))
        case BusyError():
            issue = Issue(code="transient", diagnostics=str(error))
            return answer(HTTPStatus.SERVICE_UNAVAILABLE, outcome_of(issue), retry_after(error))
        case web.HTTPException():
            kept = {name: value for name, value in error.headers.items() if name in {"Allow", "WWW-Authenticate"}}
            code = _ISSUE_CODES.get(HTTPStatus(error.status), "processing")
            return answer(error.status, outcome_of(Issue(code=code, diagnostics=error.text or error.reason)), kept)
    return None


def answer(status: int, resource: dict[str, Any], headers: dict[str, str] | None = None) -> web.Response:
    body = msgspec.json.encode(resource)
    return web.Response(status=status, body=body, content_type=MEDIA_TYPE, headers=headers or {})
