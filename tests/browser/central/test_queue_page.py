"""The hand-out queue: by kind, the longest wait first, live."""

import pytest
from playwright.async_api import Browser, expect

from sync_protocol.documents import OrderKind
from tests.browser.central.morning import order, play
from tests.browser.central.test_console_pages import CUT_OFF, SCREENSHOTS, SIZE, open_page, sign_in
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
        numbers = await waiting.locator("a.code").all_text_contents()
        assert numbers[:3] == ["YZ900", "YZ700", "YZ500"]
        total = int(await page.locator("table.summary td.number b").inner_text())
        assert len(numbers) == total
        await hospital.services.orders.cancel("YZ900")
        await expect(page.locator("table.summary td.number b")).to_have_text(str(total - 1))
        await expect(waiting.locator("a.code").first).to_have_text("YZ700")
        await page.goto("/queue")
        await page.screenshot(path=SCREENSHOTS / f"console-queue-{language}.png", full_page=True)
        assert await page.evaluate(CUT_OFF) == []
        assert await page.evaluate("document.documentElement.scrollWidth") <= SIZE["width"]
        await page.goto("/queue?location=nowhere")
        await expect(page.locator(".card.empty h2")).to_be_visible()
        await page.screenshot(path=SCREENSHOTS / f"console-queue-empty-{language}.png")
        assert complaints == []
