"""A11 at the station and PDA: a box whose code cannot be read goes on by the word of two people, and no other way."""

import pytest
from playwright.async_api import Browser, Page, expect

from edge_agent.workflows.station import Station
from sync_protocol.documents import OrderState
from sync_protocol.facts import How, What
from sync_protocol.items import State
from tests.browser.edge.pages import LANGUAGES, opened, picture, sign_in
from tests.browser.edge.test_receive_page import delivered
from tests.browser.edge.test_station_page import SIZES, shoot, step
from tests.unit.edge_work.site import Gun, serve
from tests.unit.edge_work.ward import AMOXICILLIN, CEFTRIAXONE, MORPHINE, PIN, Ward, box, box_code, note, order

pytestmark = pytest.mark.browser
OVERRIDE = "#side form.override"
TORN = {"zh-CN": "标签受潮破损", "en": "label wet and torn"}
ONE, TWO, THREE = (box_code(CEFTRIAXONE, n) for n in (11, 12, 13))


async def override(page: Page, code: str, reason: str, *, witness: str = "P002", pin: str = PIN) -> None:
    """Fill in the form for one box; it is opened if it is not."""
    if not await page.locator(OVERRIDE).is_visible():
        await page.click("#side details:has(form.override) summary")
    await page.select_option(f"{OVERRIDE} [name=code]", code)
    await page.fill(f"{OVERRIDE} [name=reason]", reason)
    await page.fill(f"{OVERRIDE} [name=witness]", witness)
    await page.fill(f"{OVERRIDE} [name=witness_pin]", pin)


async def confirm(page: Page, result: str) -> None:
    number = int(await page.locator("#verdict .verdict").get_attribute("data-number") or 0)
    await page.click(f"{OVERRIDE} button.main")
    await page.wait_for_selector(f"#verdict .verdict.{result}[data-number='{number + 1}']")


@pytest.mark.covers("A08", "A11")
@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("size", SIZES)
async def test_a_box_that_cannot_be_read_is_handed_out_by_two_people(
    browser: Browser, ward: Ward, size: str, lang: str
) -> None:
    await ward.load(
        items=tuple(box(CEFTRIAXONE, n, State.LOCKED, order="RX00002") for n in (11, 12, 13)),
        orders=(order(2, CEFTRIAXONE, 3, OrderState.LOCKED),),
    )
    async with (
        serve(ward, Station(ward.bench, people=ward.people, scanner=Gun())) as url,
        opened(browser, url, size=size, lang=lang) as page,
    ):
        await sign_in(page)
        await step(page, "hand_out")
        await shoot(page, ONE)
        await picture(page, f"{size}-50-unreadable-quiet", lang=lang)
        await override(page, TWO, TORN[lang], witness="P001")
        assert await page.locator(f"{OVERRIDE} option").count() == 3, "one to choose, and the two that are not scanned"
        await picture(page, f"{size}-51-unreadable-form", lang=lang)
        await confirm(page, "refused")
        await override(page, TWO, TORN[lang], pin="0000")
        await confirm(page, "refused")
        await picture(page, f"{size}-52-unreadable-wrong-pin", lang=lang)
        await expect(page.locator("#side .big-count b")).to_have_text("1")
        await override(page, TWO, TORN[lang])
        await confirm(page, "progress")
        await expect(page.locator("#side .big-count b")).to_have_text("2")
        await expect(page.locator(OVERRIDE)).to_be_hidden()
        await picture(page, f"{size}-53-unreadable-counted", lang=lang)
        assert ward.facts() == []
        await shoot(page, THREE)
        await page.wait_for_selector("#verdict .verdict.done")
        await expect(page.locator("#side .chosen")).to_have_count(0)
        await picture(page, f"{size}-54-unreadable-done", lang=lang)
    scanned, vouched = ward.facts()
    assert (scanned.what, scanned.how, set(scanned.codes), scanned.reason) == (
        What.DISPENSED,
        How.SCAN,
        {ONE, THREE},
        "",
    )
    assert (vouched.what, vouched.how, vouched.codes) == (What.DISPENSED, How.CONSOLE, (TWO,))
    assert (vouched.operator, vouched.witness, vouched.reason) == ("P001", "P002", TORN[lang])
    assert vouched.source == ("pda" if size == "pda" else "screen")


@pytest.mark.covers("A08", "A11")
async def test_one_signature_for_a_controlled_drug_and_what_is_typed_stays(browser: Browser, ward: Ward) -> None:
    """The panel is renewed at every scan of a colleague's, but not under the fingers of who signs."""
    await ward.load(
        items=tuple(box(MORPHINE, n, State.LOCKED, order="RX00003") for n in (21, 22)),
        orders=(order(3, MORPHINE, 2, OrderState.LOCKED),),
    )
    async with (
        serve(ward, Station(ward.bench, people=ward.people, scanner=Gun())) as url,
        opened(browser, url, size="pda", lang="zh-CN") as page,
    ):
        await sign_in(page)
        await step(page, "hand_out")
        await shoot(page, box_code(MORPHINE, 21))
        await override(page, box_code(MORPHINE, 22), TORN["zh-CN"])
        await expect(page.locator("#side [name=witness]")).to_have_count(1)
        await page.evaluate("() => document.activeElement.blur()")
        async with page.expect_response("**/part/side"):
            await page.evaluate("() => htmx.trigger(document.body, 'refresh')")
        assert await page.input_value(f"{OVERRIDE} [name=code]") == box_code(MORPHINE, 22)
        await picture(page, "pda-55-unreadable-controlled", lang="zh-CN")
        await confirm(page, "done")
    assert [(fact.how, fact.operator, fact.witness) for fact in ward.facts()] == [
        (How.SCAN, "P001", "P002"),
        (How.CONSOLE, "P001", "P002"),
    ]


@pytest.mark.covers("A01", "A11")
@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("size", SIZES)
async def test_a_box_of_a_note_that_cannot_be_read_is_received_by_two_people(
    browser: Browser, ward: Ward, size: str, lang: str
) -> None:
    expected = await delivered(ward)
    async with (
        serve(ward, Station(ward.bench, people=ward.people, scanner=Gun())) as url,
        opened(browser, url, size=size, lang=lang) as page,
    ):
        await sign_in(page)
        await step(page, "receive")
        await shoot(page, expected.id)
        for code in expected.codes[1:-1]:
            await shoot(page, code)
        await override(page, expected.codes[0], TORN[lang])
        await picture(page, f"{size}-56-unreadable-received-form", lang=lang)
        await confirm(page, "progress")
        await picture(page, f"{size}-57-unreadable-received", lang=lang)
        await shoot(page, expected.codes[-1])
        await page.wait_for_selector("#verdict .verdict.done")
    scanned, vouched = ward.facts()
    assert (scanned.what, len(scanned.codes), scanned.witness) == (What.RECEIVED, len(expected.codes) - 1, "")
    assert (vouched.what, vouched.how, vouched.codes) == (What.RECEIVED, How.CONSOLE, expected.codes[:1])
    assert (vouched.witness, vouched.reason) == ("P002", TORN[lang])


async def test_of_a_large_note_the_others_are_scanned_first(browser: Browser, ward: Ward) -> None:
    more = [box(AMOXICILLIN, n, State.EXPECTED, document="DN-BIG") for n in range(100, 130)]
    await ward.load(items=tuple(more), notes=(note("DN-BIG", more),))
    async with (
        serve(ward, Station(ward.bench, people=ward.people, scanner=Gun())) as url,
        opened(browser, url, size="pda", lang="zh-CN") as page,
    ):
        await sign_in(page)
        await step(page, "receive")
        await shoot(page, "DN-BIG")
        await expect(page.locator("#side .hint", has_text="扫不了")).to_be_visible()
        await expect(page.locator(OVERRIDE)).to_have_count(0)
        for item in more[:10]:
            await shoot(page, item.code)
        await expect(page.locator(OVERRIDE)).to_have_count(1)
    assert ward.facts() == []
