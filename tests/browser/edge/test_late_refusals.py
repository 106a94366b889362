"""What staff see when the ledger says that another place was first, and that they can put it away once read."""

import pytest
from playwright.async_api import Browser, expect

from edge_agent.sync.state import SyncState
from edge_agent.workflows.station import Station
from sync_protocol.facts import What
from sync_protocol.lifecycle import Reason, Refusal
from tests.browser.edge.pages import LANGUAGES, opened, picture, sign_in
from tests.unit.edge_work.site import Gun, serve
from tests.unit.edge_work.ward import AMOXICILLIN, Ward, box_code

pytestmark = pytest.mark.browser


@pytest.mark.covers("X02")
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("size", ["desktop", "pda"])
async def test_what_another_place_did_first_is_named_until_it_is_seen(
    browser: Browser, ward: Ward, language: str, size: str
) -> None:
    sync = SyncState(is_connected=True, is_welcome=True, cause="")
    work = Station(ward.bench, people=ward.people, scanner=Gun())
    async with serve(ward, work, sync=sync) as url, opened(browser, url, size=size, lang=language) as page:
        await sign_in(page)
        refusals = [
            Refusal(code=box_code(AMOXICILLIN, number), what=What.DISPENSED, reason=reason)
            for number, reason in ((1, Reason.ALREADY_DISPENSED), (2, Reason.OVERTAKEN))
        ]
        sync.judged(tuple(refusals))
        await expect(page.locator(".late li")).to_have_count(2)
        await picture(page, f"late-refusals-{size}", lang=language)
        await page.locator(".late button").click()
        await expect(page.locator(".late")).to_have_count(0)
        assert sync.late == ()
