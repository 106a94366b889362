import asyncio
import json
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.capabilitystatement import CapabilityStatement
from fhir.resources.R4B.medicationrequest import MedicationRequest
from fhir.resources.R4B.operationoutcome import OperationOutcome
from multidict import CIMultiDictProxy

from central.site import SiteSettings, build_site
from sync_protocol.documents import OrderKind
from tests.integration.central_faces.hospital import NOBODY, READER, SPLIT, Hospital, caller

URL = "/fhir/MedicationRequest"
TYPE = {"Content-Type": "application/fhir+json"}


def request(**changes: Any) -> dict[str, Any]:
    """An order of three units for one patient."""
    resource = {
        "resourceType": "MedicationRequest",
        "identifier": [{"system": "urn:codepool:order-item", "value": "o-1"}],
        "status": "active",
        "intent": "order",
        "priority": "stat",
        "medicationCodeableConcept": {"coding": [{"system": "urn:codepool:product", "code": SPLIT.id}]},
        "subject": {"reference": "Patient/pt-1"},
        "encounter": {"reference": "Encounter/v-1"},
        "authoredOn": "2026-11-21T08:00:00+08:00",
        "requester": {"identifier": {"value": "dr-7"}},
        "extension": [{"url": "urn:codepool:ward", "valueString": "W3"}],
        "dispenseRequest": {
            "quantity": {"value": 3},
            "performer": {"identifier": {"system": "urn:codepool:location", "value": "pharmacy"}},
        },
    }
    return {name: value for name, value in (resource | changes).items() if value is not None}


async def post(session: aiohttp.ClientSession, body: Any, **headers: str) -> tuple[int, Any, "CIMultiDictProxy[str]"]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with session.post(URL, data=data, headers=TYPE | {k.replace("_", "-"): v for k, v in headers.items()}) as got:
        assert got.content_type == "application/fhir+json"
        return got.status, await got.json(content_type=None), got.headers


def issues(outcome: dict[str, Any]) -> list[tuple[str, str]]:
    OperationOutcome.model_validate(outcome)
    return [(issue["code"], issue.get("expression", [""])[0]) for issue in outcome["issue"]]


@pytest.mark.covers("A06", "A19")
async def test_an_order_is_created_locked_and_read_back(hospital: Hospital, his: aiohttp.ClientSession) -> None:
    await hospital.stock()
    status, created, headers = await post(his, request())
    assert status == 201
    assert headers["Location"].endswith(f"{URL}/o-1")
    order = hospital.services.orders.get("o-1")
    assert (order.kind, order.quantity, order.ward, order.visit, order.prescriber, order.patient) == (
        OrderKind.STAT,
        3,
        "W3",
        "v-1",
        "dr-7",
        "pt-1",
    )
    assert order.ordered_us == 1_795_219_200_000_000
    async with his.get(headers["Location"]) as response:
        assert response.status == 200
        assert response.headers["ETag"] == headers["ETag"] == f'W/"{created["meta"]["versionId"]}"'
        resource = await response.json(content_type=None)
    assert resource == created
    MedicationRequest.model_validate(resource)
    codes = [one["valueString"] for one in resource["extension"] if one["url"] == "urn:codepool:trace-code"]
    assert codes == list(order.codes)
    assert {name: resource[name] for name in ("identifier", "priority", "subject", "authoredOn")} == {
        name: request()[name] for name in ("identifier", "priority", "subject", "authoredOn")
    }
    async with his.get(f"{URL}/o-1", headers={"If-None-Match": headers["ETag"]}) as response:
        assert response.status == 304


async def test_a_replay_answers_200_and_changes_nothing(hospital: Hospital, his: aiohttp.ClientSession) -> None:
    await hospital.stock()
    _, created, _ = await post(his, request())
    version = hospital.ledger.version
    status, again, headers = await post(his, request())
    assert (status, again, "Location" in headers) == (200, created, False)
    assert hospital.ledger.version == version


async def test_replays_at_the_same_moment_make_one_order(hospital: Hospital, his: aiohttp.ClientSession) -> None:
    await hospital.stock()
    answers = await asyncio.gather(*(post(his, request()) for _ in range(8)))
    assert {status for status, _, _ in answers} <= {200, 201}
    assert len(hospital.services.orders.get("o-1").codes) == 3


async def test_other_content_is_a_conflict(hospital: Hospital, his: aiohttp.ClientSession) -> None:
    await hospital.stock()
    await post(his, request())
    status, outcome, _ = await post(his, request(subject={"reference": "Patient/pt-2"}))
    assert status == 409
    assert issues(outcome) == [("conflict", "MedicationRequest.subject.reference")]


async def test_conditional_create(hospital: Hospital, his: aiohttp.ClientSession) -> None:
    await hospital.stock()
    wanted = {"If_None_Exist": "identifier=urn:codepool:order-item|o-1"}
    assert (await post(his, request(), **wanted))[0] == 201
    assert (await post(his, request(priority="routine"), **wanted))[0] == 200
    assert hospital.services.orders.get("o-1").kind is OrderKind.STAT
    assert (await post(his, request(), If_None_Exist="patient=1"))[0] == 400


@pytest.mark.parametrize(
    ("priority", "category", "kind"),
    [
        (None, None, OrderKind.LONG_TERM),
        ("routine", "discharge", OrderKind.DISCHARGE),
        ("urgent", "discharge", OrderKind.STAT),
        ("asap", "inpatient", OrderKind.STAT),
        ("routine", "inpatient", OrderKind.LONG_TERM),
    ],
)
async def test_kinds_of_order(
    hospital: Hospital, his: aiohttp.ClientSession, priority: str | None, category: str | None, kind: OrderKind
) -> None:
    await hospital.stock()
    categories = [{"coding": [{"code": category}]}] if category else None
    status, _, _ = await post(his, request(priority=priority, category=categories))
    assert status == 201
    assert hospital.services.orders.get("o-1").kind is kind


async def test_an_order_that_no_insurer_pays(hospital: Hospital, his: aiohttp.ClientSession) -> None:
    await hospital.stock()
    self_pay = [{"url": "urn:codepool:self-pay", "valueBoolean": True}]
    status, created, _ = await post(his, request(extension=self_pay))
    assert status == 201
    assert hospital.services.orders.get("o-1").is_self_pay
    assert self_pay[0] in created["extension"]
    status, outcome, _ = await post(his, request(extension=None))
    assert status == 409
    assert issues(outcome) == [("conflict", "MedicationRequest.extension.valueBoolean")]


async def test_an_order_without_time_gets_that_of_its_arrival(hospital: Hospital, his: aiohttp.ClientSession) -> None:
    await hospital.stock()
    before = hospital.time.now_us()
    assert (await post(his, request(authoredOn=None)))[0] == 201
    assert before <= hospital.services.orders.get("o-1").ordered_us <= hospital.time.now_us()
    assert (await post(his, request(authoredOn=None)))[0] == 200


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", [("structure", "MedicationRequest")]),
        (b"{]", [("structure", "MedicationRequest")]),
        (b"\xff", [("structure", "MedicationRequest")]),
        (request(resourceType="Patient"), [("structure", "MedicationRequest.resource_type")]),
        (request(subject=None), [("required", "MedicationRequest.subject")]),
        (request(status=None), [("required", "MedicationRequest.status")]),
        (request(status="gone"), [("code-invalid", "MedicationRequest.status")]),
        (request(priority="now"), [("code-invalid", "MedicationRequest.priority")]),
        (request(colour="red"), [("structure", "MedicationRequest.colour")]),
        (request(authoredOn="yesterday"), [("value", "MedicationRequest.authoredOn")]),
        (
            request(dispenseRequest={"quantity": {"value": "many", "size": 1}}),
            [
                ("value", "MedicationRequest.dispenseRequest.quantity.value"),
                ("structure", "MedicationRequest.dispenseRequest.quantity.size"),
            ],
        ),
    ],
)
async def test_what_is_no_medication_request_is_400(
    his: aiohttp.ClientSession, body: Any, expected: list[tuple[str, str]]
) -> None:
    status, outcome, _ = await post(his, body)
    assert status == 400
    assert issues(outcome) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"identifier": None}, [("required", "MedicationRequest.identifier")]),
        (
            {"identifier": [{"system": "urn:codepool:order-item", "value": "a/b"}]},
            [("value", "MedicationRequest.identifier.value")],
        ),
        ({"intent": "plan"}, [("business-rule", "MedicationRequest.intent")]),
        ({"status": "completed"}, [("business-rule", "MedicationRequest.status")]),
        ({"doNotPerform": True}, [("business-rule", "MedicationRequest.doNotPerform")]),
        (
            {"modifierExtension": [{"url": "u", "valueCode": "x"}]},
            [("extension", "MedicationRequest.modifierExtension")],
        ),
        ({"subject": {"reference": "Group/1"}}, [("required", "MedicationRequest.subject.reference")]),
        ({"authoredOn": "2026-11-21"}, [("value", "MedicationRequest.authoredOn")]),
        (
            {"dispenseRequest": {"quantity": {"value": 1.5}}},
            [
                ("business-rule", "MedicationRequest.dispenseRequest.quantity.value"),
                ("required", "MedicationRequest.dispenseRequest.performer.identifier"),
            ],
        ),
        (
            {"medicationCodeableConcept": {"text": "aspirin"}},
            [("required", "MedicationRequest.medicationCodeableConcept.coding")],
        ),
        (
            {"medicationCodeableConcept": {"coding": [{"system": "urn:codepool:product", "code": "P-?"}]}},
            [("business-rule", "MedicationRequest.medicationCodeableConcept.coding.code")],
        ),
    ],
)
async def test_what_no_order_can_be_is_422(
    hospital: Hospital, his: aiohttp.ClientSession, changes: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    await hospital.stock()
    status, outcome, _ = await post(his, request(**changes))
    assert status == 422
    assert issues(outcome) == expected


@pytest.mark.parametrize("status", ["cancelled", "stopped", "entered-in-error"])
async def test_an_order_is_cancelled_by_an_update(hospital: Hospital, his: aiohttp.ClientSession, status: str) -> None:
    await hospital.stock()
    _, _, headers = await post(his, request())
    async with his.put(f"{URL}/o-1", json=request(status=status), headers={"If-Match": 'W/"1"'}) as response:
        assert response.status == 412
        assert issues(await response.json(content_type=None)) == [("conflict", "")]
    resource: dict[str, Any] = {}
    for version in (headers["ETag"], None):
        matching = {"If-Match": version} if version else {}
        async with his.put(f"{URL}/o-1", json=request(status=status), headers=matching) as response:
            assert response.status == 200
            resource = await response.json(content_type=None)
    assert resource["status"] == "cancelled"
    assert hospital.services.orders.get("o-1").codes == ()


async def test_an_update_cannot_change_an_order(hospital: Hospital, his: aiohttp.ClientSession) -> None:
    await hospital.stock()
    await post(his, request())
    for changes, status, expected in (
        ({"priority": "routine"}, 409, ("conflict", "MedicationRequest.priority")),
        ({"status": "on-hold"}, 422, ("business-rule", "MedicationRequest.status")),
        (
            {"identifier": [{"system": "urn:codepool:order-item", "value": "o-2"}]},
            400,
            ("invalid", "MedicationRequest.identifier.value"),
        ),
    ):
        async with his.put(f"{URL}/o-1", json=request(**changes)) as response:
            assert response.status == status
            assert issues(await response.json(content_type=None)) == [expected]
    async with his.put(f"{URL}/o-1", json=request()) as response:
        assert response.status == 200
    async with his.put(
        f"{URL}/o-7", json=request(identifier=[{"system": "urn:codepool:order-item", "value": "o-7"}])
    ) as response:
        assert response.status == 404


async def test_search_by_identifier(
    hospital: Hospital, reader: aiohttp.ClientSession, his: aiohttp.ClientSession
) -> None:
    await hospital.stock()
    await post(his, request())
    for value, total in (("o-1", 1), ("o-2", 0)):
        async with reader.get(URL, params={"identifier": f"urn:codepool:order-item|{value}"}) as response:
            bundle = await response.json(content_type=None)
        Bundle.model_validate(bundle)
        assert bundle["total"] == total == len(bundle.get("entry", ()))
    async with reader.get(URL, params={"patient": "pt-1"}) as response:
        assert response.status == 400


async def test_prefer_chooses_what_comes_back(hospital: Hospital, his: aiohttp.ClientSession) -> None:
    await hospital.stock()
    async with his.post(URL, json=request(), headers={"Prefer": "return=minimal"}) as response:
        assert (response.status, await response.read()) == (201, b"")
        assert response.headers["ETag"]
    _, outcome, _ = await post(his, request(), Prefer="return=OperationOutcome")
    assert issues(outcome) == [("informational", "")]


async def test_tokens_types_and_paths(
    address: str, stranger: aiohttp.ClientSession, his: aiohttp.ClientSession
) -> None:
    async with stranger.post(URL, json=request()) as response:
        assert response.status == 401
        assert issues(await response.json(content_type=None)) == [("login", "")]
    for token in (NOBODY, READER):
        async with caller(address, token) as other, other.post(URL, json=request()) as response:
            assert response.status == 403
            assert issues(await response.json(content_type=None)) == [("forbidden", "")]
    for method, path, headers, expected in (
        ("POST", URL, {"Content-Type": "text/plain"}, 415),
        ("GET", f"{URL}/o-1", {"Accept": "application/fhir+xml"}, 406),
        ("GET", f"{URL}/o-9", {}, 404),
        ("GET", "/fhir/Patient/1", {}, 404),
        ("DELETE", f"{URL}/o-1", {}, 405),
    ):
        async with his.request(method, path, headers=headers, data=b"{}" if method == "POST" else None) as response:
            assert response.status == expected
            assert issues(await response.json(content_type=None))


async def test_capability_statement_tells_the_truth(hospital: Hospital, stranger: aiohttp.ClientSession) -> None:
    async with stranger.get("/fhir/metadata") as response:
        assert response.status == 200
        statement = CapabilityStatement.model_validate(await response.json(content_type=None))
    rest = statement.model_dump()["rest"][0]
    promised = {interaction["code"] for interaction in (*rest["resource"][0]["interaction"], *rest["interaction"])}
    app = build_site(hospital.services, SiteSettings())
    served = {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.resource.canonical.startswith("/fhir") and route.method != "HEAD"
    }
    means = {
        "batch": ("POST", "/fhir"),
        "create": ("POST", URL),
        "read": ("GET", URL + "/{id}"),
        "update": ("PUT", URL + "/{id}"),
        "search-type": ("GET", URL),
    }
    assert {means[code] for code in promised} | {("GET", "/fhir/metadata")} == served
    assert statement.fhirVersion == "4.3.0"


def test_the_example_itself_is_fhir() -> None:
    check: Callable[[Any], Any] = MedicationRequest.model_validate
    assert check(request()).intent == "order"
