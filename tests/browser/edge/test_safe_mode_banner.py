"""What staff see while a part of the agent fails and the rest goes on, in both languages."""

import pytest
from playwright.async_api import Browser, expect

from edge_agent.safe_mode import Failing, SafeMode
from edge_agent.workflows.station import Station
from tests.browser.edge.pages import LANGUAGES, opened, picture, sign_in
from tests.browser.edge.test_station_page import shoot, step, stock
from tests.unit.edge_work.site import Gun, serve
from tests.unit.edge_work.ward import AMOXICILLIN, Ward, box_code

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("size", ["desktop", "pda"])
async def test_a_part_that_fails_is_named_and_scans_go_on(
    browser: Browser, ward: Ward, language: str, size: str
) -> None:
    await stock(ward)
    mode = SafeMode(tell=lambda: None)
    work = Station(ward.bench, people=ward.people, scanner=Gun())
    async with (
        serve(ward, work, safe_mode=mode) as url,
        opened(browser, url, size=size, lang=language) as page,
    ):
        await sign_in(page)
        cause = "DecodeError: MessagePack data is malformed: invalid opcode '\\xc1'"
        mode.failing["sync"] = Failing(part="sync", cause=cause, times=3)
        await expect(page.locator(".recall.trouble li b")).to_have_text("sync")
        await step(page, "prescan")
        await shoot(page, box_code(AMOXICILLIN, 1))
        await expect(page.locator(".verdict.done")).to_be_visible()
        await picture(page, f"safe-mode-{size}", lang=language)
        mode.failing.clear()
        await expect(page.locator(".recall.trouble")).to_have_count(0)
