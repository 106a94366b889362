"""The recall page: two people issue it, agents confirm under their eyes, patients are listed, two people lift it."""

import pytest
from playwright.async_api import Browser, Page, expect

from central.ledger import statements
from sync_protocol.facts import What
from tests.browser.central.morning import play
from tests.browser.central.pages import open_page, picture, sign_in
from tests.integration.central_faces.hospital import SPLIT, Hospital, serving

pytestmark = pytest.mark.browser
_CONFIRM = "INSERT INTO recall_confirm (device, version, confirmed_us) VALUES (?, ?, ?)"


def confirm(hospital: Hospital, *devices: str) -> None:
    """What the recall lane writes when agents confirm."""
    now_us, version = hospital.time.now_us(), hospital.services.recalls.version
    rows = [(device, now_us, "codepool 0.1.0", 1, 0, 0, 0, device.encode(), 1, None, 0, version) for device in devices]
    confirmed = [(device, version, now_us) for device in devices]
    hospital.ledger.write(lambda connection: connection.executemany(statements.WRITE_AGENT, rows).rowcount)
    hospital.ledger.write(lambda connection: connection.executemany(_CONFIRM, confirmed).rowcount)


async def fill(page: Page, **fields: str) -> None:
    for name, value in fields.items():
        await page.fill(f"details.act:not(.lift) [name={name}]", value)


@pytest.mark.covers("X10")
@pytest.mark.parametrize("language", ["zh-CN", "en"])
async def test_a_recall_from_its_issue_to_its_end(chromium: Browser, hospital: Hospital, language: str) -> None:
    await play(hospital)
    async with serving(hospital) as address:
        page, complaints = await open_page(chromium, address, language)
        await sign_in(page)
        await page.goto("/recalls")
        await picture(page, "recalls-none", language)
        await page.select_option("select[name=product]", SPLIT.id)
        await fill(page, id="ZH-2026-17", reason="溶出度不合格", witness="n02", pin="0000")
        await page.click("button.danger")
        await expect(page.locator(".cause")).to_be_visible()
        await picture(page, "recalls-wrong-pin", language)
        assert await page.input_value("[name=reason]") == "溶出度不合格"
        await fill(page, pin="1357")
        await page.click("button.danger")
        await page.wait_for_url("**/recalls?id=ZH-2026-17")
        await expect(page.locator(".sentence.unwell")).to_contain_text("station-1")
        confirm(hospital, "station-1", "cabinet-1")
        await expect(page.locator(".mark.good")).to_have_count(2)
        given = hospital.ledger.connection.execute(
            "SELECT code, order_id FROM item WHERE product = ? AND state = 'frozen' AND kind = 'unit' LIMIT 2",
            (SPLIT.id,),
        ).fetchall()
        orders = {order for _, order in given if order}
        for code, order in given:
            fact = hospital.fact(What.DISPENSED, code, order=order or "YZ-late", how="late_scan", operator="n02")
            hospital.record("station-1", fact)
        await expect(
            page.locator("tbody .mark.bad", has_text="召回后" if language == "zh-CN" else "after")
        ).to_have_count(2)
        assert len(orders) <= len(given)
        await picture(page, "recalls-cover", language)
        confirm(hospital, "packager-1")
        await expect(page.locator(".sentence.well")).to_be_visible()
        await page.click("details.lift summary")
        await page.fill("details.lift [name=reason]", "复检合格")
        await page.fill("details.lift [name=witness]", "n01")
        await page.fill("details.lift [name=pin]", "2468")
        await page.click("details.lift form button")
        await expect(page.locator("details.lift .cause")).to_be_visible()
        await page.fill("details.lift [name=witness]", "n02")
        await page.fill("details.lift [name=pin]", "1357")
        await page.click("details.lift form button")
        await expect(page.locator("details.lift")).to_have_count(0)
        await picture(page, "recalls-lifted", language)
        assert [text for text in complaints if "401" not in text and "422" not in text] == []


async def test_what_is_typed_is_not_taken_away_by_news(chromium: Browser, hospital: Hospital) -> None:
    await hospital.stock(boxes=2, opened=1)
    async with serving(hospital) as address:
        page, _ = await open_page(chromium, address, "en")
        await sign_in(page)
        await page.goto("/recalls")
        await fill(page, lot="L2409", reason="typing", pin="13")
        async with page.expect_response(lambda response: response.url.endswith("/recalls")):
            hospital.record("station-1", hospital.fact(What.COUNTED, "x"))
        await page.wait_for_timeout(200)
        assert [await page.input_value(f"[name={name}]") for name in ("lot", "reason", "pin")] == [
            "L2409",
            "typing",
            "13",
        ]
