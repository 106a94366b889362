"""Time and chance come in through here, so that tests and simulations can hold both in hand."""

import datetime as dt
import os
import time
from typing import Protocol
from zoneinfo import ZoneInfo

from sync_protocol.facts import LAST_US, SESSION_BYTES, Moment, is_date

DISTRUST_AFTER_US = 300_000_000
"""How far behind known times the wall clock may be before it is not believed."""

QUARTER_US = 900_000_000
SHANGHAI_MIN = 480


class Clock(Protocol):
    def wall_us(self) -> int:
        """UTC microseconds since 1970, as the machine believes."""

    def mono_us(self) -> int:
        """Microseconds of a clock that never jumps; its zero has no meaning."""


class SystemClock:
    def wall_us(self) -> int:
        return time.time_ns() // 1_000

    def mono_us(self) -> int:
        # A computer that sleeps grows older: a lease must end while it does.
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000


def fresh_session() -> bytes:
    """The random name of a process start (design.md §5)."""
    return os.urandom(SESSION_BYTES)


class Watch:
    """Tells the moment of a fact: the machine's clock, with what is known about how wrong it is."""

    def __init__(self, clock: Clock, zone: ZoneInfo, *, known_us: int = 0) -> None:
        self.clock = clock
        self._zone = zone
        self._started_us = clock.mono_us()
        self._known_us = known_us
        self._offset_us: int | None = None
        self._round_trip_us = 0
        self._quarter, self._offset_min = -1, SHANGHAI_MIN

    @property
    def offset_us(self) -> int | None:
        """Central's clock minus this one; None before the first contact."""
        return self._offset_us

    def moment(self) -> Moment:
        """Now, as a date: a fact that happened is not to be unreadable because a clock is nowhere."""
        wall_us = min(max(0, self.clock.wall_us()), LAST_US)
        offset_us = self._offset_us
        if offset_us is not None and not is_date(wall_us + offset_us):  # it was estimated before the clock fell
            offset_us = None
        return Moment(
            wall_us=wall_us,
            mono_us=self.clock.mono_us() - self._started_us,
            offset_us=offset_us,
            is_trusted=wall_us + (offset_us or 0) >= self._known_us - DISTRUST_AFTER_US,
            zone_min=self._zone_min(wall_us),
        )

    def today(self) -> dt.date:
        return self.moment().local_date()

    def know(self, wall_us: int) -> None:
        """It is at least ``wall_us``, by central's clock or a fact's: a clock that says less has lost its battery."""
        self._known_us = max(self._known_us, wall_us)

    def measured(self, *, sent_us: int, central_us: int) -> None:
        """Central answered at its ``central_us`` what was sent at ``sent_us``. The quickest answer tells most."""
        now_us = self.clock.wall_us()
        round_trip_us = now_us - sent_us
        if round_trip_us < 0 or not sent_us or not central_us:
            return
        self.know(central_us)
        if self._offset_us is None or round_trip_us <= self._round_trip_us or self._has_jumped(now_us, central_us):
            self._round_trip_us = round_trip_us
            self._offset_us = central_us - (sent_us + now_us) // 2

    def _has_jumped(self, now_us: int, central_us: int) -> bool:
        """Whether the old estimate is off by more than its own round trip can explain, and then some drift."""
        assert self._offset_us is not None, "only asked of an estimate"
        return abs(now_us + self._offset_us - central_us) > self._round_trip_us + DISTRUST_AFTER_US

    def _zone_min(self, wall_us: int) -> int:
        quarter = wall_us // QUARTER_US  # no zone changes its offset within a quarter of an hour
        if quarter != self._quarter:
            self._quarter, self._offset_min = quarter, _offset_min(quarter * QUARTER_US, self._zone)
        return self._offset_min


def _offset_min(wall_us: int, zone: ZoneInfo) -> int:
    try:
        offset = dt.datetime.fromtimestamp(wall_us / 1e6, zone).utcoffset()
    except (OverflowError, ValueError, OSError):  # a clock beyond what a calendar can say
        offset = None
    return SHANGHAI_MIN if offset is None else int(offset.total_seconds() // 60)
