"""I3: an item leaves the stock once until it is back; what leaves twice says so, and is on the work list.

By the simulator's own account of who recorded what, in the order in which it happened.
"""

from collections.abc import Iterable

from sync_protocol.facts import Fact, FactId, What
from tests.simulation.around import spoken
from tests.simulation.ledger_watch import Violation
from tests.simulation.truth import Truth

_ISSUES = frozenset({What.DISPENSED, What.LENT})
_ENDS = frozenset({What.RETURNED, What.GIVEN_BACK, What.PUT_BACK, What.TAKEN, What.TRANSFERRED_IN})


class LeaseWatch:
    """``doubled``: items issued twice, one of the two in an emergency, each with the two facts."""

    def __init__(self, truth: Truth) -> None:
        self.doubled: dict[str, tuple[FactId, FactId]] = {}
        self.ended: dict[str, list[FactId]] = {}
        """By item, the facts that brought it back."""
        self.emergencies = 0
        self.issues = 0
        self._truth = truth
        self._out: dict[str, tuple[FactId, bool]] = {}

    def recorded(self, identity: FactId, fact: Fact, *, is_physical: bool) -> None:
        """Raises Violation."""
        if fact.what in _ENDS:
            for code in fact.codes:
                self.ended.setdefault(code, []).append(identity)
                self._out.pop(code, None)
        if fact.what not in _ISSUES or is_physical:
            return
        self.issues += 1
        self.emergencies += fact.is_provisional
        for code in fact.codes:
            earlier = self._out.get(code)
            self._out[code] = (identity, fact.is_provisional)
            if earlier is not None:
                self._check(code, earlier, (identity, fact.is_provisional))

    def look(self, excepted: set[str], ledger: Iterable[FactId]) -> None:
        """I3, in the end: both stand, and a person is told. Raises Violation.

        But where the item was brought back from the first before the second one stands in the ledger: both are marked
        there, and nothing is to be put right.
        """
        order = {identity: place for place, identity in enumerate(ledger)}
        for code, facts in self.doubled.items():
            if code in excepted or not all(identity in order for identity in facts):
                continue
            first, second = sorted(order[identity] for identity in facts)
            if not any(first < order.get(end, first) < second for end in self.ended.get(code, ())):
                raise Violation("I3", f"{code} was issued twice in an emergency, and nobody was told")

    def _check(self, code: str, earlier: tuple[FactId, bool], later: tuple[FactId, bool]) -> None:
        if earlier[1] or later[1]:
            self.doubled[code] = (earlier[0], later[0])
        elif earlier[0] not in self._truth.lost:
            raise Violation("I3", f"{code} was issued by {spoken(earlier[0])} and by {spoken(later[0])}")
