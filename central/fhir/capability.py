"""What the FHIR face can do, and nothing more: GET /fhir/metadata."""

import importlib.metadata
from typing import Any

from central.fhir.batch import MAX_ENTRIES
from central.fhir.intake import LOCATION, ORDER_ITEM, ORDER_STATE, PRODUCT, TRACE_CODE, WARD

FHIR_VERSION = "4.3.0"
RELEASED = "2026-11-22"
"""The day this statement was last changed."""

_DOCUMENTATION = f"""\
Intake of order lines. One MedicationRequest is one product for one patient.

Needed: identifier of system `{ORDER_ITEM}` (1 to 64 of A-Z, a-z, 0-9, '-' and '.'; it becomes the id), \
status `active`, intent `order`, medicationCodeableConcept.coding of system `{PRODUCT}`, \
subject.reference `Patient/<pseudonym>`, dispenseRequest.quantity.value (units of a split drug, boxes of another) and \
dispenseRequest.performer.identifier of system `{LOCATION}`. \
Read as well: authoredOn with time and zone, encounter.reference `Encounter/<visit>`, requester.identifier, \
extension `{WARD}`. \
A priority above routine makes a stat order, category `discharge` a discharge order; both together a stat order. \
Other elements are not stored. A modifierExtension or doNotPerform is refused.

Creating the same content again answers 200 and changes nothing; \
other content under the same identifier is a conflict. \
An update may only cancel: status `cancelled`, `stopped` or `entered-in-error`; all three read back as `cancelled`. \
Read back, extension `{ORDER_STATE}` tells the state and `{TRACE_CODE}` each code that is locked or dispensed."""

_BATCH = f"""\
POST of a Bundle of type `batch`: up to {MAX_ENTRIES} entries that create (POST MedicationRequest) or update \
(PUT MedicationRequest/<id>), without conditions. Each is answered in its place as if it came alone; \
after an answer of 503 the whole batch is sent again, which changes nothing that was done."""


def capability_statement(base: str) -> dict[str, Any]:
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": RELEASED,
        "kind": "instance",
        "software": {"name": "codepool central", "version": importlib.metadata.version("codepool")},
        "implementation": {"description": "Orders for the code pool", "url": base},
        "fhirVersion": FHIR_VERSION,
        "format": ["application/fhir+json"],
        "rest": [
            {
                "mode": "server",
                "documentation": "JSON only. Every call but this one needs a bearer token.",
                "security": {"description": "Authorization: Bearer <token>; scope orders to write, read to read"},
                "resource": [_medication_request()],
                "interaction": [{"code": "batch", "documentation": _BATCH}],
            }
        ],
    }


def _medication_request() -> dict[str, Any]:
    return {
        "type": "MedicationRequest",
        "documentation": _DOCUMENTATION,
        "interaction": [{"code": "create"}, {"code": "read"}, {"code": "update"}, {"code": "search-type"}],
        "versioning": "versioned-update",
        "readHistory": False,
        "updateCreate": False,
        "conditionalCreate": True,
        "conditionalUpdate": False,
        "conditionalDelete": "not-supported",
        "searchParam": [
            {"name": "identifier", "type": "token", "documentation": f"{ORDER_ITEM}|<value>; needed in a search"}
        ],
    }
