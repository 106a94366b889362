"""I3 by the simulator's own account: which of two issues stand, and who must be told."""

import pytest

from sync_protocol.facts import Fact, FactId, How, Moment, What
from tests.simulation.lease_watch import LeaseWatch
from tests.simulation.ledger_watch import Violation
from tests.simulation.truth import Known, Truth

CODE = "81000420000000000056#007"
FIRST = FactId(device="edge-2", session=b"2" * 16, seq=21)
SECOND = FactId(device="edge-0", session=b"0" * 16, seq=59)


def fact(what: What, wall_us: int, *, is_provisional: bool = False) -> Fact:
    at = Moment(wall_us=wall_us, mono_us=wall_us)
    return Fact(what=what, codes=(CODE,), at=at, how=How.LATE_SCAN, is_provisional=is_provisional)


def known(recorded: Fact) -> Known:
    nothing: frozenset[str] = frozenset()
    return Known(body=b"", fact=recorded, unfit=nothing, touched=nothing, base={}, before={}, belief=0)


EMERGENCY, LATER = fact(What.DISPENSED, 1, is_provisional=True), fact(What.DISPENSED, 2)


def watch(blamed: set[str]) -> LeaseWatch:
    """An emergency at one workplace, and an issue by the holder."""
    lease_watch = LeaseWatch(Truth(), lambda: blamed)
    lease_watch.recorded(FIRST, EMERGENCY, is_physical=False, in_hands=set())
    lease_watch.recorded(SECOND, LATER, is_physical=False, in_hands=set())
    return lease_watch


def test_of_two_issues_that_stand_a_person_is_told() -> None:
    ledger = {FIRST: known(EMERGENCY), SECOND: known(LATER)}
    watch(set()).look({CODE}, ledger)
    with pytest.raises(Violation, match="nobody was told"):
        watch({"edge-2"}).look(set(), ledger)


def test_an_issue_in_whose_place_another_fact_stands_does_not_stand() -> None:
    ledger = {FIRST: known(fact(What.RETURNED, 0)), SECOND: known(LATER)}
    watch({"edge-2"}).look(set(), ledger)
    with pytest.raises(Violation, match="edge-2/323232/21, in whose place another fact stands"):
        watch(set()).look(set(), ledger)
