"""Faults the first call of a kind, the second, and so on until none is left: every case, every call, every fault."""

import functools
import itertools
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
    """One fault of one case, at every ``step``th point or, ``share`` below 1, at some of them that ``seed`` chooses."""

    side: str
    case: str
    fault: Fault
    share: float = 1.0
    seed: int = 0
    first: int = 1
    step: int = 1


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """Some points of one case, each with another fault as far as there are so many."""

    side: str
    case: str
    count: int
    seed: int = 0


class Swept(msgspec.Struct, frozen=True, kw_only=True):
    """``faults`` that happened; ``violations``: of a promise, with the point; ``openings``: seconds of each restart."""

    faults: frozenset[str]
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


class Sweep:
    """Points of one case, one after the other."""

    def __init__(self, case: Case, scratch: Path) -> None:
        self._case = case
        self._template = prepared(case, scratch)
        self._scratch = scratch
        self._points = 0
        self._faults: set[str] = set()
        self._violations: list[str] = []
        self._openings: list[float] = []

    def try_point(self, fault: Fault, point: int) -> bool:
        """Whether the fault happened: the call was made so often."""
        case, folder, trace = self._case, self._scratch / f"{self._case.name}.run", self._scratch / "point.trace"
        fresh(self._template, folder)
        try:
            is_lasting, is_read = fault.is_lasting, fault.call in READS
            ended = run_point(case, folder, fault.injection(point), trace, is_lasting=is_lasting, is_read=is_read)
            if not ended.is_reached:
                return False
            self._points += 1
            self._faults.add(str(fault))
            self._openings.append(check_point(case, folder, ended.told))
        except Exception as error:  # noqa: BLE001 -- whatever stops a restart is what is looked for
            where = traceback.extract_tb(error.__traceback__)[-1]
            self._violations.append(f"{case.name} {fault} at {point}: {type(error).__name__} {error} ({where.name})")
        return True

    def found(self) -> Swept:
        return Swept(
            faults=frozenset(self._faults),
            points=self._points,
            violations=tuple(self._violations),
            openings=tuple(self._openings),
        )


def sweep(case: Case, task: Task, scratch: Path) -> Swept:
    """Every point, or some, until the call is made no more."""
    swept, chance = Sweep(case, scratch), random.Random(f"{task.seed} {task.case} {task.fault}")
    for point in range(task.first, MOST_POINTS, task.step):
        if chance.random() > task.share and point > 1:
            continue
        if not swept.try_point(task.fault, point):
            return swept.found()
    raise AssertionError(f"{task.case} {task.fault}: the sweep never came to an end")


def run_sample(sample: Sample) -> Swept:
    """In a process that keeps what it has prepared for the next one."""
    silence()
    case, calls = SIDES[sample.side][sample.case], _calls(sample.side, sample.case)
    swept, chance = Sweep(case, warm_folder()), random.Random(f"{sample.seed} {sample.case}")
    made = [fault for fault in faults(is_all=False) if calls[fault.call]]
    chance.shuffle(made)
    for fault in itertools.islice(itertools.cycle(made), sample.count):
        swept.try_point(fault, chance.randint(1, calls[fault.call]))
    return swept.found()


def run_task(task: Task) -> Swept:
    """In a process that keeps what it has prepared for the next task."""
    silence()
    scratch, case = warm_folder(), SIDES[task.side][task.case]
    if not _calls(task.side, task.case)[task.fault.call]:
        return Sweep(case, scratch).found()
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
