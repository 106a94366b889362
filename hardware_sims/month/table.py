"""The paper's table as the console of codepool computes it, beside it what was assumed and what really happened."""

import csv
import datetime as dt
import io
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from hardware_sims.month.audit import Books
from hardware_sims.month.hands import Hands
from hardware_sims.month.parameters import DAYS, Period, Told, told
from hardware_sims.month.play import Play
from hardware_sims.month.shelves import Given

INDICATORS = ("upload", "stocktake", "errors", "time_long_term", "time_stat", "time_discharge")
"""In the order of the console's file."""
_SHARES = frozenset({"upload", "stocktake"})
_NAMES = {
    "upload": "upload rate",
    "stocktake": "stocktake error",
    "errors": "internal errors a day",
    "time_stat": "dispensing time, stat (min)",
    "time_long_term": "dispensing time, long-term (min)",
    "time_discharge": "dispensing time, discharge (min)",
}
_PERIODS = ("no codes", "scanned by hand", "pre-scan, pool")


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """``value`` None: there was nothing. ``base``: units, items, days or orders that it rests on."""

    value: float | None
    base: int


class Test(msgspec.Struct, frozen=True, kw_only=True):
    """Paired t-test, day by day, of two periods (0 to 2); ``p`` None: nothing to compare."""

    first: int
    second: int
    t: float | None
    p: float | None


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """``really``: what the simulation knows and no program was told."""

    seed: int
    orders: int
    products: int
    pharmacists: int
    periods: list[tuple[dt.date, dt.date]]
    upload_by_week: list[Figure]
    figures: dict[str, list[Figure]]
    tests: dict[str, list[Test]]
    parameters: list[Told]
    really: dict[str, list[int]]
    acts: dict[str, int]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    table: Table
    books: Books
    is_balanced: bool
    played_s: float
    audited_s: float
    peak_mb: dict[str, float]


async def read_table(hands: Hands, play: Play, given: Given) -> Table:
    """Asks the console for its figures."""
    periods = [_dates(play, period) for period in Period]
    pairs = [(0, 1), (1, 2), (0, 2)]
    weekly = {pair: await _compared(hands, periods, pair, "week") for pair in pairs[:2]}
    daily = {pair: await _compared(hands, periods, pair, "day") for pair in pairs}
    return Table(
        seed=play.seed,
        orders=play.orders,
        products=play.products,
        pharmacists=play.pharmacists,
        periods=periods,
        upload_by_week=[
            *weekly[0, 1]["upload"].first[:-1],
            *weekly[0, 1]["upload"].second[:-1],
            *weekly[1, 2]["upload"].second[:-1],
        ],
        figures={
            name: [weekly[0, 1][name].first[-1], weekly[0, 1][name].second[-1], weekly[1, 2][name].second[-1]]
            for name in INDICATORS
        },
        tests={
            name: [Test(first=a, second=b, t=daily[a, b][name].t, p=daily[a, b][name].p) for a, b in pairs]
            for name in INDICATORS
        },
        parameters=told(play.parameters),
        really={
            "wrong picks stopped by a scan": given.wrong_stopped,
            "wrong picks caught by a second person": given.wrong_caught,
            "wrong picks that reached a ward": given.wrong_at_ward,
        },
        acts=dict(sorted(given.acts.items())),
    )


def shown(table: Table) -> str:
    """For a terminal."""
    lines = [
        f"{table.orders} orders of {table.products} products, {table.pharmacists} pharmacists, seed {table.seed}",
        "",
        _row("", _PERIODS),
        _row("", [f"{first} –" for first, _ in table.periods]),
    ]
    for name in ("upload", "stocktake", "errors", "time_stat", "time_long_term", "time_discharge"):
        lines.append(_row(_NAMES[name], [_value(name, figure) for figure in table.figures[name]]))
        lines.append(_row("  rests on", [str(figure.base) for figure in table.figures[name]]))
    lines += ["", "upload rate by week", *_weeks(table.upload_by_week)]
    lines += ["", "paired t-test by day: p of periods 1-2, 2-3, 1-3"]
    lines += [_row(f"  {_NAMES[name]}", [_p(test.p) for test in tests]) for name, tests in table.tests.items()]
    lines += ["", "what no program was told"]
    lines += [_row(f"  {name}", [str(count) for count in counts]) for name, counts in table.really.items()]
    lines += ["", "what was done", *(f"  {name:<40} {count:>10}" for name, count in table.acts.items())]
    lines += ["", "what was assumed"]
    lines += [f"  {one.name:<18} {one.value:>7g} {one.unit:<7} {one.about}" for one in table.parameters]
    return "\n".join(lines)


class _Side(msgspec.Struct, kw_only=True):
    """An indicator of two periods: points, and the whole period at the end."""

    first: list[Figure] = []
    second: list[Figure] = []
    t: float | None = None
    p: float | None = None


async def _compared(
    hands: Hands, periods: Sequence[tuple[dt.date, dt.date]], pair: tuple[int, int], step: str
) -> Mapping[str, _Side]:
    (a_from, a_to), (b_from, b_to) = (periods[number] for number in pair)
    days = {"a_from": a_from, "a_to": a_to, "b_from": b_from, "b_to": b_to}
    query = {name: day.isoformat() for name, day in days.items()} | {"step": step}
    rows = list(csv.reader(io.StringIO(await hands.download("/indicators.csv", query))))[1:]
    names = list(dict.fromkeys(row[0] for row in rows))
    sides = {name: _Side(first=[], second=[]) for name in INDICATORS}
    for row in rows:
        side = sides[INDICATORS[names.index(row[0])]]
        side.first.append(Figure(value=_number(row[4]), base=int(row[5])))
        side.second.append(Figure(value=_number(row[8]), base=int(row[9])))
        side.t, side.p = _number(row[10]), _number(row[12])
    return sides


def _number(text: str) -> float | None:
    return float(text) if text else None


def _dates(play: Play, period: Period) -> tuple[dt.date, dt.date]:
    first = play.began.date() + dt.timedelta(days=DAYS * period)
    return first, first + dt.timedelta(days=DAYS - 1)


def _row(name: str, cells: Sequence[str]) -> str:
    return f"{name:<40}" + "".join(f"{cell:>18}" for cell in cells)


def _weeks(figures: Sequence[Figure]) -> Iterator[str]:
    weeks = DAYS // 7
    for week in range(weeks):
        cells = [_value("upload", figures[number * weeks + week]) for number in range(len(Period))]
        yield _row(f"  week {week + 1} of the period", cells)


def _value(name: str, figure: Figure) -> str:
    if figure.value is None:
        return "–"
    return f"{figure.value:.2%}" if name in _SHARES else f"{figure.value:.2f}"


def _p(p: float | None) -> str:
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"  # noqa: PLR2004 - the least that is told
