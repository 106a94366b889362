"""Recalls over the interface: who may, what is refused, and what the cover says."""

from typing import Any

import aiohttp
import pytest

from sync_protocol.facts import How, What
from tests.integration.central_faces.hospital import PIN, SPLIT, Hospital, box

BODY = {"id": "R1", "product": SPLIT.id, "lot": "L2409", "reason": "particles", "operator": "n01", "witness": "n02"}


async def post(session: aiohttp.ClientSession, path: str, body: dict[str, Any]) -> tuple[int, Any]:
    async with session.post(f"/api/v1{path}", json=body) as response:
        return response.status, await response.json()


async def get(session: aiohttp.ClientSession, path: str) -> tuple[int, Any]:
    async with session.get(f"/api/v1{path}") as response:
        return response.status, await response.json()


@pytest.mark.covers("X10")
async def test_issued_shown_and_lifted(hospital: Hospital, his: aiohttp.ClientSession) -> None:
    await hospital.stock()
    unit = f"{box(0)}#001"
    hospital.record("station-1", hospital.fact(What.DISPENSED, unit, order="YZ-1", how=How.LATE_SCAN, operator="n01"))
    status, cover = await post(his, "/recalls", BODY)
    assert (status, cover["recall"]["is_active"], cover["agents"]) == (201, True, [])
    assert cover["items"] == {"frozen": 9, "dispensed": 1}
    assert [(each["code"], each["order"], each["is_after_recall"]) for each in cover["exposed"]] == [
        (unit, "YZ-1", False)
    ]
    assert (await post(his, "/recalls", BODY))[0] == 200
    assert (await get(his, "/recalls/R1/cover"))[1] == cover
    listed = (await get(his, "/recalls"))[1]
    assert ([row["id"] for row in listed["recalls"]], listed["version"]) == (["R1"], hospital.recalls.version)
    lift = {"reason": "cleared", "operator": "n02", "witness": "n01"}
    status, cover = await post(his, "/recalls/R1/lift", lift)
    assert (status, cover["recall"]["is_active"], cover["recall"]["lift_witness"]) == (200, False, "n01")
    assert cover["items"] == {"in_stock": 8, "opened": 1, "dispensed": 1}


@pytest.mark.parametrize(
    ("change", "status", "field"),
    [
        ({"witness": "n01"}, 422, "witness"),
        ({"witness": "gone"}, 422, "witness"),
        ({"product": "none"}, 422, "product"),
        ({"reason": ""}, 400, "reason"),
        ({"codes": ["x"] * 3_000}, 400, "codes"),
        ({"lot": "L9"}, 409, "lot"),
        ({"extra": 1}, 400, "extra"),
    ],
)
async def test_what_is_wrong_is_named(
    hospital: Hospital, his: aiohttp.ClientSession, change: dict[str, Any], status: int, field: str
) -> None:
    await hospital.stock()
    assert (await post(his, "/recalls", BODY))[0] == 201
    version = hospital.ledger.version
    found, problem = await post(his, "/recalls", BODY | change)
    assert (found, problem["mistakes"][0]["field"]) == (status, field)
    assert hospital.ledger.version == version


async def test_only_who_may_and_only_what_is_there(
    hospital: Hospital, his: aiohttp.ClientSession, reader: aiohttp.ClientSession, stranger: aiohttp.ClientSession
) -> None:
    await hospital.stock()
    assert (await post(reader, "/recalls", BODY))[0] == 403
    assert (await post(stranger, "/recalls", BODY))[0] == 401
    assert (await get(reader, "/recalls/none/cover"))[0] == 404
    lift = {"reason": "cleared", "operator": "n02", "witness": "n01"}
    assert (await post(his, "/recalls/none/lift", lift))[0] == 404


async def test_the_console_asks_for_the_pin_of_a_second_person(
    hospital: Hospital, nurse: aiohttp.ClientSession
) -> None:
    form = {"id": "R1", "product": SPLIT.id, "lot": "", "codes": "", "reason": "particles", "witness": "n02"}
    for changes, status in (
        ({"pin": "0000"}, 401),
        ({"witness": "n01", "pin": PIN}, 422),
        ({"pin": "1357", "codes": f"{box(0)}\nnonsense"}, 422),
        ({"pin": "1357", "product": "none"}, 422),
    ):
        async with nurse.post("/recalls", data=form | changes) as response:
            assert response.status == status, await response.text()
    assert hospital.recalls.version == 0
    async with nurse.post("/recalls", data=form | {"pin": "1357", "codes": f"{box(0)}\n{box(1)}"}) as response:
        assert response.status == 200
        assert str(response.url).endswith("/recalls?id=R1")
    rows = hospital.ledger.connection.execute("SELECT issued_by, witness FROM recall").fetchall()
    assert rows == [("n01", "n02")]
    async with nurse.get("/recalls?id=none") as response:
        assert response.status == 200
    async with nurse.post("/recalls/none/lift", data={"reason": "x", "witness": "n02", "pin": "1357"}) as response:
        assert response.status == 422
