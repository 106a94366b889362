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
    """Share of the billed units that the insurer has accepted."""
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
    found = {
        Indicator.UPLOAD: _shares(axis, _uploads(figures.sold)),
        Indicator.STOCKTAKE: _shares(axis, _differences(figures.counts)),
        Indicator.ERRORS: _a_day(axis, figures),
    }
    minutes = _minutes(axis, figures)
    return found | {indicator: _times(axis, minutes[kind]) for kind, indicator in TIMES.items()}


def _uploads(sold: Iterable[Sold]) -> Iterator[tuple[int, int, int]]:
    for one in sold:
        if not one.is_self_pay:
            yield one.us, one.units if one.state == ACCEPTED else 0, one.units


def _differences(counts: Iterable[Counted]) -> Iterator[tuple[int, int, int]]:
    for one in counts:
        yield one.us, one.missing + one.surplus, one.counted + one.missing


def _shares(axis: Axis, parts: Iterable[tuple[int, int, int]]) -> Series:
    """Of (moment, part, whole)."""
    sums = [[0, 0] for _ in axis.points]
    for us, part, whole in parts:
        point = axis.find(us)
        if point is not None:
            sums[point][0] += part
            sums[point][1] += whole
    return Series(
        whole=_share(sum(part for part, _ in sums), sum(whole for _, whole in sums)),
        points=tuple(_share(part, whole) for part, whole in sums),
    )


def _share(part: int, whole: int) -> Figure:
    return Figure(value=part / whole if whole else None, base=whole)


def _a_day(axis: Axis, figures: Figures) -> Series:
    """A day on which nothing was handed out is no day without errors: it does not count."""
    errors = [0] * len(axis.points)
    for us in figures.errors:
        point = axis.find(us)
        if point is not None:
            errors[point] += 1
    moments = [*figures.errors, *(one.us for one in figures.sold)]
    busy = Counter(axis.point_of(day) for day in {axis.day(us) for us in moments} if day is not None)
    points = [Figure(value=n / busy[i] if busy[i] else None, base=busy[i]) for i, n in enumerate(errors)]
    days = busy.total()
    return Series(whole=Figure(value=sum(errors) / days if days else None, base=days), points=tuple(points))


def _minutes(axis: Axis, figures: Figures) -> Mapping[str, list[tuple[int, float]]]:
    """By kind of order: the point that an order was executed in, and how long it took."""
    handed = dict(figures.handed_before)
    found: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for one in sorted(figures.sold, key=_moment):
        if not one.kind:
            continue
        before = handed.get(one.order, 0)
        handed[one.order] = before + one.units
        point = axis.find(one.us)
        if before < one.ordered <= before + one.units and point is not None:
            found[one.kind].append((point, max(0, one.us - one.arrived_us) / _MINUTE_US))
    return found


def _moment(one: Sold) -> int:
    return one.us


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
