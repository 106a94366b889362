"""Faults the first call of a kind, the second, and so on until none is left: every case, every call, every fault."""

import functools
import random
import tempfile
import traceback
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import msgspec
import structlog

from tests.sweeps import central_cases, edge_cases
from tests.sweeps.cases import Case
from tests.sweeps.points import Fault, check_point, fresh, prepared, run_point

SIDES: Mapping[str, Mapping[str, Case]] = {"edge": edge_cases.CASES, "central": central_cases.CASES}
WRITES = ("pwrite64", "write", "ftruncate", "fallocate", "sendfile")
SYNCS = ("fdatasync", "fsync")
NAMES = ("unlink", "rename", "mkdir", "openat")
READS = ("pread64",)
MOST_POINTS = 2_000
_PLACE: list[str] = []
_KEPT: list[tempfile.TemporaryDirectory[str]] = []
_EVERYTHING = ("-e", "trace=all")


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One fault of one case, at every point or, ``share`` below 1, at some that ``seed`` chooses."""

    side: str
    case: str
    fault: Fault
    share: float = 1.0
    seed: int = 0


class Swept(msgspec.Struct, frozen=True, kw_only=True):
    """``violations``: of a promise, with the point; ``openings``: seconds that each restart took."""

    task: Task
    points: int
    violations: tuple[str, ...]
    openings: tuple[float, ...]


def faults(*, is_all: bool) -> list[Fault]:
    """``is_all``: also every other call that changes a file, and failures of the disk that stay."""
    kill = [*WRITES, *SYNCS, *NAMES]
    found = [Fault(call=call, how="signal=KILL") for call in kill]
    found += [Fault(call=call, how="error=ENOSPC") for call in ("pwrite64", "write", "fallocate", "sendfile")]
    found += [Fault(call=call, how="error=EIO") for call in (*WRITES, *SYNCS)]
    if is_all:
        found += [Fault(call=call, how="error=EIO") for call in (*READS, "unlink", "rename")]
        found += [Fault(call=call, how="error=ENOSPC", is_lasting=True) for call in ("pwrite64", "write")]
        found += [Fault(call=call, how="error=EIO", is_lasting=True) for call in ("pwrite64", "fdatasync", "fsync")]
    return found


def calls_of(case: Case, scratch: Path) -> Counter[str]:
    """How often a run without a fault makes each call of the kernel."""
    folder, trace = fresh(prepared(case, scratch), scratch / f"{case.name}.clean"), scratch / f"{case.name}.trace"
    ended = run_point(case, folder, _EVERYTHING, trace)
    assert ended.told.said, f"{case.name} did nothing"
    assert not ended.told.refused, ended.told
    check_point(case, folder, ended.told)
    lines = trace.read_text("ascii", "replace").splitlines()
    return Counter(name for line in lines if (name := line.split(maxsplit=1)[1].partition("(")[0]).isidentifier())


def sweep(case: Case, task: Task, scratch: Path) -> Swept:
    """Every point, or some, until the call is made no more."""
    template, chance = prepared(case, scratch), random.Random(f"{task.seed} {task.case} {task.fault}")
    points, violations, openings = 0, list[str](), list[float]()
    for point in range(1, MOST_POINTS):
        if chance.random() > task.share and point > 1:
            continue
        folder = fresh(template, scratch / f"{case.name}.run")
        try:
            injection, is_lasting = task.fault.injection(point), task.fault.is_lasting
            is_read = task.fault.call in READS
            trace = scratch / "point.trace"
            ended = run_point(case, folder, injection, trace, is_lasting=is_lasting, is_read=is_read)
            if not ended.is_reached:
                return Swept(task=task, points=points, violations=tuple(violations), openings=tuple(openings))
            points += 1
            openings.append(check_point(case, folder, ended.told))
        except Exception as error:  # noqa: BLE001 -- whatever stops a restart is what is looked for
            where = traceback.extract_tb(error.__traceback__)[-1]
            violations.append(f"{task.case} {task.fault} at {point}: {type(error).__name__} {error} ({where.name})")
    raise AssertionError(f"{task.case} {task.fault}: the sweep never came to an end")


def run_task(task: Task) -> Swept:
    """In a process that keeps what it has prepared for the next task."""
    silence()
    scratch, case = warm_folder(), SIDES[task.side][task.case]
    if not _calls(task.side, task.case)[task.fault.call]:
        return Swept(task=task, points=0, violations=(), openings=())
    return sweep(case, task, scratch)


@functools.cache
def _calls(side: str, case: str) -> Counter[str]:
    return calls_of(SIDES[side][case], warm_folder())


@functools.cache
def warm_folder() -> Path:
    """In memory where there is room for it: what is tested is the order of calls, not the disk of this machine."""
    folder = scratch(_PLACE[-1] if _PLACE else None)
    _KEPT.append(folder)
    return Path(folder.name)


def scratch(within: str | None = None) -> tempfile.TemporaryDirectory[str]:
    memory = Path("/dev/shm")
    return tempfile.TemporaryDirectory(prefix="sweep-", dir=within or (memory if memory.is_dir() else None))


def work_within(folder: str) -> None:
    """A worker that is ended leaves its scratch behind: whoever started it clears ``folder`` away."""
    _PLACE.append(folder)


def silence() -> None:
    """Thousands of processes that log what is asked of them help nobody."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory(), processors=[_drop])


def _drop(_logger: object, _name: str, _event: object) -> NoReturn:
    raise structlog.DropEvent
