"""The degraded mode of this agent: its policy at the age that its replica has now (X09).

It enters and leaves by itself.
"""

from collections.abc import Mapping

from edge_agent.check import Stock
from sync_protocol.degraded import ISSUES, NEVER_S, Allowance, Class, Policy, class_of
from sync_protocol.documents import Product
from sync_protocol.facts import Fact, How
from sync_protocol.items import Item
from sync_protocol.lifecycle import Reason, Refusal


class Degraded:
    def __init__(self, policy: Policy, stock: Stock) -> None:
        self._policy = policy
        self._stock = stock

    def of(self, thing: Item | Product) -> Allowance:
        """What may be done with an item, or any item of a product, now."""
        return self._policy.allowance(_class(thing), self._stock.age_s)

    def now(self) -> dict[Class, Allowance]:
        """Classes that may not be issued as ever."""
        allowances = self._policy.allowances(self._stock.age_s)
        return {each: allowance for each, allowance in allowances.items() if allowance is not Allowance.ALLOW}

    def judge(self, fact: Fact, known: Mapping[str, Item], now: Mapping[Class, Allowance]) -> tuple[int, list[Refusal]]:
        """Seconds that the fact is marked with, 0 for none; and why it is refused, unless it has happened already.

        ``now``: of ``now()``, once for many facts.
        """
        if fact.what not in ISSUES:
            return 0, []
        items = ((code, known.get(code)) for code in fact.codes)
        worse = {code: (item, now[each]) for code, item in items if item and (each := _class(item)) in now}
        if not worse:
            return 0, []
        age_s = self._stock.age_s
        refusals = [
            Refusal(code=code, what=fact.what, reason=reason, state=item.state)
            for code, (item, allowance) in worse.items()
            if (reason := _reason(allowance, fact))
        ]
        return NEVER_S if age_s is None else max(1, int(age_s)), refusals


def _class(thing: Item | Product) -> Class:
    return class_of(thing.kind, is_controlled=thing.is_controlled)


def _reason(allowance: Allowance, fact: Fact) -> Reason | None:
    if fact.how is How.MACHINE:  # the pouch is made; whether to make it was asked before
        return None
    if allowance is Allowance.BLOCK:
        return Reason.OLD_COPY
    is_alone = fact.witness in {"", fact.operator}
    return Reason.OLD_COPY_SECOND_PERSON if allowance is Allowance.WITNESS and is_alone else None
