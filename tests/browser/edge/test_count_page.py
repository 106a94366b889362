"""A stocktake at the station, by its page: scans with their running number, then the objects by hand."""

import pytest
from playwright.async_api import Browser, Page, expect

from sync_protocol.facts import Fact, What
from sync_protocol.items import Kind, State
from tests.browser.edge.pages import LANGUAGES, picture
from tests.browser.edge.test_station_page import shoot
from tests.browser.edge.test_tasks_page import at_station, choose, how_many, turn_to
from tests.unit.edge_work.ward import AMOXICILLIN, CEFTRIAXONE, MORPHINE, Ward, box_code

pytestmark = pytest.mark.browser
FREE = [box_code(CEFTRIAXONE, serial) for serial in range(30, 36)]


async def fill(page: Page, objects: dict[str, int]) -> None:
    for line, number in objects.items():
        await page.fill(f"#side input[name='{line}']", str(number))


def told(facts: list[Fact]) -> dict[tuple[str, Kind | None], tuple[tuple[str, ...], int]]:
    return {(fact.product, fact.kind): (fact.codes, fact.units) for fact in facts}


@pytest.mark.covers("A18")
@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("size", ["desktop", "pda"])
async def test_codes_are_scanned_and_objects_counted_by_hand(
    browser: Browser, ward: Ward, size: str, lang: str
) -> None:
    async with at_station(browser, ward, size, lang) as page:
        await turn_to(page, "count")
        await shoot(page, FREE[0])
        await page.wait_for_selector("#verdict .verdict.refused")
        await picture(page, f"{size}-30-count-no-place", lang=lang)
        await choose(page, "pharmacy")
        for number, code in enumerate(FREE[:4], 1):
            await shoot(page, code)
            await expect(page.locator("#verdict .verdict.progress h1")).to_contain_text(str(number))
        await shoot(page, FREE[3])
        await page.wait_for_selector("#verdict .verdict.repeat")
        await shoot(page, box_code(CEFTRIAXONE, 999))
        await page.wait_for_selector("#verdict .verdict.progress")
        await shoot(page, "81999990000000000001")
        await page.wait_for_selector("#verdict .verdict.refused")
        await shoot(page, box_code(AMOXICILLIN, 9))
        await how_many(page, 3)
        await picture(page, f"{size}-31-count-units", lang=lang)
        await page.click("#side .pick button.main")
        await expect(page.locator("#side .big-count b")).to_have_text("8")
        scanned = await page.locator("#side td.n").all_inner_texts()
        assert sorted(scanned) == ["0", "3", "5"], "what the books have is not shown"
        await picture(page, f"{size}-32-counting", lang=lang)
        assert ward.facts() == [], "nothing is recorded before the objects are counted"
        await page.click("#side form:has(input[value=objects]) button")
        await expect(page.locator("#side .big-count, .last")).to_have_count(0)
        await fill(page, {"box:ceftriaxone": 5, "unit:amoxicillin": 4, "box:morphine": 0})
        await picture(page, f"{size}-33-count-objects", lang=lang)
        await page.click("#side .objects button.main")
        await page.wait_for_selector("#verdict .verdict.done")
        await picture(page, f"{size}-34-counted", lang=lang)
        facts = ward.facts()
        assert {(fact.what, fact.location, fact.operator) for fact in facts} == {(What.COUNTED, "pharmacy", "P001")}
        loose = tuple(f"{box_code(AMOXICILLIN, 9)}#{number:03d}" for number in (24, 23, 22))
        assert told(facts) == {
            (CEFTRIAXONE.id, Kind.BOX): ((*FREE[:4], box_code(CEFTRIAXONE, 999)), 5),
            (AMOXICILLIN.id, Kind.UNIT): (loose, 4),
            (MORPHINE.id, Kind.BOX): ((), 0),
        }
        item = ward.stock.item(FREE[0])
        assert item is not None
        assert item.state is State.IN_STOCK, "a count changes nothing by itself"


async def test_a_second_person_sees_nothing_of_the_first_count(browser: Browser, ward: Ward) -> None:
    async with at_station(browser, ward, "desktop", "zh-CN") as page:
        await turn_to(page, "count")
        await choose(page, "pharmacy")
        await shoot(page, FREE[0])
        await expect(page.locator("#side .big-count b")).to_have_text("1")
        await page.click("header form[action='/sign-out'] button")
        await page.fill("input[name=person]", "P002")
        await page.fill("input[name=pin]", "2468")
        await page.click("#sign-in button.main")
        await page.wait_for_selector("#work")
        await turn_to(page, "count")
        await choose(page, "pharmacy")
        await expect(page.locator("#side .big-count b")).to_have_text("0")
        await shoot(page, FREE[1])
        await expect(page.locator("#side .big-count b")).to_have_text("1")
        await page.click("#side form:has(input[name=again]) button")
        await expect(page.locator("#side .big-count b")).to_have_text("0")
        await page.click("#side form:has(input[value=objects]) button")
        await fill(page, {"box:ceftriaxone": 0, "unit:amoxicillin": 0})
        await page.click("#side .objects button.main")
        await page.wait_for_selector("#verdict .verdict.done")
        assert told(ward.facts()) == {(CEFTRIAXONE.id, Kind.BOX): ((), 0), (AMOXICILLIN.id, Kind.UNIT): ((), 0)}
        assert {fact.operator for fact in ward.facts()} == {"P002"}
