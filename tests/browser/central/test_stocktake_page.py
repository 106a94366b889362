"""A18 from end to end: a sheet at the console, two people count at a station, and two post what differs."""

import csv
import io

import msgspec
import pytest
from playwright.async_api import Browser, Page, expect

from central.ledger import rows, statements
from central.ledger.deltas import read_documents
from edge_agent.workflows.station import Station
from sync_protocol.items import Kind
from tests.browser.central.pages import open_page, picture, sign_in
from tests.browser.central.test_aside_pages import sign, state
from tests.browser.edge import pages
from tests.browser.edge.conftest import ward
from tests.browser.edge.test_station_page import shoot
from tests.browser.edge.test_tasks_page import choose, how_many, turn_to
from tests.integration.central_faces.hospital import PEOPLE, SPLIT, WHOLE, Hospital, box, serving
from tests.unit.edge_work.site import Gun, serve
from tests.unit.edge_work.ward import LI, WANG, Ward

__all__ = ["ward"]
pytestmark = pytest.mark.browser
WHOLES = [box(n, 2) for n in range(1, 6)]
INSULIN = msgspec.structs.replace(WHOLE, drug_ids=(box(0, 2)[:7],))
AWAY, UNKNOWN = box(9, 2), box(99, 2)
UNITS = [f"{box(0)}#{n:03d}" for n in range(1, SPLIT.units + 1)]


async def stock(hospital: Hospital, ward: Ward) -> None:
    """The same in the ledger and at the station."""
    await hospital.stock(boxes=3, opened=1)
    await hospital.services.masterdata.put_products([INSULIN])
    await hospital.services.masterdata.put_people([*PEOPLE, WANG, LI])
    await hospital.deliver("DN-W", WHOLE, WHOLES, kind=Kind.BOX, location="pharmacy")
    await hospital.deliver("DN-A", WHOLE, [AWAY], kind=Kind.BOX, location="store")
    found = hospital.ledger.connection.execute(statements.ITEMS_AFTER, ("", 1_000))
    await ward.load(items=tuple(rows.items_of(found)), products=(SPLIT, INSULIN))


async def tell(hospital: Hospital, ward: Ward) -> None:
    """What the station is told of stocktakes by the next delta."""
    told = read_documents(hospital.ledger.connection, 0, hospital.ledger.version)
    await ward.load(sheets=told.sheets)


async def count(page: Page, person: str, codes: list[str], objects: dict[str, int], *, units: int = 0) -> None:
    """One person's count at the station, by its page."""
    await pages.sign_in(page, person)
    await turn_to(page, "count")
    await choose(page, "pharmacy")
    for code in codes:
        await shoot(page, code)
        await expect(page.locator("#verdict .code").first).to_have_text(
            " ".join(code[n : n + 4] for n in range(0, 20, 4))
        )
    if units:
        await shoot(page, box(0))
        await how_many(page, units)
        await page.click("#side .pick button.main")
    await expect(page.locator("#side .big-count b")).to_have_text(str(len(codes) + units))
    await page.click("#side form:has(input[value=objects]) button")
    for line, number in objects.items():
        await page.fill(f"#side input[name='{line}']", str(number))
    await page.click("#side .objects button.main")
    await page.wait_for_selector("#verdict .verdict.done")
    await page.click("header form[action='/sign-out'] button")
    await page.wait_for_selector("#sign-in")


async def look(page: Page, person: str, language: str) -> None:
    """Who counted what disagreed is not asked again; the others are."""
    await pages.sign_in(page, person)
    await turn_to(page, "count")
    await choose(page, "pharmacy")
    await expect(page.locator("#side")).not_to_contain_text(WHOLE.spec)
    await pages.picture(page, "pda-35-count-by-others", lang=language)
    await page.click("header form[action='/sign-out'] button")
    await page.wait_for_selector("#sign-in")
    await pages.sign_in(page, "P002")
    await turn_to(page, "count")
    await expect(page.locator("#side .task").first).to_contain_text("PD-000001")
    await pages.picture(page, "pda-36-count-again", lang=language)
    await choose(page, "pharmacy")
    await expect(page.locator("#side tbody tr")).to_have_count(1)
    await page.click("header form[action='/sign-out'] button")
    await page.wait_for_selector("#sign-in")


async def open_sheet(page: Page, language: str) -> None:
    await page.goto("/stocktakes")
    await picture(page, "stocktakes-empty", language)
    await page.click("details.act summary")
    await page.click("details.act button.main")
    await expect(page.locator(".cause")).to_be_visible()
    await page.select_option("details.act select[name=location]", "pharmacy")
    await picture(page, "stocktakes-opening", language)
    await page.click("details.act button.main")
    await page.wait_for_url("**/stocktakes?id=1")
    await expect(page.locator("#lines tbody tr")).to_have_count(3)


async def exported(page: Page) -> set[str]:
    """Codes of the file."""
    async with page.expect_download() as waiting:
        await page.click("a[download]")
    text = (await (await waiting.value).path()).read_bytes().decode("utf-8-sig")
    return {row[-1].lstrip("'") for row in csv.reader(io.StringIO(text))}


@pytest.mark.covers("A18")
@pytest.mark.parametrize("language", ["zh-CN", "en"])
async def test_book_object_and_code(chromium: Browser, hospital: Hospital, ward: Ward, language: str) -> None:
    await stock(hospital, ward)
    gun = Gun()
    async with (
        serving(hospital) as address,
        serve(ward, Station(ward.bench, people=ward.people, scanner=gun), devices=(gun,)) as url,
        pages.opened(chromium, url, size="pda", lang=language) as station,
    ):
        page, complaints = await open_page(chromium, address, language)
        await sign_in(page)
        await open_sheet(page, language)
        await tell(hospital, ward)
        closed = [box(1), box(2)]
        here = {f"box:{SPLIT.id}": 2, f"unit:{SPLIT.id}": 5, f"box:{WHOLE.id}": 7}
        await count(station, "P001", [*closed, *WHOLES[:4], AWAY, UNKNOWN], here, units=5)
        hospital.record("station-1", *ward.facts())
        again = page.locator(f"#lines tr:has-text('{WHOLE.spec}')")
        await expect(again.locator(".mark.bad")).to_be_visible()
        await expect(again.locator("td.number").first).to_have_text("–")  # blind: who counts again must not know
        await expect(page.locator("#lines b.minus")).to_have_text("−2")
        await picture(page, "stocktakes-recount", language)

        await tell(hospital, ward)
        await look(station, "P001", language)
        told = len(ward.facts())
        await count(station, "P002", [*WHOLES[:4], AWAY, UNKNOWN], {f"box:{WHOLE.id}": 6})
        assert {fact.document for fact in ward.facts()} == {"PD-000001"}
        hospital.record("station-2", *ward.facts()[told:])
        await expect(again.locator("td.number").first).to_have_text("5")
        await expect(again.locator(".signed li.surplus")).to_have_count(2)
        await expect(again.locator(".signed li.missing a")).to_have_text([WHOLES[4]])
        await picture(page, "stocktakes-agreed", language)

        await page.fill("[name=reason]", "月度盘点")
        await sign(page, pin="0000")
        await page.click("button[value=post]")
        await expect(page.locator(".cause")).to_be_visible()
        assert state(hospital, WHOLES[4]) == ["in_stock"]
        await sign(page)
        await page.click("button[value=post]")
        await page.wait_for_url("**/stocktakes?id=1")
        await expect(page.locator("form.sticky")).to_have_count(0)
        assert state(hospital, WHOLES[4]) == ["abnormal"]
        assert sorted(state(hospital, *UNITS)) == ["abnormal"] * 2 + ["in_stock"] * 5
        query = "SELECT location, state FROM item WHERE code = ?"
        assert hospital.ledger.connection.execute(query, (AWAY,)).fetchone() == ("pharmacy", "in_stock")
        await picture(page, "stocktakes-posted", language)

        assert {AWAY, UNKNOWN, WHOLES[4], UNITS[0]} <= await exported(page)
        await page.goto("/stocktakes?state=open")
        await expect(page.locator(".card.empty")).to_be_visible()
        assert [each for each in complaints if "401" not in each and "422" not in each] == []
