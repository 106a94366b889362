"""What goes another way than to a patient for good: returns, loans, damage, and the one recall."""

import datetime as dt
from collections import Counter

from hardware_sims.month.hands import Hands, Seat
from hardware_sims.month.orders import Case
from hardware_sims.month.shelves import Given, Pharmacy
from hardware_sims.scenarios.errors import UnexpectedAnswerError
from hardware_sims.scenarios.plan import PHARMACY

RECALL = "RC-1"


class Aside:
    def __init__(self, hands: Hands, pharmacy: Pharmacy, given: Given) -> None:
        self._hands = hands
        self._pharmacy = pharmacy
        self._given = given

    async def take_back(self, case: Case, seat: Seat) -> None:
        """Some of an order that went out with its codes comes back."""
        await self._hands.rested()
        codes, shelf = await self._hands.codes_of(case.line.id), self._pharmacy.shelves[case.good.id]
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
        await self._hands.settled()
        self._given.coded[case.number] -= case.comes_back if case.good.is_split else 1
        self._given.acts["returns"] += 1

    async def lend(self, case: Case, seat: Seat) -> bool:
        """Give a ward what its order will come for; whether there was enough in one open box."""
        await self._hands.rested()
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
            await self._hands.settled()  # before an order that comes meanwhile is given the same units
            self._given.acts["loans"] += 1
            return True
        return False

    async def bind(self, case: Case) -> None:
        """The order has come: what was lent is bound to it at the console, and billed."""
        await self._hands.settled()
        loan = f"{case.line.ward}~{case.good.id}~{PHARMACY}"
        await self._hands.submit("/loans", loan=loan, order=case.line.id, quantity=str(case.line.quantity))
        self._given.coded[case.number] += case.line.quantity

    async def damage(self, case: Case, seat: Seat) -> None:
        """One unit breaks: registered at the shelf, let out for good by two people."""
        await self._hands.rested()
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
            await self._hands.settled()
            signed = self._hands.second()
            await self._hands.submit("/quarantine", act="write_off", code=answer["code"], reason="broken", **signed)
            await self._hands.settled()
            self._given.acts["units broken"] += 1
            return

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
