"""A11 over a real broker and central: boxes that cannot be read, with the network cut, are listed as forced later."""

from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from edge_agent.workflows.station import Station
from hardware_sims.broker import Broker
from tests.browser.central import pages as console
from tests.browser.edge.pages import opened, sign_in
from tests.browser.edge.test_station_page import shoot, step
from tests.browser.edge.test_unreadable_page import confirm, override
from tests.integration.moves.test_sheets_over_mqtt import ordered, place_of
from tests.integration.recalls.house import Agent, House, box, until
from tests.unit.edge_work.site import Gun, serve

pytestmark = [pytest.mark.mosquitto, pytest.mark.browser]
TORN, BROKEN = "标签受潮破损", "扫码枪故障"
ARRIVING = (box(21), box(22))


async def receive_and_hand_out(page: Page, note: str, locked: list[str]) -> None:
    """Of the two boxes of a note and the two of an order one each is scanned."""
    await sign_in(page, "N1")
    await step(page, "receive")
    await page.click(f"#side .ticket:has-text('{note}') button")
    await shoot(page, ARRIVING[0])
    await override(page, ARRIVING[1], BROKEN, witness="N2", pin="1357")
    await confirm(page, "done")
    await step(page, "hand_out")
    await shoot(page, locked[0])
    await override(page, locked[1], TORN, witness="N1")
    await confirm(page, "refused")
    await override(page, locked[1], TORN, witness="N2", pin="1357")
    await confirm(page, "done")


@pytest.mark.covers("A11", "A27")
async def test_what_went_on_without_a_scan_is_listed_by_person_and_shift(
    house: House, broker: Broker, tmp_path: Path, browser: Browser
) -> None:
    with Agent(tmp_path, broker.port) as agent:
        async with agent.online():
            await ordered(house, agent)
            note = await house.announce(*ARRIVING)
            locked = sorted(item.code for item in agent.stock.items_of_order("YZ-1"))
            await until(lambda: agent.recorder.rights.may_issue(locked) and agent.stock.version == house.version)
        place = place_of(agent)
        async with (
            serve(place, Station(place.bench, people=place.people, scanner=Gun()), sync=agent.shell.state) as url,
            opened(browser, url, size="pda", lang="zh-CN") as page,
        ):
            await receive_and_hand_out(page, note, locked)
        assert agent.waiting == 4, "each box that was not scanned is a fact of its own"
        async with agent.online():
            await until(lambda: agent.waiting == 0)
    central = house.central
    rows = central.rows("SELECT code, state FROM item WHERE state = 'dispensed' OR document = 'N-2' ORDER BY code")
    assert rows == [(code, "dispensed") for code in locked] + [(code, "in_stock") for code in ARRIVING]
    assert central.rows("SELECT state FROM orders") == [("dispensed",)]
    assert central.rows("SELECT box, quantity FROM insurer_row ORDER BY box") == [(code, 1) for code in locked]
    assert central.rows("SELECT code FROM exception") == []
    for language in ("zh-CN", "en"):
        await look(browser, central.address, language, {locked[1]: TORN, ARRIVING[1]: BROKEN}, locked[0])


async def look(browser: Browser, address: str, language: str, forced: dict[str, str], scanned: str) -> None:
    """At the list of forced scans, and at the timelines of a box that was and of one that was not."""
    page, complaints = await console.open_page(browser, address, language)
    await console.sign_in(page, "N1")
    await page.goto("/scans?slip=forced")
    (line,) = await page.locator("#lines tbody tr").all()
    await expect(line).to_contain_text("李敏")
    assert [int(cell) for cell in (await line.inner_text()).split("\t")[2:]] == [1, 0, 0, 2]
    await expect(page.locator("#slips tbody tr")).to_have_count(len(forced))
    for code, reason in forced.items():
        row = page.locator("#slips tbody tr", has_text=code)
        await expect(row).to_contain_text(reason)
        await expect(row).to_contain_text("王强")
    await console.picture(page, "scans-forced", language, is_whole=False)
    for code, reason in forced.items():
        await page.goto(f"/timeline?code={code}")
        event = page.locator(".timeline li:has(.mark.warn)")
        await expect(event).to_have_count(1)
        for told in (reason, "李敏", "王强", "人工录入" if language == "zh-CN" else "by hand"):
            await expect(event).to_contain_text(told)
    await console.picture(page, "timeline-forced", language, is_whole=False)
    await page.goto(f"/timeline?code={scanned}")
    await expect(page.locator(".timeline li")).not_to_have_count(0)
    await expect(page.locator(".timeline .mark.warn")).to_have_count(0)
    assert complaints == []
    await page.context.close()
