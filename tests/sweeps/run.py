"""Every transaction type of an agent and of central, with every fault of its disk and after every power failure."""

import argparse
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import msgspec

from tests.sweeps.mutants import MUTANTS
from tests.sweeps.power import Explored, explore, recorded
from tests.sweeps.sweep import (
    SIDES,
    Sample,
    Swept,
    Task,
    run_sample,
    run_task,
    scratch,
    silence,
    warm_folder,
    work_within,
)
from tests.sweeps.sweep import faults as kinds

PARTS = 4
"""Tasks of each fault of a case when every point is tried: the greatest cases would keep one process long after all."""
_In = TypeVar("_In")
_Out = TypeVar("_Out")


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """``faults`` that happened; ``opening_p99_ms``: of the restarts, from the files to a store that serves."""

    name: str
    what: str
    count: int
    faults: frozenset[str] = frozenset()
    violations: tuple[str, ...]
    opening_p50_ms: float
    opening_p99_ms: float
    seconds: float

    def __str__(self) -> str:
        found = f"{self.name}: {self.count} {self.what}, {len(self.violations)} violations"
        opened = f"opened in p50 {self.opening_p50_ms:.0f} ms, p99 {self.opening_p99_ms:.0f} ms"
        return f"{found}, {opened}, {self.seconds:.0f} s"


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Power failures of one case to explore."""

    side: str
    case: str
    each: int
    seed: str
    most: int | None = None


def sweep_all(side: str, *, share: float, is_all: bool, seed: int, jobs: int) -> Summary:
    """Every fault of one side, at every point or at a share of them."""
    parts = PARTS if share == 1 else 1
    tasks = [
        Task(side=side, case=case, fault=fault, share=share, seed=seed, first=first, step=parts)
        for case in SIDES[side]
        for fault in kinds(is_all=is_all)
        for first in range(1, parts + 1)
    ]
    return _swept(side, _told(f"{side} faults", _spread(run_task, tasks, jobs=jobs), len(tasks)))


def sweep_some(side: str, *, each: int, seed: int, jobs: int) -> Summary:
    """``each`` points of every case of one side, with faults of every kind."""
    return _swept(
        side,
        _spread(run_sample, [Sample(side=side, case=case, count=each, seed=seed) for case in SIDES[side]], jobs=jobs),
    )


def _swept(side: str, work: Iterator[Swept]) -> Summary:
    began = time.monotonic()
    found = list(work)
    return _summary(
        f"{side} faults",
        sum(swept.points for swept in found),
        what="points",
        faults=frozenset[str]().union(*(swept.faults for swept in found)),
        violations=[violation for swept in found for violation in swept.violations],
        openings=[opening for swept in found for opening in swept.openings],
        seconds=time.monotonic() - began,
    )


def explore_all(side: str, *, each: int, seed: str, jobs: int, most: int | None = None) -> Summary:
    """Power failures of every case of one side, ``most`` of each."""
    began = time.monotonic()
    failures = [Failure(side=side, case=case, each=each, seed=seed, most=most) for case in SIDES[side]]
    found = list(_told(f"{side} power failures", _spread(explore_one, failures, jobs=jobs), len(failures)))
    return _summary(
        f"{side} power failures",
        sum(explored.states for explored in found),
        what="states",
        violations=[violation for explored in found for violation in explored.violations],
        openings=[opening for explored in found for opening in explored.openings],
        seconds=time.monotonic() - began,
    )


def explore_one(failure: Failure) -> Explored:
    silence()
    case = SIDES[failure.side][failure.case]
    before, operations = recorded(case, warm_folder())
    return explore(case, before, operations, each=failure.each, seed=failure.seed, most=failure.most)


def hunt(number: int) -> tuple[str, int]:
    """A mutant and the number of states after which it was found; 0: it was not."""
    silence()
    mutant = MUTANTS[number]
    before, operations = recorded(mutant.broken(), warm_folder())
    explored = explore(mutant.case, before, operations, each=1, seed=mutant.name, is_hunt=True)
    return mutant.name, explored.states if explored.violations else 0


def hunt_all(*, jobs: int) -> dict[str, int]:
    return dict(_spread(hunt, range(len(MUTANTS)), jobs=jobs))


def _spread(work: Callable[[_In], _Out], tasks: Iterable[_In], *, jobs: int) -> Iterator[_Out]:
    spawn = multiprocessing.get_context("spawn")
    with scratch() as folder, spawn.Pool(jobs, initializer=work_within, initargs=(folder,)) as pool:
        yield from pool.imap_unordered(work, tasks)


def _told(what: str, work: Iterator[_Out], total: int) -> Iterator[_Out]:
    """The same, told on standard error: after each piece on a terminal, after each twentieth elsewhere."""
    every = 1 if sys.stderr.isatty() else max(1, total // 20)
    for done, found in enumerate(work, start=1):
        if done % every == 0 or done == total:
            sys.stderr.write(f"{what}: {done} of {total} parts\n")
        yield found


def _summary(
    name: str,
    count: int,
    *,
    what: str,
    faults: frozenset[str] = frozenset(),
    violations: list[str],
    openings: list[float],
    seconds: float,
) -> Summary:
    times = sorted(openings) or [0.0]
    return Summary(
        name=name,
        what=what,
        count=count,
        faults=faults,
        violations=tuple(violations),
        opening_p50_ms=statistics.median(times) * 1000,
        opening_p99_ms=times[min(len(times) - 1, len(times) * 99 // 100)] * 1000,
        seconds=seconds,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", action="store_true", help="every point of every fault, not a tenth of them")
    parser.add_argument("--side", choices=sorted(SIDES), action="append", help="one side only")
    parser.add_argument("--each", type=int, default=2, help="states by chance after each operation (default 2)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path, metavar="FILE")
    chosen = parser.parse_args(arguments)
    found: list[Summary] = []
    for side in chosen.side or SIDES:
        share = 1.0 if chosen.all else 0.1
        for summary in (
            sweep_all(side, share=share, is_all=chosen.all, seed=chosen.seed, jobs=chosen.jobs),
            explore_all(side, each=chosen.each, seed=str(chosen.seed), jobs=chosen.jobs),
        ):
            found.append(summary)
            sys.stdout.write("\n".join([str(summary), *(f"  {each}" for each in summary.violations), ""]))
            sys.stdout.flush()
    kills = hunt_all(jobs=chosen.jobs)
    sys.stdout.writelines(
        f"mutant {name}: {f'found, {states} states' if states else 'LIVES'}\n" for name, states in kills.items()
    )
    if chosen.json:
        chosen.json.write_bytes(msgspec.json.encode({"summaries": found, "mutants": kills}))
    return int(any(summary.violations for summary in found) or not all(kills.values()))


if __name__ == "__main__":
    sys.exit(main())
