"""After the morning: small deliveries, new orders, hand-outs, for as long as somebody watches."""

import asyncio
import datetime as dt
from itertools import count

from hardware_sims.scenarios.morning import Stage
from hardware_sims.scenarios.plan import draw_delivery

_PAUSE_S = 4.0
_SYNC_S = 60.0


async def go_on(stage: Stage) -> None:
    """Until cancelled. Raises PlayError if a program answers wrongly."""
    today = dt.datetime.now(dt.UTC).date()
    for number in count(1):
        await _deliver(stage, number, today)
        await asyncio.sleep(_PAUSE_S)


async def _deliver(stage: Stage, number: int, today: dt.date) -> None:
    """One delivery is received and pre-scanned; its orders come and are handed out."""
    delivery = draw_delivery(stage.plan.seed, number, today=today)
    truth = stage.plan.truth
    truth.boxes |= {box.code: box for box in delivery.boxes}
    truth.orders |= {order.id: order for order in delivery.orders}
    await stage.hospital.announce(delivery.note)
    await stage.watch.settled(within_s=_SYNC_S)
    await stage.station.receive(str(delivery.note["id"]), delivery.boxes)
    for box in delivery.boxes:
        await stage.station.prescan([box])
        await asyncio.sleep(_PAUSE_S / 4)
    await stage.watch.settled(within_s=_SYNC_S)
    for order in delivery.orders:
        await stage.hospital.order(order)
        await asyncio.sleep(_PAUSE_S / 4)
    for order in delivery.orders:
        await stage.station.hand_out([order])
        await asyncio.sleep(_PAUSE_S / 4)
