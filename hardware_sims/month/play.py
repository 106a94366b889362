"""Twelve weeks, event by event. Time stands still while somebody acts, and then goes to the next event.

Facts may be on their way when it goes on, for they carry their own moments. Whoever does what depends on what others
have done waits until nothing is (``Hands.settled``): so one seed gives one table.

What is awaited by everybody: pharmacists who are free take the most urgent order that is ready, the oldest first.
"""

import datetime as dt
import heapq
from array import array
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import count, cycle
from random import Random

import aiohttp
import msgspec

from hardware_sims.month.aside import Aside
from hardware_sims.month.counting import Counting
from hardware_sims.month.dispensing import Dispensing, Outcome
from hardware_sims.month.hands import Hands, Seat
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
_MORNING_US, _EARLY_US, _EVENING_US = (hour * 60 * MINUTE_US for hour in (5, 7, 23))
_SUNDAY = 6
_ORDER_AFTER_LOAN_US = 100 * MINUTE_US
_RECALL_DAY = DAYS * 2 + 10
_COUNTED_SHARE = 20
_AGAIN_DAYS = 5
_PIN = "2468"
Act = Callable[[], Awaitable[None]]
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
        self._events: list[tuple[int, int, Act]] = []
        self._numbers = count()
        self._ready: list[tuple[int, int, int, Case]] = []
        self._free = play.pharmacists
        self._turns = cycle(range(len(play.staff)))
        self._tries: Counter[int] = Counter()

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
        while coming is not None or self._events:
            if coming is not None and (not self._events or _sent_us(coming) <= self._events[0][0]):
                self._go_to(now_us := _sent_us(coming))
                while coming is not None and _sent_us(coming) == now_us:
                    tell(coming.number, coming.at_us)
                    await self._arrive(coming)
                    coming = next(cases, None)
                await self.hands.send()
            else:
                us, _, act = heapq.heappop(self._events)
                self._go_to(us)
                await act()
        self._go_to((LENGTH + _AGAIN_DAYS + 2) * DAY_US)
        await self.hands.settled()

    @property
    def _now_us(self) -> int:
        """Since the beginning of the play."""
        return self._time.now_us - self._play.began_us

    def _go_to(self, us: int) -> None:
        self._time.go_to(self._play.began_us + us)

    def _later(self, us: int, act: Act) -> None:
        heapq.heappush(self._events, (us, next(self._numbers), act))

    def _seat(self) -> Seat:
        return self.hands.seats[next(self._turns)]

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
        prescanned = await self._intake.restock(self._seat(), today, has_pool=period is Period.POOL)
        if day == _RECALL_DAY:
            await self._aside.recall(today)
        if day % 7 == _SUNDAY and day < LENGTH:
            is_change_over = day == DAYS * Period.POOL - 1
            self._later(day * DAY_US + _EVENING_US, partial(self._evening, period, is_change_over=is_change_over))
        if prescanned:
            self._free -= 1
            self._later(self._now_us + int(prescanned * self._play.parameters.prescan * 1e6), self._be_free)

    async def _evening(self, period: Period, *, is_change_over: bool) -> None:
        """A stocktake. Before the pool is begun all boxes are pre-scanned and all is counted: it inherits no error."""
        if is_change_over:
            closed = [one for shelf in self.pharmacy.shelves.values() if shelf.good.is_split for one in shelf.closed]
            await self._intake.prescan(self._seat(), closed)
        await self._counting.weekly(period, share=1 if is_change_over else _COUNTED_SHARE)

    async def _be_free(self) -> None:
        self._free += 1
        self._start()

    async def _arrive(self, case: Case) -> None:
        if case.is_loan and case.period is not Period.NO_CODES and await self._aside.lend(case, self._seat()):
            self._later(self._now_us + _ORDER_AFTER_LOAN_US, partial(self._order_lent, case))
            return
        self.hands.order(case)
        self._later(self._now_us + case.review_us, partial(self._review, case))

    async def _order_lent(self, case: Case) -> None:
        """A person at the console sees the order and binds the loan to it."""
        self.hands.order(case)
        await self.hands.send()
        self._later(self._now_us + case.pick_us, partial(self._aside.bind, case))

    async def _review(self, case: Case) -> None:
        heapq.heappush(self._ready, (KINDS.index(case.line.kind), self._now_us, case.number, case))
        self._start()

    def _start(self) -> None:
        """Whoever is free takes what is ready."""
        while self._free > 0 and self._ready:
            case = heapq.heappop(self._ready)[-1]
            self._free -= 1
            self._later(self._now_us + self._work_us(case), partial(self._finish, case))

    def _work_us(self, case: Case) -> int:
        is_scanned = case.period is Period.BY_HAND and not case.is_unscanned
        scans = case.line.quantity if is_scanned else 0
        if case.period is Period.POOL and not case.good.is_split:
            scans, is_scanned = case.line.quantity, True
        is_picked_again = case.is_wrong_pick and (case.is_caught or is_scanned)
        return case.pick_us * (2 if is_picked_again else 1) + int(scans * self._play.parameters.scan * 1e6)

    async def _finish(self, case: Case) -> None:
        self._free += 1
        outcome = await self._dispensing.hand_out(case, self._seat(), case.period)
        if outcome is Outcome.DONE:
            self._follow(case)
        else:
            await self._put_off(case, outcome)
        self._start()

    def _follow(self, case: Case) -> None:
        """What chance has in store for it."""
        if not self.given.coded[case.number]:
            return
        if case.comes_back:
            self._later(self._now_us + DAY_US, partial(self._come_back, case))
        if case.breaks:
            self._later(self._now_us + MINUTE_US, partial(self._break, case))

    async def _come_back(self, case: Case) -> None:
        await self._aside.take_back(case, self._seat())

    async def _break(self, case: Case) -> None:
        await self._aside.damage(case, self._seat())

    async def _put_off(self, case: Case, outcome: Outcome) -> None:
        """Until after the next delivery; what never comes is taken back by the doctor."""
        self.given.acts["hand-outs put off"] += 1
        if outcome is Outcome.NOT_FOUND and case.good.id not in self.pharmacy.quarantined:
            await self._counting.take([case.good.id], case.period)
        self._tries[case.number] += 1
        if self._tries[case.number] > _AGAIN_DAYS:
            self.given.acts["orders taken back"] += 1
            self.hands.take_back(case)
            return
        next_day_us = (self._now_us // DAY_US + 1) * DAY_US
        self._later(next_day_us + _EARLY_US, partial(self._review, case))


def _sent_us(case: Case) -> int:
    """The hospital system sends once a minute what was ordered, and what was taken back."""
    return -(-case.at_us // MINUTE_US) * MINUTE_US
