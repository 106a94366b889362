import asyncio
import re
from typing import Any

import aiohttp
import pytest
from msgspec.structs import replace

from edge_agent.sync.state import SyncState
from edge_agent.workflows.station import Station
from sync_protocol.documents import OrderKind, OrderState
from sync_protocol.facts import What
from sync_protocol.items import State
from tests.unit.edge_work.site import Gun, client, serve, sign_in
from tests.unit.edge_work.ward import (
    AMOXICILLIN,
    CEFTRIAXONE,
    LI,
    MORPHINE,
    PIN,
    WANG,
    Ward,
    box,
    box_code,
    note,
    order,
    units,
)

HTML = {"Accept": "text/html"}


def station_of(ward: Ward, gun: Gun | None = None) -> Station:
    return Station(ward.bench, people=ward.people, scanner=gun or Gun())


async def post(session: aiohttp.ClientSession, path: str, **values: str) -> tuple[int, Any]:
    async with session.post(path, json=values) as answer:
        return answer.status, await answer.json()


async def get(session: aiohttp.ClientSession, path: str) -> Any:
    async with session.get(path) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def test_staff_as_a_program_walk_through_a_morning(ward: Ward) -> None:
    delivered = [box(AMOXICILLIN, 1, State.EXPECTED), box(CEFTRIAXONE, 2, State.EXPECTED)]
    await ward.load(items=tuple(delivered), notes=(note("DN-1", delivered),))
    async with serve(ward, station_of(ward)) as url, client(url) as session:
        await sign_in(session)
        assert (await post(session, "/step", step="receive", note="DN-1"))[0] == 200
        assert (await post(session, "/scan", code=box_code(AMOXICILLIN, 1)))[1]["result"] == "progress"
        assert (await get(session, "/notes"))[0]["missing"] == [box_code(CEFTRIAXONE, 2)]
        status, verdict = await post(session, "/scan", code=box_code(CEFTRIAXONE, 2))
        assert (status, verdict["result"], verdict["done"], verdict["total"]) == (200, "done", 2, 2)

        await post(session, "/step", step="prescan")
        verdict = (await post(session, "/scan", code=box_code(AMOXICILLIN, 1)))[1]
        assert (verdict["units"], verdict["product"], verdict["expiry"]) == (24, "amoxicillin", "2028-12-31")

        await ward.load(
            items=(replace(box(CEFTRIAXONE, 2), state=State.LOCKED, order="RX00002"),),
            orders=(order(1, AMOXICILLIN, 2, OrderState.WAITING),),
        )
        await post(session, "/step", step="hand_out")
        refused = await post(session, "/hand-out", order="RX00001")
        assert (refused[0], refused[1]["reason"]) == (409, "scan_missing")
    assert [fact.what for fact in ward.facts()] == [What.RECEIVED, What.PRESCANNED]


async def test_orders_are_listed_with_what_they_need(ward: Ward) -> None:
    await ward.load(
        items=(
            *units(AMOXICILLIN, 1, locked=3, order="RX00001"),
            box(CEFTRIAXONE, 1, State.LOCKED, order="RX00002"),
        ),
        orders=(
            order(1, AMOXICILLIN, 3, OrderState.LOCKED),
            order(2, CEFTRIAXONE, 1, OrderState.LOCKED, kind=OrderKind.STAT),
            order(3, AMOXICILLIN, 3, OrderState.WAITING),
        ),
    )
    async with serve(ward, station_of(ward)) as url, client(url) as session:
        await sign_in(session)
        listed = await get(session, "/orders")
        assert [(row["order"], row["need"]) for row in listed] == [
            ("RX00002", "scans"),
            ("RX00001", "nothing"),
            ("RX00003", "late_scans"),
        ]
        assert listed[0]["boxes"] == [box_code(CEFTRIAXONE, 1)]
        assert [await get(session, f"/orders/{row['order']}") for row in listed] == listed
        assert (await post(session, "/hand-out", order="RX00001"))[1]["units"] == 3
        assert [row["order"] for row in await get(session, "/orders")] == ["RX00002", "RX00003"]


async def test_the_attached_scanner_counts_for_whoever_sits_at_the_screen(ward: Ward) -> None:
    await ward.load(items=(box(AMOXICILLIN, 1), box(AMOXICILLIN, 2)))
    gun = Gun()
    station = station_of(ward, gun)
    async with serve(ward, station, devices=(gun,)) as url, client(url) as session:
        gun.pull(box_code(AMOXICILLIN, 1))
        await sign_in(session)
        gun.pull(box_code(AMOXICILLIN, 2))
        with ward.notifier.subscribe() as changes:
            async with asyncio.timeout(5):
                while not ward.facts():
                    await changes.next()
    (fact,) = ward.facts()
    assert (fact.operator, fact.source, fact.codes) == (WANG.id, "scanner-1", (box_code(AMOXICILLIN, 2),))


async def test_a_pda_has_a_seat_of_its_own(ward: Ward) -> None:
    await ward.load(items=(box(AMOXICILLIN, 1), box(AMOXICILLIN, 2)))
    async with serve(ward, station_of(ward)) as url, client(url) as desk, client(url) as pda:
        await sign_in(desk)
        await sign_in(pda, LI.id, seat="pda")
        await post(pda, "/step", step="hand_out")
        assert (await post(desk, "/scan", code=box_code(AMOXICILLIN, 1)))[1]["result"] == "done"
        assert (await post(pda, "/scan", code=box_code(AMOXICILLIN, 2)))[1]["reason"] == "no_order_chosen"
        await post(pda, "/step", step="prescan")
        assert (await post(pda, "/scan", code=box_code(AMOXICILLIN, 2)))[1]["person"] == LI.name
    assert [(fact.operator, fact.source) for fact in ward.facts()] == [("P001", "screen"), ("P002", "pda")]


async def test_one_seat_one_person_the_second_sign_in_at_the_screen_ends_the_first(ward: Ward) -> None:
    async with serve(ward, station_of(ward)) as url, client(url) as first, client(url) as second:
        await sign_in(first)
        await sign_in(second, LI.id)
        assert (await post(first, "/scan", code="x"))[0] == 401
        assert (await post(second, "/scan", code="x"))[0] == 409


async def test_nobody_acts_without_signing_in(ward: Ward) -> None:
    async with serve(ward, station_of(ward)) as url, client(url) as session:
        for path in ("/scan", "/step", "/hand-out", "/receive"):
            status, answer = await post(session, path, code="x", step="prescan", order="x", note="x")
            assert (status, answer["reason"]) == (401, "nobody_signed_in")
        status, answer = await post(session, "/sign-in", person="P001", pin="1")
        assert (status, answer["reason"]) == (401, "wrong_person_or_pin")
        await sign_in(session)
        await post(session, "/sign-out")
        assert (await post(session, "/scan", code="x"))[0] == 401


async def test_five_wrong_pins_lock_and_the_answer_says_for_how_long(ward: Ward) -> None:
    async with serve(ward, station_of(ward)) as url, client(url) as session:
        for _ in range(5):
            await post(session, "/sign-in", person="P001", pin="1")
        status, answer = await post(session, "/sign-in", person="P001", pin=PIN)
        assert (status, answer["reason"]) == (401, "locked_out")
        assert answer["wait_s"] > 0


async def test_the_second_person_of_a_controlled_drug_signs_at_the_order(ward: Ward) -> None:
    item = box(MORPHINE, 1, State.LOCKED, order="RX00004")
    await ward.load(items=(item,), orders=(order(4, MORPHINE, 1, OrderState.LOCKED),))
    async with serve(ward, station_of(ward)) as url, client(url) as session:
        await sign_in(session)
        await post(session, "/step", step="hand_out", order="RX00004")
        assert (await post(session, "/scan", code=item.code))[1]["reason"] == "second_person"
        wrong = await post(session, "/hand-out", order="RX00004", witness="P002", witness_pin="1")
        assert wrong[1]["reason"] == "wrong_person_or_pin"
        same = await post(session, "/hand-out", order="RX00004", witness="P001", witness_pin=PIN)
        assert same[1]["reason"] == "second_person"
        right = await post(session, "/hand-out", order="RX00004", witness="P002", witness_pin=PIN)
        assert right[1]["result"] == "done"
    assert ward.facts()[0].witness == "P002"


@pytest.mark.covers("A11")
async def test_a_box_that_cannot_be_read_needs_a_reason_and_the_pin_of_another_person(ward: Ward) -> None:
    item = box(CEFTRIAXONE, 1, State.LOCKED, order="RX00002")
    arriving = [box(CEFTRIAXONE, 2, State.EXPECTED)]
    await ward.load(
        items=(item, *arriving), orders=(order(2, CEFTRIAXONE, 1, OrderState.LOCKED),), notes=(note("DN-1", arriving),)
    )
    signed = {"reason": "label torn", "witness": "P002", "witness_pin": PIN}
    async with serve(ward, station_of(ward)) as url, client(url) as session:
        await sign_in(session)
        for path, what in (
            ("/hand-out", {"order": "RX00002", "code": item.code}),
            ("/receive", {"note": "DN-1", "code": arriving[0].code}),
        ):
            for wrong, reason in (
                ({"witness": ""}, "two_people"),
                ({"witness": "P001"}, "two_people"),
                ({"witness_pin": "1"}, "wrong_person_or_pin"),
                ({"reason": ""}, "why_missing"),
            ):
                status, verdict = await post(session, path, **what, **(signed | wrong))
                assert (status, verdict["reason"]) == (409, reason)
            assert (await post(session, path, **what, **signed))[1]["result"] == "done"
    assert [(fact.codes, fact.witness, fact.reason) for fact in ward.facts()] == [
        ((item.code,), "P002", "label torn"),
        ((arriving[0].code,), "P002", "label torn"),
    ]


async def test_a_page_of_another_site_cannot_act_here(ward: Ward) -> None:
    async with serve(ward, station_of(ward)) as url, client(url) as session:
        await sign_in(session)
        for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            async with session.post("/sign-out", headers=headers) as answer:
                assert answer.status == 403
        async with session.post("/sign-out", headers={"Origin": url}) as answer:
            assert answer.status == 200


async def test_every_answer_forbids_foreign_and_inline_scripts(ward: Ward) -> None:
    async with serve(ward, station_of(ward)) as url, client(url) as session:
        for path in ("/", "/healthz", "/static/edge.css", "/nothing-here"):
            async with session.get(path) as answer:
                policy = answer.headers["Content-Security-Policy"]
                assert "script-src 'self'" in policy
                assert "unsafe" not in policy
        async with session.get("/", headers=HTML) as answer:
            page = await answer.text()
            assert "HttpOnly" in answer.headers["Set-Cookie"]
            assert "SameSite=Strict" in answer.headers["Set-Cookie"]
        assert re.findall(r"<script(?![^>]*src=)|\son\w+=|style=|javascript:|https?://", page) == []


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        ("/step", {"step": "fly"}, "step: found 'fly'"),
        ("/step", {}, "step: found nothing"),
        ("/hand-out", {}, "order: found nothing"),
        ("/scan", {"code": "8" * 3000}, "code: found 3000 characters"),
        ("/step", {"step": 5}, "expected a JSON object whose values are texts"),
        ("/language", {"lang": "fr"}, "lang: found 'fr'"),
    ],
)
async def test_a_wrong_request_is_told_which_field_and_what_was_expected(
    ward: Ward, path: str, body: dict[str, object], told: str
) -> None:
    async with serve(ward, station_of(ward)) as url, client(url) as session:
        await sign_in(session)
        async with session.post(path, json=body) as answer:
            assert answer.status == 400
            assert told in await answer.text()


async def test_a_form_works_without_any_script(ward: Ward) -> None:
    await ward.load(items=(box(AMOXICILLIN, 1),))
    async with serve(ward, station_of(ward)) as url, client(url) as session:
        async with session.post(
            "/sign-in", data={"person": "p001", "pin": PIN}, headers=HTML, allow_redirects=False
        ) as answer:
            assert (answer.status, answer.headers["Location"]) == (303, "/")
        async with session.post("/scan", data={"code": box_code(AMOXICILLIN, 1)}, headers=HTML) as answer:
            page = await answer.text()
            assert answer.status == 200
        assert "预扫描完成" in page
        assert "阿莫西林胶囊" in page


async def test_the_page_is_chinese_by_default_and_english_by_switch(ward: Ward) -> None:
    async with serve(ward, station_of(ward)) as url, client(url) as session:
        async with session.get("/", headers=HTML) as answer:
            assert '<html lang="zh-CN">' in await answer.text()
        async with session.get("/?lang=en", headers=HTML) as answer:
            assert "Sign in" in await answer.text()
        async with session.get("/", headers=HTML) as answer:
            assert '<html lang="en">' in await answer.text()
        await post(session, "/language", lang="zh-CN")
        async with session.get("/", headers=HTML) as answer:
            assert "登录" in await answer.text()


async def test_health_and_metrics_tell_the_truth(ward: Ward) -> None:
    await ward.load(items=(box(AMOXICILLIN, 1),))
    sync = SyncState(is_connected=False, cause="connection refused")
    gun = Gun()
    async with serve(ward, station_of(ward, gun), devices=(gun,), sync=sync) as url, client(url) as session:
        await sign_in(session)
        await post(session, "/scan", code=box_code(AMOXICILLIN, 1))
        await post(session, "/scan", code=box_code(AMOXICILLIN, 1))
        health = await get(session, "/healthz")
        assert (health["facts_waiting"], health["sentence_key"]) == (1, "waiting_for_broker")
        async with session.get("/metrics") as answer:
            lines = (await answer.text()).splitlines()
        assert "codepool_edge_facts_waiting 1.0" in lines
        assert 'codepool_edge_verdicts_total{result="done"} 1.0' in lines
        assert 'codepool_edge_refusals_total{reason="already_opened"} 1.0' in lines
        assert 'codepool_edge_device_ready{device="scanner-1"} 1.0' in lines


async def test_the_stream_names_what_went_stale_and_ends_with_the_agent(ward: Ward) -> None:
    await ward.load(items=(box(AMOXICILLIN, 1),))
    async with serve(ward, station_of(ward)) as url, client(url) as session:
        await sign_in(session)
        async with session.get("/events") as stream, asyncio.timeout(5):
            assert await stream.content.readline() == b"retry: 1000\n"
            await post(session, "/scan", code=box_code(AMOXICILLIN, 1))
            seen = set()
            while "verdicts" not in seen:
                line = (await stream.content.readline()).decode().strip()
                seen.add(line.removeprefix("event: "))


async def test_an_idle_seat_is_signed_out_but_scanning_is_not_idle(ward: Ward) -> None:
    await ward.load(items=(box(AMOXICILLIN, 1),))
    gun = Gun()
    station = station_of(ward, gun)
    async with serve(ward, station) as url, client(url) as session:
        await sign_in(session)
        ward.clock.now_us += 14 * 60_000_000
        gun.pull("not a code")
        with ward.notifier.subscribe() as changes:
            async with asyncio.timeout(5):
                while not station.desk.verdicts:
                    await changes.next()
        ward.clock.now_us += 14 * 60_000_000
        assert (await post(session, "/scan", code="x"))[0] == 409
        ward.clock.now_us += 16 * 60_000_000
        assert (await post(session, "/scan", code=box_code(AMOXICILLIN, 1)))[0] == 401
    assert ward.facts() == []


async def test_a_badge_text_that_a_program_sends_opens_nothing(ward: Ward) -> None:
    async with serve(ward, station_of(ward)) as url, client(url) as session:
        await sign_in(session)
        assert (await post(session, "/scan", code=LI.badge))[0] == 409
        assert (await post(session, "/scan", code="x"))[1]["person"] == WANG.name
