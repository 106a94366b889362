"""A01 at the console: a delivery note from announced to closed, live, with its packs, differences and reports."""

import pytest
from playwright.async_api import Browser, expect

from central.connectors.platform_queue import PlatformQueue
from central.connectors.top import PackInfo
from central.stock.packs import Packs
from sync_protocol.facts import What
from tests.browser.central.morning import play
from tests.browser.central.pages import open_page, picture, sign_in
from tests.integration.central_faces.hospital import Hospital, serving

pytestmark = pytest.mark.browser
NOTE = "SH-20261121-store"
CASE, EXTRA = "83000000000000000001", "81000010000000099999"
_DONE = "UPDATE platform_task SET state = 'done' WHERE kind = 'relation' AND subject = ?"


@pytest.mark.covers("A01", "A02")
@pytest.mark.parametrize("language", ["zh-CN", "en"])
async def test_a_note_from_announced_to_closed(chromium: Browser, hospital: Hospital, language: str) -> None:
    await play(hospital)
    packs, queue = Packs(hospital.ledger), PlatformQueue(hospital.ledger)
    note = packs.note(NOTE)
    assert note is not None
    async with serving(hospital) as address:
        page, complaints = await open_page(chromium, address, language)

        await sign_in(page)
        await page.goto("/receiving?state=received")
        await expect(page.locator("tbody tr")).to_have_count(2)
        await page.goto("/receiving")
        await picture(page, "receiving-list", language)
        await page.click(f"text={NOTE}")
        await expect(page.locator("div.grow .meter b")).to_have_text(f"0 / {len(note.codes)}")
        await picture(page, "receiving-expected", language)
        boxes = [PackInfo(code=code, parent=CASE, level=1, lot="H9999") for code in (*note.codes[:6], EXTRA)]
        queue.keep([PackInfo(code=CASE, level=3), *boxes])
        packs.complete(NOTE)
        hospital.ledger.write(lambda connection: connection.execute(_DONE, (NOTE,)).rowcount)
        await expect(page.locator("div.grow .mark.good")).to_be_visible()
        await expect(page.locator(".units")).to_contain_text(EXTRA)
        fields = {"document": NOTE, "location": "store", "operator": "n01", "witness": "n02", "reason": "外箱破损"}
        hospital.record("station-1", hospital.fact(What.RECEIVED, *note.codes[:8], **fields))
        await expect(page.locator("div.grow .meter b")).to_have_text(f"8 / {len(note.codes)}")
        await expect(page.locator("div.grow")).to_contain_text("H9999")
        assert "Project-Id" not in await page.content()
        await picture(page, "receiving-part", language)
        await page.click("details.lift summary")
        for name, value in {"reason": "供应商确认短少", "witness": "n01", "pin": "2468"}.items():
            await page.fill(f"details.lift [name={name}]", value)
        await page.click("details.lift button.danger")
        await expect(page.locator("p.cause")).to_be_visible()
        await picture(page, "receiving-refused", language)
        await page.fill("details.lift [name=witness]", "n02")
        await page.fill("details.lift [name=pin]", "1357")
        await page.click("details.lift button.danger")
        await expect(page.locator("details.lift")).to_have_count(0)
        await expect(page.locator("div.grow .meter b")).to_have_text(f"8 / {len(note.codes)}")
        await expect(page.locator("h2 .mark.warn")).to_be_visible()
        await picture(page, "receiving-closed", language)
        assert [text for text in complaints if "422" not in text] == []
    gone = hospital.ledger.connection.execute(
        "SELECT count(*) FROM item WHERE document = ? AND state = 'abnormal'", (NOTE,)
    ).fetchone()
    assert gone == (len(note.codes) - 8,)
