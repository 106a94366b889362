"""I3: an item leaves the stock once until it is back; what leaves twice says so, and is on the work list.

By the simulator's own account of who recorded what, in the order in which it happened.
"""

from collections.abc import Iterable

import msgspec

from sync_protocol.facts import Fact, FactId, What
from tests.simulation.around import spoken
from tests.simulation.ledger_watch import Violation
from tests.simulation.truth import Truth

_ISSUES = frozenset({What.DISPENSED, What.LENT})
_ENDS = frozenset({What.RETURNED, What.GIVEN_BACK, What.PUT_BACK, What.TAKEN, What.TRANSFERRED_IN})


class Issue(msgspec.Struct, frozen=True):
    identity: FactId
    is_provisional: bool


class LeaseWatch:
    """``doubled``: items issued twice, each with the two issues."""

    def __init__(self, truth: Truth) -> None:
        self.doubled: list[tuple[str, Issue, Issue]] = []
        self._truth = truth
        self._out: dict[str, Issue] = {}
        self._ends: dict[str, list[FactId]] = {}
        """By item, the facts that brought it back."""

    def recorded(self, identity: FactId, fact: Fact, *, is_physical: bool) -> None:
        if fact.what in _ENDS:
            for code in fact.codes:
                self._ends.setdefault(code, []).append(identity)
                self._out.pop(code, None)
        if fact.what not in _ISSUES or is_physical:
            return
        issue = Issue(identity, fact.is_provisional)
        for code in fact.codes:
            earlier = self._out.get(code)
            self._out[code] = issue
            if earlier is not None:
                self.doubled.append((code, earlier, issue))

    def look(self, excepted: set[str], ledger: Iterable[FactId]) -> None:
        """I3, in the end: only an emergency issues what is out, both issues stand, and a person is told.

        But where in the ledger the item is back from the first before the second one stands there, all fits: a
        return that was recorded long ago, or in error, may come late. Raises Violation.
        """
        places = {identity: place for place, identity in enumerate(ledger)}
        for code, earlier, later in self.doubled:
            issues = (earlier.identity, later.identity)
            stand = sorted(places[identity] for identity in issues if identity in places)
            is_whole = len(stand) == len(issues)
            if is_whole and any(stand[0] < places.get(end, stand[0]) < stand[1] for end in self._ends.get(code, ())):
                continue
            if earlier.is_provisional or later.is_provisional:
                if is_whole and code not in excepted:
                    raise Violation("I3", f"{code} was issued twice in an emergency, and nobody was told")
            elif earlier.identity not in self._truth.lost:
                raise Violation("I3", f"{code} was issued by {spoken(issues[0])} and by {spoken(issues[1])}")
