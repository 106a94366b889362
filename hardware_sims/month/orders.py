"""Orders as doctors write them, drawn one by one from the seed: the same seed and number give the same order."""

import heapq
from collections.abc import Iterator, Sequence
from itertools import accumulate
from random import Random

import msgspec

from hardware_sims.catalogue import Good
from hardware_sims.month.parameters import DAYS, Parameters, Period
from hardware_sims.scenarios.plan import PHARMACY
from hardware_sims.truth import OrderLine

MINUTE_US = 60_000_000
DAY_US = 1_440 * MINUTE_US
_HOURS = {"stat": (6, 22), "long_term": (8, 11), "discharge": (9, 15)}
_MOST = {"stat": 2, "long_term": 3, "discharge": 4}
_WARDS = ("心内科一病区", "呼吸内科病区", "普外科二病区", "神经内科病区", "急诊观察室")
_DOCTORS = ("周文斌", "陈立新", "许佳宁", "郑海波")
_LONGEST = 6.0


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """An order with all that chance has in store for it. Moments are µs after the beginning of the play.

    ``review_us``: until a pharmacist may take it; ``pick_us``: work at it, scans apart.
    """

    number: int
    line: OrderLine
    good: Good
    at_us: int
    review_us: int
    pick_us: int
    is_unscanned: bool
    is_wrong_pick: bool
    is_caught: bool
    is_loan: bool
    breaks: bool
    comes_back: int
    """How much of it comes back; 0: nothing."""

    @property
    def period(self) -> Period:
        return period_of(self.at_us)


def period_of(us: int) -> Period:
    return Period(min(us // (DAYS * DAY_US), len(Period) - 1))


class Doctors:
    def __init__(
        self, parameters: Parameters, goods: Sequence[Good], weights: Sequence[float], *, orders: int, seed: int
    ) -> None:
        self._parameters = parameters
        self._goods = goods
        self._weights = list(accumulate(weights))
        self._orders = orders
        self._seed = seed

    def cases(self) -> Iterator[Case]:
        """All orders by their time; a day's are drawn when that day begins."""
        days = DAYS * len(Period)
        for day in range(days):
            numbers = range(self._orders * day // days, self._orders * (day + 1) // days)
            drawn = [self._case(number, day) for number in numbers]
            heap = [(case.at_us, case.number, case) for case in drawn]
            heapq.heapify(heap)
            while heap:
                yield heapq.heappop(heap)[2]

    def _case(self, number: int, day: int) -> Case:
        random, parameters = Random(f"order {self._seed} {number}"), self._parameters
        draw = random.random()
        if draw < parameters.stat_share:
            kind = "stat"
        else:
            kind = "discharge" if draw < parameters.stat_share + parameters.discharge_share else "long_term"
        good = random.choices(self._goods, cum_weights=self._weights)[0]
        quantity = random.randint(1, _MOST[kind]) if good.is_split else 1
        first, last = _HOURS[kind]
        at_us = day * DAY_US + random.randrange(first * 60 * MINUTE_US, last * 60 * MINUTE_US)
        period = period_of(at_us)
        wrong = parameters.wrong_pick_shown if period is Period.POOL else parameters.wrong_pick
        unscanned = parameters.unscanned_unit if good.is_split else parameters.unscanned_box
        return Case(
            number=number,
            line=self._line(number, kind, good, quantity, random),
            good=good,
            at_us=at_us,
            review_us=_span(random, parameters.of_review(kind)),
            pick_us=_span(random, parameters.pick),
            is_unscanned=random.random() < unscanned,
            is_wrong_pick=random.random() < wrong,
            is_caught=random.random() < parameters.caught,
            is_loan=kind == "stat" and good.is_split and random.random() < parameters.loan,
            breaks=good.is_split and random.random() < parameters.damaged,
            comes_back=random.randint(1, quantity) if random.random() < parameters.returned else 0,
        )

    @staticmethod
    def _line(number: int, kind: str, good: Good, quantity: int, random: Random) -> OrderLine:
        patient = random.randrange(100_000)
        return OrderLine(
            id=f"YZ{number:07d}",
            kind=kind,
            product=good.id,
            quantity=quantity,
            patient=f"p{patient:05d}",
            visit=f"ZY{patient:05d}{number % 97:02d}",
            ward=random.choice(_WARDS),
            location=PHARMACY,
            prescriber=random.choice(_DOCTORS),
        )


def _span(random: Random, mean_min: float) -> int:
    """Rarely long, never endless."""
    return int(min(random.expovariate(1.0), _LONGEST) * mean_min * MINUTE_US)
