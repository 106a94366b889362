"""Twelve weeks, event by event. Time stands still while somebody acts, and then goes to the next event.

Hand-outs are told by the minute: those that end nearest to it are done at the same time, while the hospital system
sends what was ordered. Returns, damage and loans to be bound gather for a third of an hour; products of which the shelf
had not what the book says are counted in the evening.
Facts may be on their way when time goes on, for they carry their own moments; orders have been filled, for theirs is
central's. Whoever does what depends on what others have done waits until nothing is on its way (``Hands.settled``): so
one seed gives one table.

What is awaited by everybody: pharmacists who are free take the most urgent order that is ready, the oldest first.
"""

import datetime as dt
import heapq
from array import array
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import count, cycle
from random import Random

import aiohttp
import msgspec

from hardware_sims.month.aside import Aside, Errand, Kind
from hardware_sims.month.counting import Counting
from hardware_sims.month.dispensing import Dispensing, Outcome
from hardware_sims.month.hands import Hands
from hardware_sims.month.intake import Intake
from hardware_sims.month.orders import DAY_US, MINUTE_US, Case, Doctors, period_of
from hardware_sims.month.parameters import DAYS, KINDS, MOST_PRODUCTS, Parameters, Period
from hardware_sims.month.played_time import PlayedTime
from hardware_sims.month.shelves import Given, Pharmacy
from hardware_sims.month.site import MonthSite
from hardware_sims.scenarios.plan import Member

LENGTH = DAYS * len(Period)
_ORDERS_OF_A_PRODUCT, _FEWEST_PRODUCTS = 20, 8
_PDAS = 16
_UNITS_OF_AN_ORDER = 1.7
_MORNING_US, _EARLY_US, _QUIET_US, _EVENING_US = (hour * 60 * MINUTE_US for hour in (5, 7, 22, 23))
_SUNDAY = 6
_ORDER_AFTER_LOAN_US = 100 * MINUTE_US
_RECALL_DAY = DAYS * 2 + 10
_COUNTED_SHARE = 20
_AGAIN_DAYS = 5
_PIN = "2468"
_GATHERED_US = 20 * MINUTE_US
Act = Callable[[], Awaitable[None]]
Thought = Callable[[], None]
Tell = Callable[[int, int], None]
"""Number of the order that comes now, and its moment."""


class Play(msgspec.Struct, frozen=True, kw_only=True):
    seed: int
    orders: int
    began: dt.datetime
    parameters: Parameters

    @property
    def products(self) -> int:
        return max(_FEWEST_PRODUCTS, min(MOST_PRODUCTS, self.orders // _ORDERS_OF_A_PRODUCT))

    @property
    def pharmacists(self) -> int:
        return self.parameters.pharmacists(self.orders / LENGTH)

    @property
    def staff(self) -> list[Member]:
        """Who signs in; where more are on duty they hand the PDAs on."""
        return [
            Member(id=f"YP{n:02d}", name=f"药师{n:02d}", badge=f"00061300{n:02d}", pin=_PIN, role="pharmacist")
            for n in range(1, min(_PDAS, max(3, self.pharmacists)) + 1)
        ]

    @property
    def began_us(self) -> int:
        return int(self.began.timestamp()) * 1_000_000


class Course:
    """The play under way. ``given`` and ``pharmacy`` are what really happened."""

    def __init__(self, play: Play, site: MonthSite, time: PlayedTime, *, http: aiohttp.ClientSession) -> None:
        self._play = play
        self._time = time
        random = Random(f"month {play.seed}")
        self.pharmacy = Pharmacy(
            products=play.products,
            units_a_week=play.orders * _UNITS_OF_AN_ORDER * 7 / LENGTH,
            split_share=play.parameters.split_share,
            random=random,
        )
        self.given = Given(coded=array("i", bytes(array("i").itemsize * play.orders)))
        self.hands = Hands(site, play.staff, began=play.began, http=http)
        shared = (self.hands, self.pharmacy, self.given)
        self._dispensing = Dispensing(*shared)
        self._intake = Intake(*shared, parameters=play.parameters, random=random)
        self._counting = Counting(*shared, parameters=play.parameters, random=random)
        self._aside = Aside(*shared)
        self._events: list[tuple[int, int, Act | None, Thought | None]] = []
        self._numbers = count()
        self._ready: list[tuple[int, int, int, Case]] = []
        self._free = play.pharmacists
        self._seats = (self.hands.seats[number] for number in cycle(range(len(play.staff))))
        self._tries: Counter[int] = Counter()
        self._now_us = 0
        """Since the beginning of the play."""
        self._round: list[tuple[int, Case]] = []
        """Hand-outs that end in this round, each with its moment."""
        self._errands: dict[int, list[Errand]] = {}
        """What is done together at a moment."""
        self._to_count: dict[int, dict[str, Period]] = {}

    async def run(self, tell: Tell) -> None:
        """Raises PlayError or ProcessDiedError where it cannot go on."""
        await self._open()
        shares = self.pharmacy.weights
        doctors = Doctors(
            self._play.parameters, self.pharmacy.goods, shares, orders=self._play.orders, seed=self._play.seed
        )
        for day in range(LENGTH + _AGAIN_DAYS + 1):
            self._later(day * DAY_US + _MORNING_US, partial(self._morning, day))
        cases = doctors.cases()
        coming = next(cases, None)
        while coming is not None or self._events or self._round:
            next_us = min(
                [event[0] for event in self._events[:1]] + ([_sent_us(coming)] if coming else []), default=None
            )
            if self._round and (next_us is None or _minute_of(next_us) > _minute_of(self._now_us)):
                await self._play_round()
            elif coming is not None and _sent_us(coming) == next_us:
                await self._go_to(next_us)
                arrived = []
                while coming is not None and _sent_us(coming) == next_us:
                    tell(coming.number, coming.at_us)
                    arrived.append(coming)
                    coming = next(cases, None)
                await self._arrive(arrived)
            else:
                await self._happen()
        await self._go_to((LENGTH + _AGAIN_DAYS + 2) * DAY_US)
        await self.hands.settled()

    async def _happen(self) -> None:
        """The next event: a thought of the play, or an act, for which time goes on."""
        self._now_us, _, act, thought = heapq.heappop(self._events)
        if thought is not None:
            thought()
        elif act is not None:
            if self._round:
                await self._play_round()
            await self._go_to(self._now_us)
            await act()

    async def _go_to(self, us: int) -> None:
        await self.hands.sent()
        self._now_us = us
        self._time.go_to(self._play.began_us + us)

    def _later(self, us: int, act: Act) -> None:
        heapq.heappush(self._events, (us, next(self._numbers), act, None))

    def _soon(self, us: int, thought: Thought) -> None:
        heapq.heappush(self._events, (us, next(self._numbers), None, thought))

    def _gather(self, us: int, kind: Kind, case: Case) -> None:
        """To be done with others at the next moment for it."""
        self._errands.setdefault(self._gathering(us), []).append(Errand(kind=kind, case=case))

    def _gathering(self, us: int) -> int:
        """When that is which comes up at ``us``."""
        at_us = -(-us // _GATHERED_US) * _GATHERED_US
        if at_us not in self._errands:
            self._errands[at_us] = []
            self._later(at_us, partial(self._run_errands, at_us))
        return at_us

    async def _run_errands(self, at_us: int) -> None:
        errands, counts = self._errands.pop(at_us), self._to_count.pop(at_us, {})
        if errands:
            await self._aside.gathered(errands, self._seats)
        for period in Period:
            products = [product for product, of in counts.items() if of is period]
            products = [product for product in products if product not in self.pharmacy.quarantined]
            if products:
                await self._counting.take_all(products, period)

    async def _open(self) -> None:
        """The hospital sends staff and catalogue; everybody signs in."""
        hospital = self.hands.hospital
        people = [
            {"id": one.id, "name": one.name, "badge": one.badge, "pin": one.pin, "is_active": True}
            for one in self._play.staff
        ]
        await hospital.send_people(people)
        await hospital.send_products([good.entry() for good in self.pharmacy.goods])
        await self.hands.sit_down()

    async def _morning(self, day: int) -> None:
        period, today = period_of(day * DAY_US), self._play.began.date() + dt.timedelta(days=day)
        if period is Period.NO_CODES:
            return
        prescanned = await self._intake.restock(next(self._seats), today, has_pool=period is Period.POOL)
        if day == _RECALL_DAY:
            await self._aside.recall(today)
        if day % 7 == _SUNDAY and day < LENGTH:
            is_change_over = day == DAYS * Period.POOL - 1
            self._later(day * DAY_US + _EVENING_US, partial(self._evening, period, is_change_over=is_change_over))
        if prescanned:
            self._free -= 1
            self._soon(self._now_us + int(prescanned * self._play.parameters.prescan * 1e6), self._be_free)

    async def _evening(self, period: Period, *, is_change_over: bool) -> None:
        """A stocktake. Before the pool is begun all boxes are pre-scanned and all is counted: it inherits no error."""
        if is_change_over:
            closed = [one for shelf in self.pharmacy.shelves.values() if shelf.good.is_split for one in shelf.closed]
            await self._intake.prescan(next(self._seats), closed)
        await self._counting.weekly(period, share=1 if is_change_over else _COUNTED_SHARE)

    def _be_free(self) -> None:
        self._free += 1
        self._start()

    async def _arrive(self, cases: Sequence[Case]) -> None:
        """What was ordered within a minute, and what is lent before its order."""
        borrowed = [case for case in cases if case.is_loan and case.period is not Period.NO_CODES]
        if borrowed and self._round:
            await self._play_round()
        lent = await self._aside.lend(borrowed, self._seats) if borrowed else []
        is_lent = {case.number: is_there for case, is_there in zip(borrowed, lent, strict=True)}
        for case in cases:
            if is_lent.get(case.number):
                self._soon(self._now_us + _ORDER_AFTER_LOAN_US, partial(self._order_lent, case))
            else:
                self.hands.order(case)
                self._soon(self._now_us + case.review_us, partial(self._review, case))
        await self.hands.send()

    def _order_lent(self, case: Case) -> None:
        """A person at the console sees the order and binds the loan to it."""
        self.hands.order(case)
        self._gather(self._now_us + case.pick_us, Kind.BIND, case)

    def _review(self, case: Case) -> None:
        heapq.heappush(self._ready, (KINDS.index(case.line.kind), self._now_us, case.number, case))
        self._start()

    def _start(self) -> None:
        """Whoever is free takes what is ready."""
        while self._free > 0 and self._ready:
            case = heapq.heappop(self._ready)[-1]
            self._free -= 1
            self._soon(self._now_us + self._work_us(case), partial(self._finish, case))

    def _work_us(self, case: Case) -> int:
        is_scanned = case.period is Period.BY_HAND and not case.is_unscanned
        scans = case.line.quantity if is_scanned else 0
        if case.period is Period.POOL and not case.good.is_split:
            scans, is_scanned = case.line.quantity, True
        is_picked_again = case.is_wrong_pick and (case.is_caught or is_scanned)
        return case.pick_us * (2 if is_picked_again else 1) + int(scans * self._play.parameters.scan * 1e6)

    def _finish(self, case: Case) -> None:
        self._free += 1
        self._round.append((self._now_us, case))
        self._start()

    async def _play_round(self) -> None:
        ended, self._round = self._round, []
        minute_us = _minute_of(ended[0][0]) * MINUTE_US
        if self._time.now_us < self._play.began_us + minute_us:
            await self._go_to(minute_us)
        hand_outs = [(case, next(self._seats)) for _, case in ended]
        for (us, case), outcome in zip(ended, await self._dispensing.together(hand_outs), strict=True):
            if outcome is Outcome.DONE_UNCODED:
                self.hands.take_back(case)
            elif outcome is Outcome.DONE:
                self._follow(case, us)
            else:
                self._put_off(case, us, outcome)

    def _follow(self, case: Case, us: int) -> None:
        """What chance has in store for it."""
        if case.comes_back:
            self._gather(us + DAY_US, Kind.RETURN, case)
        if case.breaks:
            self._gather(us + MINUTE_US, Kind.DAMAGE, case)

    def _put_off(self, case: Case, us: int, outcome: Outcome) -> None:
        """Until after the next delivery; what never comes is taken back by the doctor."""
        self.given.acts["hand-outs put off"] += 1
        if outcome is Outcome.NOT_FOUND and case.good.id not in self.pharmacy.quarantined:
            at_us = self._gathering(max(us + MINUTE_US, us // DAY_US * DAY_US + _QUIET_US))
            self._to_count.setdefault(at_us, {}).setdefault(case.good.id, case.period)
        self._tries[case.number] += 1
        if self._tries[case.number] > _AGAIN_DAYS:
            self.given.acts["orders taken back"] += 1
            self.hands.take_back(case)
            return
        next_day_us = (us // DAY_US + 1) * DAY_US
        self._soon(next_day_us + _EARLY_US, partial(self._review, case))


def _minute_of(us: int) -> int:
    """The nearest."""
    return (us + MINUTE_US // 2) // MINUTE_US


def _sent_us(case: Case) -> int:
    """The hospital system sends once a minute what was ordered, and what was taken back."""
    return -(-case.at_us // MINUTE_US) * MINUTE_US
