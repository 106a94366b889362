"""The paper's months, small: real programs, played time; its table against a fold of its own over the facts."""

import datetime as dt
import json
import math
import sqlite3
import statistics
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.unit.indicators import folding
from tests.unit.indicators.folding import Fold

# Much of what is rare in a hospital, so that little is enough.
RICH = {"wrong_pick": 0.3, "wrong_pick_shown": 0.3, "miscount": 0.4, "returned": 0.3, "loan": 0.5, "damaged": 0.1}
ORDERS = 60
LONGEST_S = 240
"""Twenty seconds where nothing else runs; programs are started and stopped in it, so a busy machine takes its time."""
KINDS = {"stat": "time_stat", "long_term": "time_long_term", "discharge": "time_discharge"}


def play(folder: Path, *, seed: int) -> dict[str, Any]:
    out = folder.parent / f"{folder.name}.json"
    assumed = [word for name, value in RICH.items() for word in ("--set", f"{name}={value}")]
    command = [sys.executable, "-m", "hardware_sims.cli", "month", "--orders", str(ORDERS), "--seed", str(seed)]
    done = subprocess.run(
        [*command, *assumed, "--dir", str(folder), "--json", str(out)],
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "books balance" in done.stdout
    report: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return report


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("month") / "first"


@pytest.fixture(scope="module")
def report(folder: Path) -> dict[str, Any]:
    return play(folder, seed=5)


@pytest.mark.timeout(LONGEST_S)
@pytest.mark.mosquitto
@pytest.mark.covers("A03", "A07", "A08", "A09", "A14", "A15", "A16", "A17", "A18", "A23", "A24")
def test_the_books_balance_and_all_was_played(report: dict[str, Any]) -> None:
    books, acts = report["books"], report["table"]["acts"]
    assert report["is_balanced"]
    assert books["problems"] == []
    assert books["facts_journalled"] == books["facts_in_ledger"] > ORDERS
    assert {"boxes received", "boxes pre-scanned", "late scans", "lines counted", "returns", "loans"} <= acts.keys()
    assert {"units broken", "recounts", "boxes recalled"} <= acts.keys()
    assert sum(report["table"]["really"]["wrong picks caught by a second person"]) > 0


@pytest.mark.mosquitto
@pytest.mark.covers("A24")
def test_every_figure_of_the_table_is_what_the_facts_add_up_to(report: dict[str, Any], folder: Path) -> None:
    table = report["table"]
    with closing(sqlite3.connect(f"file:{folder / 'central/ledger.db'}?mode=ro", uri=True)) as ledger:
        facts = [
            (position, received_us, msgspec.msgpack.decode(body))
            for position, received_us, body in ledger.execute("SELECT position, received_us, body FROM fact ORDER BY 1")
        ]
        fold = Fold(facts, dict(ledger.execute("SELECT id, product FROM orders").fetchall()))
        rows = ledger.execute("SELECT position, box, state FROM insurer_row WHERE NOT is_return").fetchall()
        states = {(position, box): state for position, box, state in rows}
        orders = {
            key: (kind, quantity, us)
            for key, kind, quantity, us in ledger.execute("SELECT id, kind, quantity, placed_us FROM orders")
        }
    periods = [tuple(dt.date.fromisoformat(day) for day in period) for period in table["periods"]]
    for number, (first, last) in enumerate(periods):
        figures = {name: found[number] for name, found in table["figures"].items()}
        for name, (part, whole) in (
            ("upload", folding.upload(fold, states, first, last)),
            ("stocktake", folding.stocktake(fold, first, last)),
            ("errors", folding.errors(fold, first, last)),
        ):
            assert figures[name] == {"value": part / whole if whole else None, "base": whole}, (name, number)
        for kind, name in KINDS.items():
            minutes = folding.minutes(fold, orders, kind, first, last)
            assert figures[name]["base"] == len(minutes), (name, number)
            assert not minutes or math.isclose(figures[name]["value"], statistics.fmean(minutes), rel_tol=1e-12)
        for week in range(4):
            monday = first + dt.timedelta(days=7 * week)
            part, whole = folding.upload(fold, states, monday, monday + dt.timedelta(days=6))
            expected = {"value": part / whole if whole else None, "base": whole}
            assert table["upload_by_week"][number * 4 + week] == expected


@pytest.mark.mosquitto
def test_the_periods_differ_by_what_staff_do(report: dict[str, Any]) -> None:
    """The course of the paper: nothing is reported, then some, then everything."""
    none, some, everything = (figure["value"] for figure in report["table"]["figures"]["upload"])
    assert (none, everything) == (0, 1)
    assert 0 < some < 1


@pytest.mark.timeout(LONGEST_S)
@pytest.mark.mosquitto
def test_the_same_seed_gives_the_same_table(report: dict[str, Any], tmp_path: Path) -> None:
    assert play(tmp_path / "again", seed=5)["table"] == report["table"]


@pytest.mark.parametrize("wrong", ["scan", "scan=-1", "caught=1.5", "nothing=1", "scan=x"])
def test_an_assumption_that_cannot_be_is_refused_by_name(wrong: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hardware_sims.cli", "month", "--orders", "1", "--set", wrong]
    done = subprocess.run([*command, "--dir", str(tmp_path)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert repr(wrong) in done.stderr
    assert "NAME=VALUE" in done.stderr
