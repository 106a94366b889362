"""What comes to one place: deliveries and orders, always enough that its hands have work, drawn from the seed."""

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from random import Random

import aiohttp

from hardware_sims.catalogue import Good, Role, of_role, piece_epc
from hardware_sims.platforms.hospital import BusyError, HospitalSystem
from hardware_sims.scenarios.plan import Desk, boxes_of_good, delivery_note
from hardware_sims.truth import Box, Piece

_SUPPLIER = "国药控股股份有限公司"
_BOXES_AHEAD, _ORDERS_OPEN = 30, 12
_BOXES_OF_A_GOOD = 3
_PIECES = 10
_PIECES_WANTED = 40
_MOST_UNITS = 3
_POLL_S = 0.3


class BoxSupply:
    """Boxes and orders of one pharmacy. Its hands say what they opened and handed out."""

    def __init__(self, location: str, *, number: int, roles: Sequence[Role], seed: int, today: dt.date) -> None:
        self.packs = frozenset(good.id for good in of_role(Role.PACKAGER))
        """Products whose orders a machine packs."""
        self.boxes: dict[str, Box] = {}
        self.opened: set[str] = set()
        self.aside: set[str] = set()
        """Refused for a reason that scanning again does not change."""
        self._handed = 0
        self._done: set[str] = set()
        self._location = location
        self._number = number
        self._goods = [good for role in roles for good in of_role(role)]
        self._random = Random(f"soak supply {location} {seed}")
        self._desk = Desk(self._random, series=f"YZ{number}-", location=location)
        self._today = today
        self._notes = 0
        self._ordered_units: dict[str, int] = {}

    def finished(self, order: str) -> None:
        """An order of the desk is handed out, or will never be."""
        self._done.add(order)

    @property
    def lots(self) -> list[tuple[str, str]]:
        """Product and lot of what is here."""
        return sorted({(box.product, box.lot) for box in self.boxes.values() if box.code in self.opened})

    async def run(self, hospital: HospitalSystem) -> None:
        """Until cancelled. A central that does not answer is asked again: nothing comes twice."""
        while True:
            if len(self.boxes) - len(self.opened) - len(self.aside) < _BOXES_AHEAD:
                await insist(partial(hospital.announce, self._delivery()))
            elif good := self._wanted():
                quantity = self._random.randint(1, _MOST_UNITS)
                self._ordered_units[good.id] = self._ordered_units.get(good.id, 0) + quantity
                await insist(partial(hospital.order, self._desk.line(good, quantity)))
                self._handed += good.id not in self.packs
            else:
                await asyncio.sleep(_POLL_S)

    def _delivery(self) -> dict[str, object]:
        goods = self._random.sample(self._goods, k=min(4, len(self._goods)))
        boxes = [
            box
            for good in goods
            for box in boxes_of_good(good, _BOXES_OF_A_GOOD, self._today, self._random, location=self._location)
        ]
        self.boxes |= {box.code: box for box in boxes}
        self._notes += 1
        return delivery_note(f"SN-{self._number}-{self._notes:04d}", _SUPPLIER, self._location, "box", boxes)

    def _wanted(self) -> Good | None:
        """A drug of which enough was opened, while few orders are open."""
        if self._handed - len(self._done) >= _ORDERS_OPEN:
            return None
        opened: dict[str, int] = {}
        for code in self.opened:
            box = self.boxes[code]
            opened[box.product] = opened.get(box.product, 0) + box.content
        ready = [good for good in self._goods if self._ordered_units.get(good.id, 0) < opened.get(good.id, 0) // 2]
        return self._random.choice(ready) if ready else None


class PieceSupply:
    """Pieces of one cabinet."""

    def __init__(self, location: str, *, number: int, seed: int, today: dt.date) -> None:
        self.announced = 0
        self._location = location
        self._number = number
        self._random = Random(f"soak supply {location} {seed}")
        self._today = today

    async def run(self, hospital: HospitalSystem) -> None:
        """Fill the cabinet note by note; returns once it is full."""
        while self.announced < _PIECES_WANTED:
            await insist(partial(hospital.announce, self._delivery()))

    def _delivery(self) -> dict[str, object]:
        goods = of_role(Role.CABINET)
        made = self._today - dt.timedelta(days=self._random.randrange(60, 300))
        pieces = [
            Piece(
                code=piece_epc(self._number * 100_000 + self.announced + each),
                product=goods[each % len(goods)].id,
                lot=f"HC{made:%y%m%d}",
                expiry=made + dt.timedelta(days=730),
                made=made,
                location=self._location,
            )
            for each in range(_PIECES)
        ]
        self.announced += _PIECES
        name = f"SN-HC{self._number}-{self.announced:04d}"
        return delivery_note(name, "华润医疗器械有限公司", self._location, "piece", pieces)


async def insist(act: Callable[[], Awaitable[object]]) -> None:
    """Do it until central answers: it may be dead, paused or busy. Raises HospitalError if it says no."""
    while True:
        try:
            await act()
        except (aiohttp.ClientError, TimeoutError, BusyError):
            await asyncio.sleep(_POLL_S)
        else:
            return
