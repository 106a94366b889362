"""An order line as a MedicationRequest, for its writer to read back."""

import datetime as dt
from typing import Any

from central.fhir.intake import DISCHARGE, LOCATION, ORDER_ITEM, ORDER_STATE, PRODUCT, SELF_PAY, TRACE_CODE, WARD
from sync_protocol.documents import Order, OrderKind, OrderState

CATEGORY = "http://terminology.hl7.org/CodeSystem/medicationrequest-category"
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_STATUS = {OrderState.CANCELLED: "cancelled", OrderState.DISPENSED: "completed"}


def etag(version: int) -> str:
    return f'W/"{version}"'


def request_of(order: Order, version: int, zone: dt.tzinfo) -> dict[str, Any]:
    """The resource, its version being the ledger's at the order's last change."""
    authored = (_EPOCH + dt.timedelta(microseconds=order.ordered_us)).astimezone(zone)
    built: dict[str, Any] = {
        "resourceType": "MedicationRequest",
        "id": order.id,
        "meta": {"versionId": str(version)},
        "extension": _extensions(order),
        "identifier": [{"system": ORDER_ITEM, "value": order.id}],
        "status": _STATUS.get(order.state, "active"),
        "intent": "order",
        "priority": "stat" if order.kind is OrderKind.STAT else "routine",
        "medicationCodeableConcept": {"coding": [{"system": PRODUCT, "code": order.product}]},
        "subject": {"reference": f"Patient/{order.patient}"},
        "authoredOn": authored.isoformat(),
        "dispenseRequest": {
            "quantity": {"value": order.quantity},
            "performer": {"identifier": {"system": LOCATION, "value": order.location}},
        },
    }
    if order.kind is OrderKind.DISCHARGE:
        built["category"] = [{"coding": [{"system": CATEGORY, "code": DISCHARGE}]}]
    if order.visit:
        built["encounter"] = {"reference": f"Encounter/{order.visit}"}
    if order.prescriber:
        built["requester"] = {"identifier": {"value": order.prescriber}}
    return built


def bundle_of(resources: list[dict[str, Any]], base: str) -> dict[str, Any]:
    """What a search found."""
    entries = [{"fullUrl": f"{base}/{found['id']}", "resource": found} for found in resources]
    bundle: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset", "total": len(resources)}
    return bundle | ({"entry": entries} if entries else {})


def _extensions(order: Order) -> list[dict[str, str | bool]]:
    built: list[dict[str, str | bool]] = [{"url": ORDER_STATE, "valueCode": order.state.value}]
    if order.ward:
        built.append({"url": WARD, "valueString": order.ward})
    if order.is_self_pay:
        built.append({"url": SELF_PAY, "valueBoolean": True})
    return built + [{"url": TRACE_CODE, "valueString": code} for code in order.codes]
