"""The benchmarks run and say what they found. How fast anything is, is not asserted anywhere."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.benchmarks.measuring import Bench, Limit, Rounds, at_least, at_most, line, percentile  # noqa: E402

FIELDS = {"goal", "name", "value", "raw", "ratio", "floor", "aim", "floor_met", "aim_met", "note"}


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tests/benchmarks/run.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


def rounds(*pairs: tuple[float, float], fsync_ms: tuple[float, ...] = ()) -> Rounds:
    return Rounds(raw=[[raw] for _, raw in pairs], own=[[own] for own, _ in pairs], fsync_ms=list(fsync_ms))


def test_writes_what_it_found_as_a_table_and_as_json(tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    run = bench("--goals", "8,11", "--scale", "0.01", "--json", str(out))
    assert run.returncode == 0, run.stderr
    results = json.loads(out.read_text())
    assert [set(result) for result in results] == [FIELDS] * 2
    assert [result["goal"] for result in results] == [8, 11]
    _, bytes_of_a_fact = results
    assert bytes_of_a_fact["ratio"] == pytest.approx(bytes_of_a_fact["value"] / bytes_of_a_fact["raw"], rel=0.01)
    assert isinstance(bytes_of_a_fact["floor_met"], bool)
    for result in results:
        assert result["name"] in run.stdout
        assert result["floor"] in run.stdout


def test_help_names_every_goal() -> None:
    said = bench("--help").stdout
    for module in sorted((ROOT / "tests/benchmarks").glob("goal_*.py")):
        assert f"  {int(module.stem.split('_')[1]):2}  " in said


def test_says_which_goals_there_are() -> None:
    wrong = bench("--goals", "2,7")
    assert wrong.returncode == 2
    assert "found 7, expected some of 1, 2, 3" in wrong.stderr


def test_the_round_with_the_middle_ratio_counts() -> None:
    found = rounds((10, 1), (6, 3), (9, 3)).result(goal=1, name="x", floor=at_most(3), aim=at_most(2), note="")
    assert (found.value, found.raw, found.ratio) == (9, 3, 3)
    assert (found.floor_met, found.aim_met) == (True, False)


def test_a_goal_is_skipped_while_the_disk_is_unsteady() -> None:
    measured = rounds((1, 1), (1, 1), (1, 1), fsync_ms=(0.1, 0.2, 0.31))
    found = measured.result(goal=2, name="x", floor=at_most(3), aim=None, note="")
    assert (found.value, found.ratio, found.floor_met) == (None, None, None)
    assert "0.10 to 0.31 ms" in found.note


@pytest.mark.parametrize(
    ("limit", "value", "raw", "is_met"),
    [
        (at_most(3), 6.0, 2.0, True),
        (at_most(3), 7.0, 2.0, False),
        (at_least(0.5), 1.0, 2.0, True),
        (at_least(50_000, "value"), 49_999.0, 10.0, False),
        (at_most(26, "value"), 26.0, None, True),
        (at_most(3), 6.0, None, None),
    ],
)
def test_a_limit_holds_for_the_figure_or_for_its_ratio(
    limit: Limit, value: float, raw: float | None, *, is_met: bool | None
) -> None:
    found = line(goal=1, name="x", value=value, raw=raw, floor=limit, aim=None, note="")
    assert found.floor_met is is_met


def test_a_percentile_is_a_sample() -> None:
    assert percentile([5.0, 1.0, 3.0], 50) == 3.0
    assert percentile([float(number) for number in range(1, 101)], 99) == 99.0


async def test_raw_and_own_take_turns(tmp_path: Path) -> None:
    turns: list[str] = []

    async def raw(number: int) -> list[float]:
        turns.append(f"raw {number}")
        return [1.0]

    async def own(number: int) -> list[float]:
        turns.append(f"own {number}")
        return [2.0]

    measured = await Bench(folder=tmp_path).alternate(raw=raw, own=own, is_on_disk=True)
    assert turns == ["raw 0", "own 0", "raw 1", "own 1", "raw 2", "own 2"]
    assert len(measured.fsync_ms) == 3
