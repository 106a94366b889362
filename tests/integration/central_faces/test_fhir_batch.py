import json
from typing import Any

import aiohttp
import pytest
from fhir.resources.R4B.bundle import Bundle

from central.fhir.batch import MAX_ENTRIES
from sync_protocol.documents import OrderState
from tests.integration.central_faces.hospital import READER, Hospital, caller
from tests.integration.central_faces.test_fhir import TYPE, issues, request


def placing(order: str, **changes: Any) -> dict[str, Any]:
    identifier = [{"system": "urn:codepool:order-item", "value": order}]
    return {
        "request": {"method": "POST", "url": "MedicationRequest"},
        "resource": request(identifier=identifier, **changes),
    }


def stopping(order: str, **changes: Any) -> dict[str, Any]:
    entry = placing(order, status="stopped", **changes)
    return entry | {"request": {"method": "PUT", "url": f"MedicationRequest/{order}"}}


def batch(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "batch", "entry": list(entries)}


async def post(his: aiohttp.ClientSession, body: Any, **headers: str) -> tuple[int, Any]:
    async with his.post("/fhir", data=json.dumps(body).encode(), headers=TYPE | headers) as response:
        return response.status, await response.json(content_type=None)


def statuses(answer: dict[str, Any]) -> list[str]:
    Bundle.model_validate(answer)
    assert answer["type"] == "batch-response"
    return [entry["response"]["status"][:3] for entry in answer["entry"]]


@pytest.mark.covers("A06", "A19")
async def test_orders_of_a_batch_are_placed_and_locked_in_one_commit(
    hospital: Hospital, his: aiohttp.ClientSession
) -> None:
    await hospital.stock()
    version = hospital.ledger.version
    status, answer = await post(his, batch(placing("o-1"), placing("o-2")))
    assert (status, statuses(answer)) == (200, ["201", "201"])
    assert hospital.ledger.version == version + 1
    codes = [code for order in ("o-1", "o-2") for code in hospital.services.orders.get(order).codes]
    assert len(codes) == len(set(codes)) == 6
    first = answer["entry"][0]
    assert first["response"]["location"].endswith("/fhir/MedicationRequest/o-1")
    assert first["response"]["etag"] == f'W/"{version + 1}"'
    async with his.get(first["response"]["location"]) as response:
        assert await response.json(content_type=None) == first["resource"]


async def test_one_entry_that_cannot_be_does_not_stop_the_others(
    hospital: Hospital, his: aiohttp.ClientSession
) -> None:
    await hospital.stock()
    await post(his, batch(placing("o-1"), placing("o-2")))
    unknown = {"coding": [{"system": "urn:codepool:product", "code": "none"}]}
    condition = placing("o-7")
    condition["request"]["ifNoneExist"] = "identifier=o-7"
    _, answer = await post(
        his,
        batch(
            stopping("o-1"),
            placing("o-2", subject={"reference": "Patient/pt-2"}),
            placing("o-3", medicationCodeableConcept=unknown),
            stopping("o-4"),
            placing("o-5", dispenseRequest=None),
            {"request": {"method": "DELETE", "url": "MedicationRequest/o-1"}},
            condition,
            placing("o-6"),
        ),
    )
    assert statuses(answer) == ["200", "409", "422", "404", "422", "400", "400", "201"]
    told = [issues(entry["response"]["outcome"]) for entry in answer["entry"][1:-1]]
    assert [codes[0] for codes in told] == [
        ("conflict", "MedicationRequest.subject.reference"),
        ("business-rule", "MedicationRequest.medicationCodeableConcept.coding.code"),
        ("not-found", ""),
        ("required", "MedicationRequest.dispenseRequest.quantity.value"),
        ("not-supported", "Bundle.entry.request"),
        ("not-supported", "Bundle.entry.request.ifNoneExist"),
    ]
    orders = hospital.services.orders
    assert orders.get("o-1").state is OrderState.CANCELLED
    assert orders.get("o-2").patient == "pt-1"
    assert orders.get("o-6").state is OrderState.LOCKED


async def test_a_batch_that_comes_again_changes_nothing(hospital: Hospital, his: aiohttp.ClientSession) -> None:
    await hospital.stock()
    await post(his, batch(placing("o-1"), placing("o-1")))
    await post(his, batch(stopping("o-1")))
    version = hospital.ledger.version
    for sent in (placing("o-1"), stopping("o-1")):
        _, answer = await post(his, batch(sent), Prefer="return=minimal")
        assert statuses(answer) == ["200"]
        assert "resource" not in answer["entry"][0]
    assert hospital.ledger.version == version


async def test_orders_of_one_batch_take_as_many_commits_as_a_delta_needs(
    hospital: Hospital, his: aiohttp.ClientSession
) -> None:
    await hospital.stock()
    version = hospital.ledger.version
    most = {"quantity": {"value": 1_500}, "performer": request()["dispenseRequest"]["performer"]}
    _, answer = await post(his, batch(*(placing(f"o-{n}", dispenseRequest=most) for n in range(3))))
    assert statuses(answer) == ["201"] * 3
    assert hospital.ledger.version == version + 3


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (batch() | {"type": "transaction"}, 400, "not-supported"),
        (request(), 400, "not-supported"),
        ({"resourceType": "Bundle", "type": "batch", "entry": {}}, 400, "structure"),
        (batch(), 422, "too-long"),
        (batch(*[placing("o-1")] * (MAX_ENTRIES + 1)), 422, "too-long"),
    ],
)
async def test_what_is_no_batch_is_refused_as_a_whole(
    his: aiohttp.ClientSession, body: Any, status: int, code: str
) -> None:
    answered, outcome = await post(his, body)
    assert answered == status
    assert issues(outcome)[0][0] == code


async def test_a_reader_may_not_send_a_batch(address: str) -> None:
    async with caller(address, READER) as reader, reader.post("/fhir", json=batch(placing("o-1"))) as response:
        assert response.status == 403
