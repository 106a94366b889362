"""A25: many codes at once at intake: a PDA that scans without a pause, a PDA's picture, a document camera."""

import asyncio
from pathlib import Path

import pytest
from playwright.async_api import Browser, Route, async_playwright, expect

from edge_agent.workflows.station import Station
from sync_protocol.documents import DeliveryNote
from sync_protocol.facts import What
from sync_protocol.items import State
from tests.browser.edge.pages import LANGUAGES, opened, picture, pull_trigger, sign_in
from tests.browser.edge.test_station_page import SIZES, step
from tests.unit.edge_work.photo import as_jpeg, photo, write_video
from tests.unit.edge_work.site import Gun, serve
from tests.unit.edge_work.ward import AMOXICILLIN, CEFTRIAXONE, Ward, box, box_code, note

pytestmark = pytest.mark.browser
NOTE = "DN-20260302-07"
BOXES = 20
NEWS = """() => new Promise(renewed => {
  document.addEventListener("htmx:afterSettle", event => event.target.id === "side" && renewed(), true);
  htmx.trigger(document.body, "refresh");
})"""


async def delivered(ward: Ward, count: int = BOXES) -> DeliveryNote:
    arriving = [box(AMOXICILLIN, n, State.EXPECTED, document=NOTE) for n in range(1, count + 1)]
    expected = note(NOTE, arriving)
    await ward.load(items=tuple(arriving), notes=(expected,))
    return expected


def codes(first: int, last: int) -> list[str]:
    return [box_code(AMOXICILLIN, serial) for serial in range(first, last + 1)]


@pytest.mark.covers("A25")
async def test_a_pda_in_continuous_mode_loses_no_scan(browser: Browser, ward: Ward) -> None:
    await delivered(ward, 60)
    async with (
        serve(ward, Station(ward.bench, people=ward.people, scanner=Gun())) as url,
        opened(browser, url, size="pda", lang="zh-CN") as page,
    ):
        await sign_in(page)
        await step(page, "receive")
        for text in (NOTE, *codes(1, 60)):
            await pull_trigger(page, text)
        await expect(page.locator("#verdict .verdict.done")).to_contain_text("60")
    (fact,) = ward.facts()
    assert (fact.what, sorted(fact.codes)) == (What.RECEIVED, codes(1, 60))


@pytest.mark.covers("A25")
async def test_scans_that_are_faster_than_the_answers_are_all_taken(browser: Browser, ward: Ward) -> None:
    await delivered(ward, 12)

    async def late(route: Route) -> None:
        await asyncio.sleep(0.2)
        await route.continue_()

    async with (
        serve(ward, Station(ward.bench, people=ward.people, scanner=Gun())) as url,
        opened(browser, url, size="pda", lang="zh-CN") as page,
    ):
        await sign_in(page)
        await step(page, "receive")
        await page.route("**/scan", late)
        for text in (NOTE, *codes(1, 12)):
            await pull_trigger(page, text)
        await expect(page.locator("#verdict .verdict.done")).to_contain_text("12")
    (fact,) = ward.facts()
    assert (fact.what, sorted(fact.codes)) == (What.RECEIVED, codes(1, 12))


@pytest.mark.covers("A25")
@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("size", SIZES)
async def test_a_picture_of_many_boxes_counts_each_of_them(
    browser: Browser, ward: Ward, tmp_path: Path, size: str, lang: str
) -> None:
    await delivered(ward)
    first, second = tmp_path / "first.jpg", tmp_path / "second.jpg"
    first.write_bytes(as_jpeg(photo([*codes(1, 11), box_code(CEFTRIAXONE, 90)])))
    second.write_bytes(as_jpeg(photo(codes(10, 20))))
    async with (
        serve(ward, Station(ward.bench, people=ward.people, scanner=Gun())) as url,
        opened(browser, url, size=size, lang=lang) as page,
    ):
        await sign_in(page)
        await step(page, "receive")
        await pull_trigger(page, NOTE)
        await expect(page.locator("#side .big-count")).to_have_text("0 / 20")
        async with page.expect_file_chooser() as asked:
            await page.click("#side [data-camera=choose]")
        await page.evaluate(NEWS)  # comes while the picture is being taken
        await (await asked.value).set_files(first)
        await expect(page.locator("#side .big-count")).to_have_text("11 / 20")
        card = page.locator("#verdict .verdict.refused")
        await expect(card.locator("h1")).to_contain_text("12")
        await expect(card.locator(".codes li")).to_have_count(1)
        await picture(page, f"{size}-picture-refused", lang=lang)
        await page.set_input_files("#picture input[type=file]", second)
        await expect(page.locator("#verdict .verdict.done h1")).to_contain_text("11")
        await picture(page, f"{size}-picture-done", lang=lang)
    (fact,) = ward.facts()
    assert (fact.what, sorted(fact.codes)) == (What.RECEIVED, codes(1, 20))


@pytest.mark.covers("A25")
async def test_a_document_camera_reads_all_that_lies_under_it(ward: Ward, tmp_path: Path) -> None:
    await ward.load(items=tuple(box(AMOXICILLIN, serial) for serial in range(1, 9)))
    video = tmp_path / "camera.y4m"
    write_video(photo(codes(1, 8), degrees=0), video)
    async with (
        serve(ward, Station(ward.bench, people=ward.people, scanner=Gun())) as url,
        async_playwright() as playwright,
        await playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=[
                "--no-sandbox",
                "--use-fake-ui-for-media-stream",
                "--use-fake-device-for-media-stream",
                f"--use-file-for-fake-video-capture={video}",
            ],
        ) as browser,
        opened(browser, url, size="desktop", lang="zh-CN") as page,
    ):
        await sign_in(page)
        await step(page, "prescan")
        await page.click("[data-camera=open]")
        await page.wait_for_function("() => document.querySelector('#camera video').videoWidth > 0")
        await picture(page, "desktop-camera", lang="zh-CN")
        await page.click("[data-camera=read]")
        await expect(page.locator("#verdict .verdict.done h1")).to_contain_text("8")
        await expect(page.locator("#camera")).to_be_hidden()
    assert sorted(fact.codes for fact in ward.facts()) == [(code,) for code in codes(1, 8)]
    assert {fact.source for fact in ward.facts()} == {"camera"}
