"""A20: a hospital's workplaces scan at once, each scan durable where it is made and in the ledger right after."""

import asyncio
import shutil
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack, closing
from pathlib import Path

import pytest

from tests.benchmarks import office, pool, wire
from tests.benchmarks.measuring import Bench
from tests.benchmarks.office import Office
from tests.benchmarks.workplace import Workplace

A_SECOND = 500
WORKPLACES, SCANNERS, SCANS = 4, 16, 40
EACH = SCANNERS * SCANS
TOTAL = WORKPLACES * EACH


@pytest.fixture
def hospital(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "hospital").mkdir()
    yield tmp_path / "hospital"
    shutil.rmtree(tmp_path / "hospital", ignore_errors=True)


@pytest.mark.covers("A20")
async def test_five_hundred_scans_a_second_are_on_disk_and_in_the_ledger(hospital: Path) -> None:
    folder = await office.stocked(Bench(folder=hospital), "central", stock=2 * pool.NOTE)
    with ExitStack() as closings:
        places = [_workplace(folder, f"station-{number}", closings) for number in range(WORKPLACES)]
        async with wire.central(folder) as port, AsyncExitStack() as links:
            lines = [await links.enter_async_context(wire.syncing(here, port)) for here in places]
            await wire.until(lambda: all(line.is_welcome for line in lines))
            began_s = time.perf_counter()
            async with asyncio.TaskGroup() as scanners:
                for number, here in enumerate(places):
                    for scanner in range(SCANNERS):
                        scanners.create_task(_scan(here, number * EACH + scanner * SCANS))
            on_disk_s = time.perf_counter() - began_s
            heads = [here.journal.head for here in places]
            await wire.until(lambda: all(line.through >= head for line, head in zip(lines, heads, strict=True)))
            in_ledger_s = time.perf_counter() - began_s
    with closing(Office(folder)) as central:
        assert [central.facts_of(here.recorder.device) for here in places] == [EACH] * WORKPLACES
    assert TOTAL / on_disk_s >= A_SECOND, f"{TOTAL} scans took {on_disk_s:.1f} s to the disks"
    assert TOTAL / in_ledger_s >= A_SECOND, f"{TOTAL} scans took {in_ledger_s:.1f} s to the ledger"


def _workplace(folder: Path, device: str, closings: ExitStack) -> Workplace:
    replica = shutil.copy(folder / "replica.db", folder / f"{device}.db")
    here = Workplace(folder / device, Path(replica), device=device)
    return closings.enter_context(closing(here))


async def _scan(here: Workplace, first: int) -> None:
    """One scanner: each scan waits for its own commit before the next."""
    for number in range(first, first + SCANS):
        await here.recorder.record(pool.taken(number, here.recorder.moment()))
