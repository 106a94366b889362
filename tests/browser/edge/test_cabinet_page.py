import asyncio
from collections.abc import Mapping

import pytest
from playwright.async_api import Browser, Page, expect

from drivers.errors import DeviceGoneError, DeviceRefusedError
from drivers.readings import DeviceHealth, DoorState, LinkState, TagRead, TagRound
from edge_agent.workflows.cabinet import Cabinet
from edge_agent.workflows.door import Settings
from sync_protocol.items import Kind, State
from tests.browser.edge.pages import LANGUAGES, opened, picture, sign_in
from tests.unit.edge_work.site import serve
from tests.unit.edge_work.ward import CABINET, Ward, note, piece, piece_code

pytestmark = pytest.mark.browser
TOUCH = 64


class Hardware:
    """Reader and lock board of one cabinet, whose door and tags the test moves."""

    name = "reader-1"

    def __init__(self) -> None:
        self.inside: list[str] = []
        self.is_open = False
        self.is_jammed = False
        self.is_gone = False
        self.may_read = asyncio.Event()
        self.may_read.set()

    @property
    def health(self) -> DeviceHealth:
        return DeviceHealth(name=self.name, driver="by-hand", state=LinkState.READY)

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def read_round(self, *, duration_s: float, power_dbm: float | None = None) -> TagRound:
        if self.is_gone:
            raise DeviceGoneError("reader-1: 192.0.2.7:5084: connection refused")
        await self.may_read.wait()
        await asyncio.sleep(0.01)
        tags = tuple(TagRead(epc=epc, antenna=1, rssi_dbm=-50, hits=3) for epc in self.inside)
        return TagRound(source=self.name, tags=tags, duration_s=duration_s, power_dbm=power_dbm)

    async def open(self, lock: int) -> None:
        if self.is_jammed:
            raise DeviceRefusedError(f"lock-1: lock {lock} stayed shut for 1.0 s; is the door blocked or jammed?")
        self.is_open = True

    async def doors(self) -> Mapping[int, DoorState]:
        return {1: DoorState.OPEN if self.is_open else DoorState.CLOSED}


async def stocked(ward: Ward) -> Hardware:
    arriving = [piece(serial, State.EXPECTED, document="DN-P1") for serial in (1, 2, 3)]
    lying = [piece(serial) for serial in (11, 12, 13)]
    await ward.load(
        items=(
            *arriving,
            *lying,
            piece(21, State.TAKEN, holder="P002"),
            piece(22, State.AWAITING_PUT_BACK),
            piece(31, location="cath-lab-cabinet-2"),
        ),
        notes=(note("DN-P1", arriving, kind=Kind.PIECE, location=CABINET),),
    )
    hardware = Hardware()
    hardware.inside = [item.code for item in lying]
    return hardware


def cabinet_of(ward: Ward, hardware: Hardware, *, ajar_s: float = 60.0) -> Cabinet:
    settings = Settings(round_s=0.01, door_poll_s=0.02, ajar_s=ajar_s)
    return Cabinet(ward.bench, reader=hardware, lockboard=hardware, lock=1, settings=settings)


async def press(page: Page, text: str) -> None:
    await page.locator("#cabinet button", has_text=text).first.click()


@pytest.mark.parametrize("lang", LANGUAGES)
async def test_every_screen_of_a_cabinet(browser: Browser, cabinet_ward: Ward, lang: str) -> None:
    hardware = await stocked(cabinet_ward)
    words = {
        "zh-CN": {
            "take": "拿取或放回",
            "receive": "收货入柜",
            "other": "其他操作",
            "open": "重新开门补齐",
            "count": "清点",
        },
        "en": {
            "take": "Take or put back",
            "receive": "Receive a delivery note",
            "other": "Something else",
            "open": "Open again",
            "count": "Count",
        },
    }[lang]
    async with (
        serve(cabinet_ward, cabinet_of(cabinet_ward, hardware), devices=(hardware,)) as url,
        opened(browser, url, size="cabinet", lang=lang) as page,
    ):
        await picture(page, "cabinet-1-sign-in", lang=lang, least=TOUCH)
        for key in "P001":
            await page.click(f"[data-key='{key}']")
        assert await page.input_value("input[name=person]") == "P001"
        await sign_in(page)
        await picture(page, "cabinet-2-choose", lang=lang, least=TOUCH)

        await press(page, words["receive"])
        await expect(page.locator(".choices.notes")).to_be_visible()
        await picture(page, "cabinet-3-note", lang=lang, least=TOUCH)
        await press(page, "DN-P1")
        await expect(page.locator(".wait.open")).to_be_visible()
        await picture(page, "cabinet-4-door-open", lang=lang, least=TOUCH)
        hardware.inside += [piece_code(1), piece_code(2), piece_code(31), "E2801160600002040000002A"]
        hardware.may_read.clear()
        hardware.is_open = False
        await expect(page.locator(".wait.reading")).to_be_visible()
        await picture(page, "cabinet-5-reading", lang=lang, least=TOUCH)
        hardware.may_read.set()
        await expect(page.locator(".outcome.refused")).to_be_visible()
        await picture(page, "cabinet-6-note-incomplete", lang=lang, least=TOUCH)
        await press(page, words["open"])
        await expect(page.locator(".wait.open")).to_be_visible()
        hardware.inside = [*[code for code in hardware.inside if code != piece_code(31)][:-1], piece_code(3)]
        hardware.is_open = False
        await expect(page.locator(".outcome.done")).to_be_visible()
        await picture(page, "cabinet-7-note-received", lang=lang, least=TOUCH)

        await press(page, words["other"])
        await press(page, words["take"])
        await expect(page.locator(".wait.open")).to_be_visible()
        hardware.inside = [code for code in hardware.inside if code not in {piece_code(11), piece_code(12)}]
        hardware.inside += [piece_code(21), piece_code(22)]
        hardware.is_open = False
        await expect(page.locator(".outcome")).to_be_visible()
        await picture(page, "cabinet-8-taken-and-back", lang=lang, least=TOUCH)
        await press(page, words["other"])
        hardware.inside.remove(piece_code(13))
        await press(page, words["count"])
        await expect(page.locator(".outcome.warn")).to_be_visible()
        await picture(page, "cabinet-9-counted", lang=lang, least=TOUCH)


async def test_troubles_are_shown_with_what_to_do(browser: Browser, cabinet_ward: Ward) -> None:
    hardware = await stocked(cabinet_ward)
    hardware.is_jammed = True
    async with (
        serve(cabinet_ward, cabinet_of(cabinet_ward, hardware, ajar_s=0.1), devices=(hardware,)) as url,
        opened(browser, url, size="cabinet", lang="zh-CN") as page,
    ):
        await sign_in(page)
        await press(page, "拿取或放回")
        await expect(page.locator(".wait .cause")).to_be_visible()
        await picture(page, "cabinet-trouble-jammed", lang="zh-CN", least=TOUCH)
        hardware.is_jammed = False
        await press(page, "重试")
        await expect(page.locator(".note.warn")).to_contain_text("柜门仍未关好")
        await picture(page, "cabinet-trouble-ajar", lang="zh-CN", least=TOUCH)
        hardware.is_gone = True
        hardware.is_open = False
        await expect(page.locator(".note.refused")).to_contain_text("标签阅读器无应答")
        await picture(page, "cabinet-trouble-reader", lang="zh-CN", least=TOUCH)
        hardware.is_gone = False
        await expect(page.locator(".outcome.done")).to_contain_text("没有拿取或放回")
        await picture(page, "cabinet-nothing-moved", lang="zh-CN", least=TOUCH)


async def test_no_note_to_receive_says_so(browser: Browser, cabinet_ward: Ward) -> None:
    hardware = Hardware()
    async with (
        serve(cabinet_ward, cabinet_of(cabinet_ward, hardware), devices=(hardware,)) as url,
        opened(browser, url, size="cabinet", lang="zh-CN") as page,
    ):
        await sign_in(page)
        await press(page, "收货入柜")
        await expect(page.locator("#cabinet p.empty")).to_be_visible()
        await picture(page, "cabinet-empty-notes", lang="zh-CN", least=TOUCH)
        await press(page, "返回")
        await expect(page.locator(".choices:not(.notes)")).to_be_visible()
