"""What an agent may issue while its copy of the ledger is old: a written policy by class of product (X09).

The older the copy, the more may have happened elsewhere that it lacks. Nothing here looks at a clock: who asks says how
old the copy is. What has physically happened is never refused, only marked.
"""

from enum import StrEnum

import msgspec

from sync_protocol.facts import What
from sync_protocol.items import Kind

ISSUES = frozenset({What.DISPENSED, What.LENT, What.TAKEN})
"""Facts that the policy is about: by these an item leaves for a patient."""
NEVER_S = 2**31 - 1
"""The mark of a fact that was checked against a copy that was never confirmed."""
_HOUR_S = 3_600


class Class(StrEnum):
    CONTROLLED = "controlled"
    """Controlled drugs (麻精药品)."""
    DRUG = "drug"
    CONSUMABLE = "consumable"


class Allowance(StrEnum):
    """Mildest first."""

    ALLOW = "allow"
    MARK = "mark"
    WITNESS = "witness"
    BLOCK = "block"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """From which age on, in seconds; None: never. A copy that was never confirmed is older than any limit."""

    mark_s: float | None = None
    witness_s: float | None = None
    block_s: float | None = None

    def allowance(self, age_s: float | None) -> Allowance:
        limits = ((self.block_s, Allowance.BLOCK), (self.witness_s, Allowance.WITNESS), (self.mark_s, Allowance.MARK))
        for limit_s, allowance in limits:
            if limit_s is not None and (age_s is None or age_s >= limit_s):
                return allowance
        return Allowance.ALLOW


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """Unless a hospital writes its own: work goes on, marked; after a day two people answer for a drug."""

    controlled: Limits = Limits(mark_s=_HOUR_S / 4, block_s=72 * _HOUR_S)
    drug: Limits = Limits(mark_s=_HOUR_S, witness_s=24 * _HOUR_S)
    consumable: Limits = Limits(mark_s=_HOUR_S)

    def allowances(self, age_s: float | None) -> dict[Class, Allowance]:
        return {each: self.allowance(each, age_s) for each in Class}

    def allowance(self, of: Class, age_s: float | None) -> Allowance:
        limits: Limits = getattr(self, of)
        return limits.allowance(age_s)


DEFAULT_POLICY = Policy()


def class_of(kind: Kind, *, is_controlled: bool) -> Class:
    if is_controlled:
        return Class.CONTROLLED
    return Class.CONSUMABLE if kind is Kind.PIECE else Class.DRUG
