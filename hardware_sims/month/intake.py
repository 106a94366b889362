"""Deliveries: announced, received box by box, and in the third period pre-scanned before they are shelved."""

import datetime as dt
from random import Random

from hardware_sims.month.hands import Hands, Seat
from hardware_sims.month.parameters import Parameters
from hardware_sims.month.shelves import Carton, Delivered, Given, Pharmacy, note_lines
from hardware_sims.scenarios.errors import UnexpectedAnswerError
from hardware_sims.scenarios.plan import PHARMACY

_BOXES_OF_A_NOTE = 40


class Intake:
    def __init__(
        self, hands: Hands, pharmacy: Pharmacy, given: Given, *, parameters: Parameters, random: Random
    ) -> None:
        self._hands = hands
        self._pharmacy = pharmacy
        self._given = given
        self._missed_prescan = parameters.missed_prescan
        self._random = random
        self._notes = 0

    async def restock(self, seat: Seat, today: dt.date, *, has_pool: bool) -> int:
        """Fill what is low; how many boxes were pre-scanned."""
        coming = [
            one for shelf, count in list(self._pharmacy.low()) for one in self._pharmacy.deliver(shelf, count, today)
        ]
        prescanned = 0
        for start in range(0, len(coming), _BOXES_OF_A_NOTE):
            boxes = coming[start : start + _BOXES_OF_A_NOTE]
            await self._receive(seat, boxes)
            if has_pool:
                prescanned += await self.prescan(seat, [one.carton for one in boxes if one.shelf.good.is_split])
        if coming:
            await self._hands.settled()
        return prescanned

    async def prescan(self, seat: Seat, cartons: list[Carton]) -> int:
        """Register boxes before they are opened; one or the other is forgotten. How many were."""
        await seat.turn(step="prescan")
        done = 0
        for carton in cartons:
            if self._random.random() < self._missed_prescan:
                self._given.acts["boxes not pre-scanned"] += 1
                continue
            verdict = await seat.scan(carton.symbol)
            if verdict.result != "done":
                raise UnexpectedAnswerError(f"pre-scan of {carton.code}: {verdict}")
            carton.is_registered = True
            done += 1
        self._given.acts["boxes pre-scanned"] += done
        return done

    async def _receive(self, seat: Seat, boxes: list[Delivered]) -> None:
        self._notes += 1
        note = {
            "id": f"SN-{self._notes:06d}",
            "supplier": "国药控股股份有限公司",
            "location": PHARMACY,
            "kind": "box",
            "lines": note_lines(boxes),
        }
        await self._hands.hospital.announce(note)
        await self._hands.settled()
        await seat.turn(step="receive", note=str(note["id"]))
        for number, one in enumerate(boxes, start=1):
            verdict = await seat.scan(one.carton.symbol)
            if verdict.result != ("done" if number == len(boxes) else "progress"):
                raise UnexpectedAnswerError(f"{note['id']}, box {one.carton.code}: {verdict}")
            one.put_away()
        self._given.acts["boxes received"] += len(boxes)
