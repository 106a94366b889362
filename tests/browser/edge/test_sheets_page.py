"""Sheets of paper: printed with the network cut, read out of the picture of the print, scanned back line by line."""

import io
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import zxingcpp
from PIL import Image
from playwright.async_api import Browser, Page, expect

from edge_agent.sync.state import SyncState
from edge_agent.workflows.station import Station
from sync_protocol.documents import OrderKind, OrderState
from sync_protocol.facts import What
from sync_protocol.items import State
from tests.browser.edge.pages import LANGUAGES, SCREENSHOTS, opened, picture, sign_in
from tests.browser.edge.test_station_page import shoot
from tests.browser.edge.test_tasks_page import turn_to
from tests.unit.edge_work.site import Gun, serve
from tests.unit.edge_work.ward import (
    AMOXICILLIN,
    CEFTRIAXONE,
    LI,
    MORPHINE,
    WANG,
    Ward,
    box,
    box_code,
    order,
    units,
)

pytestmark = pytest.mark.browser
SIZES = ("desktop", "pda")
HOUR_US = 3_600_000_000
A4_PX = (794, 1123)


async def stock(ward: Ward) -> None:
    await ward.load(
        items=(
            *units(AMOXICILLIN, 9, locked=6, order="RX00001"),
            *(box(CEFTRIAXONE, serial, State.LOCKED, order="RX00002") for serial in (11, 12)),
            box(MORPHINE, 21, State.LOCKED, order="RX00003"),
            *(box(CEFTRIAXONE, serial) for serial in range(30, 34)),
        ),
        orders=(
            order(1, AMOXICILLIN, 6, OrderState.LOCKED),
            order(2, CEFTRIAXONE, 2, OrderState.LOCKED, kind=OrderKind.STAT, ward="呼吸内科"),
            order(3, MORPHINE, 1, OrderState.LOCKED, kind=OrderKind.DISCHARGE),
            order(4, AMOXICILLIN, 30, OrderState.WAITING),
        ),
    )


@asynccontextmanager
async def at_station(browser: Browser, ward: Ward, size: str, lang: str) -> AsyncIterator[Page]:
    """Signed in at a station whose network is cut."""
    await stock(ward)
    gun = Gun()
    work = Station(ward.bench, people=ward.people, scanner=gun)
    async with (
        serve(ward, work, devices=(gun,), sync=SyncState()) as url,
        opened(browser, url, size=size, lang=lang) as page,
    ):
        await sign_in(page)
        await turn_to(page, "sheets")
        yield page


async def printed(page: Page, kind: str, name: str) -> list[str]:
    """Print a sheet, look at it as paper, and say what its symbols say, from the top."""
    async with page.context.expect_page() as opening:
        await page.click(f"#side form:has(input[value={kind}]) button")
    paper = await opening.value
    await paper.wait_for_selector(".page .symbol")
    await picture(paper, name, lang=await paper.evaluate("document.documentElement.lang"))
    await paper.emulate_media(media="print")
    await paper.set_viewport_size({"width": A4_PX[0], "height": A4_PX[1]})
    assert await paper.locator(".bar").is_hidden()
    heights = await paper.evaluate("[...document.querySelectorAll('.page')].map(e => e.offsetHeight)")
    assert max(heights) < 277 * 96 / 25.4, "a page of lines fits a page of paper"
    pdf = await paper.pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type */Page\b", pdf)) == len(heights)
    shot = await paper.screenshot(
        path=SCREENSHOTS / f"edge-{name}-print.png", full_page=True, animations="disabled", scale="css"
    )
    await paper.close()
    with Image.open(io.BytesIO(shot)) as image:
        # Paper is finer than a screen: a scanner sees 300 dots an inch.
        large = image.convert("L").resize((image.width * 3, image.height * 3), Image.Resampling.NEAREST)
    symbols = zxingcpp.read_barcodes(large)
    symbols.sort(key=lambda symbol: (symbol.position.top_left.y // 30, symbol.position.top_left.x))
    return [symbol.text for symbol in symbols]


async def write_line(page: Page, *, time: str, operator: str = LI.id, witness: str = "", quantity: int = 0) -> None:
    await page.fill("#side [name=time]", time)
    await page.fill("#side [name=operator]", operator)
    await page.fill("#side [name=witness]", witness)
    if quantity:
        await page.fill("#side [name=quantity]", str(quantity))


async def record(page: Page, button: str = "button.main") -> None:
    number = await page.locator("#verdict .verdict").get_attribute("data-number")
    await page.click(f"#side .witness {button}")
    await page.wait_for_function(
        "before => (document.querySelector('#verdict .verdict').dataset.number ?? null) !== before", arg=number
    )


@pytest.mark.covers("A22")
@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("size", SIZES)
async def test_what_was_printed_is_scanned_back_from_the_paper(
    browser: Browser, ward: Ward, size: str, lang: str
) -> None:
    async with at_station(browser, ward, size, lang) as page:
        await picture(page, f"{size}-30-sheets", lang=lang)
        texts = await printed(page, "orders", f"{size}-31-sheet-orders-{lang}")
        (sheet, *_), lines = [text for text in texts if text.count("-") == 2], [t for t in texts if t.count("-") > 2]
        boxes = [text for text in texts if text.isdigit()]
        assert (len(lines), len(boxes)) == (4, 3)
        by_order = {text.split("-", 4)[4]: text for text in lines}
        ward.clock.now_us += 5 * HOUR_US
        await sign_in_again(page)
        await expect(page.locator("#side .ticket")).to_have_count(1)
        await shoot(page, sheet)
        await picture(page, f"{size}-32-sheet", lang=lang)
        await shoot(page, by_order["RX00001"])
        await picture(page, f"{size}-33-line-units", lang=lang)
        await write_line(page, time="09:40")
        await record(page)
        await expect(page.locator("#verdict .verdict.done")).to_be_visible()
        await shoot(page, by_order["RX00002"])
        for code in boxes:
            if code in {box_code(CEFTRIAXONE, 11), box_code(CEFTRIAXONE, 12)}:
                await shoot(page, code)
        await picture(page, f"{size}-34-line-boxes", lang=lang)
        await expect(page.locator("#side [name=operator]")).to_have_value(LI.id)
        await write_line(page, time="10:05", quantity=2)
        await record(page)
        await shoot(page, by_order["RX00003"])
        await shoot(page, box_code(MORPHINE, 21))
        await write_line(page, time="10:30", witness=WANG.id)
        await record(page)
        await expect(page.locator("#side .big-count")).to_contain_text("3 / 4")
        await picture(page, f"{size}-35-sheet-3-of-4", lang=lang)
        await shoot(page, by_order["RX00001"])
        await page.wait_for_selector("#verdict .verdict.repeat")
        await picture(page, f"{size}-36-line-again", lang=lang)
        await page.click("#finish summary")
        await page.click("#side form:has(input[value=not_used]) button")
        await page.wait_for_selector("#verdict .verdict.told")
        await expect(page.locator("#side .ticket")).to_have_count(0)
    units_out, boxes_out, controlled = ward.facts()
    assert [fact.what for fact in ward.facts()] == [What.DISPENSED] * 3
    assert (len(units_out.codes), set(boxes_out.codes)) == (6, {box_code(CEFTRIAXONE, 11), box_code(CEFTRIAXONE, 12)})
    assert controlled.witness == WANG.id
    minutes = [(fact.at.corrected_us // 60_000_000 + 480) % 1440 for fact in ward.facts()]
    assert minutes == [9 * 60 + 40, 10 * 60 + 5, 10 * 60 + 30]
    assert {fact.paper.sheet for fact in ward.facts() if fact.paper} == {sheet.split("-")[1]}
    assert all(fact.paper and fact.paper.by == WANG.id for fact in ward.facts())


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("size", SIZES)
async def test_a_blank_line_with_a_code_written_by_hand(browser: Browser, ward: Ward, size: str, lang: str) -> None:
    async with at_station(browser, ward, size, lang) as page:
        texts = await printed(page, "blank", f"{size}-37-sheet-blank-{lang}")
        lines = [text for text in texts if text.count("-") == 3]
        assert len(lines) == 14
        ward.clock.now_us += 2 * HOUR_US
        await sign_in_again(page)
        await shoot(page, lines[0])
        number = await page.locator("#verdict .verdict").get_attribute("data-number")
        await type_by_hand(page, box_code(CEFTRIAXONE, 30))
        await page.click("#side .typed button")
        await page.wait_for_function(
            "before => document.querySelector('#verdict .verdict').dataset.number !== before", arg=number
        )
        await expect(page.locator("#side .codes li")).to_have_count(1)
        await page.fill("#side [name=ward]", "呼吸内科")
        await write_line(page, time="10:00", operator="P007")
        await record(page)
        await page.wait_for_selector("#verdict .verdict.refused")
        await picture(page, f"{size}-38-line-doubted", lang=lang)
        await expect(page.locator("#side [name=ward]")).to_have_value("呼吸内科")
        await page.fill("#side [name=operator]", LI.id)
        await record(page)
        await page.wait_for_selector("#verdict .verdict.done")
        await page.click("#tabs form:has(input[value=look_up]) button")
        await picture(page, f"{size}-39-more", lang=lang)
    (lent,) = ward.facts()
    assert (lent.what, lent.location, lent.operator) == (What.LENT, "呼吸内科", LI.id)
    assert lent.codes == (box_code(CEFTRIAXONE, 30),)


async def type_by_hand(page: Page, code: str) -> None:
    """Key by key, while the panel is renewed as it is whenever anything happens in the ward."""
    await page.locator("#side .typed input").press_sequentially(code[:7], delay=80)
    async with page.expect_response("**/part/side") as renewal:
        await page.evaluate("htmx.trigger(document.body, 'refresh')")
    await (await renewal.value).finished()
    await page.wait_for_timeout(100)  # for the swap that must not come
    await page.keyboard.type(code[7:], delay=80)
    await expect(page.locator("#side .typed input")).to_have_value(code)


async def sign_in_again(page: Page) -> None:
    """Hours have gone by: whoever sat here was signed out."""
    await page.reload()
    await sign_in(page)
    await turn_to(page, "sheets")
