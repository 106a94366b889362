"""How orders are handed out, by what the period demands of staff."""

from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from enum import Enum, auto
from typing import Any

from hardware_sims.catalogue import Good
from hardware_sims.month.abreast import Abreast
from hardware_sims.month.hands import Hands, Seat
from hardware_sims.month.orders import Case
from hardware_sims.month.parameters import Period
from hardware_sims.month.shelves import Carton, Given, Pharmacy, Shelf
from hardware_sims.scenarios.errors import UnexpectedAnswerError
from hardware_sims.scenarios.station_page import Verdict


class Outcome(Enum):
    DONE = auto()
    DONE_UNCODED = auto()
    """Billing was told; the hospital system has to say that the order is done without codepool."""
    SHORT = auto()
    """Not enough is locked."""
    NOTHING_THERE = auto()
    """The shelf has not enough: it waits for a delivery."""
    NOT_FOUND = auto()
    """The book has it, the shelf does not: the product must be counted."""
    REFUSED = auto()
    """The station says no: what was locked is recalled or broken, and another is to be locked."""


HandOut = tuple[Case, Seat]


class Dispensing:
    def __init__(self, hands: Hands, pharmacy: Pharmacy, given: Given) -> None:
        self._hands = hands
        self._pharmacy = pharmacy
        self._given = given

    async def together(self, hand_outs: Sequence[HandOut]) -> list[Outcome]:
        """Hand out at the same time: of each product, and at each PDA, one after the other in this order.

        Boxes are scanned late once that is over, for one order of each product at a time: what is left in them may go
        to others that wait.
        """
        outcomes = await self._abreast(hand_outs, self._hand_out)
        while short := [number for number, outcome in enumerate(outcomes) if outcome is Outcome.SHORT]:
            first: dict[str, int] = {}
            for number in short:
                first.setdefault(hand_outs[number][0].good.id, number)
            found = await self._abreast([hand_outs[number] for number in first.values()], self._hand_out_late)
            for number, outcome in zip(first.values(), found, strict=True):
                outcomes[number] = outcome
            await self._hands.settled()
        return outcomes

    async def _abreast(
        self, hand_outs: Sequence[HandOut], how: Callable[[Case, Seat], Coroutine[Any, Any, Outcome]]
    ) -> list[Outcome]:
        acts = Abreast[Outcome]()
        for case, seat in hand_outs:
            others = (self._other(case.good).id,) if case.is_wrong_pick else ()
            acts.start(how(case, seat), case.good.id, seat.who.id, *others)
        return await acts.over()

    async def _hand_out(self, case: Case, seat: Seat) -> Outcome:
        shelf = self._pharmacy.shelves[case.good.id]
        if case.period is Period.NO_CODES:
            return await self._unscanned(case, seat)
        if case.period is Period.BY_HAND and case.is_unscanned:
            if not shelf.take(case.line.quantity):
                return Outcome.NOTHING_THERE
            return await self._unscanned(case, seat)
        codes = await self._hands.codes_of(case, seat)
        if len(codes) < case.line.quantity:
            return Outcome.SHORT
        if case.good.is_split:
            return await self._units(case, seat, shelf, codes)
        return await self._boxes(case, seat, shelf, codes)

    async def _hand_out_late(self, case: Case, seat: Seat) -> Outcome:
        """What others did meanwhile may have filled it."""
        outcome = await self._hand_out(case, seat)
        if outcome is Outcome.SHORT:
            return await self._late(case, seat, self._pharmacy.shelves[case.good.id])
        return outcome

    async def _unscanned(self, case: Case, seat: Seat) -> Outcome:
        """Nobody scans; billing says what went out, and the order is none of codepool's any more."""
        line, operator = case.line, seat.who.id
        if case.is_wrong_pick and case.is_caught:
            await self._hands.bill(line.id, self._other(case.good).id, line.quantity, operator)
            self._given.wrong_caught[case.period] += 1
            self._given.uncoded_units += line.quantity
        elif case.is_wrong_pick:
            self._given.wrong_at_ward[case.period] += 1
        await self._hands.bill(line.id, line.product, line.quantity, operator)
        self._given.uncoded_units += line.quantity
        return Outcome.DONE_UNCODED

    async def _units(self, case: Case, seat: Seat, shelf: Shelf, codes: list[str]) -> Outcome:
        boxes = Counter(code.partition("#")[0] for code in codes)
        if shelf.units < case.line.quantity:
            return Outcome.NOT_FOUND
        if case.period is Period.BY_HAND:
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
