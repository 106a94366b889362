"""What staff see of a recall: a banner while some of it is here, and a refusal that says why, in both languages."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from playwright.async_api import Browser, expect

from edge_agent.sync.state import RecallTrouble, SyncState
from edge_agent.workflows.station import Station
from sync_protocol.items import State
from sync_protocol.recalls import Recall, RecallSet, SignedRecalls, encode_recalls, signed_bytes
from tests.browser.edge.pages import LANGUAGES, opened, picture, sign_in
from tests.browser.edge.test_station_page import shoot, step, stock
from tests.unit.edge_work.site import Gun, serve
from tests.unit.edge_work.ward import AMOXICILLIN, CEFTRIAXONE, Ward, box, box_code

pytestmark = pytest.mark.browser
KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)


def recall_of(ward: Ward, number: int) -> Recall:
    item = ward.stock.item(box_code(AMOXICILLIN, number))
    assert item is not None
    return Recall(id="ZH-2026-17", version=1, product=item.product, lot=item.lot, reason="溶出度不合格")


def put_in_force(ward: Ward, *recalls: Recall) -> None:
    recall_set = RecallSet(version=1, recalls=recalls)
    body = encode_recalls(recall_set)
    signed = SignedRecalls(version=1, body=body, signature=KEY.sign(signed_bytes(body)))
    ward.recorder.recalls.keep(signed, recall_set)


@pytest.mark.covers("X10")
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("size", ["desktop", "pda"])
async def test_a_recalled_box_is_refused_under_a_banner(browser: Browser, ward: Ward, language: str, size: str) -> None:
    await stock(ward)
    work = Station(ward.bench, people=ward.people, scanner=Gun())
    async with serve(ward, work) as url, opened(browser, url, size=size, lang=language) as page:
        await sign_in(page)
        await expect(page.locator(".recall")).to_have_count(0)
        put_in_force(ward, recall_of(ward, 1), Recall(id="R2", version=1, product=CEFTRIAXONE.id, reason="标签错误"))
        ward.clock.now_us += 6_000_000
        await expect(page.locator(".recall li")).to_have_count(2)
        await step(page, "prescan")
        await shoot(page, box_code(AMOXICILLIN, 1))
        await expect(page.locator(".verdict.refused h1")).to_contain_text(
            "已召回" if language == "zh-CN" else "Recalled"
        )
        await expect(page.locator(".verdict dd").first).to_contain_text("ZH-2026-17")
        await picture(page, f"recall-{size}", lang=language)


@pytest.mark.parametrize("language", LANGUAGES)
async def test_without_a_key_the_screen_says_that_recalls_are_not_applied(
    browser: Browser, cabinet_ward: Ward, language: str
) -> None:
    ward = cabinet_ward
    await ward.load(items=(box(AMOXICILLIN, 1, State.IN_STOCK, location=ward.bench.location),))
    recalls = RecallSet(version=1, recalls=(recall_of(ward, 1),))
    sync = SyncState(
        is_connected=True, is_welcome=True, recall_trouble=RecallTrouble.NO_KEY, unverified=recalls, cause=""
    )
    work = Station(ward.bench, people=ward.people, scanner=Gun())
    async with serve(ward, work, sync=sync) as url, opened(browser, url, size="cabinet", lang=language) as page:
        await expect(page.locator(".recall.trouble")).to_be_visible()
        await expect(page.locator(".recall li em")).to_be_visible()
        await picture(page, "recall-no-key", lang=language)
