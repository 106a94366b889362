"""Returns, loans and damage at the station, by its page."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, Page, expect

from edge_agent.workflows.station import Station
from sync_protocol.documents import OrderState
from sync_protocol.facts import Fact, What
from sync_protocol.items import State
from tests.browser.edge.pages import LANGUAGES, opened, picture, sign, sign_in
from tests.browser.edge.test_station_page import shoot
from tests.unit.edge_work.site import Gun, serve
from tests.unit.edge_work.ward import AMOXICILLIN, CEFTRIAXONE, MORPHINE, PIN, Ward, box, box_code, order, units

pytestmark = pytest.mark.browser
SIZES = ("desktop", "pda")


async def stock(ward: Ward) -> None:
    opened_box, *made = units(AMOXICILLIN, 9, locked=6, order="RX00001")
    await ward.load(
        items=(
            opened_box,
            *made,
            *(box(CEFTRIAXONE, serial) for serial in range(30, 36)),
            box(CEFTRIAXONE, 40, State.DISPENSED, order="RX00002"),
            box(MORPHINE, 50),
        ),
        orders=(
            order(1, AMOXICILLIN, 6, OrderState.LOCKED),
            order(2, CEFTRIAXONE, 1, OrderState.DISPENSED, ward="呼吸内科"),
        ),
    )


@asynccontextmanager
async def at_station(browser: Browser, ward: Ward, size: str, lang: str) -> AsyncIterator[Page]:
    """Signed in at a station with stock."""
    await stock(ward)
    gun = Gun()
    async with (
        serve(ward, Station(ward.bench, people=ward.people, scanner=gun), devices=(gun,)) as url,
        opened(browser, url, size=size, lang=lang) as page,
    ):
        await sign_in(page)
        yield page


async def turn_to(page: Page, name: str) -> None:
    await page.click("#tabs form:has(input[value=look_up]) button")
    await page.click(f"#side form:has(input[value={name}]) button")
    await expect(page.locator("#tabs [aria-current]")).to_have_count(1)


async def choose(page: Page, name: str) -> None:
    await page.click(f"#side button:has-text('{name}')")


async def how_many(page: Page, number: int) -> None:
    for _ in range(number - 1):
        await page.click("#side [data-step='1']")
    await expect(page.locator("#side [name=quantity]")).to_have_value(str(number))


def last(ward: Ward) -> Fact:
    return ward.facts()[-1]


@pytest.mark.covers("A15")
@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("size", SIZES)
async def test_what_was_handed_out_comes_back_once(browser: Browser, ward: Ward, size: str, lang: str) -> None:
    async with at_station(browser, ward, size, lang) as page:
        await page.click("#tabs form:has(input[value=hand_out]) button")
        await page.click("#side .ticket button.main")
        await page.wait_for_selector("#verdict .verdict.done")
        await page.click("#tabs form:has(input[value=look_up]) button")
        await shoot(page, box_code(CEFTRIAXONE, 40))
        await expect(page.locator("#verdict .verdict.told")).to_contain_text("RX00002")
        await picture(page, f"{size}-20-look-up", lang=lang)
        await page.click("#side form:has(input[value=return]) button")
        await picture(page, f"{size}-21-return", lang=lang)
        await shoot(page, box_code(CEFTRIAXONE, 40))
        await page.wait_for_selector("#verdict .verdict.done")
        assert (last(ward).what, last(ward).codes, last(ward).order) == (
            What.RETURNED,
            (box_code(CEFTRIAXONE, 40),),
            "RX00002",
        )
        await shoot(page, box_code(CEFTRIAXONE, 40))
        await page.wait_for_selector("#verdict .verdict.refused")
        assert len(ward.facts()) == 2, "it came back once"
        await shoot(page, box_code(AMOXICILLIN, 9))
        await page.wait_for_selector("#verdict .verdict.refused")
        await shoot(page, "RX00001")
        await how_many(page, 2)
        await picture(page, f"{size}-22-return-units", lang=lang)
        await page.click("#side .pick button.main")
        await page.wait_for_selector("#verdict .verdict.done")
        assert last(ward).what is What.RETURNED
        assert last(ward).codes == tuple(f"{box_code(AMOXICILLIN, 9)}#{n:03d}" for n in (6, 5))
        item = ward.stock.item(f"{box_code(AMOXICILLIN, 9)}#006")
        assert item is not None
        assert (item.state, item.order) == (State.IN_STOCK, "")
        await picture(page, f"{size}-23-returned", lang=lang)


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("size", SIZES)
async def test_a_ward_borrows_and_gives_back(browser: Browser, ward: Ward, size: str, lang: str) -> None:
    async with at_station(browser, ward, size, lang) as page:
        await turn_to(page, "lend")
        await shoot(page, box_code(CEFTRIAXONE, 30))
        await page.wait_for_selector("#verdict .verdict.refused")
        await picture(page, f"{size}-24-lend-no-ward", lang=lang)
        await choose(page, "呼吸内科")
        await shoot(page, box_code(CEFTRIAXONE, 30))
        await page.wait_for_selector("#verdict .verdict.done")
        fact = last(ward)
        assert (fact.what, fact.location, fact.codes) == (What.LENT, "呼吸内科", (box_code(CEFTRIAXONE, 30),))
        await shoot(page, box_code(AMOXICILLIN, 9))
        await how_many(page, 3)
        await page.click("#side .pick button.main")
        await page.wait_for_selector("#verdict .verdict.done")
        assert len(last(ward).codes) == 3
        await picture(page, f"{size}-25-lent", lang=lang)
        await shoot(page, box_code(MORPHINE, 50))
        await expect(page.locator("#side .pick.witness")).to_be_visible()
        await page.fill("[name=witness]", "P002")
        await page.fill("[name=witness_pin]", PIN)
        await picture(page, f"{size}-26-lend-controlled", lang=lang)
        await page.click("#side .pick button.main")
        await page.wait_for_selector("#verdict .verdict.done")
        assert (last(ward).what, last(ward).witness) == (What.LENT, "P002")
        await turn_to(page, "return")
        await shoot(page, box_code(CEFTRIAXONE, 30))
        await page.wait_for_selector("#verdict .verdict.done")
        assert last(ward).what is What.GIVEN_BACK
        await page.click("#side .ticket:has-text('呼吸内科') button")
        await how_many(page, 2)
        await page.click("#side .pick button.main")
        await page.wait_for_selector("#verdict .verdict.done")
        assert (last(ward).what, len(last(ward).codes)) == (What.GIVEN_BACK, 2)


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("size", SIZES)
async def test_what_is_damaged_is_frozen_at_once(browser: Browser, ward: Ward, size: str, lang: str) -> None:
    async with at_station(browser, ward, size, lang) as page:
        await turn_to(page, "damage")
        await picture(page, f"{size}-27-damage", lang=lang)
        await page.click("#side form:has(input[value=broken]) button")
        await shoot(page, box_code(CEFTRIAXONE, 31))
        await page.wait_for_selector("#verdict .verdict.done")
        assert (last(ward).what, last(ward).reason) == (What.FROZEN, "broken")
        await shoot(page, box_code(AMOXICILLIN, 9))
        await how_many(page, 2)
        await page.click("#side .pick button.main")
        await page.wait_for_selector("#verdict .verdict.done")
        frozen = [ward.stock.item(code) for code in last(ward).codes]
        assert [item.state for item in frozen if item] == [State.FROZEN, State.FROZEN]
        await picture(page, f"{size}-28-damaged", lang=lang)
        await shoot(page, box_code(CEFTRIAXONE, 31))
        await page.wait_for_selector("#verdict .verdict.refused")


@pytest.mark.covers("A11", "A16")
@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("size", SIZES)
async def test_a_label_that_cannot_be_read_is_registered_by_two_people(
    browser: Browser, ward: Ward, size: str, lang: str
) -> None:
    code, form = box_code(CEFTRIAXONE, 33), "#side form#unread"
    async with at_station(browser, ward, size, lang) as page:
        await turn_to(page, "damage")
        await page.click("#side form:has(input[value=label_unreadable]) button")
        await picture(page, f"{size}-29-unread", lang=lang)
        for digits, result in (("000077", "refused"), (code[-6:], "done")):
            await page.fill(f"{form} [name=digits]", digits)
            await sign(page, form, "P002")
            await page.wait_for_selector(f"#verdict .verdict.{result}")
            await expect(page.locator(f"{form} [name=digits]")).to_have_value(digits if result == "refused" else "")
            await picture(page, f"{size}-29-unread-{result}", lang=lang)
        fact = last(ward)
        assert (fact.what, fact.codes, fact.operator, fact.witness) == (What.FROZEN, (code,), "P001", "P002")
