"""The indicators page: two periods chosen by their days, compared, drawn, and taken along as a file."""

import csv
import datetime as dt
import io
import pathlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from central.clock import SystemClock
from tests.browser.central.pages import open_page, picture, sign_in
from tests.integration.central_faces.hospital import Hospital, serving
from tests.integration.central_faces.months import Months, WardClock, facts_of
from tests.unit.indicators import folding
from tests.unit.indicators.folding import Fold

pytestmark = pytest.mark.browser
DAYS = 14


@pytest_asyncio.fixture(loop_scope="session")
async def busy(tmp_path: pathlib.Path) -> AsyncIterator[Hospital]:
    """Two weeks before the code pool was of use and two weeks with it, up to today."""
    clock = WardClock(SystemClock().wall_us())
    house = Hospital(tmp_path, clock)
    now_us, today = clock.us, house.time.today()
    first = today - dt.timedelta(days=2 * DAYS)
    months = Months(house, clock, seed=11)
    await months.begin(first)
    await months.play(first, DAYS, orders=8, mistakes=14, accepted=0.25)
    await months.play(first + dt.timedelta(days=DAYS), DAYS, orders=8, mistakes=3, accepted=0.93)
    clock.us = now_us
    try:
        yield house
    finally:
        await house.close()


def url(house: Hospital, step: str) -> str:
    last = house.time.today() - dt.timedelta(days=1)
    b = last - dt.timedelta(days=DAYS - 1)
    a = b - dt.timedelta(days=DAYS)
    return f"/indicators?a_from={a}&a_to={b - dt.timedelta(days=1)}&b_from={b}&b_to={last}&step={step}"


async def download(page: Page, name: str) -> list[list[str]]:
    async with page.expect_download() as waiting:
        await page.click(f"text={name}")
    path = await (await waiting.value).path()
    text = path.read_bytes()
    assert text.startswith(b"\xef\xbb\xbf")
    return list(csv.reader(io.StringIO(text.decode("utf-8-sig"))))


@pytest.mark.covers("A24", "A23")
@pytest.mark.parametrize("language", ["zh-CN", "en"])
async def test_two_periods_are_compared(chromium: Browser, busy: Hospital, language: str) -> None:
    async with serving(busy) as address:
        page, complaints = await open_page(chromium, address, language)
        await sign_in(page)
        for step in ("day", "week"):
            await page.goto(url(busy, step))
            await picture(page, f"indicators-{step}", language)
        await page.goto("/indicators?b_from=2020-01-01&b_to=2020-01-28")
        await picture(page, "indicators-empty", language, is_whole=False)
        await expect(page.locator(".card.empty")).to_be_visible()
        assert complaints == []


@pytest.mark.covers("A24", "A23")
async def test_the_page_says_what_the_facts_say(chromium: Browser, busy: Hospital) -> None:
    connection = busy.ledger.connection
    fold = Fold(facts_of(busy), dict(connection.execute("SELECT id, product FROM orders").fetchall()))
    states = {
        (p, b): state
        for p, b, state in connection.execute("SELECT position, box, state FROM insurer_row WHERE NOT is_return")
    }
    last = busy.time.today() - dt.timedelta(days=1)
    b = last - dt.timedelta(days=DAYS - 1)
    accepted, billed = folding.upload(fold, states, b, last)
    wrong, days = folding.errors(fold, b, last)
    async with serving(busy) as address:
        page, _ = await open_page(chromium, address, "en")
        await sign_in(page)
        await page.click("nav a[href='/indicators']")
        await page.fill("input[name=a_from]", str(b - dt.timedelta(days=DAYS)))
        await page.fill("input[name=a_to]", str(b - dt.timedelta(days=1)))
        await page.fill("input[name=b_from]", str(b))
        await page.fill("input[name=b_to]", str(last))
        await page.click("button:has-text('Compare')")
        assert f"b_to={last}" in page.url
        upload = page.locator("#upload")
        await expect(upload.locator("tbody tr").nth(1)).to_contain_text(f"{accepted / billed:.2%}")
        await expect(upload.locator("tbody tr").nth(1)).to_contain_text(str(billed))
        await expect(upload.locator(".differs")).to_contain_text("t(13) = ")
        await expect(page.locator("#errors tbody tr").nth(1)).to_contain_text(f"{wrong / days:.2f}")
        await expect(upload.locator("circle")).to_have_count(2 * DAYS)
        rows = await download(page, "Export CSV")
        (whole,) = [row for row in rows if row[:2] == ["Upload rate", "whole period"]]
        assert (float(whole[8]), int(whole[9])) == (accepted / billed, billed)
        assert float(whole[12]) < 0.001
        assert len(rows) == 1 + 6 * (DAYS + 1)
        await page.goto(f"/indicators?a_from={last}&a_to={b}")
        await expect(page.locator(".fault")).to_contain_text(f"a_to: found {b}")
