"""A05 at the station: what another place asked for goes there, what another issued comes in, with the network cut."""

import datetime as dt
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from edge_agent.workflows.station import Station
from sync_protocol.documents import Product, Transfer, TransferKind, TransferLine, TransferState
from sync_protocol.facts import Fact, What
from sync_protocol.items import Kind, State
from tests.browser.edge.pages import LANGUAGES, opened, picture, sign_in
from tests.browser.edge.test_station_page import shoot
from tests.browser.edge.test_tasks_page import how_many, turn_to
from tests.unit.edge_work.site import Gun, serve
from tests.unit.edge_work.ward import (
    AMOXICILLIN,
    CEFTRIAXONE,
    METOPROLOL,
    MORPHINE,
    NINE_US,
    PHARMACY,
    PIN,
    Ward,
    box,
    box_code,
    units,
)

pytestmark = pytest.mark.browser
SIZES = ("desktop", "pda")
STORE, BINS = "drug-store-1", "bins-1"
OLD, NEW = dt.date(2027, 1, 31), dt.date(2028, 12, 31)


def asked(
    number: int, source: str, target: str, *lines: tuple[Product, Kind, int, tuple[str, ...]], **fields: Any
) -> Transfer:
    given = {"state": TransferState.ASKED, "kind": TransferKind.REQUISITION} | fields
    return Transfer(
        id=f"RQ-20260302-{number:03d}",
        source=source,
        target=target,
        lines=tuple(TransferLine(product=p.id, kind=kind, quantity=n, codes=codes) for p, kind, n, codes in lines),
        asked_us=NINE_US - 25 * 60_000_000,
        asked_by="P002",
        **given,
    )


@asynccontextmanager
async def at_station(browser: Browser, ward: Ward, size: str, lang: str) -> AsyncIterator[Page]:
    async with (
        serve(ward, Station(ward.bench, people=ward.people, scanner=Gun())) as url,
        opened(browser, url, size=size, lang=lang) as page,
    ):
        await sign_in(page)
        yield page


@pytest_asyncio.fixture(loop_scope="session")
async def store(tmp_path: Path) -> AsyncIterator[Ward]:
    """The drug store's own station."""
    ward = Ward(tmp_path, location=STORE, device="station-store")
    await ward.load(**Ward.catalogue())
    yield ward
    ward.close()


async def verdict(page: Page, result: str) -> None:
    await page.wait_for_selector(f"#verdict .verdict.{result}")


def last(ward: Ward) -> Fact:
    return ward.facts()[-1]


@pytest.mark.covers("A05", "A11")
@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("size", SIZES)
async def test_the_store_issues_what_was_asked_for_by_scan(browser: Browser, store: Ward, size: str, lang: str) -> None:
    await store.load(
        items=(
            *(box(CEFTRIAXONE, n, location=STORE, lot="C2601", expiry=OLD) for n in range(1, 7)),
            *(box(CEFTRIAXONE, n, location=STORE, lot="C2609", expiry=NEW) for n in range(11, 19)),
            box(AMOXICILLIN, 5, location=STORE),
            box(MORPHINE, 50, location=STORE),
        ),
        transfers=(
            asked(1, STORE, PHARMACY, (CEFTRIAXONE, Kind.BOX, 4, ()), (MORPHINE, Kind.BOX, 1, ())),
            asked(2, STORE, "outpatient-1", (AMOXICILLIN, Kind.BOX, 2, ())),
        ),
    )
    async with at_station(browser, store, size, lang) as page:
        await page.click("#tabs form:has(input[value=look_up]) button")
        await picture(page, f"{size}-30-more", lang=lang)
        await turn_to(page, "issue")
        await expect(page.locator("#side .ticket")).to_have_count(2)
        await picture(page, f"{size}-31-issue-list", lang=lang)
        await shoot(page, box_code(CEFTRIAXONE, 1))
        await verdict(page, "refused")
        assert store.facts() == [], "nothing goes before it is said where to"
        await shoot(page, "RQ-20260302-001")
        await expect(page.locator("#side .transfer tbody tr").first).to_contain_text("C2601")
        await picture(page, f"{size}-32-issue-chosen", lang=lang)
        await shoot(page, box_code(CEFTRIAXONE, 1))
        await verdict(page, "done")
        fact = last(store)
        assert (fact.what, fact.document, fact.location) == (What.TRANSFERRED_OUT, "RQ-20260302-001", PHARMACY)
        await expect(page.locator("#side .big-count b")).to_have_text("1")
        await shoot(page, box_code(CEFTRIAXONE, 11))
        await expect(page.locator("#verdict .advice")).to_contain_text("C2601")
        await picture(page, f"{size}-33-issue-later-lot", lang=lang)
        await shoot(page, box_code(CEFTRIAXONE, 11))
        await verdict(page, "repeat")
        await shoot(page, box_code(AMOXICILLIN, 5))
        await verdict(page, "refused")
        await picture(page, f"{size}-34-issue-not-asked", lang=lang)
        await shoot(page, box_code(MORPHINE, 50))
        await expect(page.locator("#side .pick.witness")).to_be_visible()
        await page.fill("[name=witness]", "P002")
        await page.fill("[name=witness_pin]", PIN)
        await page.click("#side .pick button.main")
        await verdict(page, "done")
        assert (last(store).what, last(store).witness) == (What.TRANSFERRED_OUT, "P002")
        for number in (2, 12):
            await shoot(page, box_code(CEFTRIAXONE, number))
            await verdict(page, "done")
        await picture(page, f"{size}-35-issued", lang=lang)
        before = len(store.facts())
        await shoot(page, box_code(CEFTRIAXONE, 3))
        await verdict(page, "refused")
        assert len(store.facts()) == before == 5
        # Scanned by mistake: it comes back by its scan, and is open again.
        await turn_to(page, "arrive")
        await shoot(page, box_code(CEFTRIAXONE, 12))
        await verdict(page, "done")
        assert (last(store).what, last(store).location) == (What.TRANSFERRED_IN, STORE)
        item = store.stock.item(box_code(CEFTRIAXONE, 12))
        assert item is not None
        assert (item.state, item.location) == (State.IN_STOCK, STORE)
        await turn_to(page, "issue")
        await expect(page.locator("#side .ticket")).to_have_count(2)


@pytest.mark.covers("A05", "A11")
@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("size", SIZES)
async def test_what_the_store_issued_is_in_stock_with_its_scan_and_not_before(
    browser: Browser, ward: Ward, size: str, lang: str
) -> None:
    going = tuple(box_code(CEFTRIAXONE, n) for n in (1, 2, 3))
    document = "RQ-20260302-001"
    await ward.load(
        items=(
            *(box(CEFTRIAXONE, n, State.IN_TRANSIT, document=document) for n in (1, 2, 3)),
            box(CEFTRIAXONE, 4, location=STORE),
            box(CEFTRIAXONE, 9, State.IN_TRANSIT, location="outpatient-1", document="RQ-20260302-009"),
        ),
        transfers=(
            asked(1, STORE, PHARMACY, (CEFTRIAXONE, Kind.BOX, 6, going), state=TransferState.PART_ISSUED),
            asked(2, STORE, PHARMACY, (AMOXICILLIN, Kind.BOX, 2, ())),
        ),
    )
    async with at_station(browser, ward, size, lang) as page:
        await turn_to(page, "arrive")
        await expect(page.locator("#side .ticket")).to_have_count(2)
        await picture(page, f"{size}-36-arrive-list", lang=lang)
        await shoot(page, going[0])
        await verdict(page, "done")
        assert (last(ward).what, last(ward).document, last(ward).codes) == (What.TRANSFERRED_IN, document, going[:1])
        await shoot(page, going[0])
        await verdict(page, "refused")
        await shoot(page, box_code(CEFTRIAXONE, 9))
        await verdict(page, "refused")
        await picture(page, f"{size}-37-arrive-elsewhere", lang=lang)
        await shoot(page, box_code(CEFTRIAXONE, 4))
        await verdict(page, "refused")
        assert len(ward.facts()) == 1, "no scan at the store, no way in by one person"
        await page.click(f"#side .ticket:has-text('{document}') button")
        await shoot(page, box_code(CEFTRIAXONE, 4))
        await expect(page.locator("#side .pick.witness")).to_be_visible()
        await page.fill("#side .pick [name=reason]", "出库时漏扫")
        await page.fill("[name=witness]", "P001")
        await page.fill("[name=witness_pin]", PIN)
        await page.click("#side .pick button.main")
        await verdict(page, "refused")
        assert len(ward.facts()) == 1
        await page.fill("#side .pick [name=reason]", "出库时漏扫")
        await page.fill("[name=witness]", "P002")
        await page.fill("[name=witness_pin]", PIN)
        await picture(page, f"{size}-38-arrive-unscanned", lang=lang)
        await page.click("#side .pick button.main")
        await verdict(page, "done")
        sent, taken = ward.facts()[-2:]
        assert (sent.what, taken.what) == (What.TRANSFERRED_OUT, What.TRANSFERRED_IN)
        assert {(fact.document, fact.reason, fact.witness) for fact in (sent, taken)} == {
            (document, "出库时漏扫", "P002")
        }
        await expect(page.locator("#side .big-count")).to_contain_text("2 / 4")
        await picture(page, f"{size}-39-arrived", lang=lang)


@pytest.mark.covers("A05")
async def test_units_of_an_opened_box_go_and_come_by_number(browser: Browser, ward: Ward) -> None:
    """From the pharmacy to its bins, and from another pharmacy here."""
    going = tuple(f"{box_code(METOPROLOL, 3)}#{n:03d}" for n in range(1, 6))
    opened_box, *made = units(METOPROLOL, 3)
    document = "RQ-20260302-008"
    await ward.load(
        items=(
            *units(AMOXICILLIN, 9),
            *([opened_box] + [_sent(unit, document) if unit.code in going else unit for unit in made]),
        ),
        transfers=(
            asked(7, PHARMACY, BINS, (AMOXICILLIN, Kind.UNIT, 6, ())),
            asked(8, "outpatient-1", PHARMACY, (METOPROLOL, Kind.UNIT, 5, going), state=TransferState.ISSUED),
        ),
    )
    async with at_station(browser, ward, "pda", "zh-CN") as page:
        await turn_to(page, "issue")
        await page.click("#side .ticket button")
        await shoot(page, box_code(AMOXICILLIN, 9))
        await expect(page.locator("#side [name=quantity]")).to_have_attribute("max", "6")
        await how_many(page, 4)
        await page.click("#side .pick button.main")
        await verdict(page, "done")
        assert (last(ward).what, len(last(ward).codes), last(ward).location) == (What.TRANSFERRED_OUT, 4, BINS)
        await turn_to(page, "arrive")
        await page.click("#side .ticket button")
        await page.click("#side .transfer button.main")
        await how_many(page, 5)
        await page.click("#side .pick button.main")
        await verdict(page, "done")
        assert (last(ward).what, set(last(ward).codes)) == (What.TRANSFERRED_IN, set(going))
        assert ward.stock.items_at(PHARMACY, states=(State.IN_TRANSIT,), limit=10) == []


def _sent(unit: Any, document: str) -> Any:
    return type(unit)(
        **{name: getattr(unit, name) for name in unit.__struct_fields__}
        | {"state": State.IN_TRANSIT, "document": document}
    )
