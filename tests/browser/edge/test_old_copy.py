"""What staff see while their copy of the ledger is old: what still goes, and who has to confirm it."""

import pytest
from playwright.async_api import Browser, expect

from edge_agent.workflows.station import Station
from sync_protocol.documents import OrderState
from sync_protocol.facts import What
from tests.browser.edge.pages import LANGUAGES, opened, picture, sign_in
from tests.browser.edge.test_station_page import step
from tests.unit.edge_work.site import Gun, serve
from tests.unit.edge_work.ward import AMOXICILLIN, LI, PIN, Ward, order, units

pytestmark = pytest.mark.browser
DAY_US = 86_400_000_000


@pytest.mark.covers("X09")
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("size", ["desktop", "pda"])
async def test_after_a_day_a_colleague_confirms_what_is_handed_out(
    browser: Browser, ward: Ward, language: str, size: str
) -> None:
    await ward.load(
        items=tuple(units(AMOXICILLIN, 1, locked=3, order="RX00001")),
        orders=(order(1, AMOXICILLIN, 3, OrderState.LOCKED),),
    )
    work = Station(ward.bench, people=ward.people, scanner=Gun())
    async with serve(ward, work) as url, opened(browser, url, size=size, lang=language) as page:
        await sign_in(page)
        await step(page, "hand_out")
        await expect(page.locator(".degraded")).to_have_count(0)
        ward.clock.now_us += 2 * DAY_US
        await expect(page.locator(".degraded li")).to_have_count(3)
        await sign_in(page)
        await step(page, "hand_out")
        await page.locator(".ticket button").first.click()
        await expect(page.locator(".witness input[name=witness]")).to_be_visible()
        await picture(page, f"old-copy-{size}", lang=language)
        await page.fill(".witness input[name=witness]", LI.id)
        await page.fill(".witness input[name=witness_pin]", PIN)
        await page.locator(".witness button.main").click()
        await expect(page.locator(".verdict.done")).to_be_visible()
    (fact,) = [fact for fact in ward.facts() if fact.what is What.DISPENSED]
    assert (fact.witness, fact.stale_s) == (LI.id, 2 * 86_400)
