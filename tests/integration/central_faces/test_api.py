import io
import sqlite3
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from central.api.calls import PREFIX
from central.api.openapi import document_of
from central.api.routes import ROUTES
from central.site import SiteSettings, build_site
from sync_protocol.documents import Order, OrderKind, OrderState, Route
from sync_protocol.epc import encode_piece
from sync_protocol.facts import How, What
from sync_protocol.items import Kind
from tests.integration.central_faces.hospital import HIS, NOBODY, PIECE, SPLIT, Hospital, box, caller

DOCUMENT = document_of(ROUTES)
PRODUCT = {"id": "P-1", "name": "阿莫西林胶囊", "kind": "box", "units": 24, "unit_name": "粒"}


def note(**changes: Any) -> dict[str, Any]:
    line = {"product": SPLIT.id, "lot": "L1", "expiry": "2027-01-31", "codes": [box(7), box(8)]}
    return {"id": "N-1", "supplier": "国药", "location": "pharmacy", "kind": "box", "lines": [line]} | changes


def order(key: str, quantity: int = 3) -> Order:
    return Order(
        id=key,
        kind=OrderKind.STAT,
        product=SPLIT.id,
        quantity=quantity,
        patient="pt-1",
        visit="v-1",
        ward="W3",
        location="pharmacy",
        route=Route.STATION,
        state=OrderState.WAITING,
        ordered_us=1_700_000_000_000_000,
    )


async def said(response: aiohttp.ClientResponse) -> Any:
    """The JSON of an answer, after checking that the OpenAPI document promises it."""
    body = await response.json(content_type=None)
    template = next(
        PREFIX + route.path
        for route in ROUTES
        if route.method == response.method and _fits(PREFIX + route.path, response.url.path)
    )
    answers = DOCUMENT["paths"][template][response.method.lower()]["responses"]
    assert str(response.status) in answers, f"{response.status} is not in the document of {template}"
    schema = answers[str(response.status)]["content"][response.content_type]["schema"]
    OAS31Validator(schema | {"components": DOCUMENT["components"]}).validate(body)
    return body


def _fits(template: str, path: str) -> bool:
    pairs = list(zip(template.split("/"), path.split("/"), strict=False))
    return template.count("/") == path.count("/") and all(a == b or a.startswith("{") for a, b in pairs)


async def test_products_and_people_are_idempotent(his: aiohttp.ClientSession) -> None:
    people = [{"id": "n01", "name": "李敏", "badge": "b1", "pin": "2468"}]
    for url, body in (("/products", {"products": [PRODUCT]}), ("/people", {"people": people})):
        for expected in (1, 0):
            async with his.put(PREFIX + url, json=body) as response:
                assert response.status == 200
                assert await said(response) == {"changed": expected}


async def test_every_mistake_of_a_body_is_named(his: aiohttp.ClientSession) -> None:
    line = {"product": "", "lot": "L", "expiry": "2027-02-30", "codes": ["a", 7], "colour": "red"}
    async with his.post(f"{PREFIX}/delivery-notes", json={"id": 5, "kind": "barrel", "lines": [line]}) as response:
        assert response.status == 400
        problem = await said(response)
    found = {mistake["field"]: mistake for mistake in problem["mistakes"]}
    assert set(found) == {
        "id",
        "supplier",
        "location",
        "kind",
        "lines[0].product",
        "lines[0].expiry",
        "lines[0].codes[1]",
        "lines[0].colour",
    }
    assert found["kind"]["expected"] == "one of box, unit, piece"
    assert all(mistake["expected"] and mistake["found"] and mistake["advice"] for mistake in found.values())


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 200_000, b'"\xed\xa0\x80"', b"null"])
async def test_a_body_that_is_no_object_is_refused(his: aiohttp.ClientSession, body: bytes) -> None:
    async with his.put(f"{PREFIX}/products", data=body, headers={"Content-Type": "application/json"}) as response:
        assert response.status == 400
        assert (await said(response))["mistakes"][0]["field"] == "$"


async def test_a_body_of_another_type_or_size_is_refused(his: aiohttp.ClientSession) -> None:
    async with his.put(f"{PREFIX}/products", data={"products": "x"}) as response:
        assert response.status == 415
        await said(response)
    headers = {"Content-Type": "application/json"}
    async with his.put(f"{PREFIX}/products", data=io.BytesIO(b" " * 5_000_000), headers=headers) as response:
        assert response.status == 413
        await said(response)


async def test_delivery_note_is_announced_once(hospital: Hospital, his: aiohttp.ClientSession) -> None:
    await hospital.services.masterdata.put_products([SPLIT])
    async with his.post(f"{PREFIX}/delivery-notes", json=note()) as response:
        assert response.status == 201
        location = response.headers["Location"]
        announced = await said(response)
    async with his.get(location) as response:
        assert await said(response) == announced
    async with his.post(f"{PREFIX}/delivery-notes", json=note()) as response:
        assert response.status == 200
    async with his.post(f"{PREFIX}/delivery-notes", json=note(supplier="别家")) as response:
        assert response.status == 409
        mistake = (await said(response))["mistakes"][0]
    assert (mistake["field"], mistake["found"], mistake["expected"]) == ("supplier", "别家", "国药")


async def test_unknown_product_is_a_business_refusal(his: aiohttp.ClientSession) -> None:
    async with his.post(f"{PREFIX}/delivery-notes", json=note()) as response:
        assert response.status == 422
        assert "product" in (await said(response))["mistakes"][0]["field"]


async def test_items_are_paged_by_key_without_loss(hospital: Hospital, reader: aiohttp.ClientSession) -> None:
    await hospital.stock(boxes=5, opened=3)
    seen: list[str] = []
    after: str | None = ""
    while after is not None:
        async with reader.get(f"{PREFIX}/items", params={"limit": "4", "after": after}) as response:
            page = await said(response)
        seen += [item["code"] for item in page["items"]]
        after = page["next"]
    assert len(seen) == len(set(seen)) == 5 + 3 * SPLIT.units
    assert seen == sorted(seen)


async def test_items_are_filtered(hospital: Hospital, reader: aiohttp.ClientSession) -> None:
    await hospital.stock(boxes=3, opened=1)
    for params, expected in (
        ({"state": "opened"}, 1),
        ({"kind": "unit"}, SPLIT.units),
        ({"box": box(0)}, SPLIT.units),
        ({"box": box(0), "state": "locked"}, 0),
        ({"location": "pharmacy", "product": SPLIT.id, "lot": "L2409", "document": "DN-1"}, 3 + SPLIT.units),
        ({"code": "#00"}, SPLIT.units),
        ({"code": "%"}, 0),
        ({"expires_by": "2027-03-30"}, 0),
        ({"expires_by": "2027-03-31"}, 3 + SPLIT.units),
    ):
        async with reader.get(f"{PREFIX}/items", params=params) as response:
            assert len((await said(response))["items"]) == expected, params


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=x", "limit"),
        ("limit=1&limit=2", "limit"),
        ("state=lost", "state"),
        ("state=null", "state"),
        ("color=red", "color"),
        ("expires_by=soon", "expires_by"),
        ("after=%00", "after"),
    ],
)
async def test_a_wrong_query_is_named(reader: aiohttp.ClientSession, query: str, field: str) -> None:
    async with reader.get(f"{PREFIX}/items?{query}") as response:
        assert response.status == 400
        assert (await said(response))["mistakes"][0]["field"] == field


async def test_a_query_where_none_is_read_is_refused(reader: aiohttp.ClientSession) -> None:
    async with reader.get(f"{PREFIX}/agents?limit=3") as response:
        assert response.status == 400


async def test_orders_carry_their_codes(hospital: Hospital, reader: aiohttp.ClientSession) -> None:
    await hospital.stock()
    for key in ("o-1", "o-2", "o-3"):
        await hospital.services.orders.place(order(key))
    async with reader.get(f"{PREFIX}/orders", params={"limit": "2"}) as response:
        page = await said(response)
    assert [(one["id"], one["state"], len(one["codes"])) for one in page["orders"]] == [
        ("o-1", "locked", 3),
        ("o-2", "locked", 3),
    ]
    async with reader.get(f"{PREFIX}/orders", params={"after": page["next"], "state": "part_locked"}) as response:
        assert [one["id"] for one in (await said(response))["orders"]] == ["o-3"]
    async with reader.get(f"{PREFIX}/orders/o-2") as response:
        assert (await said(response))["codes"] == page["orders"][1]["codes"]
    async with reader.get(f"{PREFIX}/orders/o-9") as response:
        assert response.status == 404
        await said(response)


async def test_an_order_has_no_code_that_was_written_off(hospital: Hospital, reader: aiohttp.ClientSession) -> None:
    await hospital.stock()
    await hospital.services.orders.place(order("o-1"))
    first, *others = hospital.services.orders.get("o-1").codes
    hospital.record("station-1", hospital.fact(What.FROZEN, first, reason="broken"))
    hospital.record("station-1", hospital.fact(What.WRITTEN_OFF, first, reason="broken"))
    async with reader.get(f"{PREFIX}/orders/o-1") as response:
        now = await said(response)
    assert (now["state"], len(now["codes"]), set(others) < set(now["codes"])) == ("locked", 3, True)
    assert first not in now["codes"], "another one was locked in its place"
    async with reader.get(f"{PREFIX}/orders", params={"limit": "1"}) as response:
        assert (await said(response))["orders"] == [now]


@pytest.mark.covers("X12")
async def test_timeline_of_a_unit_begins_with_its_box(hospital: Hospital, reader: aiohttp.ClientSession) -> None:
    await hospital.stock()
    await hospital.services.orders.place(order("o-1"))
    code = hospital.services.orders.get("o-1").codes[0]
    async with reader.get(f"{PREFIX}/timeline", params={"code": code}) as response:
        life = await said(response)
    assert [(event["what"], event["code"]) for event in life["events"]] == [
        ("announced", box(0)),
        ("received", box(0)),
        ("prescanned", box(0)),
        ("locked", code),
    ]
    assert life["item"]["box"] == box(0)
    assert life["next"] is None
    async with reader.get(f"{PREFIX}/timeline", params={"code": "nothing"}) as response:
        assert response.status == 404
    async with reader.get(f"{PREFIX}/timeline", params={"code": code, "limit": "2", "after": "0"}) as response:
        first = await said(response)
    async with reader.get(f"{PREFIX}/timeline", params={"code": code, "after": str(first["next"])}) as response:
        assert first["events"] + (await said(response))["events"] == life["events"]


async def test_what_did_not_fit_is_listed_and_stands_in_the_timeline(
    hospital: Hospital, reader: aiohttp.ClientSession
) -> None:
    await hospital.stock(boxes=1, opened=1)
    hospital.record("station-2", hospital.fact(What.PRESCANNED, box(0), units=7))
    async with reader.get(f"{PREFIX}/exceptions", params={"open": "true"}) as response:
        (row,) = (await said(response))["exceptions"]
    assert (row["device"], row["code"], row["reason"]) == ("station-2", box(0), "already_opened")
    async with reader.get(f"{PREFIX}/timeline", params={"code": box(0)}) as response:
        misfit = (await said(response))["events"][-1]["misfits"][0]
    assert misfit["reason"] == "already_opened"
    await hospital.services.exceptions.close(row["id"], "n01")
    for is_open, expected in (("true", 0), ("false", 1)):
        async with reader.get(f"{PREFIX}/exceptions", params={"open": is_open}) as response:
            assert len((await said(response))["exceptions"]) == expected


async def test_insurer_rows_and_agents_are_listed(hospital: Hospital, reader: aiohttp.ClientSession) -> None:
    await hospital.stock()
    await hospital.services.orders.place(order("o-1"))
    codes = hospital.services.orders.get("o-1").codes
    hospital.record("station-1", hospital.fact(What.DISPENSED, *codes, order="o-1", how="automatic", operator="n01"))
    async with reader.get(f"{PREFIX}/insurer-rows", params={"state": "waiting", "order": "o-1"}) as response:
        (row,) = (await said(response))["rows"]
    assert (row["box"], row["quantity"], row["is_split"]) == (box(0), 3, True)
    async with reader.get(f"{PREFIX}/agents") as response:
        assert (await said(response)) == {"agents": [], "version": hospital.ledger.version}


@pytest.mark.covers("B13")
async def test_use_turns_taken_pieces_into_used_ones(hospital: Hospital, his: aiohttp.ClientSession) -> None:
    await hospital.stock()
    code = encode_piece(17, 1)
    await hospital.deliver("DN-2", PIECE, [code], kind=Kind.PIECE, location="cath-lab")
    hospital.record("cabinet-1", hospital.fact(What.TAKEN, code, operator="n01", location="cath-lab", how=How.RFID))
    usage = {"id": "u-1", "codes": [code], "patient": "pt-1", "wall_us": hospital.time.now_us()}
    for _ in range(2):
        async with his.post(f"{PREFIX}/usages", json=usage) as response:
            assert response.status == 200
            assert (await said(response))["codes"] == [code]
    async with his.get(f"{PREFIX}/items", params={"kind": "piece"}) as response:
        assert [one["state"] for one in (await said(response))["items"]] == ["dispensed"]
    async with his.post(f"{PREFIX}/usages", json=usage | {"patient": "pt-2"}) as response:
        assert response.status == 409
        assert (await said(response))["mistakes"][0]["field"] == "patient"
    async with his.post(f"{PREFIX}/usages", json=usage | {"id": "u-2", "codes": ["unknown"]}) as response:
        assert response.status == 422
        assert (await said(response))["mistakes"][0]["field"] == "codes"


async def test_tokens_and_scopes(address: str, stranger: aiohttp.ClientSession) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": HIS}, {"Authorization": f"Basic {HIS}"}):
        async with stranger.get(f"{PREFIX}/agents", headers=headers) as response:
            assert response.status == 401
            assert response.headers["WWW-Authenticate"].startswith("Bearer")
            await said(response)
    async with caller(address, NOBODY) as nobody:
        for route in ROUTES:
            path = PREFIX + route.path.replace("{id}", "x")
            async with nobody.request(route.method, path) as response:
                assert response.status == 403, route.name
                assert route.scope in (await said(response))["detail"]


async def test_unknown_paths_and_methods_are_problems(his: aiohttp.ClientSession) -> None:
    async with his.get(f"{PREFIX}/nothing") as response:
        assert response.status == 404
        assert response.content_type == "application/problem+json"
    async with his.delete(f"{PREFIX}/orders") as response:
        assert response.status == 405
        assert "GET" in response.headers["Allow"]


async def test_openapi_is_valid_and_has_every_route(hospital: Hospital, stranger: aiohttp.ClientSession) -> None:
    async with stranger.get(f"{PREFIX}/openapi.json") as response:
        document = await response.json()
    OpenAPIV31SpecValidator(document).validate()
    described = {(method.upper(), path) for path, operations in document["paths"].items() for method in operations}
    app = build_site(hospital.services, SiteSettings())
    served = {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if isinstance(route.resource, web.Resource) and route.resource.canonical.startswith(PREFIX)
    }
    assert {pair for pair in served if pair[0] != "HEAD"} == described | {("GET", f"{PREFIX}/openapi.json")}


async def test_a_busy_ledger_says_when_to_come_back(hospital: Hospital, his: aiohttp.ClientSession) -> None:
    holder = sqlite3.connect(hospital.path, isolation_level=None)
    try:
        holder.execute("BEGIN IMMEDIATE")
        async with his.put(f"{PREFIX}/products", json={"products": [PRODUCT]}) as response:
            assert response.status == 503
            assert int(response.headers["Retry-After"]) >= 1
            await said(response)
    finally:
        holder.close()
    async with his.put(f"{PREFIX}/products", json={"products": [PRODUCT]}) as response:
        assert response.status == 200
