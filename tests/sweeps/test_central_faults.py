"""Central when its disk fails or its process dies at any call of any transaction; the whole sweep: ``run.py --all``."""

from collections.abc import Callable

import pytest

from tests.sweeps.power import explore, recorded_by_vfs
from tests.sweeps.run import explore_all, sweep_some
from tests.sweeps.sweep import SIDES, warm_folder


@pytest.mark.fault(30)
def test_killed_or_failed_at_any_call_of_any_transaction(record_property: Callable[[str, object], None]) -> None:
    found = sweep_some("central", each=6, seed=1, jobs=2)
    assert found.violations == ()
    assert found.count >= 4 * len(SIDES["central"])
    assert {"signal=KILL", "error=EIO", "error=ENOSPC"} <= {fault.partition(":")[2] for fault in found.faults}
    record_property("points", found.count)
    record_property("opening_p99_ms", found.opening_p99_ms)


@pytest.mark.fault(30)
def test_whatever_of_the_unsynced_goes_with_the_power(record_property: Callable[[str, object], None]) -> None:
    found = explore_all("central", each=0, seed="1", jobs=2, most=10)
    assert found.violations == ()
    assert found.count >= 5 * len(SIDES["central"])
    record_property("states", found.count)
    record_property("opening_p99_ms", found.opening_p99_ms)


@pytest.mark.parametrize("name", ["ingest", "acts"])
def test_a_vfs_of_sqlite_sees_the_same(name: str) -> None:
    case = SIDES["central"][name]
    before, operations = recorded_by_vfs(case, warm_folder())
    assert explore(case, before, operations, each=0, seed="1", most=25).violations == ()
