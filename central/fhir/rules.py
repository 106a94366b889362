"""What a create and an update may ask, sent alone or in a batch."""

from http import HTTPStatus

from central.fhir.answers import ELEMENTS
from central.fhir.intake import STOPPED, Draft
from central.fhir.outcome import Issue, OutcomeError
from sync_protocol.documents import Order, OrderState, Product

# What a repeated request may not change. Codes, state and route are central's; the time may not be known.
_CONTENT = ("kind", "product", "quantity", "patient", "visit", "ward", "location", "prescriber", "is_self_pay")


def check_create(draft: Draft) -> None:
    """Raises OutcomeError."""
    if draft.status != "active":
        raise _unfit("status", f"found {draft.status}, expected active")


def order_of(draft: Draft, product: Product | None, *, now_us: int) -> Order:
    """``product`` as the catalogue has it. Raises OutcomeError."""
    if product is None:
        raise _unfit(ELEMENTS["product"], f"found {draft.product}, expected the id of a product of the catalogue")
    return draft.order(product, now_us=now_us)


def check_id(draft: Draft, found: str) -> None:
    """The id of an update stands in its URL, too. Raises OutcomeError."""
    if draft.id != found:
        message = f"found {draft.id}, expected the id of the URL"
        raise OutcomeError(HTTPStatus.BAD_REQUEST, _issue("identifier.value", message, "invalid"))


def is_cancelled_by(draft: Draft, known: Order) -> bool:
    """Whether an update cancels the order; else it changes nothing. Raises OutcomeError."""
    issues = [
        _issue(ELEMENTS[name], f"found {getattr(draft, name)}, expected {getattr(known, name)} as placed", "conflict")
        for name in _CONTENT
        if getattr(draft, name) != getattr(known, name)
    ]
    if issues:
        raise OutcomeError(HTTPStatus.CONFLICT, *issues)
    if draft.status in STOPPED:
        return True
    if draft.status != ("cancelled" if known.state is OrderState.CANCELLED else "active"):
        message = f"found {draft.status}, expected active, or one of {', '.join(sorted(STOPPED))} to cancel"
        raise _unfit("status", message)
    return False


def not_found(order_id: str) -> OutcomeError:
    return OutcomeError(HTTPStatus.NOT_FOUND, Issue(code="not-found", diagnostics=f"no order with the id {order_id}"))


def _issue(element: str, diagnostics: str, code: str) -> Issue:
    return Issue(code=code, expression=f"MedicationRequest.{element}", diagnostics=diagnostics)


def _unfit(element: str, diagnostics: str) -> OutcomeError:
    return OutcomeError(HTTPStatus.UNPROCESSABLE_ENTITY, _issue(element, diagnostics, "business-rule"))
