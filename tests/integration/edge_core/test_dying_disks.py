"""A process that is killed, or whose disk fails, at every single system call of its start and its scans' commits.

"OK" stands only for what is in the journal after a restart; what was refused is not in it; nothing stops the restart.
"""

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from edge_agent.errors import StoreError
from sync_protocol.items import State
from tests.integration.edge_core.scans import prepare, scan
from tests.sweeps.cases import Case, Say, Told
from tests.sweeps.points import Fault, run_point
from tests.unit.edge_core.shelf import Shelf, code, taken

PROGRAM = Path(__file__).with_name("scans.py")
PREPARED_FACTS = 3
MOST_POINTS = 120


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What one run with one fault said, and what its restart found."""

    point: int
    said_ok: tuple[str, ...]
    said_refused: int
    is_ended: bool
    is_reached: bool
    """Whether the fault ever happened."""
    in_journal: tuple[str, ...]
    restart_s: float


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    path = tmp_path / "prepared"
    asyncio.run(prepare(path, facts=PREPARED_FACTS))
    return path


def _case(scans: int, at_once: int) -> Case:
    """An agent that starts and scans; it is ready before it opens a file."""

    async def act(folder: Path, ready: Callable[[], None], say: Say) -> None:
        ready()
        await scan(folder, scans, at_once=at_once, say=say)
        say("OK 0 END")

    async def as_it_is(_folder: Path) -> None:
        """Copied for each run."""

    async def unasked(_folder: Path, _told: Told) -> float:
        raise AssertionError("each run looks for itself")

    return Case(name="scans", prepare=as_it_is, act=act, check=unasked, refused=(StoreError,))


def _run(prepared: Path, point: int, fault: Fault, *, scans: int, at_once: int = 1) -> Run:
    """One process with one fault."""
    data = shutil.copytree(prepared, prepared.with_name(f"run-{point}"))
    ended = run_point(_case(scans, at_once), data, fault.injection(point), prepared.with_name("trace"))
    said = [line.split()[1] for line in ended.told.said]
    in_journal, restart_s = asyncio.run(_restart(data))
    run = Run(
        point=point,
        said_ok=tuple(each for each in said if each != "END"),
        said_refused=len(ended.told.refused),
        is_ended="END" in said,
        is_reached=ended.is_reached,
        in_journal=in_journal,
        restart_s=restart_s,
    )
    assert set(run.said_ok) <= set(run.in_journal), run
    shutil.rmtree(data)
    return run


async def _restart(data: Path) -> tuple[tuple[str, ...], float]:
    """Codes of the facts that a restart finds beyond the prepared ones, and how long it took."""
    began = time.perf_counter()
    shelf = Shelf(data)
    restart_s = time.perf_counter() - began
    recorded = tuple(each for fact in shelf.facts() for each in fact.codes)
    assert shelf.stock.item(code(50)) is not None, "a fault of the disk does not cost the replica"
    believed = [shelf.stock.item(each) for each in recorded]
    assert all(item and item.state is State.TAKEN for item in believed), "fact and overlay are committed together"
    await shelf.recorder.record(taken(50))
    shelf.close()
    return recorded[PREPARED_FACTS:], restart_s


def _sweep(prepared: Path, fault: Fault, *, scans: int, at_once: int = 1) -> list[Run]:
    """Fault the first call, the second, and so on, until no fault reaches a run any more."""
    runs: list[Run] = []
    for point in range(1, MOST_POINTS):
        run = _run(prepared, point, fault, scans=scans, at_once=at_once)
        if not run.is_reached:
            assert len(run.said_ok) == scans
            return runs
        runs.append(run)
    raise AssertionError("the sweep never came to an end")


@pytest.mark.fault(1)
@pytest.mark.parametrize(("scans", "at_once"), [(2, 1), (8, 8)])
@pytest.mark.parametrize("call", ["pwrite64", "fdatasync"])
def test_killed_at_any_call_ok_was_said_only_for_what_is_in_the_journal(
    prepared: Path, call: str, scans: int, at_once: int, record_property: Callable[[str, object], None]
) -> None:
    runs = _sweep(prepared, Fault(call=call, how="signal=KILL"), scans=scans, at_once=at_once)
    for run in runs:
        assert len(run.in_journal) % at_once == 0, "a shared commit is whole or not there"
    assert len(runs) >= (3 if call == "fdatasync" else 12)
    assert {len(run.said_ok) for run in runs} == set(range(0, scans + 1, at_once))
    record_property("points", len(runs))
    record_property("slowest_restart_ms", round(max(run.restart_s for run in runs) * 1000))


@pytest.mark.fault(3, 4)
@pytest.mark.parametrize(("call", "error"), [("pwrite64", "ENOSPC"), ("pwrite64", "EIO"), ("fdatasync", "EIO")])
def test_one_failed_call_refuses_visibly_and_the_next_scan_works(prepared: Path, call: str, error: str) -> None:
    runs = _sweep(prepared, Fault(call=call, how=f"error={error}"), scans=3)
    for run in runs:
        if run.is_ended:
            assert len(run.said_ok) + run.said_refused == 3, run
            assert run.said_ok == run.in_journal, "what was refused is not in the journal"
            assert run.said_refused <= 1, "one fault costs one scan at most"
        else:
            assert run.in_journal == (), "an agent that does not start records nothing"
    assert any(run.said_refused for run in runs)


@pytest.mark.parametrize(("call", "error"), [("pwrite64", "ENOSPC"), ("fdatasync", "EIO")])
def test_a_disk_that_keeps_failing_refuses_everything_and_loses_nothing(prepared: Path, call: str, error: str) -> None:
    fault = Fault(call=call, how=f"error={error}", is_lasting=True)
    points = range(1, 10) if call == "fdatasync" else range(4, 40, 4)
    runs = [_run(prepared, point, fault, scans=3) for point in points]
    assert any(run.said_refused == 3 - len(run.said_ok) > 0 for run in runs)


@pytest.mark.fault(3)
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_on_a_full_file_system_scans_are_refused_until_there_is_space_again(tmp_path: Path) -> None:
    program = f"mount -t tmpfs -o size=700k none {tmp_path} && exec {sys.executable} {PROGRAM} {tmp_path} fill"
    command = ("unshare", "-m", "sh", "-c", program)
    ended = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=60, check=False)
    lines = ended.stdout.splitlines()
    assert ended.returncode == 0, ended.stderr
    assert any("the disk is full; nothing was recorded" in line for line in lines)
    assert lines[-1] == "END"
