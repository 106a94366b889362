"""A period as a row of points: days, or weeks of seven days from its first day on. Bounds are civil midnights."""

import datetime as dt
from bisect import bisect_right
from collections.abc import Callable
from enum import StrEnum

import msgspec


class Step(StrEnum):
    DAY = "day"
    WEEK = "week"


_DAYS = {Step.DAY: 1, Step.WEEK: 7}


class Period(msgspec.Struct, frozen=True, kw_only=True):
    first: dt.date
    last: dt.date
    """Belongs to it."""

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1

    def before(self) -> "Period":
        """The period of the same length that ends where this one begins."""
        return Period(first=self.first - dt.timedelta(days=self.days), last=self.first - dt.timedelta(days=1))


class Axis:
    """``points``: the periods of one step each; the last one ends with the whole, and may be shorter."""

    def __init__(self, period: Period, step: Step, midnight_us: Callable[[dt.date], int]) -> None:
        self.period = period
        self._length = _DAYS[step]
        days = [period.first + dt.timedelta(days=n) for n in range(period.days + 1)]
        self._midnights = [midnight_us(day) for day in days]
        self.points = tuple(
            Period(first=first, last=min(first + dt.timedelta(days=self._length - 1), period.last))
            for first in days[: -1 : self._length]
        )

    @property
    def start_us(self) -> int:
        return self._midnights[0]

    def day(self, us: int) -> int | None:
        """Number of the day that a moment lies in; None: it lies outside the period."""
        return bisect_right(self._midnights, us) - 1 if self._midnights[0] <= us < self._midnights[-1] else None

    def point_of(self, day: int) -> int:
        return day // self._length
