"""Indicators: two periods of the reader's choice beside each other, each with its course and with a paired t-test."""

import asyncio
import datetime as dt
from collections.abc import Iterator, Sequence

import msgspec

from central.console.chart import Chart, Given, chart
from central.console.message import message
from central.console.sheet import Cell, Sheet, listed
from central.console.visit import View, Visit
from central.errors import InvalidError
from central.indicators.axis import Axis, Period, Step
from central.indicators.report import SHARES, TIMES, Comparison, Figure, Indicator, Series, compare
from central.ledger.read_figures import figures

ALPHA = 0.05
_USUAL_DAYS = 28
_MOST_DAYS = 366
_P_SHOWN = 0.001
_HEADS = (
    message("Indicator"),
    message("Pair"),
    message("first period from"),
    message("first period to"),
    message("first value"),
    message("first value rests on"),
    message("second period from"),
    message("second period to"),
    message("second value"),
    message("second value rests on"),
    "t",
    message("degrees of freedom"),
    "p",
)


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """First and last day of the two periods, ``a`` the earlier one; without them the last four weeks and those before.

    ``step``: what a point is, and with it what is paired.
    """

    a_from: dt.date | None = None
    a_to: dt.date | None = None
    b_from: dt.date | None = None
    b_to: dt.date | None = None
    step: Step = Step.DAY

    def periods(self, today: dt.date) -> tuple[Period, Period]:
        """Raises InvalidError."""
        b = _period("b", self.b_from, self.b_to, Period(first=today - dt.timedelta(days=_USUAL_DAYS - 1), last=today))
        return _period("a", self.a_from, self.a_to, b.before()), b


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """What the page and the file are made of."""

    first: Axis
    second: Axis
    found: dict[Indicator, Comparison]


async def show(visit: Visit) -> View:
    query = visit.query(Query)
    compared = await _compare(visit, query)
    values = {
        "query": query,
        "steps": list(Step),
        "first": compared.first.period,
        "second": compared.second.period,
        "found": list(compared.found.values()),
        "is_empty": all(comparison.is_empty for comparison in compared.found.values()),
        "charts": {key: _chart(compared, comparison) for key, comparison in compared.found.items()},
        "shown": shown,
        "change": _change,
        "likely": _likely,
        "alpha": ALPHA,
        "times": frozenset(TIMES.values()),
        "presets": _presets(visit),
    }
    return View(template="indicators.html", values=values)


async def sheet(visit: Visit) -> Sheet:
    compared = await _compare(visit, visit.query(Query))
    heads = visit.heads(_HEADS)
    return Sheet(name="indicators", heads=heads, rows=listed(_rows(visit, compared)))


async def _compare(visit: Visit, query: Query) -> Compared:
    time = visit.services.time
    a, b = query.periods(time.today())
    first, second = Axis(a, query.step, time.midnight_us), Axis(b, query.step, time.midnight_us)
    since_us = min(first.start_us, second.start_us)
    read = await figures(visit.services.read, since_us=since_us)
    # On a thread: a year of a large hospital takes seconds, and central has other work.
    found = await asyncio.to_thread(compare, first, second, read)
    return Compared(first=first, second=second, found=found)


def _period(name: str, first: dt.date | None, last: dt.date | None, usual: Period) -> Period:
    if first is None and last is None:
        return usual
    last = last or (first or usual.first) + dt.timedelta(days=usual.days - 1)
    first = first or last - dt.timedelta(days=usual.days - 1)
    days = (last - first).days + 1
    if not 1 <= days <= _MOST_DAYS:
        raise InvalidError(
            f"{name}_to", last.isoformat(), f"a day from {first} on, at most {_MOST_DAYS} days", "choose other days"
        )
    return Period(first=first, last=last)


def _presets(visit: Visit) -> list[tuple[str, str]]:
    today = visit.services.time.today()
    weeks = Period(first=today - dt.timedelta(days=12 * 7 - 1), last=today)
    month = Period(first=today.replace(day=1), last=today)
    month = Period(first=(month.first - dt.timedelta(days=1)).replace(day=1), last=month.first - dt.timedelta(days=1))
    earlier = Period(first=month.before().last.replace(day=1), last=month.before().last)
    return [
        (visit.link("/indicators"), visit.language.say("last 4 weeks")),
        (_link(visit, weeks.before(), weeks, Step.WEEK), visit.language.say("last 12 weeks")),
        (_link(visit, earlier, month, Step.DAY), visit.language.say("last two months")),
    ]


def _link(visit: Visit, a: Period, b: Period, step: Step) -> str:
    days = {"a_from": a.first, "a_to": a.last, "b_from": b.first, "b_to": b.last}
    return visit.link("/indicators", **days, step=step)


def shown(indicator: Indicator, value: float | None) -> str:
    """As it stands in a table: shares in percent, times in minutes."""
    if value is None:
        return "–"
    return f"{value:.2%}" if indicator in SHARES else f"{value:.2f}"


def _change(comparison: Comparison) -> str:
    """Of the whole periods, in hundredths of the first; empty where there is nothing to compare."""
    one, other = comparison.first.whole.value, comparison.second.whole.value
    return f"{(other - one) / one:+.1%}" if one and other is not None else ""


def _likely(p: float) -> str:
    return f"p < {_P_SHOWN}" if p < _P_SHOWN else f"p = {p:.3f}"


def _chart(compared: Compared, comparison: Comparison) -> Chart:
    rows = [
        _given("first", comparison.indicator, compared.first, comparison.first),
        _given("second", comparison.indicator, compared.second, comparison.second),
    ]
    if comparison.indicator in SHARES:
        return chart(rows, label=_percent, most=1.0)
    return chart(rows, label=lambda value: f"{value:g}")


def _percent(value: float) -> str:
    return f"{value * 100:g}%"


def _given(name: str, indicator: Indicator, axis: Axis, series: Series) -> Given:
    titles = [
        f"{_span(period)}: {shown(indicator, figure.value)}"
        for period, figure in zip(axis.points, series.points, strict=True)
    ]
    return Given(name=name, values=series.values, titles=titles)


def _span(period: Period) -> str:
    return f"{period.first}" if period.days == 1 else f"{period.first} – {period.last}"


def _rows(visit: Visit, compared: Compared) -> Iterator[Sequence[Cell]]:
    for indicator, comparison in compared.found.items():
        name = visit.word("indicator", indicator)
        sides = ((compared.first, comparison.first), (compared.second, comparison.second))
        for n in range(max(len(axis.points) for axis, _ in sides)):
            cells = [cell for axis, series in sides for cell in _cells(axis.points, series.points, n)]
            yield name, n + 1, *cells, None, None, None
        test = comparison.test
        wholes = [cell for axis, series in sides for cell in _cells((axis.period,), (series.whole,), 0)]
        yield name, visit.language.say("whole period"), *wholes, test.t, test.degrees if test.pairs else None, test.p


def _cells(periods: Sequence[Period], figures: Sequence[Figure], n: int) -> tuple[Cell, ...]:
    if n >= len(periods):
        return None, None, None, None
    return periods[n].first, periods[n].last, figures[n].value, figures[n].base
