"""An agent whose disk fails or whose process dies at any call of any transaction; the whole sweep: ``run.py --all``."""

from collections.abc import Callable

import pytest

from tests.sweeps.mutants import MUTANTS
from tests.sweeps.power import explore, recorded, recorded_by_vfs
from tests.sweeps.run import explore_all, hunt, sweep_some
from tests.sweeps.sweep import SIDES, warm_folder

BY_SQLITE_ALONE = ("scan", "group", "observe", "delta", "adopt", "prune", "session")
"""Cases of which every sync is one of SQLite's own, so that its VFS sees all that they rest on."""


@pytest.mark.fault(1, 3, 4)
def test_killed_or_failed_at_any_call_of_any_transaction(record_property: Callable[[str, object], None]) -> None:
    found = sweep_some("edge", each=15, seed=1, jobs=2)
    assert found.violations == ()
    assert found.count >= 10 * len(SIDES["edge"])
    assert {"signal=KILL", "error=EIO", "error=ENOSPC"} <= {fault.partition(":")[2] for fault in found.faults}
    record_property("points", found.count)
    record_property("opening_p99_ms", found.opening_p99_ms)


@pytest.mark.fault(2)
def test_whatever_of_the_unsynced_goes_with_the_power(record_property: Callable[[str, object], None]) -> None:
    found = explore_all("edge", each=1, seed="1", jobs=2, most=50)
    assert found.violations == ()
    assert found.count >= 20 * len(SIDES["edge"])
    record_property("states", found.count)
    record_property("opening_p99_ms", found.opening_p99_ms)


@pytest.mark.fault(2)
@pytest.mark.parametrize("name", BY_SQLITE_ALONE)
def test_a_vfs_of_sqlite_sees_the_same(name: str) -> None:
    """Two witnesses of different kinds, and two versions of SQLite, agree on what a power failure may leave."""
    case = SIDES["edge"][name]
    before, by_vfs = recorded_by_vfs(case, warm_folder())
    assert explore(case, before, by_vfs, each=1, seed="1", most=40).violations == ()
    _, by_kernel = recorded(case, warm_folder())
    own = [operation.path for operation in by_kernel if operation.kind == "sync" and operation.path.endswith(".db-wal")]
    assert sum(operation.path.endswith(".db-wal") and "sync" in operation.kind for operation in by_vfs) >= len(own) - 1


@pytest.mark.fault(2)
@pytest.mark.parametrize("number", range(len(MUTANTS)), ids=lambda number: MUTANTS[number].name)
def test_a_store_that_syncs_too_little_is_found_out(number: int) -> None:
    _, states = hunt(number)
    assert states, "a fault or a check is missing"
