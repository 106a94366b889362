"""A process that is killed, or whose disk fails, at every single system call of a scan's commit.

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

from sync_protocol.items import State
from tests.integration.edge_core.scans import prepare
from tests.unit.edge_core.shelf import Shelf, code, taken

PROGRAM = Path(__file__).with_name("scans.py")
PREPARED_FACTS = 3
AT_ONCE = 3
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
async def prepared(tmp_path: Path) -> Path:
    path = tmp_path / "prepared"
    await prepare(path, facts=PREPARED_FACTS)
    return path


async def _run(prepared: Path, point: int, injection: str, *, scans: int, at_once: int) -> Run:
    """One process with one fault: ``injection`` as strace has it, ``{n}`` standing for the number of the call."""
    data, trace = prepared.with_name(f"run-{point}"), prepared.with_name(f"trace-{point}")
    shutil.copytree(prepared, data)
    call = injection.partition(":")[0]
    # Stopping only at the calls in question is four times as fast, but then strace injects no signals.
    speed = () if "signal" in injection else ("--seccomp-bpf",)
    fault = ("strace", "-f", *speed, "-qq", "-o", str(trace), "-e", f"trace={call}", "-e", f"inject={injection}")
    program = (sys.executable, str(PROGRAM), str(data), str(scans), str(at_once))
    ended = await _ended(*(part.format(n=point) for part in fault), *program)
    if ended.returncode == 1:  # it did not even start, and said why
        assert "StoreError" in ended.stderr or "StoreFullError" in ended.stderr, ended.stderr
    lines = ended.stdout.splitlines()
    is_ended = "END" in lines
    in_journal, restart_s = await _restart(data)
    run = Run(
        point=point,
        said_ok=tuple(line.split()[2] for line in lines if line.startswith("OK")),
        said_refused=sum(line.startswith("REFUSED") for line in lines),
        is_ended=is_ended,
        is_reached=not is_ended or "(INJECTED)" in trace.read_text("ascii", "replace"),
        in_journal=in_journal,
        restart_s=restart_s,
    )
    assert set(run.said_ok) <= set(run.in_journal), run
    shutil.rmtree(data)
    return run


async def _ended(*command: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(
        subprocess.run, command, capture_output=True, encoding="utf-8", timeout=60, check=False
    )


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


async def _sweep(prepared: Path, injection: str, *, scans: int, at_once: int) -> list[Run]:
    """Fault the first call, the second, and so on, until no fault reaches a run any more."""
    runs: list[Run] = []
    for first in range(1, MOST_POINTS, AT_ONCE):
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(_run(prepared, point, injection, scans=scans, at_once=at_once))
                for point in range(first, first + AT_ONCE)
            ]
        runs += [task.result() for task in running]
        if not runs[-1].is_reached:
            assert len(runs[-1].said_ok) == scans
            return [run for run in runs if run.is_reached]
    raise AssertionError("the sweep never came to an end")


@pytest.mark.fault(1)
@pytest.mark.parametrize(("scans", "at_once"), [(2, 1), (8, 8)])
@pytest.mark.parametrize("call", ["pwrite64", "fdatasync"])
async def test_killed_at_any_call_ok_was_said_only_for_what_is_in_the_journal(
    prepared: Path, call: str, scans: int, at_once: int, record_property: Callable[[str, object], None]
) -> None:
    runs = await _sweep(prepared, f"{call}:signal=KILL:when={{n}}", scans=scans, at_once=at_once)
    for run in runs:
        assert len(run.in_journal) % at_once == 0, "a shared commit is whole or not there"
    assert len(runs) >= (3 if call == "fdatasync" else 12)
    assert {len(run.said_ok) for run in runs} == set(range(0, scans + 1, at_once))
    record_property("points", len(runs))
    record_property("slowest_restart_ms", round(max(run.restart_s for run in runs) * 1000))


@pytest.mark.fault(3, 4)
@pytest.mark.parametrize("fault", ["pwrite64:error=ENOSPC", "pwrite64:error=EIO", "fdatasync:error=EIO"])
async def test_one_failed_call_refuses_visibly_and_the_next_scan_works(prepared: Path, fault: str) -> None:
    runs = await _sweep(prepared, f"{fault}:when={{n}}", scans=3, at_once=1)
    for run in runs:
        if run.is_ended:
            assert len(run.said_ok) + run.said_refused == 3, run
            assert run.said_ok == run.in_journal, "what was refused is not in the journal"
            assert run.said_refused <= 1, "one fault costs one scan at most"
        else:
            assert run.in_journal == (), "an agent that does not start records nothing"
    assert any(run.said_refused for run in runs)


@pytest.mark.parametrize("fault", ["pwrite64:error=ENOSPC", "fdatasync:error=EIO"])
async def test_a_disk_that_keeps_failing_refuses_everything_and_loses_nothing(prepared: Path, fault: str) -> None:
    runs = [
        await _run(prepared, point, f"{fault}:when={{n}}+", scans=3, at_once=1)
        for point in (range(1, 10) if fault.startswith("fdatasync") else range(4, 40, 4))
    ]
    assert any(run.said_refused == 3 - len(run.said_ok) > 0 for run in runs)


@pytest.mark.fault(3)
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
async def test_on_a_full_file_system_scans_are_refused_until_there_is_space_again(tmp_path: Path) -> None:
    program = f"mount -t tmpfs -o size=700k none {tmp_path} && exec {sys.executable} {PROGRAM} {tmp_path} fill"
    ended = await _ended("unshare", "-m", "sh", "-c", program)
    lines = ended.stdout.splitlines()
    assert ended.returncode == 0, ended.stderr
    assert any("the disk is full; nothing was recorded" in line for line in lines)
    assert lines[-1] == "END"
