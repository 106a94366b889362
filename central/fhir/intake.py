"""A MedicationRequest as an order line. Elements that an order has no place for are left alone, never guessed at.

Source of the mapping: domain/fhir-mapping.md §2, first row.
"""

import datetime as dt
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec
import pydantic
from fhir.resources.R4B.medicationrequest import MedicationRequest

from central.fhir.outcome import Issue, OutcomeError
from sync_protocol.documents import Order, OrderKind, OrderState, Product

ORDER_ITEM = "urn:codepool:order-item"
PRODUCT = "urn:codepool:product"
LOCATION = "urn:codepool:location"
WARD = "urn:codepool:ward"
SELF_PAY = "urn:codepool:self-pay"
ORDER_STATE = "urn:codepool:order-state"
TRACE_CODE = "urn:codepool:trace-code"
DISCHARGE = "discharge"
STOPPED = frozenset({"cancelled", "stopped", "entered-in-error"})
MAX_QUANTITY = 2_000
"""Items of one order line: the codes of one fact."""
_STATUSES = STOPPED | {"active", "on-hold", "completed", "draft", "unknown"}
_INTENTS = frozenset(
    ("proposal", "plan", "order", "original-order", "reflex-order", "filler-order", "instance-order", "option")
)
_PRIORITIES = frozenset(("routine", "urgent", "asap", "stat"))
_URGENT = _PRIORITIES - {"routine"}
_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
_MAX_TEXT = 128
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """An order line but for what only the catalogue knows, and the status that the caller gave it."""

    id: str
    kind: OrderKind
    product: str
    quantity: int
    patient: str
    visit: str
    ward: str
    location: str
    is_self_pay: bool
    ordered_us: int | None
    prescriber: str
    status: str

    def order(self, product: Product, *, now_us: int) -> Order:
        """``now_us`` stands for the time of an order that has none."""
        fields = msgspec.structs.asdict(self)
        del fields["status"]
        fields["ordered_us"] = now_us if self.ordered_us is None else self.ordered_us
        return Order(**fields, route=product.route, state=OrderState.WAITING)


def parse(body: bytes) -> MedicationRequest:
    """Raises OutcomeError 400 with an issue for each element that is no MedicationRequest's."""
    try:
        request = MedicationRequest.model_validate_json(body)
    except pydantic.ValidationError as error:
        raise OutcomeError(400, *(_structure_issue(flaw) for flaw in error.errors(include_url=False))) from error
    issues = [
        Issue(code="code-invalid", expression=f"MedicationRequest.{name}", diagnostics=_expected(found, allowed))
        for name, found, allowed in (
            ("status", request.status, _STATUSES),
            ("intent", request.intent, _INTENTS),
            ("priority", request.priority or "routine", _PRIORITIES),
        )
        if found not in allowed
    ]
    if issues:
        raise OutcomeError(400, *issues)
    return request


def draft_of(request: MedicationRequest) -> Draft:
    """Raises OutcomeError 422 with an issue for each element that an order needs and does not find."""
    reading = _Reading(request)
    draft = Draft(
        id=reading.order_id(),
        kind=reading.kind(),
        product=reading.product(),
        quantity=reading.quantity(),
        patient=reading.reference("subject", "Patient", is_required=True),
        visit=reading.reference("encounter", "Encounter", is_required=False),
        ward=reading.ward(),
        is_self_pay=reading.is_self_pay(),
        location=reading.location(),
        ordered_us=reading.ordered_us(),
        prescriber=reading.prescriber(),
        status=str(request.status),
    )
    reading.refuse_what_changes_the_meaning()
    if reading.issues:
        raise OutcomeError(422, *reading.issues)
    return draft


class _Reading:
    """Takes an order's fields out of a request and collects what is amiss."""

    def __init__(self, request: MedicationRequest) -> None:
        self._request = request
        self.issues: list[Issue] = []

    def order_id(self) -> str:
        values = [x.value for x in self._request.identifier or () if x.system == ORDER_ITEM and x.value]
        if len(values) != 1:
            return self._amiss("identifier", f"found {len(values)} of system {ORDER_ITEM}, expected exactly one")
        if not _ID.fullmatch(values[0]):
            return self._amiss("identifier.value", "expected 1 to 64 of A-Z, a-z, 0-9, '-' and '.'", code="value")
        return str(values[0])

    def kind(self) -> OrderKind:
        if (self._request.priority or "routine") in _URGENT:
            return OrderKind.STAT
        codes = {coding.code for category in self._request.category or () for coding in category.coding or ()}
        return OrderKind.DISCHARGE if DISCHARGE in codes else OrderKind.LONG_TERM

    def product(self) -> str:
        concept = self._request.medicationCodeableConcept
        codes = [x.code for x in (concept.coding or () if concept else ()) if x.system == PRODUCT and x.code]
        if len(codes) != 1:
            message = f"found {len(codes)} of system {PRODUCT}, expected exactly one: the id of a product"
            return self._amiss("medicationCodeableConcept.coding", message)
        return self._text("medicationCodeableConcept.coding.code", codes[0])

    def quantity(self) -> int:
        dispense = self._request.dispenseRequest
        value: Decimal | None = dispense.quantity.value if dispense and dispense.quantity else None
        where = "dispenseRequest.quantity.value"
        if value is None:
            self._amiss(where, "found nothing, expected the units of a split drug, the boxes of another")
        elif value != value.to_integral_value() or not 1 <= value <= MAX_QUANTITY:
            self._amiss(where, f"found {value}, expected a whole number from 1 to {MAX_QUANTITY}", code="business-rule")
        else:
            return int(value)
        return 0

    def reference(self, name: str, kind: str, *, is_required: bool) -> str:
        found = getattr(self._request, name)
        text = str(found.reference or "") if found else ""
        if not text and not is_required:
            return ""
        prefix, _, key = text.rpartition("/")
        if not key or (prefix != kind and not prefix.endswith(f"/{kind}")):
            return self._amiss(f"{name}.reference", f"expected {kind}/<id>")
        return self._text(f"{name}.reference", key)

    def ward(self) -> str:
        values = [x.valueString for x in self._request.extension or () if x.url == WARD]
        return self._text("extension.valueString", values[0] or "") if values else ""

    def is_self_pay(self) -> bool:
        return any(x.valueBoolean is True for x in self._request.extension or () if x.url == SELF_PAY)

    def location(self) -> str:
        dispense = self._request.dispenseRequest
        identifier = dispense.performer.identifier if dispense and dispense.performer else None
        if identifier is None or identifier.system != LOCATION or not identifier.value:
            return self._amiss(
                "dispenseRequest.performer.identifier", f"expected system {LOCATION} and a location's id"
            )
        return self._text("dispenseRequest.performer.identifier.value", identifier.value)

    def ordered_us(self) -> int | None:
        written = self._request.authoredOn
        if written is None:
            return None
        if getattr(written, "tzinfo", None) is None:  # a date alone, or a time without its zone
            self._amiss("authoredOn", "expected a date with time and zone, or nothing", code="value")
            return 0
        return (written - _EPOCH) // dt.timedelta(microseconds=1)

    def prescriber(self) -> str:
        requester = self._request.requester
        if requester is None or requester.identifier is None:
            return ""
        return self._text("requester.identifier.value", requester.identifier.value or "")

    def refuse_what_changes_the_meaning(self) -> None:
        if self._request.intent != "order":
            self._amiss("intent", f"found {self._request.intent}, expected order", code="business-rule")
        if self._request.doNotPerform:
            self._amiss("doNotPerform", "found true: a request not to give has no order line", code="business-rule")
        if self._request.modifierExtension:
            self._amiss("modifierExtension", "expected none: an unknown one may not be ignored", code="extension")

    def _text(self, name: str, found: Any) -> str:
        text = str(found)
        if len(text) > _MAX_TEXT or not text.isprintable():
            return self._amiss(name, f"expected at most {_MAX_TEXT} printable characters", code="value")
        return text

    def _amiss(self, name: str, diagnostics: str, *, code: str = "required") -> str:
        self.issues.append(Issue(code=code, expression=f"MedicationRequest.{name}", diagnostics=diagnostics))
        return ""


def _expected(found: object, allowed: frozenset[str]) -> str:
    return f"found {str(found)[:_MAX_TEXT]}, expected one of {', '.join(sorted(allowed))}"


def _structure_issue(flaw: Any) -> Issue:
    kind = str(flaw["type"])
    code = "required" if kind.endswith("missing") else "structure"
    if kind in {"value_error", "string_pattern_mismatch", "decimal_parsing"}:
        code = "value"
    message = " ".join(str(flaw["msg"]).removeprefix("Value error, ").split())
    return Issue(code=code, expression="".join(_path(flaw["loc"])), diagnostics=message)


def _path(location: tuple[int | str, ...]) -> Iterator[str]:
    yield "MedicationRequest"
    for step in location:
        if step not in {"root", "__root__"}:
            yield f"[{step}]" if isinstance(step, int) else f".{step}"
