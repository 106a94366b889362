"""A12: an automated cabinet's own program says what was vended; the codes, and what lacks one, are on the page."""

import datetime as dt
from typing import Any

import aiohttp
import pytest
from playwright.async_api import Browser, expect

from edge_agent.workflows.station import Station
from sync_protocol.documents import OrderState
from sync_protocol.facts import How, What
from sync_protocol.items import State
from tests.browser.edge.pages import LANGUAGES, opened, picture, sign_in
from tests.unit.edge_work.site import Gun, serve
from tests.unit.edge_work.ward import AMOXICILLIN, CEFTRIAXONE, MORPHINE, Ward, box, box_code, order, units

pytestmark = pytest.mark.browser
TOKEN = "adc-token-0123456789"
MACHINES = {"adc-1": TOKEN}
SOON, LATER = dt.date(2027, 1, 31), dt.date(2028, 12, 31)


async def vend(url: str, number: str, *, token: str = TOKEN, **fields: str) -> tuple[int, Any]:
    """What the machine's program says."""
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
    body = {"vend": number, "operator": "P001"} | fields
    async with aiohttp.ClientSession(url, headers=headers) as session, session.post("/vends", json=body) as answer:
        is_json = answer.content_type == "application/json"
        return answer.status, await answer.json() if is_json else await answer.text()


def station(ward: Ward) -> Station:
    return Station(ward.bench, people=ward.people, scanner=Gun(), machines=MACHINES)


async def stocked(ward: Ward) -> None:
    await ward.load(
        items=(
            *units(AMOXICILLIN, 9, locked=2, order="RX00001"),
            *(box(CEFTRIAXONE, n, lot="C2609", expiry=LATER) for n in (1, 2)),
            *(box(CEFTRIAXONE, n, lot="C2601", expiry=SOON) for n in (11, 12)),
            box(CEFTRIAXONE, 20, lot="C2501", expiry=dt.date(2026, 1, 1)),
            box(MORPHINE, 50),
        ),
        orders=(order(1, AMOXICILLIN, 3, OrderState.PART_LOCKED), order(2, CEFTRIAXONE, 1, OrderState.WAITING)),
    )


@pytest.mark.covers("A12")
@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("size", ["desktop", "pda"])
async def test_what_the_machine_vended_gets_codes_and_is_shown(
    browser: Browser, ward: Ward, size: str, lang: str
) -> None:
    await stocked(ward)
    async with (
        serve(ward, station(ward)) as url,
        opened(browser, url, size=size, lang=lang) as page,
    ):
        await sign_in(page)
        await page.click("#tabs form:has(input[value=look_up]) button")
        status, said = await vend(url, "V-1", product=CEFTRIAXONE.id, quantity="1", order="RX00002")
        assert (status, said["codes"], said["is_repeat"]) == (200, [box_code(CEFTRIAXONE, 11)], False)
        _, again = await vend(url, "V-1", product=CEFTRIAXONE.id, quantity="1", order="RX00002")
        assert (again["codes"], again["is_repeat"]) == (said["codes"], True)
        (fact,) = ward.facts()
        assert (fact.what, fact.how, fact.order, fact.source) == (What.DISPENSED, How.MACHINE, "RX00002", "adc-1")
        _, said = await vend(url, "V-2", product=AMOXICILLIN.id, quantity="3", order="RX00001")
        assert said["codes"] == [f"{box_code(AMOXICILLIN, 9)}#{n:03d}" for n in (1, 2, 3)], "its own first, then free"
        _, said = await vend(url, "V-3", product=CEFTRIAXONE.id, quantity="5", ward="心内科三病区")
        assert said["codes"] == [box_code(CEFTRIAXONE, n) for n in (12, 1, 2)], "first expiry first, none expired"
        assert (said["without_code"], said["reasons"]) == (2, ["unknown_code"])
        _, said = await vend(url, "V-4", product=MORPHINE.id, quantity="1", order="RX00009")
        assert said["reasons"] == ["second_person"], "it is out all the same: two people look into it"
        await page.click("#tabs form:has(input[value=look_up]) button")
        await expect(page.locator(".vend")).to_have_count(4)
        await expect(page.locator(".vend").nth(1)).to_contain_text("2")
        await picture(page, f"{size}-40-vended", lang=lang)
    lent = ward.stock.item(box_code(CEFTRIAXONE, 12))
    assert lent is not None
    assert (lent.state, lent.holder) == (State.LENT, "心内科三病区")


@pytest.mark.covers("A12")
async def test_a_restart_and_a_stranger_record_nothing_twice(ward: Ward) -> None:
    await stocked(ward)
    wanted = {"product": CEFTRIAXONE.id, "quantity": "1", "order": "RX00002"}
    async with serve(ward, station(ward)) as url:
        _, first = await vend(url, "V-1", **wanted)
        assert (await vend(url, "V-2", token="another-token-0123", **wanted))[0] == 401
        for wrong in ({"quantity": "x"}, {"ward": "W"}, {"order": ""}, {"product": ""}, {"vend": "V" * 65}):
            assert (await vend(url, "V-3", **(wanted | wrong)))[0] == 400, wrong
        assert (await vend(url, "V-3", **(wanted | {"product": "none"})))[0] == 409
        assert (await vend(url, "V-3", **(wanted | {"quantity": "0"})))[0] == 409
    async with serve(ward, station(ward)) as url:  # a new process reads its journal
        status, again = await vend(url, "V-1", **wanted)
    assert (status, again["codes"], again["is_repeat"]) == (200, first["codes"], True)
    assert len(ward.facts()) == 1
