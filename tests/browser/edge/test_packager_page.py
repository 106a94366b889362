import asyncio
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, expect

from drivers.errors import DeviceGoneError
from drivers.readings import DeviceHealth, LinkState, PackagerJob, PouchOutcome, PouchResult
from edge_agent.workflows.orders import Orders
from edge_agent.workflows.packaging import Packaging
from sync_protocol.documents import OrderKind, OrderState, Route
from tests.browser.edge.pages import LANGUAGES, opened, picture, sign_in
from tests.unit.edge_work.site import serve
from tests.unit.edge_work.ward import METOPROLOL, Ward, order, units

pytestmark = pytest.mark.browser


class Machine:
    """Jams at one order, keeps another in the works, makes the rest."""

    name = "packager-1"

    def __init__(self) -> None:
        self.is_gone = False
        self.jams_at = "RX00002"
        self.works_on = "RX00003"
        self._out: asyncio.Queue[PouchResult] = asyncio.Queue()
        self._made = 0

    @property
    def health(self) -> DeviceHealth:
        return DeviceHealth(name=self.name, driver="by-hand", state=LinkState.READY)

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def submit(self, job: PackagerJob) -> None:
        if self.is_gone:
            raise DeviceGoneError("packager-1: 192.0.2.9:7001: connection refused")
        if job.order == self.works_on and not job.job.endswith("#022|1"):
            return
        outcome = PouchOutcome.JAMMED if job.order == self.jams_at else PouchOutcome.DONE
        self._made += outcome is PouchOutcome.DONE
        self._out.put_nowait(
            PouchResult(
                source=self.name,
                job=job.job,
                outcome=outcome,
                pouch=f"P{self._made:04d}" if outcome is PouchOutcome.DONE else "",
                message="" if outcome is PouchOutcome.DONE else "E-31 落药口卡住",
            )
        )

    async def results(self) -> AsyncIterator[PouchResult]:
        while True:
            yield await self._out.get()


@pytest.mark.parametrize("lang", LANGUAGES)
async def test_every_screen_of_a_packager(browser: Browser, ward: Ward, lang: str) -> None:
    machine = Machine()
    packaging = Packaging(ward.bench, Orders(ward.bench, route=Route.PACKAGER), packager=machine)
    async with (
        serve(ward, packaging, devices=(machine,)) as url,
        opened(browser, url, size="desktop", lang=lang) as page,
    ):
        await sign_in(page)
        await picture(page, "packager-1-empty", lang=lang)
        items = [
            *units(METOPROLOL, 1, locked=2, order="RX00002"),
            *units(METOPROLOL, 2, locked=4, order="RX00003"),
            *units(METOPROLOL, 3, locked=6, order="RX00004"),
        ]
        await ward.load(
            items=tuple(items),
            orders=(
                order(2, METOPROLOL, 2, OrderState.LOCKED, kind=OrderKind.STAT),
                order(3, METOPROLOL, 4, OrderState.LOCKED),
                order(4, METOPROLOL, 6, OrderState.LOCKED),
            ),
        )
        await expect(page.locator(".stuck .note").nth(1)).to_be_visible()
        await picture(page, "packager-2-jammed", lang=lang)
        machine.jams_at = ""
        await page.locator(".stuck .note button").first.click()
        await expect(page.locator(".stuck .note")).to_have_count(1)
        await page.locator(".stuck .note button").first.click()
        await expect(page.locator(".stuck")).to_have_count(0)
        machine.is_gone = True
        await ward.load(items=tuple(units(METOPROLOL, 4, locked=1, order="RX00005")))
        await ward.load(orders=(order(5, METOPROLOL, 1, OrderState.LOCKED),))
        await expect(page.locator(".packager > .note")).to_be_visible()
        await picture(page, "packager-3-machine-gone", lang=lang)
