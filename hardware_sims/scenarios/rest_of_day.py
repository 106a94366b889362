"""After the morning: small deliveries, new orders, hand-outs by PDA, for as long as somebody watches."""

import asyncio
import datetime as dt
from collections.abc import Callable
from itertools import count

from hardware_sims.scenarios.errors import PlayError
from hardware_sims.scenarios.morning import Stage
from hardware_sims.scenarios.plan import STAFF, draw_delivery
from hardware_sims.scenarios.station_page import PdaSeat
from hardware_sims.scenarios.station_work import StationWork
from hardware_sims.settings import STATION
from hardware_sims.truth import PhysicsError

_WALKER = STAFF[1]
_PAUSE_S = 4.0
_SYNC_S = 60.0


async def go_on(stage: Stage, say: Callable[[str], None]) -> None:
    """Until cancelled. Whoever looks on may take an order or a box first: then the script says so and goes on."""
    today = dt.datetime.now(dt.UTC).date()
    async with PdaSeat(stage.fleet.agent_url(STATION)) as pda:
        work = StationWork(pda, stage.plan.truth, {})
        for number in count(1):
            try:
                await pda.sign_in(_WALKER.id, _WALKER.pin)
                await _deliver(stage, work, number, today)
            except (PlayError, PhysicsError) as disturbed:
                say(f"delivery {number} was left to you: {disturbed}")
            stage.fleet.raise_if_died()
            await asyncio.sleep(_PAUSE_S)


async def _deliver(stage: Stage, work: StationWork, number: int, today: dt.date) -> None:
    """One delivery is received and pre-scanned; its orders come and are handed out."""
    delivery = draw_delivery(stage.plan.seed, number, today=today)
    truth = stage.plan.truth
    truth.boxes |= {box.code: box for box in delivery.boxes}
    truth.orders |= {order.id: order for order in delivery.orders}
    await stage.hospital.announce(delivery.note)
    await stage.watch.settled(within_s=_SYNC_S)
    await work.receive(str(delivery.note["id"]), delivery.boxes)
    for box in delivery.boxes:
        await work.prescan([box])
        await asyncio.sleep(_PAUSE_S / 4)
    await stage.watch.settled(within_s=_SYNC_S)
    for order in delivery.orders:
        await stage.hospital.order(order)
        await asyncio.sleep(_PAUSE_S / 4)
    for order in delivery.orders:
        await work.hand_out([order])
        await asyncio.sleep(_PAUSE_S / 4)
