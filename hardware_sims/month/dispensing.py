"""How one order is handed out, by what the period demands of staff."""

from collections import Counter
from enum import Enum, auto

from hardware_sims.catalogue import Good
from hardware_sims.month.hands import Hands, Seat
from hardware_sims.month.orders import Case
from hardware_sims.month.parameters import Period
from hardware_sims.month.shelves import Carton, Given, Pharmacy, Shelf
from hardware_sims.scenarios.errors import UnexpectedAnswerError
from hardware_sims.scenarios.station_page import Verdict


class Outcome(Enum):
    DONE = auto()
    NOTHING_THERE = auto()
    """The shelf has not enough: it waits for a delivery."""
    NOT_FOUND = auto()
    """The book has it, the shelf does not: the product must be counted."""
    REFUSED = auto()
    """The station says no: what was locked is recalled or broken, and another is to be locked."""


class Dispensing:
    def __init__(self, hands: Hands, pharmacy: Pharmacy, given: Given) -> None:
        self._hands = hands
        self._pharmacy = pharmacy
        self._given = given

    async def hand_out(self, case: Case, seat: Seat, period: Period) -> Outcome:
        if period is Period.NO_CODES:
            await self._unscanned(case, seat)
            return Outcome.DONE
        shelf = self._pharmacy.shelves[case.good.id]
        if period is Period.BY_HAND and case.is_unscanned:
            if not shelf.take(case.line.quantity):
                return Outcome.NOTHING_THERE
            await self._unscanned(case, seat)
            return Outcome.DONE
        codes = await self._hands.codes_of(case.line.id)
        if len(codes) < case.line.quantity:
            await self._hands.settled()  # what others did meanwhile may have filled it
            codes = await self._hands.codes_of(case.line.id)
        if len(codes) < case.line.quantity:
            return await self._late(case, seat, shelf)
        if case.good.is_split:
            return await self._units(case, seat, shelf, codes, period)
        return await self._boxes(case, seat, shelf, codes)

    async def _unscanned(self, case: Case, seat: Seat) -> None:
        """Nobody scans; billing says what went out, and the order is none of codepool's any more."""
        line, operator = case.line, seat.who.id
        if case.is_wrong_pick and case.is_caught:
            await self._hands.bill(line.id, self._other(case.good).id, line.quantity, operator)
            self._given.wrong_caught[case.period] += 1
            self._given.uncoded_units += line.quantity
        elif case.is_wrong_pick:
            self._given.wrong_at_ward[case.period] += 1
        await self._hands.bill(line.id, line.product, line.quantity, operator)
        self._hands.take_back(case)
        self._given.uncoded_units += line.quantity

    async def _units(self, case: Case, seat: Seat, shelf: Shelf, codes: list[str], period: Period) -> Outcome:
        boxes = Counter(code.partition("#")[0] for code in codes)
        if shelf.units < case.line.quantity:
            return Outcome.NOT_FOUND
        if period is Period.BY_HAND:
            await self._scan_each(case, seat, boxes)
        elif case.is_wrong_pick:
            self._see(case)
        verdict = await self._confirm(case, seat)
        if verdict.result != "done":
            return self._refused(verdict)
        shelf.take(case.line.quantity, boxes)
        self._given.coded[case.number] += case.line.quantity
        return Outcome.DONE

    async def _scan_each(self, case: Case, seat: Seat, boxes: Counter[str]) -> None:
        """Each unit by the code of its box: a wrong one shows."""
        await seat.turn(step="look_up")
        if case.is_wrong_pick:
            self._given.wrong_stopped[case.period] += 1
            other = next(iter(self._pharmacy.shelves[self._other(case.good).id].cartons.values()), None)
            if other is not None:
                await seat.ask_scan(other.symbol)
        for box, units in boxes.items():
            for _ in range(units):
                await seat.ask_scan(box.encode())

    async def _confirm(self, case: Case, seat: Seat) -> Verdict:
        verdict = await seat.hand_out(case.line.id)
        if verdict.result != "done":
            await self._hands.rested()
            verdict = await seat.hand_out(case.line.id)
        return verdict

    async def _scan(self, seat: Seat, symbol: bytes) -> Verdict:
        verdict = await seat.scan(symbol)
        if verdict.result == "refused":
            await self._hands.rested()
            verdict = await seat.scan(symbol)
        return verdict

    async def _boxes(self, case: Case, seat: Seat, shelf: Shelf, codes: list[str]) -> Outcome:
        if any(code not in shelf.cartons for code in codes):
            return Outcome.NOT_FOUND
        await self._choose(case, seat, "hand_out")
        if case.is_wrong_pick:
            await self._be_stopped(case, seat)
        for number, code in enumerate(codes, start=1):
            verdict = await self._scan(seat, code.encode())
            if verdict.result != ("done" if number == len(codes) else "progress"):
                return self._refused(verdict)
        for code in codes:
            shelf.remove(code)
        self._given.coded[case.number] += len(codes)
        return Outcome.DONE

    async def _be_stopped(self, case: Case, seat: Seat) -> None:
        """The wrong box is scanned, and the station says no."""
        other = next(iter(self._pharmacy.shelves[self._other(case.good).id].cartons.values()), None)
        if other is None:
            return
        verdict = await seat.scan(other.symbol)
        if verdict.result != "refused":
            raise UnexpectedAnswerError(f"order {case.line.id}: another product was scanned: {verdict}")
        self._given.wrong_stopped[case.period] += 1

    async def _late(self, case: Case, seat: Seat, shelf: Shelf) -> Outcome:
        """Nothing, or not enough, is in the pool: boxes are scanned for the order now."""
        if not shelf.closed or shelf.units < case.line.quantity:
            return Outcome.NOTHING_THERE
        await self._choose(case, seat, "late_scan")
        opened: list[Carton] = []
        for carton in shelf.closed:
            verdict = await self._scan(seat, carton.symbol)
            if verdict.reason == "wrong_order":  # locked to another order since
                continue
            if verdict.result not in {"progress", "done"}:
                return self._refused(verdict)
            opened.append(carton)
            if verdict.result == "done":
                self._register(case, shelf, opened)
                await self._hands.settled()
                return Outcome.DONE
        return Outcome.NOTHING_THERE

    def _register(self, case: Case, shelf: Shelf, opened: list[Carton]) -> None:
        self._given.acts["late scans"] += len(opened)
        for carton in opened:
            carton.is_registered = carton.is_open = True
        shelf.take(case.line.quantity, [carton.code for carton in opened])
        self._given.coded[case.number] += case.line.quantity

    async def _choose(self, case: Case, seat: Seat, step: str) -> None:
        try:
            await seat.turn(step=step, order=case.line.id)
        except UnexpectedAnswerError:
            await self._hands.rested()
            await seat.turn(step=step, order=case.line.id)

    def _refused(self, verdict: Verdict) -> Outcome:
        self._given.acts[f"hand-outs refused: {verdict.reason}"] += 1
        return Outcome.REFUSED

    def _see(self, case: Case) -> None:
        """No scan looks at units of the pool: a second person may."""
        if case.is_caught:
            self._given.wrong_caught[case.period] += 1
        else:
            self._given.wrong_at_ward[case.period] += 1

    def _other(self, good: Good) -> Good:
        """The product beside it on the shelf."""
        goods = self._pharmacy.goods
        return goods[(goods.index(good) + 1) % len(goods)]
