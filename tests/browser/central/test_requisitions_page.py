"""A05 at the console: a pharmacy asks the store, the codes go and arrive, and what differs is shown and settled."""

import csv
import io
import re

import pytest
from playwright.async_api import Browser, Page, expect

from central.console.sheet import MARK
from central.stock.places import Level, Place
from central.stock.requisitions import Asking, Wish
from sync_protocol.facts import Fact, What
from sync_protocol.items import State
from tests.browser.central.morning import PRODUCTS, deliver
from tests.browser.central.pages import open_page, picture, sign_in
from tests.browser.central.test_aside_pages import sign, state
from tests.integration.central_faces.hospital import HIS, PEOPLE, Hospital, caller, serving

pytestmark = pytest.mark.browser
LANGUAGES = ["zh-CN", "en"]
PLACES = [
    Place(id="store", name="药库", name_en="Drug store", level=Level.STORE),
    Place(id="pharmacy", name="中心药房", name_en="Central pharmacy", level=Level.PHARMACY, parent="store"),
    Place(id="outpatient", name="门诊药房", name_en="Outpatient pharmacy", level=Level.PHARMACY, parent="store"),
    Place(id="bins-1", name="调配区", name_en="Dispensing bins", level=Level.BIN, parent="pharmacy"),
    Place(id="adc-1", name="手术室药柜", name_en="Theatre cabinet", level=Level.BIN, parent="pharmacy"),
]
INSULIN, CEFTRIAXONE = "P-INS", "P-CEF"


async def stocked(hospital: Hospital) -> None:
    """The drug store has received what suppliers delivered."""
    await hospital.services.masterdata.put_products(PRODUCTS)
    await hospital.services.masterdata.put_people(PEOPLE)
    await deliver(hospital)
    note = "SH-20261121-store"
    codes = [
        code for (code,) in hospital.ledger.connection.execute("SELECT code FROM item WHERE document = ?", (note,))
    ]
    received = hospital.fact(What.RECEIVED, *codes, document=note, location="store", operator="n01")
    hospital.record("station-store", received)


def of(hospital: Hospital, product: str) -> list[str]:
    query = "SELECT code FROM item WHERE product = ? AND lot LIKE '%50' ORDER BY code"
    return [code for (code,) in hospital.ledger.connection.execute(query, (product,))]


def moved(hospital: Hospital, what: What, document: str, *codes: str, at: str = "pharmacy", **fields: str) -> Fact:
    return hospital.fact(what, *codes, document=document, location=at, **({"operator": "n01"} | fields))


async def ask(page: Page, target: str, *wishes: tuple[str, str], source: str = "") -> None:
    await page.click("details.act summary")
    await page.select_option(".asking [name=target]", target)
    await page.select_option(".asking [name=source]", source)
    for n, (product, quantity) in enumerate(wishes):
        option = await page.locator(f"#catalogue option[value$='{product}']").get_attribute("value")
        await page.locator(".asking [name=product]").nth(n).fill(option or product)
        await page.locator(".asking [name=quantity]").nth(n).fill(quantity)
    await page.click(".asking button.main")


async def line(page: Page, product: str, *numbers: str) -> None:
    """Asked for, issued, on the way, received, on hand."""
    cells = page.locator("#lines tbody tr", has_text=product).locator("td.number")
    await expect(cells).to_have_text(list(numbers))


async def move(page: Page, hospital: Hospital, document: str, name: str) -> None:
    """The store scans what was asked for. Some of it arrives, and a box that nobody had scanned at its issue."""
    insulin, ceftriaxone = of(hospital, INSULIN), of(hospital, CEFTRIAXONE)
    out = moved(hospital, What.TRANSFERRED_OUT, document, insulin[0], *ceftriaxone[:4])
    hospital.record("station-store", out)
    await line(page, name, "4", "4", "4", "0", "–")
    forced = {"witness": "n02", "reason": "出库漏扫"}
    hospital.record(
        "station-1",
        moved(hospital, What.TRANSFERRED_IN, document, insulin[0], *ceftriaxone[:2]),
        moved(hospital, What.TRANSFERRED_OUT, document, ceftriaxone[4], **forced),
        moved(hospital, What.TRANSFERRED_IN, document, ceftriaxone[4], **forced),
    )
    await line(page, name, "4", "5", "2", "3", "–")
    await expect(page.locator("#codes tbody tr")).to_have_count(6)
    await expect(page.locator("#lines .mark.warn")).to_have_count(1)


async def settle(page: Page, language: str) -> None:
    """Nothing more is issued, and what is missing is written off by two people."""
    await page.click("form.lift button")
    await expect(page.locator("form.lift")).to_have_count(0)
    await page.click("details.missing summary")
    await page.fill("details.missing [name=reason]", "运送途中破损")
    await sign(page, pin="0000")
    await page.click("details.missing button.danger")
    await expect(page.locator("details.missing .cause")).to_be_visible()
    await picture(page, "requisitions-wrong-pin", language)
    await sign(page)
    await page.click("details.missing button.danger")
    await expect(page.locator("details.missing")).to_have_count(0)


@pytest.mark.covers("A05")
@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_pharmacy_asks_the_store_and_what_goes_is_followed_by_its_codes(
    chromium: Browser, hospital: Hospital, language: str
) -> None:
    await stocked(hospital)
    name = "Ceftriaxone" if language == "en" else "头孢曲松"
    async with serving(hospital) as address:
        page, complaints = await open_page(chromium, address, language)
        await sign_in(page)
        await page.goto("/requisitions")
        await picture(page, "requisitions-no-places", language)
        async with caller(address, HIS) as his:
            places = [{name: getattr(one, name) for name in one.__struct_fields__} for one in PLACES]
            async with his.put("/api/v1/places", json={"places": places}) as answer:
                assert await answer.json() == {"changed": 5}
        await page.goto("/requisitions")
        await picture(page, "requisitions-empty", language)
        await ask(page, "pharmacy", (INSULIN, "2"), (CEFTRIAXONE, "0"))
        await expect(page.locator(".asking .cause")).to_be_visible()
        await picture(page, "requisitions-refused", language)
        await page.locator(".asking [name=quantity]").nth(1).fill("4")
        await page.click(".asking button.main")
        await page.wait_for_url("**/requisitions?id=RQ-*")
        document = page.url.partition("=")[2]
        await expect(page.locator("#proposed tbody tr")).to_have_count(2)
        await picture(page, "requisitions-asked", language)
        await move(page, hospital, document, name)
        await picture(page, "requisitions-under-way", language)
        await settle(page, language)
        ceftriaxone = of(hospital, CEFTRIAXONE)
        assert state(hospital, *ceftriaxone[2:4]) == [State.ABNORMAL, State.ABNORMAL]
        await expect(page.locator("h2 .mark.good")).to_be_visible()
        await picture(page, "requisitions-done", language)
        shared = await page.context.new_page()
        await shared.goto(f"/requisitions?id={document}")
        await expect(shared.locator("#codes tbody tr")).to_have_count(6)
        rows = await sheet(page, f"/requisitions.csv?id={document}")
        assert len(rows) == 7
        assert {row[12].lstrip("'") for row in rows[1:]} >= set(ceftriaxone[:5])
        assert [text for text in complaints if not re.search("40[0-9]|422", text)] == []


async def sheet(page: Page, url: str) -> list[list[str]]:
    answer = await page.request.get(url)
    text = await answer.text()
    return list(csv.reader(io.StringIO(text.removeprefix(MARK))))


@pytest.mark.covers("A05")
async def test_places_of_one_level_transfer_and_long_lists_come_in_pages(chromium: Browser, hospital: Hospital) -> None:
    await stocked(hospital)
    await hospital.services.places.put(PLACES)
    async with serving(hospital) as address:
        page, _ = await open_page(chromium, address, "en")
        await sign_in(page)
        await page.goto("/requisitions")
        await ask(page, "pharmacy", (INSULIN, "1"), source="outpatient")
        await page.wait_for_url("**/requisitions?id=TR-*")
        await page.goto("/requisitions")
        await ask(page, "bins-1", (INSULIN, "1"), source="store")
        await expect(page.locator(".asking .cause")).to_contain_text("the same level")
        wish = Wish(product=INSULIN, quantity=1)
        for _ in range(60):
            await hospital.services.requisitions.ask(Asking(target="bins-1", wishes=(wish,), operator="n01"))
        await page.goto("/requisitions?kind=requisition")
        await expect(page.locator("#live tbody tr")).to_have_count(50)
        await page.click("nav.pages a")
        await expect(page.locator("#live tbody tr")).to_have_count(10)
        assert len(await sheet(page, "/requisitions.csv")) == 1 + 61
