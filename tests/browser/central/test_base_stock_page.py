"""A29 at the console: levels of a cart are set, what is missing is requested, and received when it is scanned there."""

import csv
import io

import pytest
from playwright.async_api import Browser, Page, expect

from sync_protocol.facts import How, What
from sync_protocol.items import Kind
from sync_protocol.subcode import sub_codes
from tests.browser.central.pages import open_page, picture, sign_in
from tests.integration.central_faces.hospital import SPLIT, WHOLE, Hospital, box, serving

pytestmark = pytest.mark.browser
CART = "麻醉车 2"
WHOLES = [box(n, 2) for n in range(1, 9)]
UNITS = sub_codes(box(0), SPLIT.units)


def move(hospital: Hospital, *codes: str) -> None:
    """To the cart, scanned there."""
    for what, device in ((What.TRANSFERRED_OUT, "station-1"), (What.TRANSFERRED_IN, "pda-7")):
        hospital.record(device, hospital.fact(what, *codes, document="T-1", location=CART, operator="n01"))


async def level(page: Page, product: str, quantity: int) -> None:
    if not await page.is_visible("details.act form"):
        await page.click("details.act summary")
    await page.fill("details.act [name=location]", CART)
    await page.select_option("details.act [name=product]", product)
    await page.fill("details.act [name=quantity]", str(quantity))
    await page.click("details.act button.main")
    await expect(page.locator("#changes tbody tr").first).to_contain_text(f"→ {quantity}")


async def figures(page: Page, product: str) -> list[str]:
    """Level, on hand, requested, missing, used today."""
    row = page.locator(f"#levels tr:has-text('{product}')")
    return (await row.locator("td.number").all_inner_texts())[:5]


@pytest.mark.covers("A29")
@pytest.mark.parametrize("language", ["zh-CN", "en"])
async def test_a_cart_is_filled_up_again(chromium: Browser, hospital: Hospital, language: str) -> None:
    await hospital.stock(boxes=3, opened=1)
    await hospital.deliver("DN-W", WHOLE, WHOLES, kind=Kind.BOX, location="pharmacy")
    move(hospital, *WHOLES[:3], *UNITS[:4])
    async with serving(hospital) as address:
        page, complaints = await open_page(chromium, address, language)
        await sign_in(page)
        await page.goto("/stocktakes")
        await page.click("nav.tabs a[href='/base-stock']")
        await picture(page, "base-stock-empty", language)
        await level(page, WHOLE.id, 5)
        await level(page, WHOLE.id, 4)
        await level(page, SPLIT.id, 8)
        assert await figures(page, SPLIT.spec) == ["8", "4", "–", "4", "0"]

        used = hospital.fact(What.DISPENSED, *WHOLES[:2], location=CART, operator="n02", how=How.LATE_SCAN, order="YZ1")
        hospital.record("pda-7", used)
        await expect(page.locator(f"#levels tr:has-text('{WHOLE.spec}') td.number").nth(4)).to_have_text("2")
        assert await figures(page, WHOLE.spec) == ["4", "1", "–", "3", "2"]
        await page.click(f"#levels a:has-text('{WHOLE.spec}')")
        await expect(page.locator("#changes tbody tr")).to_have_count(2)
        await expect(page.locator("#use tbody tr")).to_contain_text("L2409")
        await picture(page, "base-stock", language)

        await page.check("input[data-all=want]")
        await page.click("form.deciding p button.main")
        await page.wait_for_url("**state=requested")
        await expect(page.locator("#requests tbody tr")).to_have_count(2)
        assert await figures(page, WHOLE.spec) == ["4", "1", "3", "–", "2"]
        await picture(page, "base-stock-requested", language)

        move(hospital, *WHOLES[3:5])
        row = page.locator(f"#requests tr:has-text('{WHOLE.spec}')")
        await expect(row.locator("td.number")).to_have_text("2 / 3")
        move(hospital, WHOLES[5])
        await expect(row).to_have_count(0)  # it waits no more
        await page.click("#requests button")
        await page.goto(f"/base-stock?at={CART}&of={WHOLE.id}")
        await expect(page.locator("#requests .mark.good")).to_be_visible()
        assert await figures(page, WHOLE.spec) == ["4", "4", "–", "–", "2"]
        assert await figures(page, SPLIT.spec) == ["8", "4", "–", "4", "0"], "its request was cancelled"
        await picture(page, "base-stock-received", language)

        async with page.expect_download() as waiting:
            await page.click("a[href^='/base-stock-use.csv']")
        text = (await (await waiting.value).path()).read_bytes().decode("utf-8-sig")
        rows = list(csv.reader(io.StringIO(text)))[1:]
        assert [row[1:3] + row[4:] for row in rows] == [[CART, WHOLE.id, "L2409", "2"]]
        async with page.expect_download() as waiting:
            await page.click("a[href^='/base-stock.csv']")
        assert CART in (await (await waiting.value).path()).read_text("utf-8-sig")
        await page.goto("/base-stock?short=true")
        await expect(page.locator("#levels tbody tr")).to_have_count(1)
        assert complaints == []
