"""The policy for an old copy of the ledger: by class, by age, and by nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_protocol.degraded import DEFAULT_POLICY, Allowance, Class, Limits, Policy, class_of
from sync_protocol.items import Kind

HOUR_S = 3_600.0
ORDER = list(Allowance)


@pytest.mark.parametrize(
    ("age_s", "allowance"),
    [
        (0.0, Allowance.ALLOW),
        (99.9, Allowance.ALLOW),
        (100.0, Allowance.MARK),
        (200.0, Allowance.WITNESS),
        (300.0, Allowance.BLOCK),
        (None, Allowance.BLOCK),
    ],
)
def test_the_strictest_limit_that_is_reached_counts(age_s: float | None, allowance: Allowance) -> None:
    assert Limits(mark_s=100, witness_s=200, block_s=300).allowance(age_s) is allowance


def test_a_limit_that_is_not_written_never_comes() -> None:
    assert Limits().allowance(None) is Allowance.ALLOW
    assert Limits(block_s=5).allowance(4.9) is Allowance.ALLOW
    assert Limits(mark_s=5).allowance(1e9) is Allowance.MARK


@given(st.floats(0, 1e7), st.floats(0, 1e7))
def test_an_older_copy_allows_never_more(one: float, other: float) -> None:
    younger, older = sorted((one, other))
    for each in Class:
        before, after = DEFAULT_POLICY.allowance(each, younger), DEFAULT_POLICY.allowance(each, older)
        assert ORDER.index(before) <= ORDER.index(after)
        assert ORDER.index(after) <= ORDER.index(DEFAULT_POLICY.allowance(each, None))


def test_classes_follow_the_product() -> None:
    assert class_of(Kind.UNIT, is_controlled=False) is class_of(Kind.BOX, is_controlled=False) is Class.DRUG
    assert class_of(Kind.PIECE, is_controlled=False) is Class.CONSUMABLE
    assert class_of(Kind.BOX, is_controlled=True) is Class.CONTROLLED


def test_a_policy_of_a_hospital_replaces_the_default_of_that_class_alone() -> None:
    policy = Policy(drug=Limits(block_s=HOUR_S))
    assert policy.allowances(2 * HOUR_S) == {
        Class.CONTROLLED: Allowance.MARK,
        Class.DRUG: Allowance.BLOCK,
        Class.CONSUMABLE: Allowance.MARK,
    }
