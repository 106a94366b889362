"""The hospital system as a client: it repeats what was not answered, and never invents a second message."""

import datetime as dt
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from fhir.resources.R4B.medicationrequest import MedicationRequest

from hardware_sims.platforms.hospital import HospitalError, HospitalSystem, medication_request
from hardware_sims.platforms.serving import served
from hardware_sims.scenarios.plan import draw

TODAY = dt.date(2026, 11, 21)


class Central:
    """Answers with the statuses it was given, then with 201; keeps what it was told."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.told: list[tuple[str, str, Any, dict[str, str]]] = []

    async def answer(self, request: web.Request) -> web.Response:
        content = await request.json() if request.can_read_body else None
        self.told.append((request.method, request.path_qs, content, dict(request.headers)))
        status = self.statuses.pop(0) if self.statuses else 201
        return web.json_response({"n": len(self.told)}, status=status)


@pytest.fixture
async def central() -> Central:
    return Central()


@pytest.fixture
async def hospital(central: Central) -> AsyncIterator[HospitalSystem]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", central.answer)
    async with served(app) as url, aiohttp.ClientSession() as http:
        yield HospitalSystem(f"{url}/", token="t" * 20, seed=3, http=http)


async def test_sends_again_until_it_is_answered(hospital: HospitalSystem, central: Central) -> None:
    central.statuses = [503, 429]
    await hospital.announce({"id": "SN1"})
    assert [content for _, _, content, _ in central.told] == [{"id": "SN1"}] * 3
    assert central.told[0][3]["Authorization"] == "Bearer " + "t" * 20


async def test_tells_what_central_said_to_a_wrong_message(hospital: HospitalSystem, central: Central) -> None:
    central.statuses = [422]
    with pytest.raises(HospitalError, match="HTTP 422"):
        await hospital.use({"id": "SY1"})
    assert len(central.told) == 1


async def test_repeats_some_orders_word_for_word(hospital: HospitalSystem, central: Central) -> None:
    orders = list(draw(3, today=TODAY).truth.orders.values())
    for line in orders:
        await hospital.order(line)
    assert hospital.repeated > 0
    assert len(central.told) == len(orders) + hospital.repeated
    by_id: dict[str, list[Any]] = {}
    for _, path, content, headers in central.told:
        assert path == "/fhir/MedicationRequest"
        assert headers["Content-Type"] == "application/fhir+json"
        assert headers["If-None-Exist"].endswith(content["identifier"][0]["value"])
        by_id.setdefault(content["identifier"][0]["value"], []).append(content)
    assert all(contents[0] == content for contents in by_id.values() for content in contents)


def test_every_order_is_a_medication_request_of_r4b() -> None:
    plan = draw(7, today=TODAY)
    moment = dt.datetime(2026, 11, 21, 8, 0, tzinfo=dt.UTC)
    for line in plan.truth.orders.values():
        request = MedicationRequest.model_validate(medication_request(line, authored=moment))
        assert request.dispenseRequest is not None
        assert request.dispenseRequest.quantity is not None
        assert request.dispenseRequest.quantity.value == line.quantity
        assert (request.priority == "stat") == (line.kind == "stat")
        assert bool(request.category) == (line.kind == "discharge")
