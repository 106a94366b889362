import asyncio
from collections.abc import Sequence

import pytest
from playwright.async_api import Browser, Page, expect

from drivers.readings import LinkState
from edge_agent.sync.state import SyncState
from edge_agent.workflows.station import Station
from sync_protocol.documents import OrderKind, OrderState
from sync_protocol.items import Item, State
from tests.browser.edge.pages import LANGUAGES, opened, picture, pull_trigger, sign_in
from tests.unit.edge_work.site import Gun, serve
from tests.unit.edge_work.ward import (
    AMOXICILLIN,
    CEFTRIAXONE,
    MORPHINE,
    Ward,
    box,
    box_code,
    note,
    order,
    units,
)

pytestmark = pytest.mark.browser
SIZES = ("desktop", "pda")


async def stock(ward: Ward) -> None:
    arriving = [
        box(product, serial, State.EXPECTED, document="DN-20260302-01")
        for product, serial in ((AMOXICILLIN, 51), (AMOXICILLIN, 52), (CEFTRIAXONE, 53))
    ]
    more = [box(MORPHINE, serial, State.EXPECTED, document="DN-2") for serial in range(61, 66)]
    items: Sequence[Item] = (
        *arriving,
        *more,
        box(AMOXICILLIN, 1),
        box(AMOXICILLIN, 2),
        box(AMOXICILLIN, 3),
        *units(AMOXICILLIN, 9, locked=6, order="RX00001"),
        box(CEFTRIAXONE, 11, State.LOCKED, order="RX00002"),
        box(CEFTRIAXONE, 12, State.LOCKED, order="RX00002"),
        box(MORPHINE, 21, State.LOCKED, order="RX00003"),
    )
    await ward.load(
        items=tuple(items),
        notes=(note("DN-20260302-01", arriving), note("DN-2", more)),
        orders=(
            order(1, AMOXICILLIN, 6, OrderState.LOCKED),
            order(2, CEFTRIAXONE, 2, OrderState.LOCKED, kind=OrderKind.STAT),
            order(3, MORPHINE, 1, OrderState.LOCKED, kind=OrderKind.STAT),
            order(4, AMOXICILLIN, 30, OrderState.WAITING, kind=OrderKind.DISCHARGE),
        ),
    )


async def step(page: Page, name: str) -> None:
    await page.click(f"#tabs form:has(input[value={name}]) button")
    await expect(page.locator(f"#tabs form:has(input[value={name}]) button")).to_have_attribute("aria-current", "step")


async def shoot(page: Page, code: str) -> None:
    """Pull the trigger of a scanner that acts as a keyboard, with no field in focus."""
    number = await page.locator("#verdict .verdict").get_attribute("data-number")
    await pull_trigger(page, code)
    await page.wait_for_function(
        "before => (document.querySelector('#verdict .verdict').dataset.number ?? null) !== before", arg=number
    )


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("size", SIZES)
async def test_every_screen_of_a_station(browser: Browser, ward: Ward, size: str, lang: str) -> None:
    await stock(ward)
    gun = Gun()
    async with (
        serve(ward, Station(ward.bench, people=ward.people, scanner=gun), devices=(gun,)) as url,
        opened(browser, url, size=size, lang=lang) as page,
    ):
        await picture(page, f"{size}-1-sign-in", lang=lang)
        await page.fill("input[name=person]", "P001")
        await page.fill("input[name=pin]", "1")
        await page.click("#sign-in button.main")
        await page.wait_for_selector("#sign-in .refused")
        await picture(page, f"{size}-2-sign-in-refused", lang=lang)
        await sign_in(page)
        await picture(page, f"{size}-3-prescan-empty", lang=lang)
        await shoot(page, box_code(AMOXICILLIN, 1))
        await shoot(page, box_code(AMOXICILLIN, 1))
        await picture(page, f"{size}-4-prescan-refused", lang=lang)
        await shoot(page, "6901234567892")
        await shoot(page, box_code(AMOXICILLIN, 2))
        await picture(page, f"{size}-5-prescan-done", lang=lang)
        await step(page, "receive")
        await picture(page, f"{size}-6-receive-notes", lang=lang)
        await shoot(page, "DN-20260302-01")
        await shoot(page, box_code(AMOXICILLIN, 51))
        await shoot(page, box_code(AMOXICILLIN, 52))
        await picture(page, f"{size}-7-receive-progress", lang=lang)
        await shoot(page, box_code(MORPHINE, 61))
        await picture(page, f"{size}-8-receive-extra", lang=lang)
        await shoot(page, box_code(CEFTRIAXONE, 53))
        await step(page, "hand_out")
        await picture(page, f"{size}-9-hand-out-queue", lang=lang)
        await shoot(page, box_code(CEFTRIAXONE, 11))
        await shoot(page, box_code(AMOXICILLIN, 3))
        await picture(page, f"{size}-10-hand-out-wrong", lang=lang)
        await shoot(page, box_code(CEFTRIAXONE, 12))
        await shoot(page, box_code(MORPHINE, 21))
        await expect(page.locator("#side .witness")).to_be_visible()
        await picture(page, f"{size}-11-hand-out-witness", lang=lang)
        await step(page, "late_scan")
        await picture(page, f"{size}-12-late-queue", lang=lang)


@pytest.mark.parametrize("size", SIZES)
async def test_empty_lists_say_so(browser: Browser, ward: Ward, size: str) -> None:
    async with (
        serve(ward, Station(ward.bench, people=ward.people, scanner=Gun())) as url,
        opened(browser, url, size=size, lang="zh-CN") as page,
    ):
        await sign_in(page)
        for name in ("receive", "hand_out", "late_scan"):
            await step(page, name)
            await expect(page.locator("#side p.empty")).to_be_visible()
            await picture(page, f"{size}-empty-{name}", lang="zh-CN")


@pytest.mark.parametrize("lang", LANGUAGES)
async def test_the_header_says_what_is_not_in_the_ledger_and_which_device_fails(
    browser: Browser, ward: Ward, lang: str
) -> None:
    await stock(ward)
    gun = Gun()
    gun.state, gun.cause = LinkState.FAULTED, "/dev/ttyACM0: no such file"
    sync = SyncState(is_connected=False, cause="127.0.0.1:1883: connection refused")
    async with (
        serve(ward, Station(ward.bench, people=ward.people, scanner=gun), devices=(gun,), sync=sync) as url,
        opened(browser, url, size="desktop", lang=lang) as page,
    ):
        await sign_in(page)
        await shoot(page, box_code(AMOXICILLIN, 1))
        ward.clock.now_us += 240_000_000
        await page.click("#status summary")
        await page.wait_for_selector("#status .warn[open]")
        await expect(page.locator("#status .sentence")).to_contain_text("1 条记录" if lang == "zh-CN" else "1 record")
        await picture(page, "desktop-offline", lang=lang)


async def test_a_scan_never_lands_in_a_text_field(browser: Browser, ward: Ward) -> None:
    await stock(ward)
    async with (
        serve(ward, Station(ward.bench, people=ward.people, scanner=Gun())) as url,
        opened(browser, url, size="desktop", lang="en") as page,
    ):
        await sign_in(page)
        await step(page, "hand_out")
        await shoot(page, box_code(MORPHINE, 21))
        await page.locator("input[name=witness]").press_sequentially("P0", delay=60)
        # As a browser does it: a key that nobody took puts its character into the field.
        await page.evaluate(
            """code => { const field = document.querySelector('input[name=witness]');
              for (const key of [...code, 'Enter']) {
                const down = new KeyboardEvent('keydown', {key, bubbles: true, cancelable: true});
                if (field.dispatchEvent(down) && key !== 'Enter') field.value += key;
              } }""",
            box_code(MORPHINE, 21),
        )
        await page.wait_for_function("() => document.querySelector('#verdict .verdict').dataset.number === '2'")
        assert await page.input_value("input[name=witness]") == "P0"


async def test_the_attached_scanner_shows_on_the_page_by_itself(browser: Browser, ward: Ward) -> None:
    await stock(ward)
    gun = Gun()
    async with (
        serve(ward, Station(ward.bench, people=ward.people, scanner=gun), devices=(gun,)) as url,
        opened(browser, url, size="desktop", lang="zh-CN") as page,
    ):
        gun.pull(box_code(AMOXICILLIN, 1))
        await expect(page.locator("#heard .refused")).to_be_visible()
        await picture(page, "desktop-nobody-signed-in", lang="zh-CN")
        gun.pull("B-1001")
        await expect(page.locator("#verdict")).to_be_visible()
        await expect(page.locator(".person")).to_contain_text("王晓梅")
        gun.pull(box_code(AMOXICILLIN, 1))
        await expect(page.locator("#verdict .verdict.done")).to_contain_text("24 粒")
        gun.pull(b"\xff\xfe\x00")
        await expect(page.locator("#verdict .verdict.refused")).to_be_visible()
        await picture(page, "desktop-garbage", lang="zh-CN")


async def test_a_page_that_lost_its_agent_says_so_and_comes_back(browser: Browser, ward: Ward) -> None:
    station = Station(ward.bench, people=ward.people, scanner=Gun())
    async with serve(ward, station) as url, opened(browser, url, size="desktop", lang="zh-CN") as page:
        await sign_in(page)
        await page.context.set_offline(offline=True)
        await page.evaluate("() => document.body.dispatchEvent(new CustomEvent('htmx:sseError', {bubbles: true}))")
        await expect(page.locator("#cut")).to_be_visible()
        await picture(page, "desktop-cut", lang="zh-CN")
        await page.context.set_offline(offline=False)
        await page.evaluate("() => document.body.dispatchEvent(new CustomEvent('htmx:sseOpen', {bubbles: true}))")
        await expect(page.locator("#cut")).to_be_hidden()
        await asyncio.sleep(0.1)
