"""Quarantine and loans at the console: what lies aside, and two people who decide."""

import msgspec
import pytest
from playwright.async_api import Browser, Page, expect

from central.stock.recalls import NewRecall
from sync_protocol.documents import OrderKind
from sync_protocol.facts import How, What
from sync_protocol.subcode import sub_codes
from tests.browser.central.morning import order
from tests.browser.central.pages import open_page, picture, sign_in
from tests.integration.central_faces.hospital import SPLIT, Hospital, box, serving

pytestmark = pytest.mark.browser
LANGUAGES = ["zh-CN", "en"]
WARD = "心内科三病区"
UNITS = sub_codes(box(0), SPLIT.units)


async def sign(page: Page, person: str = "n02", pin: str = "1357") -> None:
    await page.fill("[name=witness]", person)
    await page.fill("[name=pin]", pin)


def state(hospital: Hospital, *codes: str) -> list[str]:
    marks = ",".join("?" * len(codes))
    query = f"SELECT state FROM item WHERE code IN ({marks}) ORDER BY code"
    return [row[0] for row in hospital.ledger.connection.execute(query, codes)]


@pytest.mark.covers("A16")
@pytest.mark.parametrize("language", LANGUAGES)
async def test_what_is_damaged_goes_out_for_good_or_comes_back(
    chromium: Browser, hospital: Hospital, language: str
) -> None:
    await hospital.stock(boxes=4, opened=1)
    async with serving(hospital) as address:
        page, complaints = await open_page(chromium, address, language)
        await sign_in(page)
        await page.goto("/quarantine")
        await picture(page, "quarantine-empty", language)
        hospital.record(
            "station-1",
            hospital.fact(What.FROZEN, box(1), reason="broken", operator="n01"),
            hospital.fact(What.FROZEN, *UNITS[:2], reason="spoilt", operator="n02", how=How.CONSOLE),
        )
        await expect(page.locator("tbody tr")).to_have_count(3)
        await page.goto("/quarantine")
        await page.check(f"input[value='{box(1)}']")
        await page.fill("[name=reason]", "外盒压裂，药板破损")
        await sign(page, pin="0000")
        await page.click("button[value=write_off]")
        await expect(page.locator(".cause")).to_be_visible()
        await expect(page.locator(f"input[value='{box(1)}']")).to_be_checked()
        assert state(hospital, box(1)) == ["frozen"]
        await picture(page, "quarantine-wrong-pin", language)
        await sign(page)
        await page.click("button[value=write_off]")
        await expect(page.locator("tbody tr")).to_have_count(2)
        assert state(hospital, box(1)) == ["abnormal"]
        for unit in UNITS[:2]:
            await page.check(f"input[value='{unit}']")
        await page.fill("[name=reason]", "复核合格")
        await sign(page)
        await page.click("button[value=release]")
        await page.wait_for_selector(".empty")
        assert state(hospital, *UNITS[:2]) == ["in_stock", "in_stock"]
        recall = NewRecall(id="R-7", product=SPLIT.id, lot="L2409", reason="溶出度", operator="n01", witness="n02")
        await hospital.services.recalls.issue(recall)
        await page.goto("/quarantine")
        await page.check("input[data-all]")
        await page.fill("[name=reason]", "误冻结")
        await sign(page)
        await page.click("button[value=release]")
        await expect(page.locator(".cause")).to_contain_text("R-7")
        await picture(page, "quarantine-recalled", language)
        assert [text for text in complaints if "401" not in text and "422" not in text] == []


@pytest.mark.covers("A17", "X08")
@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_loan_is_bound_to_its_order_and_only_then_billed(
    chromium: Browser, hospital: Hospital, language: str
) -> None:
    await hospital.stock(boxes=3, opened=1)
    orders = hospital.services.orders
    await orders.place(order(hospital, "YZ-000", SPLIT.id, 4, OrderKind.LONG_TERM))
    async with serving(hospital) as address:
        page, complaints = await open_page(chromium, address, language)
        await sign_in(page)
        await page.goto("/loans")
        await picture(page, "loans-empty", language)
        free = [unit for unit in UNITS if state(hospital, unit) == ["in_stock"]]
        assert len(free) == 3
        lent = hospital.fact(What.LENT, *free, location=WARD, operator="n01", how=How.CONSOLE)
        hospital.record("station-1", lent)
        await expect(page.locator(".loan")).to_have_count(1)
        # Older orders of other wards, and a later one of this ward that asks for as much.
        await orders.place(order(hospital, "YZ-001", SPLIT.id, 3, OrderKind.LONG_TERM))
        later = order(hospital, "YZ-300", SPLIT.id, 3, OrderKind.STAT)
        await orders.place(msgspec.structs.replace(later, ordered_us=hospital.time.now_us()))
        await page.goto("/loans")
        assert (await page.input_value("select[name=order]")) == "YZ-300"
        await picture(page, "loans", language)
        assert not [row for row in _rows(hospital) if row[0] == "YZ-300"], "not billed before it is bound"
        await page.click(".loan button.main")
        await page.wait_for_selector(".empty")
        assert orders.get("YZ-300").state == "dispensed"
        assert set(orders.get("YZ-300").codes) == set(free)
        assert _rows(hospital) == [("YZ-300", box(0), 3)]
        assert [text for text in complaints if "422" not in text] == []


def _rows(hospital: Hospital) -> list[tuple[str, str, int]]:
    query = "SELECT order_id, box, quantity FROM insurer_row"
    return hospital.ledger.connection.execute(query).fetchall()
