"""The indicators of the drug paper for two periods, point by point, and how likely their difference is chance."""

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum

import msgspec

from central.indicators.axis import Axis
from central.indicators.student import Paired, paired
from central.ledger.read_figures import Counted, Figures, Sold
from sync_protocol.documents import OrderKind

ACCEPTED = "accepted"
_MINUTE_US = 60_000_000


class Indicator(StrEnum):
    UPLOAD = "upload"
    """Share of the billed units that the insurer has accepted. What went out without a code is billed, too."""
    STOCKTAKE = "stocktake"
    """Share of what was counted, or should have been, in which book and count differ."""
    ERRORS = "errors"
    """Hand-outs a day that were wrong."""
    LONG_TERM = "time_long_term"
    """Minutes from the arrival of an order to the hand-out that completed it."""
    STAT = "time_stat"
    DISCHARGE = "time_discharge"


TIMES = {
    OrderKind.LONG_TERM: Indicator.LONG_TERM,
    OrderKind.STAT: Indicator.STAT,
    OrderKind.DISCHARGE: Indicator.DISCHARGE,
}
Placed = tuple[int | None, Sold]
"""What was handed out, with the number of its day in the period; None: on none of them."""
SHARES = frozenset({Indicator.UPLOAD, Indicator.STOCKTAKE})


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """``value`` None: there was nothing. ``base``: units, items, days or orders that it rests on."""

    value: float | None
    base: int
    median: float | None = None
    p90: float | None = None


class Series(msgspec.Struct, frozen=True, kw_only=True):
    whole: Figure
    points: tuple[Figure, ...]

    @property
    def values(self) -> list[float | None]:
        return [point.value for point in self.points]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """``first`` and ``second``: the two periods."""

    indicator: Indicator
    first: Series
    second: Series
    test: Paired

    @property
    def is_empty(self) -> bool:
        return self.first.whole.base + self.second.whole.base == 0


def compare(first: Axis, second: Axis, figures: Figures) -> dict[Indicator, Comparison]:
    one, other = series(first, figures), series(second, figures)
    return {
        indicator: Comparison(
            indicator=indicator,
            first=one[indicator],
            second=other[indicator],
            test=paired(one[indicator].values, other[indicator].values),
        )
        for indicator in Indicator
    }


def series(axis: Axis, figures: Figures) -> dict[Indicator, Series]:
    sold = [(axis.day(one.us), one) for one in figures.sold]
    found = {
        Indicator.UPLOAD: _shares(axis, _uploads(sold)),
        Indicator.STOCKTAKE: _shares(axis, _differences(axis, figures.counts)),
        Indicator.ERRORS: _a_day(axis, [axis.day(us) for us in figures.errors], {day for day, _ in sold}),
    }
    minutes = _minutes(axis, sold, figures.handed_before)
    return found | {indicator: _times(axis, minutes[kind]) for kind, indicator in TIMES.items()}


def _uploads(sold: Iterable[Placed]) -> Iterator[tuple[int | None, int, int]]:
    for day, one in sold:
        if not one.is_self_pay:
            yield day, one.units if one.state == ACCEPTED else 0, one.units


def _differences(axis: Axis, counts: Iterable[Counted]) -> Iterator[tuple[int | None, int, int]]:
    for one in counts:
        yield axis.day(one.us), one.missing + one.surplus, one.counted + one.missing


def _shares(axis: Axis, parts: Iterable[tuple[int | None, int, int]]) -> Series:
    """Of (day, part, whole)."""
    sums = [[0, 0] for _ in axis.points]
    for day, part, whole in parts:
        if day is not None:
            point = sums[axis.point_of(day)]
            point[0] += part
            point[1] += whole
    return Series(
        whole=_share(sum(part for part, _ in sums), sum(whole for _, whole in sums)),
        points=tuple(_share(part, whole) for part, whole in sums),
    )


def _share(part: int, whole: int) -> Figure:
    return Figure(value=part / whole if whole else None, base=whole)


def _a_day(axis: Axis, wrong: Iterable[int | None], handed: set[int | None]) -> Series:
    """By the days of errors and of hand-outs. A day on which nothing was handed out is no day without errors."""
    days = [day for day in wrong if day is not None]
    errors = Counter(axis.point_of(day) for day in days)
    busy = Counter(axis.point_of(day) for day in {*handed, *days} if day is not None)
    points = tuple(
        Figure(value=errors[n] / busy[n] if busy[n] else None, base=busy[n]) for n in range(len(axis.points))
    )
    total = busy.total()
    return Series(whole=Figure(value=len(days) / total if total else None, base=total), points=points)


def _minutes(
    axis: Axis, sold: Iterable[Placed], handed_before: Mapping[str, int]
) -> Mapping[str, list[tuple[int, float]]]:
    """By kind of order: the point that an order was executed in, and how long it took."""
    handed = dict(handed_before)
    found: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for day, one in sorted(sold, key=_moment):
        if not one.kind:
            continue
        before = handed.get(one.order, 0)
        handed[one.order] = before + one.units
        if before < one.ordered <= before + one.units and day is not None:
            found[one.kind].append((axis.point_of(day), max(0, one.us - one.arrived_us) / _MINUTE_US))
    return found


def _moment(placed: Placed) -> int:
    return placed[1].us


def _times(axis: Axis, minutes: Sequence[tuple[int, float]]) -> Series:
    by_point: dict[int, list[float]] = defaultdict(list)
    for point, taken in minutes:
        by_point[point].append(taken)
    return Series(
        whole=_spread([taken for _, taken in minutes]),
        points=tuple(_spread(by_point[number]) for number in range(len(axis.points))),
    )


def _spread(minutes: Sequence[float]) -> Figure:
    """``value`` is the mean; nine of ten took no longer than ``p90`` (nearest rank)."""
    if not minutes:
        return Figure(value=None, base=0)
    ranked = sorted(minutes)
    return Figure(
        value=math.fsum(ranked) / len(ranked),
        base=len(ranked),
        median=statistics.median(ranked),
        p90=ranked[math.ceil(0.9 * len(ranked)) - 1],
    )
