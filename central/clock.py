"""The only place of central that reads a clock; ``app`` hands it to the rest."""

import time
import zoneinfo
from datetime import UTC, date, datetime
from datetime import time as time_of_day
from typing import Protocol

from sync_protocol.facts import Moment


class Clock(Protocol):
    def wall_us(self) -> int:
        """UTC microseconds since 1970."""

    def mono_us(self) -> int:
        """Microseconds of a clock that never jumps, since the process started."""


class SystemClock:
    def __init__(self) -> None:
        self._start_ns = time.monotonic_ns()

    def wall_us(self) -> int:
        return time.time_ns() // 1_000

    def mono_us(self) -> int:
        return (time.monotonic_ns() - self._start_ns) // 1_000


class HospitalTime:
    """Civil time of the hospital: an expiry date is a local date."""

    def __init__(self, clock: Clock, zone: zoneinfo.ZoneInfo) -> None:
        self.clock = clock
        self.zone = zone

    def now_us(self) -> int:
        return self.clock.wall_us()

    def local(self, wall_us: int) -> datetime:
        return datetime.fromtimestamp(wall_us / 1_000_000, tz=UTC).astimezone(self.zone)

    def today(self) -> date:
        return self.local(self.clock.wall_us()).date()

    def midnight_us(self, day: date) -> int:
        """When a civil day of the hospital begins."""
        return int(datetime.combine(day, time_of_day.min, tzinfo=self.zone).timestamp()) * 1_000_000

    def moment(self) -> Moment:
        """When central records something now."""
        wall_us = self.clock.wall_us()
        offset = self.local(wall_us).utcoffset()
        assert offset is not None, "astimezone gives an aware time"
        return Moment(
            wall_us=wall_us,
            mono_us=self.clock.mono_us(),
            offset_us=0,
            zone_min=int(offset.total_seconds()) // 60,
        )
