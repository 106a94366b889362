"""The page of leases: who holds what, who is in doubt or waited for, and the count of two people that frees it."""

import pytest
from playwright.async_api import Browser, Page, expect

from central.ledger import statements
from sync_protocol.documents import Route
from sync_protocol.facts import How, What
from sync_protocol.machines import grants_events as on
from sync_protocol.messages import Holds
from tests.browser.central.pages import open_page, picture, sign_in
from tests.integration.central_faces.hospital import PEOPLE, SPLIT, Hospital, box, serving

pytestmark = pytest.mark.browser
PLACE = "pharmacy"
OLD_US = 3_600_000_000


def hold(hospital: Hospital, device: str, *codes: str, ago_us: int = 0) -> None:
    """What the lane of leases does when an agent has said HELLO and there is stock for it."""
    known = hospital.leases.grants.leases.get(device)
    leases, now_us = hospital.leases, hospital.time.steady_us() - ago_us
    session = device.encode().ljust(16, b"-")
    holds = Holds(
        session=session,
        number=known.stated + 1 if known else 1,
        seen=0,
        incarnation=0,
        spoken_to=hospital.ledger.incarnation,
        sent_us=0,
        location=PLACE,
        route=Route.STATION,
        want=len(codes),
        codes=(),
    )
    leases._do(on.Stated(device=device, holds=holds, products={}, committed={}, now_us=now_us))
    offer = on.Offer(location=PLACE, route=Route.STATION, product=SPLIT.id, free=codes)
    leases._do(on.Offered(offer=offer, connected=frozenset({device}), now_us=now_us))


def hear(hospital: Hospital, *devices: str) -> None:
    """Agents that were here once."""
    now_us = hospital.time.now_us()
    rows = [(device, now_us, "codepool 0.1.0", 1, 0, 0, 0, device.encode(), 0, None, 0, 0) for device in devices]
    hospital.ledger.write(lambda connection: connection.executemany(statements.WRITE_AGENT, rows).rowcount)


async def count(page: Page, pin: str) -> None:
    await page.click("details.act summary")
    await page.check("[name=is_all]")
    await page.fill("[name=reason]", "电脑被盗")
    await page.fill("[name=witness]", "n02")
    await page.fill("[name=pin]", pin)
    await page.click("details.act form button")


@pytest.mark.covers("X01")
@pytest.mark.fault(45)
@pytest.mark.parametrize("language", ["zh-CN", "en"])
async def test_what_a_silent_workplace_held_is_freed_by_two_people(
    chromium: Browser, hospital: Hospital, language: str
) -> None:
    await hospital.stock(boxes=6, opened=1)
    await hospital.services.people.put(PEOPLE)
    async with serving(hospital) as address:
        page, complaints = await open_page(chromium, address, language)
        await sign_in(page)
        await page.goto("/leases")
        await picture(page, "leases-none", language)
        hold(hospital, "station-1", box(1), box(2))
        hold(hospital, "station-2", box(3), box(4), box(5), ago_us=OLD_US)
        hospital.leases.turn()
        await page.goto("/leases")
        await expect(page.locator(".sentence.unwell")).to_contain_text("station-2")
        await expect(page.locator("details.act")).to_have_count(1)
        await page.click("details.act summary")
        await picture(page, "leases-doubt", language)
        await page.reload()
        await count(page, "0000")
        await expect(page.locator("details.act .cause")).to_be_visible()
        await page.reload()
        await page.goto("/leases")
        await count(page, "1357")
        await expect(page.locator(".sentence.well")).to_be_visible()
        await expect(page.locator("p.note")).to_contain_text("3")
        await picture(page, "leases-freed", language)
        assert [hospital.leases.grants.holder(box(n)) for n in range(1, 6)] == ["station-1"] * 2 + [""] * 3
        assert [text for text in complaints if "401" not in text and "422" not in text] == []


@pytest.mark.covers("X01")
@pytest.mark.fault(33)
@pytest.mark.parametrize("language", ["zh-CN", "en"])
async def test_a_restored_ledger_says_whom_it_waits_for(chromium: Browser, hospital: Hospital, language: str) -> None:
    await hospital.stock(boxes=3, opened=1)
    await hospital.services.people.put(PEOPLE)
    hear(hospital, "station-1", "station-9")
    hold(hospital, "station-1", box(1), box(2))
    hospital.ledger.begin_life()
    hospital.leases.turn()
    hold(hospital, "station-1")
    async with serving(hospital) as address:
        page, complaints = await open_page(chromium, address, language)
        await sign_in(page)
        await page.goto("/leases")
        await expect(page.locator(".sentence.unwell")).to_contain_text("station-9")
        await expect(page.locator("details.act")).to_have_count(0)
        await expect(page.locator("tbody tr", has_text="station-1").locator(".mark.good")).to_have_count(1)
        await picture(page, "leases-restored", language)
        assert complaints == []


@pytest.mark.parametrize(("language", "words"), [("zh-CN", "紧急发放"), ("en", "in an emergency")])
async def test_the_timeline_says_that_it_was_an_emergency(
    chromium: Browser, hospital: Hospital, language: str, words: str
) -> None:
    await hospital.stock(boxes=1, opened=1)
    unit = f"{box(0)}#001"
    emergency = hospital.fact(
        What.DISPENSED,
        unit,
        order="YZ-1",
        how=How.LATE_SCAN,
        operator="n01",
        witness="n02",
        is_provisional=True,
        reason="cut off",
    )
    hospital.record("station-2", emergency)
    async with serving(hospital) as address:
        page, complaints = await open_page(chromium, address, language)
        await sign_in(page)
        await page.goto(f"/timeline?code={unit.replace('#', '%23')}")
        await expect(page.locator(".mark.warn", has_text=words)).to_have_count(1)
        await expect(page.locator(".mark.bad")).to_have_count(0)
        await picture(page, "leases-emergency", language)
        assert complaints == []
