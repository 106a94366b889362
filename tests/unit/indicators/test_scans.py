"""Missed and forced scans from facts, by the rules of a shift."""

import datetime as dt
import pathlib
from collections import Counter
from zoneinfo import ZoneInfo

import pytest

from central.indicators.scans import Shifts, Slip, events, lines
from central.ledger.read_scans import told
from sync_protocol.facts import UNDONE, How, What
from tests.integration.central_faces.hospital import Hospital, box
from tests.integration.central_faces.months import DAY_US, Months, WardClock, facts_of
from tests.unit.indicators.folding import CODES, HOW, OPERATOR, ORDER, REASON, WHAT, WITNESS, Fold

ZONE = ZoneInfo("Asia/Shanghai")
FIRST = dt.date(2026, 9, 7)


def at(hour: int, minute: int = 0) -> dt.datetime:
    return dt.datetime(2026, 9, 7, hour, minute, tzinfo=ZONE)


def test_three_shifts_a_day() -> None:
    shifts = Shifts()
    assert [shifts.name(n) for n in range(3)] == ["00:00–08:00", "08:00–16:00", "16:00–24:00"]
    assert shifts.of(at(0)) == (FIRST, 0)
    assert shifts.of(at(7, 59)) == (FIRST, 0)
    assert shifts.of(at(8)) == (FIRST, 1)
    assert shifts.of(at(23, 59)) == (FIRST, 2)


def test_a_night_shift_is_of_the_day_that_it_began_on() -> None:
    shifts = Shifts(starts=(450, 930, 1410))
    assert shifts.name(2) == "23:30–07:30"
    assert shifts.of(at(7, 29)) == (FIRST - dt.timedelta(days=1), 2)
    assert shifts.of(at(23, 30)) == (FIRST, 2)


@pytest.mark.covers("A27")
@pytest.mark.parametrize("seed", [4, 5])
async def test_every_slip_is_counted_once_for_its_person_and_shift(tmp_path: pathlib.Path, seed: int) -> None:
    clock = WardClock(0)
    hospital = Hospital(tmp_path, clock)
    try:
        months = Months(hospital, clock, seed)
        await months.begin(FIRST)
        await months.play(FIRST, 12, orders=5, mistakes=40, accepted=1.0, slips=30)
        since_us = hospital.time.midnight_us(FIRST + dt.timedelta(days=3))
        until_us = since_us + 6 * DAY_US
        found = await told(hospital.read, since_us=since_us, until_us=until_us)
        shifts = Shifts()
        expected: Counter[tuple[str, int, str]] = Counter()
        orders: set[tuple[str, dt.date, int, str]] = set()
        fold = Fold([], {})
        for position, received_us, fact in facts_of(hospital):
            wall_us, _, offset_us, *_ = fact[2]
            us = min(wall_us + (offset_us or 0), received_us)
            moment = dt.datetime.fromtimestamp(us / 1e6, tz=ZONE)
            if since_us <= us < until_us and fact[WHAT] == "dispensed":
                key = (fact[OPERATOR], moment.hour // 8)
                orders.add((fact[OPERATOR], moment.date(), moment.hour // 8, fact[ORDER]))
                boxes = {code.partition("#")[0] for code in fact[CODES]}
                lost = [code for code in fact[CODES] if fold.state.get(code, "") in {"", "in_stock"}]
                is_late = fact[HOW] == "late_scan"
                if fact[WITNESS] and fact[REASON]:
                    expected[*key, Slip.FORCED] += 1
                else:
                    expected[*key, Slip.LATE if is_late else Slip.UNSCANNED] += len(boxes if is_late else lost)
            if fact[WHAT] == "dispensed" and fact[HOW] == "late_scan":
                fold.state.update(dict.fromkeys(fact[CODES], "dispensed"))
            else:
                fold.take(position, us, fact)
        expected.update((person, shift, "handed_out") for person, _, shift, _ in orders)
        lines_found = lines(found, shifts, hospital.time.local)
        got: Counter[tuple[str, int, str]] = Counter()
        for line in lines_found:
            got[line.person, line.shift, "handed_out"] += line.handed_out
            got.update({(line.person, line.shift, slip): n for slip, n in line.slips.items()})
        assert +got == +expected
        assert {slip for _, _, slip in +got} == {"handed_out", *Slip}
        by_day = lines(found, shifts, hospital.time.local, is_by_day=True)
        assert sum(line.all for line in by_day) == sum(line.all for line in lines_found) == len(events(found))
    finally:
        await hospital.close()


async def test_an_undoing_before_two_people_is_no_forced_step(tmp_path: pathlib.Path) -> None:
    clock = WardClock(0)
    hospital = Hospital(tmp_path, clock)
    try:
        months = Months(hospital, clock, 1)
        await months.begin(FIRST)
        await months.restock(FIRST)
        code = box(0, 2)
        fields = {"operator": "n01", "witness": "n02", "order": "O-1"}
        hospital.record("station-1", hospital.fact(What.DISPENSED, code, how=How.LATE_SCAN, **fields))
        hospital.record("station-1", hospital.fact(What.RETURNED, code, reason=UNDONE, **fields))
        found = await told(hospital.read, since_us=0, until_us=clock.us + DAY_US)
        assert [(one.what, one.is_forced) for one in found if one.order] == [("dispensed", False), ("returned", False)]
        assert [event.slip for event in events(found)] == [Slip.LATE]
    finally:
        await hospital.close()
