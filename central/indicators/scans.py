"""Scans that were missed, and steps that were forced without one, by person and shift.

What counts as missed: a box that was scanned late, at its hand-out, because nobody had pre-scanned it; and a hand-out
of a code that no scan had brought into the stock or locked, which the ledger put on its work list. Forced: a step that
a person confirmed for a stated reason with a second person at hand.
"""

import datetime as dt
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable
from enum import StrEnum

import msgspec

from central.ledger.read_scans import Told

_DAY_MIN = 24 * 60


class Slip(StrEnum):
    LATE = "late"
    UNSCANNED = "unscanned"
    FORCED = "forced"


class Shifts(msgspec.Struct, frozen=True, kw_only=True):
    """``starts``: minutes after midnight, rising. What is before the first is of the last one of the day before."""

    starts: tuple[int, ...] = (0, 8 * 60, 16 * 60)

    def of(self, moment: dt.datetime) -> tuple[dt.date, int]:
        """The day that its shift began on, and the number of the shift."""
        number = bisect_right(self.starts, moment.hour * 60 + moment.minute) - 1
        if number >= 0:
            return moment.date(), number
        return moment.date() - dt.timedelta(days=1), len(self.starts) - 1

    def name(self, number: int) -> str:
        end = self.starts[(number + 1) % len(self.starts)] or _DAY_MIN
        return f"{_clock(self.starts[number])}–{_clock(end)}"


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """What a person did in one shift of a day, or in such shifts of all days (``day`` None)."""

    day: dt.date | None
    shift: int
    person: str
    handed_out: int
    """Orders: one whose boxes are in several facts, by their evidence, was handed out once in a shift."""
    slips: dict[Slip, int]

    @property
    def missed(self) -> int:
        return self.slips[Slip.LATE] + self.slips[Slip.UNSCANNED]

    @property
    def all(self) -> int:
        return self.missed + self.slips[Slip.FORCED]


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One slip: a box, or a code."""

    us: int
    slip: Slip
    told: Told
    code: str


def events(told: Iterable[Told]) -> list[Event]:
    """The newest first."""
    found = [Event(us=one.us, slip=slip, told=one, code=code) for one in told for slip, code in _slips(one)]
    return sorted(found, key=lambda event: (-event.us, -event.told.position, event.code))


def lines(
    told: Iterable[Told], shifts: Shifts, local: Callable[[int], dt.datetime], *, is_by_day: bool = False
) -> list[Line]:
    """Most slips first; by day: in the order of days."""
    handed: dict[tuple[dt.date | None, int, str], set[tuple[dt.date, str | int]]] = defaultdict(set)
    slips: dict[tuple[dt.date | None, int, str], list[Slip]] = defaultdict(list)
    for one in told:
        day, shift = shifts.of(local(one.us))
        key = (day if is_by_day else None, shift, one.operator)
        handed[key].update([(day, one.order or one.position)] if one.what == "dispensed" else [])
        slips[key] += [slip for slip, _ in _slips(one)]
    found = [
        Line(
            day=day,
            shift=shift,
            person=person,
            handed_out=len(orders),
            slips={slip: slips[day, shift, person].count(slip) for slip in Slip},
        )
        for (day, shift, person), orders in handed.items()
    ]
    return sorted(found, key=lambda line: (line.day or dt.date.min, -line.all, line.person, line.shift))


def _slips(one: Told) -> list[tuple[Slip, str]]:
    if one.is_forced:
        return [(Slip.FORCED, one.codes[0])]
    late = sorted({code.partition("#")[0] for code in one.codes}) if one.is_late else []
    return [*((Slip.LATE, box) for box in late), *((Slip.UNSCANNED, code) for code in one.unscanned)]


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"
