"""The insurer's board: every unit that was handed out is on it, and what is missing is repaired from it."""

import contextlib
import csv
import io
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import msgspec
import pytest
from playwright.async_api import Browser, Page, expect

from central.connectors.envelope import Institution
from central.connectors.insurer import Insurer
from central.connectors.queue import SalesQueue
from central.connectors.remote import NoAnswerError, NotTakenError
from central.stock.services import Condition
from hardware_sims.platforms.insurer import Insurer as Platform
from hardware_sims.platforms.insurer import Trouble
from hardware_sims.platforms.serving import served
from sync_protocol.documents import OrderKind
from sync_protocol.facts import How, What
from sync_protocol.items import Kind
from tests.browser.central.morning import ADVICE
from tests.browser.central.pages import open_page, picture, sign_in
from tests.integration.central_faces.hospital import PEOPLE, Hospital, box, serving
from tests.integration.central_faces.hospital import SPLIT as BARE
from tests.integration.central_faces.hospital import WHOLE as UNCODED
from tests.integration.central_faces.months import an_order, facts_of
from tests.unit.indicators.folding import Fold

pytestmark = pytest.mark.browser
CODE = "H11010000001"
IMPATIENT = aiohttp.ClientTimeout(total=0.5)
SPLIT = msgspec.structs.replace(BARE, insurance_code="XJ01", hospital_code="H-1", box_price="23.10")
WHOLE = msgspec.structs.replace(UNCODED, name="=HYPERLINK(1)胰岛素", hospital_code="H-2", box_price="88")
Step = Callable[[], Awaitable[bool]]


@contextlib.asynccontextmanager
async def insured(hospital: Hospital) -> AsyncIterator[tuple[Step, Platform]]:
    """One round of the worker against the platform, whose second answer is lost on the way."""
    contents = {"XJ01": SPLIT.units, "XJ02": 1}
    platform = Platform(institution=CODE, contents=contents, troubles={2: Trouble.TIMEOUT_AFTER_COMMIT})
    async with served(platform.application()) as address, aiohttp.ClientSession(timeout=IMPATIENT) as http:
        insurer = Insurer(
            SalesQueue(hospital.ledger),
            Institution(code=CODE, name="医院", region="110100"),
            url=f"{address}/fsi",
            time=hospital.time,
            changes=hospital.changes,
            timeout_s=0.5,
        )

        async def step() -> bool:
            with contextlib.suppress(NoAnswerError, NotTakenError):
                return await insurer.round(http)
            return False

        hospital.conditions = (*hospital.conditions, Condition(part="insurer"))
        yield step, platform


async def stock(hospital: Hospital) -> None:
    await hospital.services.masterdata.put_products([SPLIT, WHOLE])
    await hospital.services.masterdata.put_people(PEOPLE)
    await hospital.deliver("N-1", SPLIT, [box(n) for n in range(4)], kind=Kind.BOX, location="pharmacy")
    await hospital.deliver("N-2", WHOLE, [box(n, 2) for n in range(4)], kind=Kind.BOX, location="pharmacy")
    hospital.record("station-1", *(hospital.fact(What.PRESCANNED, box(n), units=SPLIT.units) for n in range(4)))


async def hand_out(hospital: Hospital, key: str, product: str, quantity: int, *, is_self_pay: bool = False) -> None:
    order = an_order(key, product, quantity, OrderKind.STAT, hospital.time.now_us())
    await hospital.services.orders.place(msgspec.structs.replace(order, is_self_pay=is_self_pay))
    codes = hospital.services.orders.get(key).codes
    assert len(codes) == quantity
    hospital.record("station-1", hospital.fact(What.DISPENSED, *codes, order=key, how=How.AUTOMATIC, operator="n01"))


async def morning(hospital: Hospital, step: Step) -> None:
    """Accepted, refused, self-pay; then one of which the answer was lost, and one that waits."""
    await stock(hospital)
    for n in range(3):
        await hand_out(hospital, f"YZ-{n}", SPLIT.id, 3)
    await hand_out(hospital, "YZ-SELF", SPLIT.id, 2, is_self_pay=True)
    for n in range(2):
        await hand_out(hospital, f"YZ-W{n}", WHOLE.id, 1)
    assert await step()
    await hand_out(hospital, "YZ-LOST", SPLIT.id, 4)
    await step()
    await hand_out(hospital, "YZ-LAST", SPLIT.id, 1)


async def units(page: Page, states: dict[str, int], kind: str = "sales") -> None:
    """The tiles say so many units in each of these states, and name no other."""
    await expect(page.locator(f"#{kind} li")).to_have_count(len(states))
    for state, number in states.items():
        tile = page.locator(f"#{kind} li", has=page.get_by_text(state, exact=True))
        await expect(tile.locator("b")).to_have_text(str(number))


async def table(page: Page) -> list[list[str]]:
    async with page.expect_download() as waiting:
        await page.click("text=Export CSV")
    text = (await (await waiting.value).path()).read_bytes().decode("utf-8-sig")
    return list(csv.reader(io.StringIO(text)))


@pytest.mark.covers("X05")
@pytest.mark.parametrize("language", ["zh-CN", "en"])
async def test_the_board_looks_right(chromium: Browser, hospital: Hospital, language: str) -> None:
    async with insured(hospital) as (step, _), serving(hospital) as address:
        await morning(hospital, step)
        page, complaints = await open_page(chromium, address, language)
        await sign_in(page)
        for name, url in (("board", "/insurer"), ("board-refused", "/insurer?state=refused")):
            await page.goto(url)
            if name == "board-refused":
                await page.locator("td:last-child form button").first.click()
                await page.goto("/insurer?state=waiting")
            await picture(page, name, language, is_whole=False)
            await page.goto("/insurer?state=refused")
            await picture(page, f"{name}-left", language, is_whole=False)
        assert complaints == []


@pytest.mark.covers("X05")
async def test_every_unit_is_on_the_board_and_gaps_are_repaired(chromium: Browser, hospital: Hospital) -> None:
    async with insured(hospital) as (step, platform), serving(hospital) as address:
        await morning(hospital, step)
        page, _ = await open_page(chromium, address, "en")
        await sign_in(page)
        await page.click("nav a[href='/insurer']")
        handed_out = sum(sold[-1] for sold in Fold(facts_of(hospital), {}).sold)
        shown = {"accepted": 9, "waiting to be sent": 1, "no answer, being asked": 4, "refused": 2}
        await units(page, shown | {"not for an insurer": 2})
        assert sum(shown.values()) + 2 == handed_out
        hospital.conditions = (
            Condition(part="insurer", cause="http://platform: no connection: refused", advice=ADVICE),
        )
        await page.reload()
        await expect(page.locator(".cause")).to_have_text("the platform cannot be reached")
        await expect(page.locator("#sum")).to_contain_text(f"9 of 16 units that the insurer must know; {handed_out}")

        await page.select_option("select[name=cause]", label="not sent: the product has no insurance code (2)")
        await expect(page.locator("tbody tr")).to_have_count(2)
        await expect(page.locator("tbody tr").first).to_contain_text("Give the product its insurance code")
        await expect(page.locator(".mark.warn")).to_have_count(2)
        await hospital.services.masterdata.put_products([msgspec.structs.replace(WHOLE, insurance_code="XJ02")])
        await expect(page.locator(".mark.good")).to_have_count(2)
        await page.goto("/insurer?state=refused")
        await page.click("text=Send all 2 refused rows again")
        await expect(page.locator(".card.empty")).to_be_visible()
        done = "SELECT what, person, cause FROM insurer_repair ORDER BY id"
        repairs = hospital.ledger.connection.execute(done).fetchall()
        assert [(what, person) for what, person, _ in repairs] == [("again", "n01")] * 2
        assert all(cause.startswith("not sent: med_list_codg") for _, _, cause in repairs)

        await page.goto("/insurer?state=unknown")
        await page.click("td:last-child button")
        await expect(page.locator("tbody tr")).to_contain_text("asked by 李敏")
        assert await step()  # it asks, and the platform has it
        while await step():
            pass
        await page.goto("/insurer")
        await units(page, {"accepted": 16, "not for an insurer": 2})
        await expect(page.locator("tbody tr", has_text="YZ-W0")).to_contain_text("sent again by 李敏")
        serials = [row.serial for row in platform.counter.accepted.values()]
        assert len(serials) == len(set(serials)) == 7
        assert platform.counter.refused == []


async def test_what_came_back_is_on_the_board_with_what_it_waits_for(chromium: Browser, hospital: Hospital) -> None:
    async with insured(hospital) as (step, platform), serving(hospital) as address:
        await morning(hospital, step)
        for key, count in (("YZ-0", 2), ("YZ-W0", 1), ("YZ-SELF", 1)):
            codes = hospital.services.orders.get(key).codes[:count]
            hospital.record("station-1", hospital.fact(What.RETURNED, *codes, order=key, operator="n01"))
        page, complaints = await open_page(chromium, address, "en")
        await sign_in(page)
        await page.goto("/insurer")
        await units(page, {"waiting to be sent": 3, "not for an insurer": 1}, "returns")
        await page.select_option("select[name=kind]", label="return")
        await expect(page.locator("tbody tr")).to_have_count(3)
        stuck = page.locator("tbody tr", has_text="YZ-W0")
        await expect(stuck).to_contain_text("its sale was refused")
        await expect(stuck).to_contain_text("Correct its sale and send that again; the return follows by itself.")
        assert [row[1] for row in await table(page)] == ["What", *["return"] * 3]
        for language in ("zh-CN", "en"):
            await page.click(f"a[lang={language}]")
            await page.goto("/insurer")
            await picture(page, "board-returns", language, is_whole=False)

        while await step():
            pass
        await page.goto("/insurer")
        await units(page, {"accepted": 2, "waiting to be sent": 1, "not for an insurer": 1}, "returns")
        # The upload rate is of what was handed out, of the 18 units of the morning as before.
        await units(page, {"accepted": 14, "refused": 2, "not for an insurer": 2})
        await hospital.services.masterdata.put_products([msgspec.structs.replace(WHOLE, insurance_code="XJ02")])
        await page.click("text=Show its sale")
        await expect(page.locator("tbody tr")).to_have_count(1)
        await page.click("td:last-child button")
        while await step():
            pass
        await page.goto("/insurer?kind=return&state=accepted")
        await expect(page.locator("tbody tr")).to_have_count(2)
        assert platform.counter.refused == []
        assert complaints == []


async def test_what_was_reported_by_hand_is_accepted_in_the_name_of_a_person(
    chromium: Browser, hospital: Hospital
) -> None:
    async with insured(hospital) as (step, platform), serving(hospital) as address:
        await morning(hospital, step)
        page, complaints = await open_page(chromium, address, "en")
        await sign_in(page)
        await page.goto("/insurer?state=refused")
        row = page.locator("tbody tr", has_text="YZ-W0")
        await row.locator("summary").click()
        for language in ("zh-CN", "en"):
            await page.click(f"a[lang={language}]")
            await page.goto("/insurer?state=refused")
            await row.locator("summary").click()
            await picture(page, "board-by-hand", language, is_whole=False)
        await row.get_by_role("button", name="The insurer has it").click()
        await expect(row).to_have_count(1)  # the field is required: nothing was sent
        await row.locator("input[name=where]").fill("form 7731")
        await row.get_by_role("button", name="The insurer has it").click()
        await expect(row).to_have_count(0)
        await page.goto("/insurer?state=accepted")
        await expect(row).to_contain_text("reported by hand by 李敏")
        await expect(row).to_contain_text("form 7731")
        while await step():
            pass
        assert len(platform.counter.accepted) == 5, "it was not sent as well"
        assert complaints == []


@pytest.mark.covers("X05")
async def test_filters_stand_in_the_address_and_the_file_has_what_the_page_has(
    chromium: Browser, hospital: Hospital
) -> None:
    async with insured(hospital) as (step, _), serving(hospital) as address:
        await morning(hospital, step)
        page, _ = await open_page(chromium, address, "en")
        await sign_in(page)
        today = hospital.time.today().isoformat()
        for query, rows in (
            (f"day_from={today}&day_to={today}", 8),
            ("day_to=2020-01-01", 0),
            (f"product={SPLIT.id}", 6),
            (f"product={SPLIT.id}&state=accepted", 3),
            ("order=YZ-SELF", 1),
            (f"box={box(0)}", 3),
            ("state=exempt", 1),
        ):
            await page.goto(f"/insurer?{query}")
            await expect(page.locator("tbody tr")).to_have_count(rows)
            file = await table(page)
            assert len(file) == 1 + rows, query
        await page.goto("/insurer")
        file = await table(page)
        cells = {cell for row in file[1:] for cell in row}
        assert "'=HYPERLINK(1)胰岛素 3ml:300IU" not in cells  # the page is in English
        assert f"'{box(0)}" in cells
        await page.click("a[lang=zh-CN]")
        await page.goto("/insurer")
        async with page.expect_download() as waiting:
            await page.click("text=导出 CSV")
        text = (await (await waiting.value).path()).read_bytes()
        assert text.startswith(b"\xef\xbb\xbf")
        assert "'=HYPERLINK(1)胰岛素" in text.decode("utf-8-sig")
