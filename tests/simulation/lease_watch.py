"""I3: an item leaves the stock once until it is back; what leaves twice says so, and is on the work list.

By the simulator's own account of who recorded what, in the order in which it happened. And REQ-08: what one agent may
issue is free for others only once it has said so, its facts are in, or two people have counted.
"""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet

import msgspec

from sync_protocol.facts import Fact, FactId, What
from sync_protocol.machines import grants_events as on
from sync_protocol.machines.grants import Grants
from tests.simulation.around import spoken
from tests.simulation.ledger_watch import Violation
from tests.simulation.truth import Known, Truth

_ISSUES = frozenset({What.DISPENSED, What.LENT})
_ENDS = frozenset({What.RETURNED, What.GIVEN_BACK, What.PUT_BACK, What.TAKEN, What.TRANSFERRED_IN})
_FREEING = (on.Stated, on.Committed, on.Spent, on.Overridden)
_Handle = Callable[[Grants, on.Event], list[on.Effect]]


def watched(handle: _Handle, given: Callable[[str, str], None]) -> _Handle:
    """The machine of all leases, looked at: neither time nor a fence, a question or an offer makes anything free.

    Nor is free what an agent has by a grant that a restored ledger has lost, once it has said so. ``given`` hears the
    device and the code of each grant.
    """

    def looked_at(grants: Grants, event: on.Event) -> list[on.Effect]:
        held = {} if isinstance(event, _FREEING) else dict(grants._book.holders)
        effects = handle(grants, event)
        for code in held.keys() - grants._book.holders.keys():
            raise Violation("REQ-08", f"{type(event).__name__} makes {code} free, which {held[code]} may still issue")
        if isinstance(event, on.Stated) and grants.takes_over(event.holds):
            _check_claims(grants, event)
        for effect in effects:
            if isinstance(effect, on.SendGrant) and not effect.is_whole:
                for code in effect.codes:
                    given(effect.device, code)
        return effects

    return looked_at


def _check_claims(grants: Grants, event: on.Stated) -> None:
    lease, holds = grants.leases.get(event.device), event.holds
    if lease is None or (lease.session, lease.stated) != (holds.session, holds.number):
        return  # it was not taken
    free = [code for code in holds.codes if not grants.holder(code)]
    if free:
        raise Violation("REQ-08", f"{event.device} says that it has {free[0]}, which nobody holds in the ledger")


class Issue(msgspec.Struct, frozen=True):
    """``is_from_hands``: of what was out of the stock already, which no lease is about."""

    act: Known
    is_from_hands: bool

    @property
    def identity(self) -> FactId:
        return self.act.id

    @property
    def is_provisional(self) -> bool:
        return self.act.fact is not None and self.act.fact.is_provisional


class Doubled(msgspec.Struct, frozen=True):
    """An item that was issued twice. ``is_unavoidable``: nobody could know better, so a person must be told."""

    code: str
    earlier: Issue
    later: Issue
    is_unavoidable: bool


class LeaseWatch:
    """``blamed``: says which devices are known to be copied."""

    def __init__(self, truth: Truth, blamed: Callable[[], set[str]]) -> None:
        self._doubled: list[Doubled] = []
        self._truth = truth
        self._blamed = blamed
        self._out: dict[str, Issue] = {}
        self._ends: dict[str, list[Known]] = {}
        """By item, what brought it back."""
        self._given: dict[str, tuple[str, set[str]]] = {}
        """By item, who was given it last, and which devices were known to be copied then."""

    def given(self, device: str, code: str) -> None:
        """Central lets a device issue the item without asking."""
        if self._given.get(code, ("", set()))[0] != device:
            self._given[code] = device, self._blamed()

    def recorded(self, known: Known, fact: Fact, *, is_physical: bool, in_hands: AbstractSet[str]) -> None:
        if fact.what in _ENDS:
            for code in fact.codes:
                self._ends.setdefault(code, []).append(known)
                self._out.pop(code, None)
        if fact.what not in _ISSUES or is_physical:
            return
        for code in fact.codes:
            issue = Issue(known, code in in_hands)
            earlier = self._out.get(code)
            self._out[code] = issue
            if earlier is not None:
                self._doubled.append(Doubled(code, earlier, issue, self._is_unavoidable(code, earlier, issue)))

    def _is_unavoidable(self, code: str, earlier: Issue, later: Issue) -> bool:
        """In an emergency; by an old belief that somebody has it in hands; and by the copy of a computer.

        Which looks like that computer after a restart, as long as the original is cut off and issues on: it gives back
        what the original holds, and another one gets that.
        """
        if earlier.is_provisional or later.is_provisional or later.is_from_hands:
            return True
        devices = {earlier.identity.device, later.identity.device}
        copied = devices & self._truth.cloned
        owner, blamed = self._given.get(code, ("", set()))
        return bool(copied if len(devices) == 1 else copied - (blamed if owner in devices - copied else self._blamed()))

    def look(self, excepted: set[str], ledger: Mapping[FactId, Known]) -> None:
        """I3, in the end: nothing is issued that is out; where that is unavoidable both stand, and a person is told.

        But where in the ledger the item is back from the first before the second one stands there, all fits: a
        return that was recorded long ago, or in error, may come late. ``ledger``: in its order. Raises Violation.
        """
        places = {known: place for place, known in enumerate(ledger.values())}
        for doubled in self._doubled:
            code, issues = doubled.code, (doubled.earlier, doubled.later)
            stand = sorted(places[issue.act] for issue in issues if issue.act in places)
            is_whole = len(stand) == len(issues)
            if is_whole and any(stand[0] < places.get(end, stand[0]) < stand[1] for end in self._ends.get(code, ())):
                continue
            if doubled.is_unavoidable:
                if is_whole and code not in excepted:
                    raise Violation("I3", f"{code} was issued twice, as nobody knew better, and nobody was told")
                self._check_ousted(code, [issue for issue in issues if issue.act not in places], ledger)
            elif doubled.earlier.act not in self._truth.lost:
                first, second = (spoken(issue.identity) for issue in issues)
                raise Violation("I3", f"{code} was issued by {first} and by {second}")

    def _check_ousted(self, code: str, issues: list[Issue], ledger: Mapping[FactId, Known]) -> None:
        """An issue in whose place another life of its machine stands is in no ledger: its device is on the work list.

        But for a disk that was replaced before it could say anything, or whose words a restored ledger has forgotten.
        """
        told = self._blamed() | self._truth.wiped
        for issue in issues:
            is_gone = issue.act in self._truth.lost
            if issue.identity in ledger and issue.identity.device not in told and not is_gone:
                said = f"{code} was issued by {spoken(issue.identity)}, in whose place another fact stands"
                raise Violation("I3", f"{said}, and nobody was told")
