import asyncio
import re
from collections.abc import AsyncIterator

import aiohttp
import pytest

from central.auth import LOCKED_S, TRIES
from central.console.serve import PAGES
from central.errors import LedgerCorruptError, StartError
from central.ledger import read_api, read_console, statements
from central.stock.services import Condition, Life
from central.sync.lineage import EXPECTED, LOST
from sync_protocol.chain import SessionStart
from sync_protocol.degraded import NEVER_S
from sync_protocol.documents import Order, OrderKind, OrderState, Route
from sync_protocol.facts import What
from sync_protocol.items import Kind
from sync_protocol.machines.lineage import Finding
from tests.integration.central_faces.hospital import (
    PEOPLE,
    PIN,
    SPLIT,
    Hospital,
    box,
    browser,
    caller,
    serving,
    sign_in,
)


def order(key: str, quantity: int = 3, *, patient: str = "pt-1", ward: str = "W3") -> Order:
    return Order(
        id=key,
        kind=OrderKind.STAT,
        product=SPLIT.id,
        quantity=quantity,
        visit="v-1",
        location="pharmacy",
        route=Route.STATION,
        state=OrderState.WAITING,
        ordered_us=1_790_000_000_000_000,
        patient=patient,
        ward=ward,
    )


IN_LINE = re.compile(r"<script(?![^>]*\ssrc=)|\son\w+=|\sstyle=|<style|javascript:|hx-on|hx-vals=.?js")


async def page(session: aiohttp.ClientSession, url: str, status: int = 200, **headers: str) -> str:
    async with session.get(url, headers=headers) as response:
        assert response.status == status, await response.text()
        return await response.text()


def rows(html: str) -> int:
    """Rows in the bodies of the tables of a page."""
    return sum(body.count("<tr") for body in re.findall(r"<tbody>.*?</tbody>", html, re.DOTALL))


async def test_pages_ask_to_sign_in_first_and_come_back(hospital: Hospital, address: str) -> None:
    await hospital.stock()
    async with browser(address) as session:
        async with session.get("/timeline?code=1&lang=en") as response:
            assert response.url.path == "/sign-in"
            assert response.url.query["next"] == "/timeline?code=1"
        form = {"person": "n01", "pin": PIN, "next": "/timeline?code=1"}
        async with session.post("/sign-in", data=form, allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (303, "/timeline?code=1")
            cookie = response.cookies["codepool_session"]
            assert cookie["httponly"]
            assert cookie["samesite"] == "Strict"
        for url in PAGES:
            await page(session, url)
        async with session.post("/sign-out") as response:
            assert response.url.path == "/sign-in"
        async with session.get("/pool") as response:
            assert response.url.path == "/sign-in"


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "/sign-out",
        "/pool\r\nX: 1",
        "",
    ],
)
async def test_sign_in_leads_nowhere_else(hospital: Hospital, address: str, target: str) -> None:
    await hospital.stock()
    async with browser(address) as session:
        form = {"person": "n01", "pin": PIN, "next": target}
        async with session.post("/sign-in", data=form, allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (303, "/pool")


@pytest.mark.parametrize("person", ["n01", "nobody-there", "gone", "", "n01' OR '1'='1"])
async def test_wrong_pins_are_refused_alike_and_locked_out(hospital: Hospital, address: str, person: str) -> None:
    await hospital.stock()
    async with browser(address) as session:
        for _ in range(TRIES):
            assert await sign_in(session, person, "0000") == 401
        assert await sign_in(session, person, PIN) == 429
        assert await sign_in(session, "n02", "1357") == 303
    assert LOCKED_S >= 60


async def test_tries_at_the_same_moment_are_all_counted(hospital: Hospital, address: str) -> None:
    await hospital.stock()
    async with browser(address) as session:
        statuses = await asyncio.gather(*(sign_in(session, "n01", f"{n:04d}") for n in range(3 * TRIES)))
    assert statuses.count(401) == TRIES
    assert statuses.count(429) == 2 * TRIES


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {},
    ],
)
async def test_nothing_changes_for_another_site(address: str, headers: dict[str, str]) -> None:
    async with aiohttp.ClientSession(address, headers=headers) as session:
        for url in ("/sign-in", "/sign-out", "/exceptions/1/close"):
            async with session.post(url, data={"person": "n01", "pin": PIN}) as response:
                assert response.status == 403
    foreign = {"Cookie": "codepool_session=x"} | headers
    async with aiohttp.ClientSession(address, headers=foreign) as session, session.put("/api/v1/people") as response:
        assert response.status == 403


async def test_own_origin_is_enough_where_the_browser_says_no_more(hospital: Hospital, address: str) -> None:
    await hospital.stock()
    async with aiohttp.ClientSession(address, headers={"Origin": address}) as session:
        assert await sign_in(session) == 303


async def test_every_answer_is_hardened(nurse: aiohttp.ClientSession) -> None:
    for url in (*PAGES, "/sign-in", "/static/console.css", "/healthz", "/api/v1/agents", "/fhir/metadata", "/nothing"):
        async with nurse.get(url) as response:
            policy = response.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["X-Frame-Options"] == "DENY"
            assert "no-" in response.headers["Cache-Control"]


async def test_pages_have_no_script_and_no_style_in_line(hospital: Hospital, nurse: aiohttp.ClientSession) -> None:
    await hospital.services.orders.place(order("o-1"))
    for url in (*PAGES, f"/timeline?code={box(0)}", "/sign-in", "/nothing"):
        async with nurse.get(url) as response:
            html = await response.text()
        assert not re.findall(
            r"<script(?![^>]*\ssrc=)|\son\w+=|\sstyle=|<style|javascript:|hx-on|hx-vals=.?js", html
        ), url
        assert not re.findall(r"(?:src|href|action)=\"(?:https?:)?//", html), url


PAYLOADS = (
    '"><script>alert(1)</script>',
    "{{ 7 * 7 }}",
    "' OR 1=1 --",
    "%00",
    "\u202e反",
    "a" * 250,
    "=1+1",
    "%s%n%(x)s",
)


@pytest.mark.parametrize("payload", PAYLOADS)
async def test_no_filter_lets_markup_or_sql_through(nurse: aiohttp.ClientSession, payload: str) -> None:
    names = {
        "/pool": ("product", "lot", "location", "order", "box", "document", "code", "state", "after"),
        "/timeline": ("code",),
        "/orders": ("product", "ward", "id", "before"),
        "/exceptions": ("reason", "device", "code", "show"),
        "/insurer": ("state", "order", "box", "product", "cause", "day_from"),
        "/insurer.csv": ("state", "cause", "day_to"),
        "/indicators": ("a_from", "b_to", "step"),
        "/scans": ("person", "shift", "slip", "page"),
        "/sign-in": ("next", "lang"),
    }
    for url, fields in names.items():
        for field in fields:
            async with nurse.get(url, params={field: payload}) as response:
                assert response.status in {200, 400}, (url, field)
                html = await response.text()
            assert "<script>" not in html
            assert ">49<" not in html


async def test_what_an_agent_or_caller_writes_is_escaped(hospital: Hospital, nurse: aiohttp.ClientSession) -> None:
    markup = "<img src=x onerror=alert(1)>"
    await hospital.services.orders.place(order("o-1", patient=markup, ward=markup))
    hospital.record("station-9", hospital.fact(What.FROZEN, box(1), reason=markup, operator=markup, source=markup))
    for url in ("/orders", f"/timeline?code={box(1)}", "/exceptions", "/pool?state=all"):
        assert markup not in await page(nurse, url)
    assert "&lt;img" in await page(nurse, f"/timeline?code={box(1)}")


async def test_language_is_chinese_until_english_is_chosen(nurse: aiohttp.ClientSession) -> None:
    html = await page(nurse, "/pool")
    assert '<html lang="zh-CN">' in html
    assert "在库" in html
    html = await page(nurse, "/pool?state=all&lang=en")
    assert '<html lang="en">' in html
    assert "in stock" in html
    assert '<option value="all" selected>' in html
    assert '<html lang="en">' in await page(nurse, "/orders?lang=fr")
    assert '<html lang="zh-CN">' in await page(nurse, "/orders?lang=zh-CN")


@pytest.mark.parametrize("url", list(PAGES))
async def test_every_page_has_an_empty_state(hospital: Hospital, address: str, url: str) -> None:
    await hospital.services.masterdata.put_people([PEOPLE[0]])
    async with browser(address) as session:
        assert await sign_in(session) == 303
        # Who looks at the page of people is one of them.
        assert 'class="card empty' in await page(session, url if url != "/people" else f"{url}?name=nobody")


@pytest.mark.covers("A04")
async def test_pool_counts_filters_and_pages(hospital: Hospital, nurse: aiohttp.ClientSession) -> None:
    html = await page(nurse, "/pool?lang=en")
    assert rows(html) == 1 + 2 + SPLIT.units  # one product, two whole boxes, the units of the opened one
    assert "苯磺酸氨氯地平片" not in html
    assert "Amlodipine" in html
    assert rows(await page(nurse, "/pool?state=opened")) == 2
    assert rows(await page(nurse, f"/pool?box={box(0)}&state=in_stock")) == 1 + SPLIT.units
    assert "card empty" in await page(nurse, "/pool?lot=none")
    await page(nurse, "/pool?kind=barrel", status=400)
    await hospital.deliver("DN-2", SPLIT, [box(n) for n in range(100, 260)], kind=Kind.BOX, location="store")
    seen: list[str] = []
    url: str | None = "/pool?location=store"
    while url:
        html = await page(nurse, url)
        seen += re.findall(r'class="code" href="/timeline\?code=(\d+)"', html)
        more = re.search(r'<a class="button" href="([^"]*after=\d[^"]*)">', html)
        url = more.group(1).replace("&amp;", "&") if more else None
    assert seen == [box(n) for n in range(100, 260)]


@pytest.mark.covers("X12", "A26")
async def test_timeline_tells_who_where_and_for_whom(hospital: Hospital, nurse: aiohttp.ClientSession) -> None:
    await hospital.services.orders.place(order("o-1", patient="pt-88"))
    code = hospital.services.orders.get("o-1").codes[0]
    hospital.record("station-2", hospital.fact(What.WRITTEN_OFF, "unknown-code", reason="broken"))
    hospital.record("station-2", hospital.fact(What.PRESCANNED, box(0), units=7, operator="n02"))
    html = await page(nurse, f"/timeline?lang=en&code={code.replace('#', '%23')}")
    for text in (
        "announced",
        "pre-scanned and opened",
        "locked to an order",
        "李敏",
        "pt-88",
        "DN-1",
        "国药控股",
        "did not fit",
    ):
        assert text in html, text
    assert html.index("received into stock") < html.index("locked to an order")
    html = await page(nurse, f"/timeline?code={box(0)}")
    assert html.count("%23") == SPLIT.units
    assert "card empty" in await page(nurse, "/timeline?code=83000000000000000009")
    assert "UNKNOWN_FORM" in (await page(nurse, "/timeline?code=???")).upper()


@pytest.mark.covers("X09")
async def test_timeline_marks_what_was_handed_out_by_an_old_copy(
    hospital: Hospital, nurse: aiohttp.ClientSession
) -> None:
    await hospital.services.orders.place(order("o-1"))
    codes = hospital.services.orders.get("o-1").codes
    for code, stale_s in zip(codes, (0, 7_260, NEVER_S), strict=False):
        hospital.record("station-2", hospital.fact(What.DISPENSED, code, order="o-1", stale_s=stale_s))
    pages = [await page(nurse, f"/timeline?lang=en&code={code.replace('#', '%23')}") for code in codes]
    assert "copy of the ledger" not in pages[0]
    assert "copy of the ledger 121 min old" in pages[1]
    assert "without a copy of the ledger" in pages[2]


async def test_timeline_reads_a_code_as_it_is_scanned(nurse: aiohttp.ClientSession) -> None:
    spaced = " ".join((box(0)[:5], box(0)[5:]))
    async with nurse.get("/timeline", params={"code": spaced}) as response:
        assert 'class="timeline"' in await response.text()


async def test_exceptions_are_closed_in_the_name_of_a_person(hospital: Hospital, nurse: aiohttp.ClientSession) -> None:
    hospital.record("station-2", hospital.fact(What.PRESCANNED, box(0), units=7))
    html = await page(nurse, "/exceptions?lang=en")
    assert "opened before" in html
    assert "Look for the units" in html
    (action,) = re.findall(r'action="(/exceptions/\d+/close)"', html)
    async with nurse.post(action, data={"back": "/exceptions?show=closed"}) as response:
        assert str(response.url).endswith("/exceptions?show=closed")
        html = await response.text()
    assert "李敏" in html
    assert "card empty" in await page(nurse, "/exceptions")
    for number, status in (("999", 404), ("x", 404), ("9" * 30, 404)):
        async with nurse.post(f"/exceptions/{number}/close", data={}) as response:
            assert response.status == status


@pytest.mark.covers("X07", "E05")
async def test_sync_tells_one_sentence_with_cause_and_action(hospital: Hospital, nurse: aiohttp.ClientSession) -> None:
    now = hospital.time.now_us()
    assert "No agent has spoken" in await page(nurse, "/sync?lang=en")

    def agents(*rows: tuple[object, ...]) -> None:
        full = [(*row, None, 0, 0) for row in rows]
        hospital.ledger.write(lambda connection: connection.executemany(statements.WRITE_AGENT, full).rowcount)

    version = hospital.ledger.version
    good = ("station-1", now, "0.1.0", 1, version, 0, 100, b"s" * 16, 1)
    agents(good)
    assert "1 agent is in step" in await page(nurse, "/sync")
    agents(good, ("cabinet-1", now, "0.1.0", 1, 0, 12, 40_000_000, b"s" * 16, 1))
    html = await page(nurse, "/sync")
    assert "12 scans are not in the ledger yet; they are safe at cabinet-1." in html
    assert "12 facts are on their way." in html
    assert "Its clock is 40 s off." in html
    agents(("cabinet-1", now - 300_000_000, "0.1.0", 1, 0, 0, None, b"s" * 16, 0))
    html = await page(nurse, "/sync")
    assert "Not heard of lately: cabinet-1." in html
    assert "Not heard of for 5 min." in html
    hospital.conditions = (Condition(part="broker", cause="connection refused 100%", advice="see the cause"),)
    html = await page(nurse, "/sync")
    assert "because of: message broker." in html
    assert "connection refused 100%" in html


@pytest.mark.covers("X07", "E05")
@pytest.mark.parametrize(
    ("language", "expected"),
    [
        (
            "en",
            (
                "waited for: cabinet-1, station-1.",
                "Wait no longer",
                "Last verified backup",
                "facts that it told of and that are lost: 4",
            ),
        ),
        ("zh-CN", ("尚在等待：cabinet-1、station-1。", "不再等待", "最近一次已校验的备份", "已上报而丢失的记录数：4")),
    ],
)
async def test_sync_shows_a_refill_a_lost_journal_and_the_last_backup(
    hospital: Hospital, nurse: aiohttp.ClientSession, language: str, expected: tuple[str, ...]
) -> None:
    """REQ-02 to REQ-04: a person sees what central waits for, may end it, and is told what was lost."""
    now = hospital.time.now_us()
    agent = ("cabinet-1", now, "0.1.0", 1, 0, 0, 100, b"s" * 16, 1, None, 0, 0)
    hospital.ledger.write(lambda connection: connection.execute(statements.WRITE_AGENT, agent))
    assert "codepool-central backup" in await page(nurse, f"/sync?lang={language}")
    told = ("ledger-1.db", "0" * 64, now, 7, 40, 1, 4096)
    hospital.ledger.write(lambda connection: connection.execute(statements.ADD_BACKUP, told))
    start = SessionStart(device="cabinet-1", session=b"j" * 16)
    hospital.ledger.commit(
        lambda transaction: transaction.raise_misfit(
            start, reason=Finding.LOST, found=f"{LOST}: 4", expected=EXPECTED[Finding.LOST]
        )
    )
    hospital.life = Life(
        incarnation=5, is_refilling=True, waiting_for=("cabinet-1", "station-1"), ends_us=now + 600_000_000
    )
    html = await page(nurse, "/sync")
    for text in expected:
        assert text in html
    assert expected[3] in await page(nurse, "/exceptions")
    async with nurse.post("/sync/refill/end") as response:
        assert str(response.url).endswith("/sync")
        assert expected[1] not in await response.text()
    assert hospital.ended_by == "n01"


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("en", "It has no copy of this ledger yet, or one from before a restore."),
        ("zh-CN", "尚无本账本的副本，或副本仍是恢复之前的内容。"),
    ],
)
async def test_sync_names_a_replica_of_no_use_and_counts_no_versions(
    hospital: Hospital, nurse: aiohttp.ClientSession, language: str, expected: str
) -> None:
    version = hospital.ledger.version
    hospital.ledger.begin_life()
    agent = ("cabinet-1", hospital.time.now_us(), "0.1.0", 1, version, 0, 100, b"s" * 16, 1, None, 0, 0)
    hospital.ledger.write(lambda connection: connection.execute(statements.WRITE_AGENT, agent))
    html = await page(nurse, f"/sync?lang={language}")
    assert expected in html
    assert str(hospital.ledger.version - version) not in html


async def test_the_refill_is_ended_by_nobody_who_is_not_signed_in(hospital: Hospital, address: str) -> None:
    async with browser(address) as session, session.post("/sync/refill/end") as response:
        assert "/sign-in" in str(response.url)
    assert hospital.ended_by == ""


async def test_orders_and_insurer_show_what_happened(hospital: Hospital, nurse: aiohttp.ClientSession) -> None:
    await hospital.services.orders.place(order("o-1"))
    await hospital.services.orders.place(order("o-2", 9))
    codes = hospital.services.orders.get("o-1").codes
    hospital.record("station-1", hospital.fact(What.DISPENSED, *codes, order="o-1", how="automatic", operator="n01"))
    html = await page(nurse, "/orders?lang=en")
    assert re.search(r"3 / 3.*?handed out|4 / 9.*?partly locked", html, re.DOTALL)
    assert rows(html) == 2
    assert rows(await page(nurse, "/orders?state=dispensed")) == 1
    assert rows(await page(nurse, "/orders?ward=W9")) == 0
    html = await page(nurse, "/insurer")
    assert rows(html) == 1
    assert "waiting to be sent" in html
    assert rows(await page(nurse, "/insurer?state=refused")) == 0


async def news(response: aiohttp.ClientResponse) -> AsyncIterator[int]:
    async for line in response.content:
        if line.startswith(b"data:"):
            yield int(line.removeprefix(b"data:"))


@pytest.mark.covers("A04")
async def test_a_commit_reaches_open_pages_within_a_second(hospital: Hospital, nurse: aiohttp.ClientSession) -> None:
    html = await page(nurse, "/pool")
    (url,) = re.findall(r'sse-connect="(/events\?after=\d+)"', html)
    async with nurse.get(url) as response:
        assert response.content_type == "text/event-stream"
        stream = news(response)
        for _ in range(3):
            await hospital.services.orders.place(order(f"o-{hospital.ledger.version}", 1))
            async with asyncio.timeout(1.0):
                assert await anext(stream) == hospital.changes.tick
        first = hospital.changes.tick
        for n in range(40):  # a busy ledger is told of a few times, the last word standing for all
            await hospital.services.orders.place(order(f"many-{n}", 1))
        told = 0
        async with asyncio.timeout(5.0):
            async for tick in stream:
                told += 1
                if tick == first + 40:
                    break
        assert told <= 3


async def test_news_that_was_missed_is_told_at_once(hospital: Hospital, nurse: aiohttp.ClientSession) -> None:
    tick = hospital.changes.tick
    for url, headers in (
        (f"/events?after={tick - 1}", {}),
        ("/events?after=0", {"Last-Event-ID": str(tick + 1_000)}),
    ):
        async with nurse.get(url, headers=headers) as response, asyncio.timeout(2.0):
            assert await anext(news(response)) == tick


async def test_events_need_a_person(address: str) -> None:
    async with browser(address) as session, session.get("/events?after=0") as response:
        assert response.status == 401
    async with browser(address) as session, session.get("/pool", headers={"HX-Request": "true"}) as response:
        assert (response.status, response.headers["HX-Redirect"]) == (401, "/sign-in")


async def test_unknown_pages_and_methods_have_a_page(nurse: aiohttp.ClientSession) -> None:
    assert "fault" in await page(nurse, "/nothing", status=404)
    assert "fault" in await page(nurse, "/static/../auth.py", status=404)
    async with nurse.post("/pool") as response:
        assert response.status == 405


async def test_a_fault_of_ours_is_told_in_the_words_of_each_face(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = LedgerCorruptError("ledger is damaged")
    told: list[StartError] = []

    def fail_at_once(*_: object) -> None:
        raise lost

    async def fail(*_: object) -> None:
        raise lost

    await hospital.stock()
    monkeypatch.setattr(read_console, "levels", fail)
    monkeypatch.setattr(read_api, "agents", fail)
    monkeypatch.setattr(hospital.services.orders, "found", fail_at_once)
    async with serving(hospital, on_fatal=told.append) as address:
        async with browser(address) as session:
            assert await sign_in(session) == 303
            assert "fault" in await page(session, "/sync", status=500)
            assert "fault" in await page(session, "/metrics", status=500)
        async with caller(address) as session:
            async with session.get("/api/v1/agents") as response:
                assert (response.status, response.content_type) == (500, "application/problem+json")
                assert "damaged" not in await response.text()
            async with session.get("/fhir/MedicationRequest/o-1") as response:
                assert (response.status, response.content_type) == (500, "application/fhir+json")
    assert told == [lost] * 4
