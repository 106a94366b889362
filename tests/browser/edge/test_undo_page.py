"""Undo at the station and PDA: what it would undo stands there in words, and is gone when it is done."""

import pytest
from playwright.async_api import Browser, expect

from edge_agent.workflows.station import Station
from edge_agent.workflows.undoing import WITHIN_S
from sync_protocol.documents import OrderState
from sync_protocol.facts import UNDONE, What
from sync_protocol.items import State
from tests.browser.edge.pages import LANGUAGES, opened, picture, sign, sign_in
from tests.browser.edge.test_station_page import SIZES, shoot, step
from tests.unit.edge_work.site import Gun, serve
from tests.unit.edge_work.ward import AMOXICILLIN, CEFTRIAXONE, MORPHINE, Ward, box, box_code, order, units

pytestmark = pytest.mark.browser
UNDO = "#verdict .undo"
NOTHING = {
    "zh-CN": {"RX00001": "实际未发出？医嘱 RX00001，6 粒", "loan": "实际未借出？消化内科借药 1 盒"},
    "en": {
        "RX00001": "Not given after all? Order RX00001, 6 units",
        "loan": "Not given after all? Loan to 消化内科, 1 box",
    },
}
UNDONE_WORDS = {"zh-CN": ("已撤销：未发药", "已撤销：未借药"), "en": ("nothing was handed out", "nothing was lent")}


async def stock(ward: Ward) -> None:
    await ward.load(
        items=(
            *units(AMOXICILLIN, 9, locked=6, order="RX00001"),
            box(CEFTRIAXONE, 11, State.LOCKED, order="RX00002"),
            box(CEFTRIAXONE, 12),
            box(MORPHINE, 21, State.LOCKED, order="RX00003"),
        ),
        orders=(
            order(1, AMOXICILLIN, 6, OrderState.LOCKED),
            order(2, CEFTRIAXONE, 1, OrderState.LOCKED),
            order(3, MORPHINE, 1, OrderState.LOCKED),
        ),
    )


@pytest.mark.covers("A07", "A17", "A25")
@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("size", SIZES)
async def test_a_hand_out_and_a_loan_are_undone(browser: Browser, ward: Ward, size: str, lang: str) -> None:
    await stock(ward)
    async with (
        serve(ward, Station(ward.bench, people=ward.people, scanner=Gun())) as url,
        opened(browser, url, size=size, lang=lang) as page,
    ):
        await sign_in(page)
        await step(page, "hand_out")
        await expect(page.locator(UNDO)).to_have_count(0)
        await page.click("#side .ticket:has-text('RX00001') button.main")
        await expect(page.locator(f"{UNDO} p")).to_have_text(NOTHING[lang]["RX00001"])
        await picture(page, f"{size}-60-undo-offered", lang=lang)
        await shoot(page, "6901234567892")
        await expect(page.locator(f"{UNDO} p")).to_have_text(NOTHING[lang]["RX00001"])
        await page.click(f"{UNDO} button")
        await expect(page.locator("#verdict .verdict.done h1")).to_contain_text(UNDONE_WORDS[lang][0])
        await expect(page.locator(UNDO)).to_have_count(0)
        await picture(page, f"{size}-61-undone", lang=lang)
        await step(page, "look_up")
        await page.click("form:has(input[value=lend]) button")
        await page.click("form:has(input[name=choice][value=消化内科]) button")
        await shoot(page, box_code(CEFTRIAXONE, 12))
        await expect(page.locator(f"{UNDO} p")).to_have_text(NOTHING[lang]["loan"])
        await picture(page, f"{size}-62-undo-loan", lang=lang)
        await page.click(f"{UNDO} button")
        await expect(page.locator("#verdict .verdict.done h1")).to_contain_text(UNDONE_WORDS[lang][1])
    out, back, lent, given_back = ward.facts()
    assert [fact.what for fact in (out, back, lent, given_back)] == [
        What.DISPENSED,
        What.RETURNED,
        What.LENT,
        What.GIVEN_BACK,
    ]
    assert (back.codes, back.order, back.reason, given_back.reason) == (out.codes, "RX00001", UNDONE, UNDONE)


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("size", SIZES)
async def test_a_controlled_drug_is_undone_by_two_people(browser: Browser, ward: Ward, size: str, lang: str) -> None:
    await stock(ward)
    form = f"{UNDO} form.witness"
    async with (
        serve(ward, Station(ward.bench, people=ward.people, scanner=Gun())) as url,
        opened(browser, url, size=size, lang=lang) as page,
    ):
        await sign_in(page)
        await step(page, "hand_out")
        await shoot(page, box_code(MORPHINE, 21))
        await sign(page, "#side form.witness", "P002")
        await page.click(f"{UNDO} summary")
        await picture(page, f"{size}-63-undo-witness", lang=lang)
        await sign(page, form, "P001")
        await page.wait_for_selector("#verdict .verdict.refused")
        await expect(page.locator(form)).to_be_visible()
        await picture(page, f"{size}-64-undo-refused", lang=lang)
        await page.fill(f"{form} [name=witness]", "P0")
        await page.evaluate("() => htmx.trigger(document.body, 'refresh')")
        await page.wait_for_timeout(200)
        assert await page.input_value(f"{form} [name=witness]") == "P0", "the panel was renewed under their fingers"
        await shoot(page, "6901234567892")
        await sign(page, form, "P002")
        await expect(page.locator("#verdict .verdict.done h1")).to_contain_text(UNDONE_WORDS[lang][0])
    out, back = ward.facts()
    assert (back.what, back.codes, back.witness, back.reason) == (What.RETURNED, out.codes, "P002", UNDONE)


async def test_the_offer_ends_and_nobody_else_sees_it(browser: Browser, ward: Ward) -> None:
    await stock(ward)
    async with (
        serve(ward, Station(ward.bench, people=ward.people, scanner=Gun())) as url,
        opened(browser, url, size="desktop", lang="en") as page,
        opened(browser, url, size="pda", lang="en") as other,
    ):
        await sign_in(page)
        await sign_in(other, "P002")
        await step(page, "hand_out")
        await page.click("#side .ticket:has-text('RX00001') button.main")
        await expect(page.locator(UNDO)).to_be_visible()
        await step(other, "hand_out")
        await expect(other.locator(UNDO)).to_have_count(0)
        ward.clock.now_us += WITHIN_S * 1_000_000
        await page.evaluate("() => htmx.trigger(document.body, 'refresh')")
        await expect(page.locator(UNDO)).to_have_count(0)
