"""The hospital system (HIS) and its resource system (HRP): catalogue, staff, delivery notes, orders, usages.

It speaks to central as a hospital's interface engine does: REST and FHIR R4B over HTTP, each message under an id of
its own and repeated until it is answered; now and then it repeats one that was answered already.
"""

import datetime as dt
import time
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import aiohttp
import tenacity

from hardware_sims.truth import OrderLine

FHIR = "application/fhir+json"
ORDER_ITEM = "urn:codepool:order-item"
_TIMEOUT = aiohttp.ClientTimeout(total=15)
_TRIES_S = 30.0
_OF_A_MESSAGE = 100
_REPEATED = 0.1
_CATEGORIES = "http://terminology.hl7.org/CodeSystem/medicationrequest-category"
_BUSY = frozenset({429, 502, 503, 504})


class HospitalError(Exception):
    """Central answered, and not as agreed."""


class BusyError(Exception):
    """Central cannot take it now: to be sent again."""


class HospitalSystem:
    """``repeated`` counts the orders that were sent twice, as an interface engine does after a lost answer."""

    def __init__(self, central: str, *, token: str, seed: int, http: aiohttp.ClientSession) -> None:
        self._central = central.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"}
        self._http = http
        self._random = Random(f"hospital {seed}")
        self.repeated = 0

    async def send_products(self, entries: Sequence[Mapping[str, object]]) -> None:
        await self._send("PUT", "/api/v1/products", {"products": list(entries)})

    async def send_people(self, people: Sequence[Mapping[str, object]]) -> None:
        await self._send("PUT", "/api/v1/people", {"people": list(people)})

    async def announce(self, note: Mapping[str, object]) -> None:
        """A delivery note is on its way; sent again, it is the same note."""
        await self.post("/api/v1/delivery-notes", note)

    async def order(self, line: OrderLine) -> None:
        request = medication_request(line, authored=dt.datetime.now(dt.UTC))
        await self._send_fhir(request, line.id)
        if self._random.random() < _REPEATED:
            self.repeated += 1
            await self._send_fhir(request, line.id)

    async def send_orders(self, entries: Sequence[Mapping[str, object]]) -> None:
        """What ``placing`` and ``taking_back`` made, in as few messages as central takes. Raises HospitalError."""
        headers = {"Content-Type": FHIR, "Accept": FHIR, "Prefer": "return=minimal"}
        for start in range(0, len(entries), _OF_A_MESSAGE):
            part = entries[start : start + _OF_A_MESSAGE]
            batch = {"resourceType": "Bundle", "type": "batch", "entry": part}
            answers = (await self._send("POST", "/fhir", batch, headers))["entry"]
            for entry, answer in zip(part, answers, strict=True):
                if not answer["response"]["status"].startswith("2"):
                    raise HospitalError(f"{entry}: {answer['response']}")

    async def use(self, usage: Mapping[str, object]) -> None:
        """Taken pieces were used for a patient."""
        await self.post("/api/v1/usages", usage)

    @staticmethod
    def now_us() -> int:
        """The hospital system's clock, UTC microseconds."""
        return time.time_ns() // 1000

    async def post(self, path: str, content: Mapping[str, object]) -> Any:
        """What central answers to a document; sent again, it is the same document."""
        return await self._send("POST", path, content)

    async def ask(self, path: str) -> Any:
        """What central answers at ``path``, as JSON."""
        return await self._send("GET", path, None)

    async def _send_fhir(self, request: Mapping[str, object], order: str) -> None:
        headers = {"Content-Type": FHIR, "Accept": FHIR, "If-None-Exist": f"identifier={ORDER_ITEM}|{order}"}
        await self._send("POST", "/fhir/MedicationRequest", request, headers)

    @tenacity.retry(
        retry=tenacity.retry_if_exception_type((BusyError, aiohttp.ClientConnectionError, TimeoutError)),
        wait=tenacity.wait_random_exponential(multiplier=0.1, max=2.0),
        stop=tenacity.stop_after_delay(_TRIES_S),
        reraise=True,
    )
    async def _send(
        self, method: str, path: str, content: Mapping[str, object] | None, headers: Mapping[str, str] | None = None
    ) -> Any:
        async with self._http.request(
            method,
            self._central + path,
            json=content,
            headers=self._headers | dict(headers or {}),
            timeout=_TIMEOUT,
        ) as answer:
            if answer.status in _BUSY:
                raise BusyError(f"{method} {path}: HTTP {answer.status}")
            body = await answer.text()
            if not answer.ok:
                raise HospitalError(f"{method} {path}: HTTP {answer.status}: {body[:1000]}")
            return await answer.json(content_type=None) if body else None


def medication_request(line: OrderLine, *, authored: dt.datetime) -> dict[str, Any]:
    """An order line as a FHIR R4B MedicationRequest."""
    request: dict[str, Any] = {
        "resourceType": "MedicationRequest",
        "extension": [{"url": "urn:codepool:ward", "valueString": line.ward}],
        "identifier": [{"system": ORDER_ITEM, "value": line.id}],
        "status": "active",
        "intent": "order",
        "priority": "stat" if line.kind == "stat" else "routine",
        "medicationCodeableConcept": {"coding": [{"system": "urn:codepool:product", "code": line.product}]},
        "subject": {"reference": f"Patient/{line.patient}"},
        "encounter": {"reference": f"Encounter/{line.visit}"},
        "authoredOn": authored.isoformat(timespec="milliseconds"),
        "requester": {"identifier": {"value": line.prescriber}},
        "dispenseRequest": {
            "quantity": {"value": line.quantity},
            "performer": {"identifier": {"system": "urn:codepool:location", "value": line.location}},
        },
    }
    if line.kind == "discharge":
        request["category"] = [{"coding": [{"system": _CATEGORIES, "code": "discharge"}]}]
    return request


def placing(line: OrderLine, *, authored: dt.datetime) -> dict[str, Any]:
    """The order, placed at that moment, as an entry of a batch."""
    return {
        "request": {"method": "POST", "url": "MedicationRequest"},
        "resource": medication_request(line, authored=authored),
    }


def taking_back(line: OrderLine, *, authored: dt.datetime) -> dict[str, Any]:
    """The order is not to be handed out any more; what was locked for it is free."""
    return {
        "request": {"method": "PUT", "url": f"MedicationRequest/{line.id}"},
        "resource": medication_request(line, authored=authored) | {"status": "stopped"},
    }
