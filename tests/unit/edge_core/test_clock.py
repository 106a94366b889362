"""Moments: what a device's clock says, with what is known about how wrong it is."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from edge_agent.clock import SystemClock, Watch, fresh_session
from sync_protocol.facts import is_date
from tests.unit.edge_core.shelf import NOON_US, HandClock

SHANGHAI = ZoneInfo("Asia/Shanghai")


def test_a_moment_says_wall_time_time_since_the_start_and_the_zone() -> None:
    clock = HandClock()
    watch = Watch(clock, SHANGHAI)
    clock.now_us += 5_000_000
    moment = watch.moment()
    assert (moment.wall_us, moment.mono_us, moment.offset_us) == (NOON_US + 5_000_000, 5_000_000, None)
    assert (moment.zone_min, moment.is_trusted) == (480, True)
    assert watch.today() == dt.date(2026, 3, 2)


def test_the_offset_is_taken_from_the_quickest_answer() -> None:
    clock = HandClock()
    watch = Watch(clock, SHANGHAI)
    _answer(watch, clock, after_us=400_000, ahead_us=2_000_000)
    assert watch.offset_us == 2_000_000
    _answer(watch, clock, after_us=10_000, ahead_us=2_100_000)
    assert watch.offset_us == 2_100_000
    _answer(watch, clock, after_us=900_000, ahead_us=2_500_000)
    assert watch.offset_us == 2_100_000


@pytest.mark.fault(15)
def test_a_clock_that_was_set_is_measured_anew_even_by_a_slow_answer() -> None:
    clock = HandClock()
    watch = Watch(clock, SHANGHAI)
    _answer(watch, clock, after_us=10_000, ahead_us=0)
    clock.now_us -= 3_600_000_000
    _answer(watch, clock, after_us=900_000, ahead_us=3_600_000_000)
    assert watch.offset_us == 3_600_000_000


def test_an_answer_to_nothing_or_from_the_future_measures_nothing() -> None:
    clock = HandClock()
    watch = Watch(clock, SHANGHAI)
    watch.measured(sent_us=0, central_us=NOON_US)
    watch.measured(sent_us=NOON_US + 1, central_us=NOON_US)
    watch.measured(sent_us=NOON_US, central_us=0)
    assert watch.offset_us is None


@pytest.mark.fault(16)
def test_a_clock_without_battery_is_not_trusted_and_central_makes_up_for_it() -> None:
    clock = HandClock()
    clock.now_us = 0
    watch = Watch(clock, SHANGHAI, known_us=NOON_US)
    assert not watch.moment().is_trusted
    clock.now_us = 1_000_000
    watch.measured(sent_us=900_000, central_us=NOON_US)
    assert watch.moment().is_trusted
    assert watch.today() == dt.date(2026, 3, 2)


@pytest.mark.parametrize("now_us", [2**62, -(2**62), -1])
def test_a_wall_clock_beyond_the_calendar_still_gives_moments(now_us: int) -> None:
    clock = HandClock()
    watch = Watch(clock, SHANGHAI)
    clock.now_us = now_us
    assert watch.moment().zone_min == 480
    assert is_date(watch.moment().wall_us)


def test_an_estimate_that_leads_to_no_date_is_left_out() -> None:
    """The clock was a day ahead when it was measured, and has fallen to 1970 since."""
    clock = HandClock()
    watch = Watch(clock, SHANGHAI)
    clock.now_us = NOON_US + 86_400_000_000
    watch.measured(sent_us=clock.now_us - 500, central_us=NOON_US)
    assert watch.moment().offset_us is not None
    clock.now_us = 3_000_000
    moment = watch.moment()
    assert (moment.wall_us, moment.offset_us, moment.is_trusted) == (3_000_000, None, False)


def test_sessions_and_the_system_clock_are_fresh() -> None:
    assert len({fresh_session() for _ in range(100)}) == 100
    clock = SystemClock()
    first = clock.mono_us()
    assert clock.mono_us() >= first
    assert clock.wall_us() > NOON_US // 2


def _answer(watch: Watch, clock: HandClock, *, after_us: int, ahead_us: int) -> None:
    """Central, ``ahead_us`` ahead, answers in the middle of ``after_us``."""
    sent_us = clock.now_us
    clock.now_us += after_us
    watch.measured(sent_us=sent_us, central_us=sent_us + after_us // 2 + ahead_us)
