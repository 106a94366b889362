"""Stocktakes: a sheet of the console, blind counts at PDAs, recounts by somebody else, posted by two people.

In the second period one person counts once and writes the number down as objects and as codes: book against object.
In the third, codes and objects are counted apart, and where they disagree somebody else counts again.
"""

from collections.abc import Iterator, Sequence
from random import Random

import msgspec

from hardware_sims.month.hands import FormRefusedError, Hands, Seat
from hardware_sims.month.parameters import Parameters, Period
from hardware_sims.month.shelves import Given, Pharmacy, Shelf
from hardware_sims.scenarios.errors import UnexpectedAnswerError
from hardware_sims.scenarios.plan import PHARMACY

_ROUNDS = 3
_LINES_OF_A_SHEET = 40


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What one person counts of one product: units by box, closed boxes, and how many objects by form."""

    units: dict[str, int]
    boxes: tuple[str, ...]
    objects: dict[str, int]

    def is_agreed(self, product: str) -> bool:
        codes = {f"unit:{product}": sum(self.units.values()), f"box:{product}": len(self.boxes)}
        return all(codes[line] == number for line, number in self.objects.items())


class Counting:
    def __init__(
        self, hands: Hands, pharmacy: Pharmacy, given: Given, *, parameters: Parameters, random: Random
    ) -> None:
        self._hands = hands
        self._pharmacy = pharmacy
        self._given = given
        self._miscount = parameters.miscount
        self._random = random

    async def weekly(self, period: Period, *, share: int) -> None:
        """Every ``share``-th product, drawn anew each time."""
        products = [key for key, shelf in self._pharmacy.shelves.items() if shelf.cartons]
        products = [key for key in products if key not in self._pharmacy.quarantined]
        await self.take_all(self._random.sample(products, k=max(1, len(products) // share)), period)

    async def take_all(self, products: Sequence[str], period: Period) -> None:
        """As many sheets as that needs."""
        for start in range(0, len(products), _LINES_OF_A_SHEET):
            await self._take(products[start : start + _LINES_OF_A_SHEET], period)

    async def _take(self, products: Sequence[str], period: Period) -> None:
        """Count, count again where it must be, and post what agrees."""
        hands = self._hands
        await hands.settled()
        sheet = (await hands.submit("/stocktakes", location=PHARMACY, product=products)).partition("id=")[2]
        await hands.settled()
        for product in products:
            for seat in self._people():
                seen = self._look(self._pharmacy.shelves[product], period)
                await self._count(seat, product, seen)
                if seen.is_agreed(product):
                    break
                self._given.acts["recounts"] += 1
        await hands.settled()
        for act in ("post", "close"):
            await self._decide(sheet, act)
        await hands.settled()
        self._given.acts["lines counted"] += len(products)

    async def _decide(self, sheet: str, act: str) -> None:
        """No line to post, where none agreed; nothing to close, where all did."""
        try:
            await self._hands.submit(f"/stocktakes/{sheet}", act=act, reason="stocktake", **self._hands.second())
        except FormRefusedError:
            self._given.acts[f"sheets with nothing to {act}"] += 1

    def _people(self) -> Iterator[Seat]:
        seats = self._hands.seats
        start = self._random.randrange(len(seats))
        for number in range(min(_ROUNDS, len(seats))):
            yield seats[(start + number) % len(seats)]

    def _look(self, shelf: Shelf, period: Period) -> Seen:
        opened = {carton.code: carton.left for carton in shelf.registered if shelf.good.is_split}
        closed = tuple(carton.code for carton in shelf.cartons.values() if carton.code not in opened)
        if opened and self._is_miscounted():
            self._slip(opened, shelf)
        objects = {f"unit:{shelf.good.id}": sum(opened.values())} if shelf.good.is_split else {}
        if period is Period.POOL and objects and self._is_miscounted():
            objects[f"unit:{shelf.good.id}"] += self._off(objects[f"unit:{shelf.good.id}"])
        return Seen(units=opened, boxes=closed, objects=objects | {f"box:{shelf.good.id}": len(closed)})

    def _slip(self, opened: dict[str, int], shelf: Shelf) -> None:
        box = self._random.choice(sorted(opened))
        number = opened[box] + self._off(opened[box])
        opened[box] = min(number, shelf.good.units)

    def _off(self, number: int) -> int:
        return self._random.choice((-1, 1)) if number else 1

    def _is_miscounted(self) -> bool:
        return self._random.random() < self._miscount

    async def _count(self, seat: Seat, product: str, seen: Seen) -> None:
        await seat.turn(step="count", choice=PHARMACY)
        for box, units in seen.units.items():
            if units:
                answer = await seat.ask_scan(box.encode())
                if answer["asks"] != box:
                    raise UnexpectedAnswerError(f"count of box {box}: {answer}")
                await seat.take(box, units)
        for box in seen.boxes:
            _expect(await seat.ask_scan(box.encode()), box)
        verdict = await seat.count(seen.objects)
        if verdict.result != "done":
            raise UnexpectedAnswerError(f"count of {product}: {verdict}")


def _expect(answer: dict[str, object], box: str) -> None:
    if answer["result"] not in {"progress", "repeat"}:
        raise UnexpectedAnswerError(f"count of box {box}: {answer}")
