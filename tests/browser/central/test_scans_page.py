"""Missed and forced scans: who, in which shift, what, and the file of it."""

import csv
import datetime as dt
import io
import pathlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from central.clock import SystemClock
from central.indicators.scans import Shifts, Slip, lines
from central.ledger.read_scans import told
from tests.browser.central.pages import open_page, picture, sign_in
from tests.integration.central_faces.hospital import Hospital, serving
from tests.integration.central_faces.months import Months, WardClock

pytestmark = pytest.mark.browser
DAYS = 10


@pytest_asyncio.fixture(loop_scope="session")
async def busy(tmp_path: pathlib.Path) -> AsyncIterator[Hospital]:
    clock = WardClock(SystemClock().wall_us())
    house = Hospital(tmp_path, clock)
    now_us, first = clock.us, house.time.today() - dt.timedelta(days=DAYS)
    months = Months(house, clock, seed=7)
    await months.begin(first)
    await months.play(first, DAYS, orders=6, mistakes=25, accepted=1.0, slips=40)
    clock.us = now_us
    try:
        yield house
    finally:
        await house.close()


@pytest.mark.covers("A27")
@pytest.mark.parametrize("language", ["zh-CN", "en"])
async def test_slips_by_person_and_shift(chromium: Browser, busy: Hospital, language: str) -> None:
    today = busy.time.today()
    since_us = busy.time.midnight_us(today - dt.timedelta(days=27))
    steps = await told(busy.read, since_us=since_us, until_us=busy.time.now_us())
    found = lines(steps, Shifts(), busy.time.local)
    async with serving(busy) as address:
        page, complaints = await open_page(chromium, address, language)
        await sign_in(page)
        await page.goto("/indicators")
        await page.click("nav.tabs a[href='/scans']")
        await picture(page, "scans", language, is_whole=False)
        worst = found[0]
        await expect(page.locator("#lines tbody tr")).to_have_count(sum(line.all > 0 for line in found))
        top = page.locator("#lines tbody tr").first
        await expect(top).to_contain_text(Shifts().name(worst.shift))
        assert [int(n) for n in (await top.inner_text()).split("\t")[2:]] == [worst.handed_out, *worst.slips.values()]

        await top.locator("a").first.click()
        await page.wait_for_url(f"**/scans?person={worst.person}")
        await page.locator(".counts a").nth(2).click()
        await page.wait_for_url("**slip=forced")
        forced = sum(line.slips[Slip.FORCED] for line in found if line.person == worst.person)
        await expect(page.locator("#slips tbody tr")).to_have_count(forced)
        await expect(page.locator("#slips tbody tr").first).to_contain_text("扫码枪故障")

        await page.goto("/scans")
        async with page.expect_download() as waiting:
            await page.click("a[download]")
        text = (await (await waiting.value).path()).read_bytes().decode("utf-8-sig")
        rows = list(csv.reader(io.StringIO(text)))[1:]
        assert sum(int(row[5]) + int(row[6]) + int(row[7]) for row in rows) == sum(line.all for line in found)
        assert sum(int(row[4]) for row in rows) == sum(line.handed_out for line in found)

        await page.goto("/scans?day_from=2020-01-01&day_to=2020-01-07")
        await expect(page.locator(".card.empty")).to_be_visible()
        assert complaints == []
