"""Sheets of paper at the console: printed for a place whose own computer is down; its lines on a timeline."""

import io

import msgspec
import pytest
import zxingcpp
from PIL import Image
from playwright.async_api import Browser, expect

from central.ledger import read_scans
from sync_protocol.documents import OrderKind
from sync_protocol.facts import How, Moment, Paper, What
from sync_protocol.sheets import read_mark
from tests.browser.central.morning import order
from tests.browser.central.pages import SCREENSHOTS, open_page, picture, sign_in
from tests.integration.central_faces.hospital import SPLIT, Hospital, serving

pytestmark = pytest.mark.browser
HOUR_US = 3_600_000_000


@pytest.mark.covers("A22")
@pytest.mark.parametrize("language", ["zh-CN", "en"])
async def test_a_place_without_its_computer_gets_its_sheet_from_the_console(
    chromium: Browser, hospital: Hospital, language: str
) -> None:
    await hospital.stock(boxes=3, opened=1)
    for key, kind in (("YZ-001", OrderKind.LONG_TERM), ("YZ-002", OrderKind.STAT)):
        await hospital.services.orders.place(order(hospital, key, SPLIT.id, 2, kind))
    async with serving(hospital) as address:
        page, complaints = await open_page(chromium, address, language)
        await sign_in(page)
        await page.goto("/orders")
        await page.click("a[href='/sheets']")
        await expect(page.locator(".empty")).to_be_visible()
        await page.select_option("[name=place]", "pharmacy")
        await page.click("form.filters button")
        await picture(page, "sheets", language)
        async with page.context.expect_page() as opening:
            await page.click("a[href*='/sheets/print?place=pharmacy']:not([href*=blank])")
        paper = await opening.value
        await paper.emulate_media(media="print")
        shot = await paper.screenshot(path=SCREENSHOTS / f"console-sheet-print-{language}.png", full_page=True)
        with Image.open(io.BytesIO(shot)) as image:
            large = image.convert("L").resize((image.width * 3, image.height * 3), Image.Resampling.NEAREST)
        marks = [mark for symbol in zxingcpp.read_barcodes(large) if (mark := read_mark(symbol.text))]
        assert {(mark.line, mark.order) for mark in marks} == {(0, ""), (1, "YZ-002"), (2, "YZ-001")}, "urgent first"
        assert len({mark.sheet for mark in marks}) == 1
        await page.goto("/sheets/print?place=pharmacy&is_blank=true")
        await expect(page.locator(".line.blank")).to_have_count(14)
        assert complaints == []


@pytest.mark.parametrize("language", ["zh-CN", "en"])
async def test_a_timeline_says_from_which_line_of_paper_it_knows(
    chromium: Browser, hospital: Hospital, language: str
) -> None:
    await hospital.stock(boxes=3, opened=1)
    await hospital.services.orders.place(order(hospital, "YZ-001", SPLIT.id, 2, OrderKind.STAT))
    codes = hospital.services.orders.get("YZ-001").codes
    now = hospital.services.time.moment()
    fact = msgspec.structs.replace(
        hospital.fact(What.DISPENSED, *codes, order="YZ-001", operator="n01", witness="n02", how=How.LATE_SCAN),
        at=Moment(wall_us=now.wall_us - 5 * HOUR_US, mono_us=1),
        paper=Paper(sheet="K7QF2M9X", line=3, by="n02", at_us=now.wall_us),
    )
    hospital.record("station-1", fact)
    async with serving(hospital) as address:
        page, complaints = await open_page(chromium, address, language)
        await sign_in(page)
        await page.goto(f"/timeline?code={codes[0].replace('#', '%23')}")
        said = page.locator(".timeline li").last
        await expect(said).to_contain_text("K7QF2M9X")
        await picture(page, "timeline-paper", language)
        assert complaints == []
    told = await read_scans.told(hospital.services.read, since_us=0, until_us=now.wall_us)
    assert [(one.what, one.is_late) for one in told if one.order] == [("dispensed", False)], "nobody has missed a scan"
