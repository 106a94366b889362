"""I3 by the simulator's own account: which of two issues stand, and who must be told."""

import pytest

from sync_protocol.facts import Fact, FactId, How, Moment, What
from sync_protocol.machines import grants_events as on
from sync_protocol.machines.grants import Grants
from tests.simulation.lease_watch import LeaseWatch, watched
from tests.simulation.ledger_watch import Violation
from tests.simulation.truth import Known, Truth

CODE = "81000420000000000056#007"
FIRST = FactId(device="edge-2", session=b"2" * 16, seq=21)
SECOND = FactId(device="edge-0", session=b"0" * 16, seq=59)


def fact(what: What, wall_us: int, *, is_provisional: bool = False) -> Fact:
    at = Moment(wall_us=wall_us, mono_us=wall_us)
    return Fact(what=what, codes=(CODE,), at=at, how=How.LATE_SCAN, is_provisional=is_provisional)


def known(identity: FactId, recorded: Fact) -> Known:
    nothing: frozenset[str] = frozenset()
    return Known(id=identity, body=b"", fact=recorded, unfit=nothing, touched=nothing, base={}, before={}, belief=0)


EMERGENCY, LATER = fact(What.DISPENSED, 1, is_provisional=True), fact(What.DISPENSED, 2)
URGENT, HELD = known(FIRST, EMERGENCY), known(SECOND, LATER)


def _nobody(_device: str, _code: str) -> None:
    pass


def watch(blamed: set[str]) -> LeaseWatch:
    """An emergency at one workplace, and an issue by the holder."""
    lease_watch = LeaseWatch(Truth(), lambda: blamed)
    lease_watch.recorded(URGENT, EMERGENCY, is_physical=False, in_hands=set())
    lease_watch.recorded(HELD, LATER, is_physical=False, in_hands=set())
    return lease_watch


def test_of_two_issues_that_stand_a_person_is_told() -> None:
    ledger = {FIRST: URGENT, SECOND: HELD}
    watch(set()).look({CODE}, ledger)
    with pytest.raises(Violation, match="nobody was told"):
        watch({"edge-2"}).look(set(), ledger)


def test_an_issue_in_whose_place_another_fact_stands_does_not_stand() -> None:
    ledger = {FIRST: known(FIRST, fact(What.RETURNED, 0)), SECOND: HELD}
    watch({"edge-2"}).look(set(), ledger)
    with pytest.raises(Violation, match="edge-2/323232/21, in whose place another fact stands"):
        watch(set()).look(set(), ledger)


def test_what_a_copy_gave_back_may_be_issued_by_who_got_it_before_the_copy_was_found() -> None:
    """The original is cut off, and has issued it; the copy speaks in its name, and holds nothing."""
    blamed: set[str] = set()
    early, issues = fact(What.DISPENSED, 1), [known(FIRST, fact(What.DISPENSED, 1)), HELD]

    def look(*, is_given_before: bool) -> None:
        truth = Truth()
        truth.cloned.add("edge-2")
        lease_watch = LeaseWatch(truth, lambda: set(blamed))
        lease_watch.recorded(issues[0], early, is_physical=False, in_hands=set())
        if is_given_before:
            blamed.clear()
            lease_watch.given("edge-0", CODE)
        blamed.add("edge-2")
        lease_watch.given("edge-0", CODE)
        lease_watch.recorded(HELD, LATER, is_physical=False, in_hands=set())
        lease_watch.look({CODE}, {issue.id: issue for issue in issues})

    look(is_given_before=True)
    with pytest.raises(Violation, match="was issued by"):
        look(is_given_before=False)


def test_a_fence_that_frees_is_seen_and_a_count_is_none() -> None:
    lease = on.Lease(device="edge-2", session=b"2" * 16, location="ward", route="station")
    lease.codes[CODE], lease.products[CODE] = 1, "P"
    grants = Grants([lease], term_us=60_000_000, margin_us=1_000_000)

    def frees(grants: Grants, _event: on.Event) -> list[on.Effect]:
        grants._book.let_go("edge-2", CODE)
        return []

    assert watched(Grants.handle, _nobody)(grants, on.Fenced(device="edge-2")) == [on.SendFence(device="edge-2")]
    assert grants.holder(CODE) == "edge-2"
    with pytest.raises(Violation, match=r"Fenced makes .* free, which edge-2 may still issue"):
        watched(frees, _nobody)(grants, on.Fenced(device="edge-2"))
    grants._book.hold(lease, CODE, "P", number=1)
    watched(frees, _nobody)(grants, on.Overridden(device="edge-2", found=(CODE,), now_us=0))
    assert grants.holder(CODE) == ""
