"""Each indicator of the console equals the one that an independent fold over the facts arrives at."""

import datetime as dt
import math
import pathlib
import statistics

import pytest

from central.indicators.axis import Axis, Period, Step
from central.indicators.report import TIMES, Figure, Indicator, Series, series
from central.ledger import read_figures
from central.ledger.read_figures import figures
from sync_protocol.documents import OrderKind
from tests.integration.central_faces.hospital import Hospital
from tests.integration.central_faces.months import Months, WardClock, facts_of
from tests.unit.indicators import folding
from tests.unit.indicators.folding import Fold

FIRST = dt.date(2026, 8, 31)
DAYS = 30


async def a_month(folder: pathlib.Path, seed: int) -> Hospital:
    clock = WardClock(0)
    hospital = Hospital(folder, clock)
    months = Months(hospital, clock, seed)
    await months.begin(FIRST)
    await months.play(FIRST, DAYS, orders=6, mistakes=12, accepted=0.8, undone=15)
    return hospital


def base(found: Series) -> int:
    return sum(point.base for point in found.points)


@pytest.mark.covers("A24", "A23")
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_every_indicator_equals_an_independent_fold_over_the_facts(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(read_figures, "_WINDOW", 97)
    monkeypatch.setattr(read_figures, "_SET_BACK_US", seed - 1)
    hospital = await a_month(tmp_path, seed)
    try:
        connection = hospital.ledger.connection
        fold = Fold(facts_of(hospital), dict(connection.execute("SELECT id, product FROM orders").fetchall()))
        states = {
            (p, b): state
            for p, b, state in connection.execute("SELECT position, box, state FROM insurer_row WHERE NOT is_return")
        }
        query = "SELECT id, kind, quantity, placed_us FROM orders"
        orders = {key: (kind, quantity, us) for key, kind, quantity, us in connection.execute(query)}
        assert {(position, box) for _, position, box, _, _ in fold.sold} == states.keys()
        for step in Step:
            # Three periods: the middle has hand-outs before it and facts that came long after it.
            for since, days in ((0, DAYS), (9, 11), (20, 10)):
                period = Period(
                    first=FIRST + dt.timedelta(days=since), last=FIRST + dt.timedelta(days=since + days - 1)
                )
                axis = Axis(period, step, hospital.time.midnight_us)
                found = series(axis, await figures(hospital.read, since_us=axis.start_us))
                for n, point in enumerate(axis.points):
                    now = {indicator: row.points[n] for indicator, row in found.items()}
                    check(now, fold, states, orders, (point.first, point.last))
                assert base(found[Indicator.UPLOAD]) == found[Indicator.UPLOAD].whole.base
                assert found[Indicator.UPLOAD].whole.base > 20
        assert fold.errors
        assert fold.uncoded
        assert any(units == 0 for *_, units in fold.sold), "none was undone"
        assert any(differ for _, differ, _ in fold.counts)
    finally:
        await hospital.close()


def check(
    found: dict[Indicator, Figure],
    fold: Fold,
    states: dict[tuple[int, str], str],
    orders: dict[str, tuple[str, int, int]],
    bounds: tuple[dt.date, dt.date],
) -> None:
    for indicator, (part, whole) in (
        (Indicator.UPLOAD, folding.upload(fold, states, *bounds)),
        (Indicator.STOCKTAKE, folding.stocktake(fold, *bounds)),
        (Indicator.ERRORS, folding.errors(fold, *bounds)),
    ):
        figure = found[indicator]
        assert figure.base == whole, (indicator, bounds)
        assert figure.value == (part / whole if whole else None), (indicator, bounds)
    for kind in OrderKind:
        minutes = folding.minutes(fold, orders, kind, *bounds)
        figure = found[TIMES[kind]]
        assert figure.base == len(minutes), (kind, bounds)
        if minutes:
            assert math.isclose(figure.value or 0, statistics.fmean(minutes), rel_tol=1e-12)
            assert (figure.median, figure.p90) == (statistics.median(minutes), folding.percentile(minutes))
