"""The hand-out queue: by kind, the longest wait first, live."""

import pytest
from playwright.async_api import Browser, expect

from sync_protocol.documents import OrderKind
from tests.browser.central.morning import order, play
from tests.browser.central.pages import open_page, picture, sign_in
from tests.integration.central_faces.hospital import SPLIT, Hospital, serving

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("language", ["zh-CN", "en"])
async def test_the_queue_shows_who_has_waited_longest(chromium: Browser, hospital: Hospital, language: str) -> None:
    await play(hospital)
    for key in ("YZ500", "YZ900", "YZ700"):
        await hospital.services.orders.place(order(hospital, key, SPLIT.id, 2, OrderKind.STAT))
    async with serving(hospital) as address:
        page, complaints = await open_page(chromium, address, language)
        await sign_in(page)
        await page.goto("/queue?kind=stat")
        waiting = page.locator("section.panel tbody tr")
        numbers = await waiting.locator("a.code").all_text_contents()  # goto() returned: it is whole
        assert numbers[:3] == ["YZ900", "YZ700", "YZ500"]
        total = len(numbers)
        await expect(page.locator("table.summary td.number b")).to_have_text(str(total))
        await hospital.services.orders.cancel("YZ900")
        await expect(page.locator("table.summary td.number b")).to_have_text(str(total - 1))
        await expect(waiting.locator("a.code").first).to_have_text("YZ700")
        await page.goto("/queue")
        await picture(page, "queue", language)
        await page.goto("/queue?location=nowhere")
        await expect(page.locator(".card.empty h2")).to_be_visible()
        await picture(page, "queue-empty", language, is_whole=False)
        assert complaints == []
