"""Power failures of one case: recorded once, then every state of the disk opened with the shipping code."""

import time
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from tests.sweeps import apsw_log, disk_log
from tests.sweeps.cases import Case, Told
from tests.sweeps.crash import State, states
from tests.sweeps.disk_log import Operation
from tests.sweeps.points import check_point, fresh, prepared, run_point


class Explored(msgspec.Struct, frozen=True, kw_only=True):
    """Distinct states of the disk after a power failure, and what was found in them."""

    case: str
    states: int
    violations: tuple[str, ...]
    openings: tuple[float, ...]
    seconds: float


def recorded(case: Case, scratch: Path) -> tuple[Path, list[Operation]]:
    """A folder as it was when the case began, and everything that was then done to it, as strace saw it."""
    template = prepared(case, scratch)
    folder, before, trace = (scratch / f"{case.name}.{name}" for name in ("recorded", "before", "trace"))
    fresh(template, folder)
    ended = run_point(case, folder, disk_log.OPTIONS, trace, at_ready=lambda: fresh(folder, before))
    assert ended.told.said, f"{case.name} did nothing"
    return before, disk_log.read(trace, folder, before)


def recorded_by_vfs(case: Case, scratch: Path) -> tuple[Path, list[Operation]]:
    """The same, as a VFS of SQLite's saw it: another SQLite, and its own files alone."""
    template = prepared(case, scratch)
    folder, before = scratch / f"{case.name}.by-vfs", scratch / f"{case.name}.before"
    fresh(template, folder)
    return before, apsw_log.record(case, folder, at_ready=lambda: fresh(folder, before))


def explore(
    case: Case,
    before: Path,
    operations: Sequence[Operation],
    *,
    each: int,
    seed: str,
    most: int | None = None,
    is_hunt: bool = False,
) -> Explored:
    """``each``: states by chance after every operation; ``most``: no more than these, evenly from first to last.

    ``is_hunt``: one violation is enough, and it is sooner found from the end, when much was promised.
    """
    began, folder = time.monotonic(), before.with_suffix(".left")
    violations, openings = list[str](), list[float]()
    found: Iterable[State] = states(before, operations, seed=seed, each=each)
    if is_hunt:
        found = reversed(list(found))
    elif most is not None:
        found = _evenly(list(found), most)
    for state in found:
        if is_hunt and violations:
            break
        state.put(folder)
        try:
            openings.append(check_point(case, folder, Told(said=state.said, has_lost_power=True)))
        except Exception as error:  # noqa: BLE001 -- whatever stops a restart is what is looked for
            where, last = traceback.extract_tb(error.__traceback__)[-1], operations[state.after]
            point = f"{case.name} after {last.kind} {last.path} ({state.after})"
            violations.append(f"{point}: {type(error).__name__} {error} ({where.name})")
    return Explored(
        case=case.name,
        states=len(openings) + len(violations),
        violations=tuple(violations),
        openings=tuple(openings),
        seconds=time.monotonic() - began,
    )


def _evenly(found: list[State], most: int) -> list[State]:
    """The first, the last, and the same way between one and the next."""
    if len(found) <= most:
        return found
    return [found[number * (len(found) - 1) // (most - 1)] for number in range(most)]
