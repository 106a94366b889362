"""What really lies on the pharmacy's shelves, and what was really given to whom. No program of codepool sees it.

Units of one box are alike: how many are left in a box is known, not which. The book may say otherwise of a box from
which somebody took without a scan: that is what a stocktake finds.
"""

import datetime as dt
import math
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from random import Random

import msgspec

from hardware_sims.catalogue import Good, Role, Symbol
from hardware_sims.scenarios.plan import boxes_of_good

_SPLIT_UNITS = (5, 6, 10, 10, 10, 20, 24)
_FIRST_NUMBER = 10_000
_WEEKS_AHEAD = 1.5
_MOST_UNITS = 5_000
"""Of one product on its shelf: a person can count them."""


class Carton(msgspec.Struct, kw_only=True):
    """A box on the shelf. ``is_registered``: it was pre-scanned or scanned late, so the book has its units."""

    code: str
    symbol: bytes
    lot: str
    left: int
    is_open: bool = False
    is_registered: bool = False


class Shelf(msgspec.Struct, kw_only=True):
    """All boxes of one product, the oldest first. ``level``: boxes that a delivery fills it up to."""

    good: Good
    level: int
    cartons: dict[str, Carton] = {}

    @property
    def units(self) -> int:
        return sum(carton.left for carton in self.cartons.values())

    @property
    def closed(self) -> list[Carton]:
        """Boxes that the book does not have the units of; opened ones first."""
        found = [carton for carton in self.cartons.values() if not carton.is_registered]
        return sorted(found, key=lambda carton: not carton.is_open)

    @property
    def registered(self) -> list[Carton]:
        return [carton for carton in self.cartons.values() if carton.is_registered]

    def take(self, quantity: int, first: Iterable[str] = ()) -> bool:
        """Take units, from the named boxes first, then from open ones; whether there were enough."""
        if self.units < quantity:
            return False
        named = [self.cartons[code] for code in first if code in self.cartons]
        open_ones = [carton for carton in self.cartons.values() if carton.is_open]
        for carton in (*named, *open_ones, *self.cartons.values()):
            taken = min(quantity, carton.left)
            quantity -= taken
            self._use(carton, taken)
        return True

    def put_back(self, carton: str, quantity: int) -> None:
        """Units that came back lie beside a box of theirs."""
        box = self.cartons.setdefault(carton, Carton(code=carton, symbol=carton.encode(), lot="", left=0))
        box.left += quantity
        box.is_open = box.is_registered = self.good.is_split

    def remove(self, carton: str) -> Carton | None:
        return self.cartons.pop(carton, None)

    def _use(self, carton: Carton, taken: int) -> None:
        if not taken:
            return
        carton.left -= taken
        carton.is_open = True
        if not carton.left:
            self.cartons.pop(carton.code, None)


class Given(msgspec.Struct, kw_only=True):
    """What went out. ``coded``: net units or boxes under their codes, by number of the order.

    Wrong picks by period: stopped by a scan, caught by a second person, or seen by nobody.
    """

    coded: "array[int]"
    uncoded_units: int = 0
    """As billing was told, what was put right again included."""
    wrong_stopped: list[int] = msgspec.field(default_factory=lambda: [0, 0, 0])
    wrong_caught: list[int] = msgspec.field(default_factory=lambda: [0, 0, 0])
    wrong_at_ward: list[int] = msgspec.field(default_factory=lambda: [0, 0, 0])
    acts: Counter[str] = msgspec.field(default_factory=Counter)


class Pharmacy:
    def __init__(self, *, products: int, units_a_week: float, split_share: float, random: Random) -> None:
        self._random = random
        goods = [_good(number, random, is_split=random.random() < split_share) for number in range(products)]
        popularity = [1 / (rank + 2) for rank in range(products)]
        self.weights = [weight / sum(popularity) for weight in popularity]
        self.shelves = {
            good.id: Shelf(good=good, level=_level(good, _WEEKS_AHEAD * units_a_week * weight))
            for good, weight in zip(goods, self.weights, strict=True)
        }
        self.quarantined: set[str] = set()
        """Products of which a lot was recalled: they are not counted until a person has decided."""

    @property
    def goods(self) -> list[Good]:
        return [shelf.good for shelf in self.shelves.values()]

    def low(self) -> Iterator[tuple[Shelf, int]]:
        """Shelves that need a delivery, with the number of boxes."""
        for shelf in self.shelves.values():
            if shelf.units < shelf.level * shelf.good.units / 2:
                yield shelf, shelf.level - shelf.units // shelf.good.units

    def deliver(self, shelf: Shelf, count: int, today: dt.date) -> "list[Delivered]":
        """New boxes; they are on the shelf once they are put there."""
        boxes = boxes_of_good(shelf.good, count, today, self._random)
        return [
            Delivered(
                shelf=shelf,
                carton=Carton(code=box.code, symbol=box.symbol, lot=box.lot, left=shelf.good.units),
                expiry=box.expiry,
                made=box.made,
            )
            for box in boxes
        ]


class Delivered(msgspec.Struct, frozen=True, kw_only=True):
    shelf: Shelf
    carton: Carton
    expiry: dt.date
    made: dt.date

    def put_away(self) -> None:
        self.shelf.cartons[self.carton.code] = self.carton


def note_lines(delivered: Iterable[Delivered]) -> list[dict[str, object]]:
    """Of a delivery note."""
    lines: dict[tuple[str, str, dt.date, dt.date], list[str]] = {}
    for one in delivered:
        key = (one.shelf.good.id, one.carton.lot, one.expiry, one.made)
        lines.setdefault(key, []).append(one.carton.code)
    return [
        {"product": product, "lot": lot, "expiry": expiry.isoformat(), "made": made.isoformat(), "codes": codes}
        for (product, lot, expiry, made), codes in lines.items()
    ]


def _level(good: Good, units: float) -> int:
    """Boxes that hold so many units, and two more."""
    return 2 + math.ceil(min(units, _MOST_UNITS) / good.units)


def _good(number: int, random: Random, *, is_split: bool) -> Good:
    units = random.choice(_SPLIT_UNITS) if is_split else 1
    return Good(
        id=f"YP-{_FIRST_NUMBER + number}",
        name=f"药品{number + 1:03d}",
        name_en=f"Drug {number + 1:03d}",
        spec=f"×{units}支",
        units=units,
        unit_name="支" if is_split else "盒",
        role=Role.STATION if is_split else Role.WHOLE,
        symbol=Symbol.NATIONAL,
        price=f"{random.randrange(200, 30_000) / 100:.2f}",
        maker="示范药业",
        number=_FIRST_NUMBER + number,
    )
