"""Recalls during a soak: lots that lie on the shelves are recalled through the interface, some are cleared again."""

import asyncio
from functools import partial
from random import Random

from hardware_sims.platforms.hospital import HospitalSystem
from hardware_sims.scenarios.plan import STAFF
from hardware_sims.soak.supply import BoxSupply, insist

SCOPE = "recalls"
_MEAN_GAP_S = 20.0
_LIFTED = 0.3
_POLL_S = 1.0


class Recaller:
    """``ordered``: ids of the recalls that central has taken."""

    def __init__(self, hospital: HospitalSystem, supplies: list[BoxSupply], *, seed: int) -> None:
        self.ordered: list[str] = []
        self.lifted: list[str] = []
        self._hospital = hospital
        self._supplies = supplies
        self._random = Random(f"soak recalls {seed}")
        self._lots: set[tuple[str, str]] = set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(self._random.expovariate(1 / _MEAN_GAP_S))
            await self._issue()
            if self._random.random() < _LIFTED:
                await asyncio.sleep(_POLL_S)
                await self._lift(self.ordered[-1])

    async def _issue(self) -> None:
        product, lot = await self._a_lot()
        recall = f"RC-{len(self.ordered) + 1:03d}"
        body = {"id": recall, "product": product, "lot": lot, "reason": "particles", **_TWO_PEOPLE}
        await insist(partial(self._hospital.post, "/api/v1/recalls", body))
        self.ordered.append(recall)

    async def _lift(self, recall: str) -> None:
        body = {"reason": "cleared", **_TWO_PEOPLE}
        await insist(partial(self._hospital.post, f"/api/v1/recalls/{recall}/lift", body))
        self.lifted.append(recall)

    async def _a_lot(self) -> tuple[str, str]:
        """One that was not recalled yet, once there is any."""
        while True:
            lots = [lot for supply in self._supplies for lot in supply.lots if lot not in self._lots]
            if lots:
                chosen = self._random.choice(lots)
                self._lots.add(chosen)
                return chosen
            await asyncio.sleep(_POLL_S)


_TWO_PEOPLE = {"operator": STAFF[0].id, "witness": STAFF[1].id}
