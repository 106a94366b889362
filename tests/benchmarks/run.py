"""``make bench``: the goals of performance.md, each beside its raw loop, in one table and as JSON.

Nothing here passes or fails by its speed: the exit status is 0 unless something breaks.
"""

import argparse
import ast
import asyncio
import importlib
import logging
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import structlog

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.benchmarks.measuring import Bench, Result  # noqa: E402 - this is a script of the tree

GOALS = {
    1: "goal_01_local_decision",
    2: "goal_02_durable_scan",
    3: "goal_03_scanners",
    4: "goal_04_tag_reads",
    5: "goal_05_drain",
    6: "goal_06_many_agents",
    8: "goal_08_replay",
    9: "goal_09_bootstrap",
    10: "goal_10_catch_up",
    11: "goal_11_wire_bytes",
    12: "goal_12_steady",
    14: "goal_14_growth",
    15: "goal_15_idle_agent",
}
_NUMBERS = range(2, 5)
"""Columns of the table that are numbers."""
_EPILOG = """\
goals:
{goals}

Each goal is measured in three rounds, its raw loop and the shipping code in turn; the round in the middle counts.
`ratio` is value / raw. Files are written below out/ of the repository, for a RAM disk would measure nothing.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    chosen = _parser().parse_args(arguments)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    (ROOT / "out").mkdir(exist_ok=True)
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="bench-", dir=ROOT / "out") as folder:
        bench = Bench(folder=Path(folder), scale=chosen.scale)
        for goal in chosen.goals:
            results += _run(goal, bench)
            # After each goal: who stops a long run keeps what it found.
            chosen.json.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    sys.stdout.write(f"{table(results)}\nwritten to {chosen.json}\n")
    return 0


def table(results: Sequence[Result]) -> str:
    """One line a result; ``*`` stands for what is met, ``-`` for what is not."""
    head = ("goal", "what", "value", "raw", "ratio", "floor", "", "aim", "", "note")
    rows = [head, *(_cells(result) for result in results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = [
        "  ".join(_aligned(cell, width, column) for column, (cell, width) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    ]
    return "\n".join(text.rstrip() for text in lines) + "\n"


def _run(goal: int, bench: Bench) -> list[Result]:
    began_s = time.monotonic()
    bench.say(f"goal {goal} …")
    results: list[Result] = asyncio.run(importlib.import_module(f"tests.benchmarks.{GOALS[goal]}").measure(bench))
    bench.say("")
    sys.stderr.write(f"goal {goal}: {time.monotonic() - began_s:.0f} s\n")
    return results


def _cells(result: Result) -> tuple[str, ...]:
    numbers = tuple("" if number is None else f"{number:,g}" for number in (result.value, result.raw, result.ratio))
    met = tuple({None: "", True: "*", False: "-"}[is_met] for is_met in (result.floor_met, result.aim_met))
    return (str(result.goal), result.name, *numbers, result.floor, met[0], result.aim, met[1], result.note)


def _aligned(cell: str, width: int, column: int) -> str:
    return cell.rjust(width) if column in _NUMBERS else cell.ljust(width)


def _parser() -> argparse.ArgumentParser:
    goals = "\n".join(f"  {goal:2}  {_headline(module)}" for goal, module in GOALS.items())
    parser = argparse.ArgumentParser(
        prog="tests/benchmarks/run.py",
        description="Measure the shipping code beside raw loops of the same machine and minute.",
        epilog=_EPILOG.format(goals=goals),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--goals",
        type=_goals,
        default=tuple(GOALS),
        metavar="N,N",
        help="which to measure, as 2,5; all of them if left out",
    )
    parser.add_argument(
        "--json", type=Path, default=Path("bench.json"), metavar="FILE", help="where to write the results (bench.json)"
    )
    parser.add_argument(
        "--scale", type=float, default=1.0, help="how much of the usual work to do; below 1 only to try the benchmarks"
    )
    return parser


def _goals(text: str) -> tuple[int, ...]:
    known = ", ".join(map(str, GOALS))
    try:
        goals = tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected numbers as 2,5 out of {known}") from error
    unknown = [goal for goal in goals if goal not in GOALS]
    if unknown:
        raise argparse.ArgumentTypeError(f"found {unknown[0]}, expected some of {known}")
    return goals


def _headline(module: str) -> str:
    """The first sentence of a goal's module, after its number."""
    tree = ast.parse(Path(__file__).with_name(f"{module}.py").read_text(encoding="utf-8"))
    return (ast.get_docstring(tree) or "").splitlines()[0].partition(": ")[2]


if __name__ == "__main__":
    sys.exit(main())
