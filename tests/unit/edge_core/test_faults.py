"""Faults of a workplace's PC that are neither the disk's nor the network's: memory, clock, logs that went astray."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from edge_agent.clock import Watch
from edge_agent.errors import JournalCorruptError
from edge_agent.store import journal as journal_module
from edge_agent.store.folder import JOURNAL, REPLICA, WITNESS
from sync_protocol.codec import decode_fact
from tests.unit.edge_core.shelf import NOON_US, HandClock, Shelf, piece, taken

SCANS = Path(__file__).parents[2] / "integration" / "edge_core" / "scans.py"
CENTURY_US = 100 * 365 * 86_400_000_000


@pytest.mark.fault(6)
async def test_a_damaged_replica_costs_the_journal_nothing_and_a_pull_makes_it_whole(
    tmp_path: Path, record_property: Any
) -> None:
    shelf = Shelf(tmp_path)
    items = [piece(number) for number in range(2_000)]
    await shelf.load(*items)
    await shelf.recorder.record(taken(1))
    shelf.close()
    journal = (tmp_path / JOURNAL).read_bytes()
    content = (tmp_path / REPLICA).read_bytes()
    slowest_s = 0.0
    for page in range(0, len(content) // 4096, 7):
        damaged = content[: page * 4096] + os.urandom(4096) + content[(page + 1) * 4096 :]
        (tmp_path / REPLICA).write_bytes(damaged)
        (tmp_path / JOURNAL).write_bytes(journal)
        began = time.perf_counter()
        again = Shelf(tmp_path)
        assert again.replica.version == 0, "none of it is believed"
        await again.load(*items)
        slowest_s = max(slowest_s, time.perf_counter() - began)
        assert [fact.codes for fact in again.facts()] == [taken(1).codes]
        again.close()
        (tmp_path / WITNESS).unlink()
    record_property("slowest_ms", round(slowest_s * 1000))


@pytest.mark.fault(7)
@pytest.mark.parametrize("is_copied", [False, True])
def test_a_log_that_went_astray_is_noticed_whatever_it_held(tmp_path: Path, *, is_copied: bool) -> None:
    """Deleted in its place, or left behind when the folder was copied; from one fact on, each time."""
    for facts in range(1, 6):
        data = tmp_path / f"{facts}"
        shelf = asyncio.run(_with_facts(data, facts))
        names = (JOURNAL, WITNESS)
        kept = {name: (data / name).read_bytes() for name in names}
        shelf.journal.close()
        shelf.replica.close()
        shelf.data.release()
        target = tmp_path / f"{facts}-copy" if is_copied else data
        target.mkdir(exist_ok=True)
        for name in names:
            (target / name).write_bytes(kept[name])
        (target / f"{JOURNAL}-wal").unlink(missing_ok=True)
        with pytest.raises(JournalCorruptError):
            Shelf(target)


async def _with_facts(path: Path, facts: int) -> Shelf:
    Shelf(path).close()
    shelf = Shelf(path)
    await shelf.load(*(piece(number) for number in range(9)))
    for number in range(facts):
        await shelf.recorder.record(taken(number))
    return shelf


@pytest.mark.fault(8)
async def test_memory_that_ends_at_any_call_of_a_commit_leaves_all_of_it_or_nothing(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first call out of the commit fails, the second, and so on until none is left."""
    names = ("links", "overlay_rows.row", "Journal._write", "Journal._remember", "Journal._testify")
    numbers = iter(range(100, 200))
    await shelf.load(*(piece(number) for number in range(100, 200)))
    reached = set()
    for name in names:
        for nth in range(1, 4):
            owner, _, attribute = name.rpartition(".")
            target = getattr(journal_module, owner) if owner else journal_module
            real, calls = getattr(target, attribute), [0]

            def failing(*arguments: Any, real: Any = real, calls: list[int] = calls, nth: int = nth) -> Any:
                calls[0] += 1
                if calls[0] == nth:
                    raise MemoryError
                return real(*arguments)

            before = len(shelf.facts())
            with monkeypatch.context() as patch:
                patch.setattr(target, attribute, failing)
                answers = await asyncio.gather(
                    *(shelf.recorder.observe(taken(next(numbers))) for _ in range(2)), return_exceptions=True
                )
            failed = [answer for answer in answers if isinstance(answer, BaseException)]
            assert all(isinstance(error, MemoryError) for error in failed)
            reached |= {name} if failed else set()
            there = len(shelf.facts()) - before
            assert there in {0, 2}, "a shared commit is whole or not there"
            assert there == 2 or failed, "OK was said for what is not there"
            await shelf.recorder.observe(taken(next(numbers)))
            assert len(shelf.facts()) == before + there + 1, "the chain goes on"
    assert reached == set(names)


@pytest.mark.fault(9)
async def test_a_process_that_was_paused_goes_on_as_if_nothing_had_been(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    await shelf.load(*(piece(number) for number in range(400)))
    shelf.close()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(SCANS), str(tmp_path), "120", "1"), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    said = []
    async with asyncio.timeout(60):
        while line := (await process.stdout.readline()).decode().split():
            said += line[2:] if line[0] == "OK" else []
            if len(said) in {20, 60}:
                process.send_signal(signal.SIGSTOP)
                await asyncio.sleep(0.1)
                process.send_signal(signal.SIGCONT)
        await process.wait()
    again = Shelf(tmp_path)
    assert [code for fact in again.facts() for code in fact.codes] == said
    assert len(set(said)) == 120
    again.close()


@pytest.mark.fault(15)
async def test_a_clock_that_jumps_moves_no_fact(tmp_path: Path) -> None:
    clock = HandClock()
    shelf = Shelf(tmp_path, clock=clock)
    await shelf.load(*(piece(number) for number in range(60)))
    for number in range(60):
        clock.now_us += 3_600_000_000 if number % 2 else -3_600_000_000
        await shelf.recorder.record(taken(number))
    bodies = shelf.journal.query("SELECT position & 0xffffffff, body FROM fact ORDER BY position")
    assert [(seq, decode_fact(body).codes) for seq, body in bodies] == [
        (number + 1, taken(number).codes) for number in range(60)
    ]
    shelf.close()


@pytest.mark.fault(16)
@pytest.mark.parametrize("wall_us", [0, NOON_US + CENTURY_US])
def test_a_clock_of_another_century_is_said_to_be_so_or_made_up_for(wall_us: int) -> None:
    clock = HandClock()
    clock.now_us = wall_us
    watch = Watch(clock, ZoneInfo("Asia/Shanghai"), known_us=NOON_US)
    assert watch.moment().is_trusted == (wall_us > NOON_US), "one that lags is known for it before central answers"
    clock.now_us += 1_000
    watch.measured(sent_us=clock.now_us - 500 if wall_us else 500, central_us=NOON_US)
    assert watch.moment().is_trusted
    assert watch.today().year == 2026
