"""A01 and A02 at the station: outer packs, differences, and where each product goes, on both screens and languages."""

import msgspec
import pytest
from playwright.async_api import Browser, expect

from edge_agent.workflows.station import Station
from sync_protocol.documents import DeliveryNote, Pack
from sync_protocol.facts import What
from sync_protocol.items import State
from tests.browser.edge.pages import LANGUAGES, opened, picture, sign_in
from tests.browser.edge.test_station_page import SIZES, shoot, step
from tests.unit.edge_work.site import Gun, serve
from tests.unit.edge_work.ward import AMOXICILLIN, CEFTRIAXONE, PIN, Ward, box, box_code, note

pytestmark = pytest.mark.browser
CASE, BUNDLE, AWAITED = "83000000000000000001", "82000000000000000001", "83000000000000000007"
EXTRA = box_code(AMOXICILLIN, 99)


async def delivered(ward: Ward) -> DeliveryNote:
    arriving = [box(AMOXICILLIN, n, State.EXPECTED, document="DN-20260302-07") for n in range(1, 13)]
    arriving += [box(CEFTRIAXONE, n, State.EXPECTED, document="DN-20260302-07") for n in range(21, 25)]
    expected = note("DN-20260302-07", arriving)
    await ward.load(items=tuple(arriving), notes=(expected,))
    return expected


@pytest.mark.covers("A01", "A02")
@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("size", SIZES)
async def test_a_note_is_received_by_its_outer_packs(browser: Browser, ward: Ward, size: str, lang: str) -> None:
    expected = await delivered(ward)
    bundle = Pack(code=BUNDLE, boxes=tuple(range(6)), extra=(EXTRA,))
    case = Pack(code=CASE, boxes=tuple(range(12)), extra=(EXTRA,))
    async with (
        serve(ward, Station(ward.bench, people=ward.people, scanner=Gun())) as url,
        opened(browser, url, size=size, lang=lang) as page,
    ):
        await sign_in(page)
        await step(page, "receive")
        await shoot(page, expected.id)
        await shoot(page, AWAITED)
        await expect(page.locator("#side")).to_contain_text("8300 0000 0000 0000 0007")
        await picture(page, f"{size}-receive-awaited", lang=lang)
        other = Pack(code=AWAITED, boxes=(14, 15))
        await ward.load(notes=(msgspec.structs.replace(expected, packs=(bundle, case, other)),))
        await shoot(page, BUNDLE)
        await expect(page.locator("#verdict .verdict.progress")).to_contain_text("8100 0420 0000 0000 0099")
        await expect(page.locator("#side .big-count")).to_have_text("8 / 16")
        await picture(page, f"{size}-receive-pack-extra", lang=lang)
        await page.click("#accept summary")
        await page.fill("#accept [name=reason]", "外箱破损，短少8盒")
        await page.fill("#accept [name=witness]", "P002")
        await page.fill("#accept [name=witness_pin]", PIN)
        await picture(page, f"{size}-receive-differences", lang=lang)
        await page.click("#accept button.main")
        await expect(page.locator("#verdict .verdict.done .routes li")).to_have_count(2)
        await expect(page.locator("#verdict .routes")).to_contain_text("6")
        await picture(page, f"{size}-receive-done", lang=lang)
    (fact,) = ward.facts()
    assert (fact.what, len(fact.codes), fact.witness) == (What.RECEIVED, 8, "P002")


@pytest.mark.covers("A02")
async def test_a_whole_box_goes_to_its_bin_and_a_split_drug_is_no_stock_of_units_before_its_pre_scan(
    browser: Browser, ward: Ward
) -> None:
    await ward.load(items=(box(AMOXICILLIN, 1), box(CEFTRIAXONE, 2)))
    async with (
        serve(ward, Station(ward.bench, people=ward.people, scanner=Gun())) as url,
        opened(browser, url, size="pda", lang="zh-CN") as page,
    ):
        await sign_in(page)
        await step(page, "hand_out")
        await shoot(page, f"{box_code(AMOXICILLIN, 1)}#001")
        await expect(page.locator("#verdict .verdict.refused")).to_be_visible()
        await step(page, "prescan")
        await shoot(page, box_code(CEFTRIAXONE, 2))
        await expect(page.locator("#verdict .verdict.refused")).to_contain_text("直接")
        await shoot(page, box_code(AMOXICILLIN, 1))
        await expect(page.locator("#verdict .verdict.done")).to_contain_text("24 粒")
    assert [fact.codes for fact in ward.facts()] == [(box_code(AMOXICILLIN, 1),)]
