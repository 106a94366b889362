"""What goes another way than to a patient for good: returns, loans, damage, and the one recall."""

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Sequence
from enum import Enum, auto

import msgspec

from hardware_sims.month.hands import FormRefusedError, Hands, Seat
from hardware_sims.month.orders import Case
from hardware_sims.month.shelves import Given, Pharmacy
from hardware_sims.scenarios.errors import UnexpectedAnswerError
from hardware_sims.scenarios.plan import PHARMACY

RECALL = "RC-1"


class Kind(Enum):
    DAMAGE = auto()
    """One unit breaks: registered at the shelf, let out for good by two people."""
    RETURN = auto()
    BIND = auto()
    """The order of a loan has come."""


class Errand(msgspec.Struct, frozen=True, kw_only=True):
    kind: Kind
    case: Case


class Aside:
    def __init__(self, hands: Hands, pharmacy: Pharmacy, given: Given) -> None:
        self._hands = hands
        self._pharmacy = pharmacy
        self._given = given

    async def gathered(self, errands: Sequence[Errand], seats: Iterator[Seat]) -> None:
        """Do what came together since the last time: what needs the shelf as the book has it goes first."""
        await self._hands.settled()
        await self._hands.rested()
        of = {kind: [errand.case for errand in errands if errand.kind is kind] for kind in Kind}
        broken = [code for case in of[Kind.DAMAGE] if (code := await self._damage(case, next(seats)))]
        for case in of[Kind.RETURN]:
            await self._take_back(case, next(seats))
        await self._hands.settled()
        for code in broken:
            await self._hands.submit("/quarantine", act="write_off", code=code, reason="broken", **self._hands.second())
        for case in of[Kind.BIND]:
            await self._bind(case)
        await self._hands.settled()

    async def _take_back(self, case: Case, seat: Seat) -> None:
        """Some of an order that went out with its codes comes back."""
        codes, shelf = await self._hands.codes_given(case.line.id), self._pharmacy.shelves[case.good.id]
        if len(codes) < case.comes_back or case.good.id in self._pharmacy.quarantined:
            return
        await seat.turn(step="return")
        if case.good.is_split:
            answer = await seat.take(case.line.id, case.comes_back)
            back = Counter(code.partition("#")[0] for code in sorted(codes, reverse=True)[: case.comes_back])
        else:
            answer = await seat.ask_scan(codes[0].encode())
            back = Counter(codes[:1])
        if answer["result"] != "done":
            raise UnexpectedAnswerError(f"return of {case.comes_back} of order {case.line.id}: {answer}")
        for box, units in back.items():
            shelf.put_back(box, units)
        self._given.coded[case.number] -= case.comes_back if case.good.is_split else 1
        self._given.acts["returns"] += 1

    async def lend(self, cases: Sequence[Case], seats: Iterator[Seat]) -> list[bool]:
        """Give wards what their orders will come for; for each, whether there was enough in one open box."""
        await self._hands.settled()
        await self._hands.rested()
        lent = [await self._lend(case, next(seats)) for case in cases]
        await self._hands.settled()  # before an order that comes meanwhile is given the same units
        return lent

    async def _lend(self, case: Case, seat: Seat) -> bool:
        shelf = self._pharmacy.shelves[case.good.id]
        await seat.turn(step="lend", choice=case.line.ward)
        for carton in shelf.registered:
            if carton.left < case.line.quantity:
                continue
            asked = await seat.ask_scan(carton.symbol)
            if asked["asks"] != carton.code or asked["total"] < case.line.quantity:
                continue
            answer = await seat.take(carton.code, case.line.quantity)
            if answer["result"] != "done":
                raise UnexpectedAnswerError(f"loan of {case.line.quantity} of box {carton.code}: {answer}")
            shelf.take(case.line.quantity, [carton.code])
            self._given.acts["loans"] += 1
            return True
        return False

    async def _bind(self, case: Case) -> None:
        """The order has come: what was lent is bound to it at the console, and billed.

        Where a wrong count has made the book poorer, what broke in a box may be the unit that the ward has of it.
        """
        loan = f"{case.line.ward}~{case.good.id}~{PHARMACY}"
        try:
            await self._hands.submit("/loans", loan=loan, order=case.line.id, quantity=str(case.line.quantity))
        except FormRefusedError:
            self._given.acts["loans that the book has lost"] += 1
            self._hands.take_back(case)
        else:
            self._given.coded[case.number] += case.line.quantity

    async def _damage(self, case: Case, seat: Seat) -> str:
        """One unit breaks and is registered at the shelf; its code, or empty: there was none."""
        shelf = self._pharmacy.shelves[case.good.id]
        await seat.turn(step="damage", choice="broken")
        for carton in shelf.registered:
            asked = await seat.ask_scan(carton.symbol)
            if asked["asks"] != carton.code:
                continue
            answer = await seat.take(carton.code, 1)
            if answer["result"] != "done":
                raise UnexpectedAnswerError(f"damage in box {carton.code}: {answer}")
            shelf.take(1, [carton.code])
            self._given.acts["units broken"] += 1
            return str(answer["code"])
        return ""

    async def recall(self, today: dt.date) -> None:
        """The lot of which most lies here is recalled; its boxes are set apart."""
        await self._hands.settled()
        lots: Counter[tuple[str, str]] = Counter()
        for key, shelf in self._pharmacy.shelves.items():
            for carton in shelf.registered:
                lots[key, carton.lot] += carton.left if carton.lot else 0
        if not lots:
            return
        ((product, lot), _), *_ = lots.most_common(1)
        first, second = (one.id for one in self._hands.staff[:2])
        content = {"id": RECALL, "product": product, "lot": lot, "reason": f"召回 {today}"}
        await self._hands.hospital.post("/api/v1/recalls", content | {"operator": first, "witness": second})
        shelf = self._pharmacy.shelves[product]
        recalled = [carton.code for carton in shelf.cartons.values() if carton.lot == lot]
        for code in recalled:
            shelf.remove(code)
        self._pharmacy.quarantined.add(product)
        self._given.acts["boxes recalled"] += len(recalled)
        await self._hands.settled()
