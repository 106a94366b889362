"""Runs the simulation: many seeds, one seed with its trace, one that is made small, or the hunt for mutants."""

import argparse
import hashlib
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import msgspec

from tests.simulation.cases import Case, save
from tests.simulation.mutants import MOST_SEEDS, MUTANTS, Kill, hunt
from tests.simulation.plan import Plan, make_plan
from tests.simulation.shrink import shrink
from tests.simulation.simulation import Report, run_plan

_In = TypeVar("_In")
_Out = TypeVar("_Out")
_HELP = """
examples:
  run.py --seeds 500 --first 1              what `make simulate` does; exits 1 if any seed fails
  run.py --seed 42 --trace | less           one seed, everything that happens in it
  run.py --seed 42 --shrink --save NAME     the few decisions that matter, kept in tests/simulation/corpus
  run.py --seeds 20 --store sqlite          with the shipped stores on real files in memory
  run.py --mutants                          what `make mutants` does; exits 1 if one lives
  run.py --mutants ack_highest off_cursor   some of them
  run.py --seed 7 --mutant ack_highest      one seed of one mutant (with --trace or --shrink too)
"""


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One seed to run."""

    seed: int
    store: str
    mutant: str = ""

    def plan(self) -> Plan:
        return make_plan(self.seed)


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def run_task(task: Task, plan: Plan | None = None, trace: Callable[[str], None] | None = None) -> Report:
    mutant = MUTANTS.get(task.mutant)
    with mutant.applied() if mutant else nullcontext():
        return run_plan(
            plan or task.plan(), store=task.store, trace=trace, arm=mutant.arm if mutant is not None else None
        )


def run_many(tasks: Sequence[Task], jobs: int) -> int:
    """Print failures as they come and the figures at the end; how many failed."""
    began_s = time.monotonic()
    reports = []
    for report in _spread(run_task, tasks, jobs):
        reports.append(report)
        if report.rule:
            say(f"seed {report.seed} FAILED after {report.events} events: {report.detail}")
    failures = [report for report in reports if report.rule]
    events = sum(report.events for report in reports)
    took_s = time.monotonic() - began_s
    virtual_s = sum(report.virtual_us for report in reports) / 1e6
    figures = {
        "facts": sum(one.facts for one in reports),
        "exceptions": sum(one.exceptions for one in reports),
        "lost_with_disks": sum(one.lost for one in reports),
        "unseen": sum(one.unseen for one in reports),
        "virtual_hours": round(virtual_s / 3600, 1),
        "times_real": round(virtual_s / took_s),
        "jobs": jobs,
        "trace": _trace(reports),
    }
    say(" ".join(f"{name}={figure}" for name, figure in figures.items()))
    if failures:
        first = failures[0].seed
        say(f"look at one: {Path(__file__).name} --seed {first} --trace; make it small: --seed {first} --shrink")
    rate = events / took_s * 60
    say(f"seeds={len(reports)} events={events} failures={len(failures)} events_per_min={rate:.0f}")
    return len(failures)


def _trace(reports: Sequence[Report]) -> str:
    """One hash of all that happened in all of them: the same for the same seeds on any machine."""
    traces = "".join(one.trace_hash for one in sorted(reports, key=lambda one: one.seed))
    return hashlib.sha256(traces.encode()).hexdigest()[:16]


def hunt_all(names: Sequence[str], first: int, most: int, jobs: int) -> int:
    """Print how many seeds each mutant lives; how many live on."""
    kills = []
    for kill in _spread(_Hunt(first, most), names or list(MUTANTS), jobs):
        kills.append(kill)
        said = f"killed after {kill.seeds:3} (seed {kill.seed}) by {kill.detail}" if kill.seeds else "LIVES"
        say(f"{kill.name:24} {said[:150]}")
    alive = [kill.name for kill in kills if not kill.seeds]
    seeds = [kill.seeds for kill in kills if kill.seeds]
    median = statistics.median(seeds) if seeds else 0
    say(f"mutants={len(kills)} killed={len(seeds)} median_seeds={median:g} most_seeds={max(seeds, default=0)}")
    if alive:
        say(f"these live after {most} seeds, so a fault or a check is missing: {' '.join(alive)}")
    return len(alive)


class _Hunt:
    def __init__(self, first: int, most: int) -> None:
        self._first = first
        self._most = most

    def __call__(self, name: str) -> Kill:
        return hunt(name, first=self._first, most=self._most)


def make_small(task: Task, seconds: float, name: str) -> int:
    report = run_task(task)
    if not report.rule:
        say(f"seed {task.seed} does not fail: nothing to make small")
        return 1
    say(f"seed {task.seed} breaks {report.detail}")

    def breaks(plan: Plan) -> bool:
        return run_task(task, plan).rule == report.rule

    small = shrink(task.plan(), breaks, seconds=seconds)
    report = run_task(task, small)
    say(f"{len(task.plan().decisions)} decisions became {len(small.decisions)}: {report.detail}")
    for decision in small.decisions:
        say(f"  {decision}")
    if name:
        case = Case(rule=report.rule, detail=report.detail, mutant=task.mutant, store=task.store, plan=small)
        say(f"kept in {save(name, case)}")
    return 0


def _spread(work: Callable[[_In], _Out], tasks: Sequence[_In], jobs: int) -> Iterator[_Out]:
    if jobs == 1:
        yield from map(work, tasks)
        return
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("fork")) as pool:
        waiting = {pool.submit(work, task): task for task in tasks}
        for done in as_completed(waiting):
            try:
                yield done.result()
            except BrokenProcessPool:
                lost = [str(waiting[one]) for one in waiting if not one.done() or one.exception() is not None]
                say(f"FAILED: a process died in the midst of its work, one of: {', '.join(lost[: 2 * jobs])}")
                raise SystemExit(1) from None


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seeds", type=int, default=100, help="how many seeds (default 100)")
    parser.add_argument("--first", type=int, default=1, help="the first of them (default 1)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")
    parser.add_argument("--store", choices=("dict", "sqlite"), default="dict", help="stand-ins or the shipped stores")
    parser.add_argument("--seed", type=int, help="only this seed")
    parser.add_argument("--trace", action="store_true", help="with --seed: print everything that happens")
    parser.add_argument("--shrink", action="store_true", help="with --seed: find the few decisions that matter")
    parser.add_argument("--seconds", type=float, default=60.0, help="with --shrink: for how long (default 60)")
    parser.add_argument("--save", default="", metavar="NAME", help="with --shrink: keep it in the corpus")
    parser.add_argument("--mutant", choices=sorted(MUTANTS), default="", metavar="NAME", help="run this wrong protocol")
    parser.add_argument("--mutants", nargs="*", choices=sorted(MUTANTS), metavar="NAME", help="hunt all, or these")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0 only if nothing failed and nothing lives."""
    asked = _arguments().parse_args(arguments)
    if asked.mutants is not None:
        return min(1, hunt_all(asked.mutants, asked.first, MOST_SEEDS, asked.jobs))
    if asked.seed is None:
        tasks = [
            Task(seed=seed, store=asked.store, mutant=asked.mutant)
            for seed in range(asked.first, asked.first + asked.seeds)
        ]
        return min(1, run_many(tasks, asked.jobs))
    task = Task(seed=asked.seed, store=asked.store, mutant=asked.mutant)
    if asked.shrink:
        return make_small(task, asked.seconds, asked.save)
    report = run_task(task, trace=say if asked.trace else None)
    say(msgspec.json.format(msgspec.json.encode(report), indent=1).decode())
    return min(1, len(report.rule))


if __name__ == "__main__":
    sys.exit(main())
