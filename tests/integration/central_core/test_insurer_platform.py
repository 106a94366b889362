"""The connector against the simulated platform with every trouble it knows: each unit told once, sold or returned."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest

from central.connectors.envelope import Institution
from central.connectors.insurer import Insurer
from central.connectors.queue import SalesQueue
from hardware_sims.platforms.insurer import Gateway, Trouble
from hardware_sims.platforms.insurer import Insurer as Platform
from hardware_sims.platforms.serving import served
from sync_protocol.facts import How, What
from tests.integration.central_core.processes import until
from tests.unit.central_core.desk import SPLIT, WHOLE, Desk, an_order, box

CODE = "H11010000001"


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(tmp_path / "data")
    await desk.catalogue()
    yield desk
    desk.close()


async def test_every_unit_is_accepted_once_through_all_troubles(desk: Desk) -> None:
    troubles = dict(enumerate(Trouble, start=1))
    platform = Platform(
        institution=CODE,
        contents={SPLIT.insurance_code: 10, WHOLE.insurance_code: 1},
        troubles=troubles,
        gateway=Gateway(paasid="p", token="secret"),
        now=lambda: desk.time.local(desk.time.now_us()),
    )
    await desk.units(*range(1, 9))
    await desk.in_stock(WHOLE, [box(WHOLE, 1)], note="N-W")
    async with served(platform.application()) as address:
        institution = Institution(code=CODE, name="医院", region="110100", paasid="p", token="secret")
        insurer = Insurer(
            SalesQueue(desk.ledger),
            institution,
            url=f"{address}/fsi",
            time=desk.time,
            changes=desk.changes,
            timeout_s=0.6,
        )
        task = asyncio.create_task(insurer.run())
        kept = 0
        for number in range(40):
            product, quantity = (WHOLE, 1) if number % 10 == 0 else (SPLIT, 2)
            order = await desk.orders.place(an_order(f"O-{number}", product, quantity))
            desk.record(What.DISPENSED, *order.codes, order=order.id, how=How.AUTOMATIC)
            # Every box, and one unit of two orders out of three, comes back; the box goes out again.
            back = order.codes[:1] if number % 3 != 2 or product is WHOLE else ()
            if back:
                desk.record(What.RETURNED, *back, order=order.id)
            kept += quantity - len(back)
            if platform.has_met_all:
                break
            desk.clock.us += 1_000_000
            await asyncio.sleep(0.3)

        async def is_done() -> bool:
            desk.clock.us += 100_000
            return set(desk.rows("SELECT DISTINCT state FROM insurer_row")) == {("accepted",)}

        await until(is_done, within_s=60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert platform.has_met_all
    assert platform.warnings == []
    assert platform.counter.refused == []
    assert any(sale.is_return for sale in platform.counter.accepted.values())
    assert sum(sale.share for sale in platform.counter.accepted.values()) == Decimal(kept)
    assert len(platform.counter.accepted) == desk.rows("SELECT count(*) FROM insurer_row")[0][0]
