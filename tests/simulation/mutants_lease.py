"""Mutants of the leases: who may issue what, until when, and what makes a code free again."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from edge_agent.rights import Rights
from edge_agent.sync.leasing import Leasing
from sync_protocol.facts import Fact
from sync_protocol.machines import grants_events as on
from sync_protocol.machines import holding
from sync_protocol.machines.grants import Grants
from sync_protocol.messages import Grant
from tests.simulation import edge_node
from tests.simulation.clocks import SimClock
from tests.simulation.edge_node import EdgeNode, Process
from tests.simulation.mutant import Mutant

_free_given_up = Grants._free_given_up
_fenced = Grants._fenced
_reissue = Grants._reissue
_record = EdgeNode.record
_spent = Grants._spent
_released = holding.Holding._released
_take = holding.Holding._take


def _fence_frees(grants: Grants, device: str) -> list[on.Effect]:
    lease = grants.leases.get(device)
    _fenced(grants, device)
    codes = tuple(lease.kept) if lease is not None else ()
    for code in codes:
        grants._book.let_go(device, code)
    return [on.Freed(codes=codes)]


def _without_facts(grants: Grants, lease: on.Lease, _committed: Mapping[bytes, int]) -> list[on.Effect]:
    lease.heads = {}
    return _free_given_up(grants, lease, {})


def _free_at_expiry(grants: Grants, event: on.Tick) -> list[on.Effect]:
    effects: list[on.Effect] = []
    for device, lease in grants.leases.items():
        if event.now_us > lease.expires_us - grants._term_us // 2 and lease.kept and device not in event.connected:
            codes = lease.kept
            for code in codes:
                grants._book.let_go(device, code)
            effects.append(on.Freed(codes=codes))
    return effects


def _countable_early(grants: Grants, device: str, now_us: int) -> frozenset[str]:
    lease = grants.leases.get(device)
    if lease is None:
        return frozenset()
    is_over = lease.standing is on.Standing.FENCED or now_us > lease.expires_us - grants._term_us
    return frozenset(lease.kept if is_over else lease.missing)


def _adopt_none(grants: Grants, lease: on.Lease, event: on.Stated) -> None:
    holds = msgspec.structs.replace(event.holds, incarnation=grants.incarnation)
    _reissue(grants, lease, msgspec.structs.replace(event, holds=holds))


def _adopts_and_thaws(_grants: Grants) -> bool:
    return False


def _free_unfit(grants: Grants, event: on.Spent) -> list[on.Effect]:
    return _spent(grants, msgspec.structs.replace(event, unfit=frozenset()))


def _has_right(_node: EdgeNode, _process: Process, _facts: Sequence[Fact]) -> bool:
    return True


def _unmarked(node: EdgeNode, facts: Sequence[Fact], *, is_physical: bool, bodies: Sequence[bytes] = ()) -> bool:
    if not any(fact.is_provisional for fact in facts):
        return _record(node, facts, is_physical=is_physical, bodies=bodies)
    plain = [msgspec.structs.replace(fact, is_provisional=False) for fact in facts]
    with _everything_allowed(node):
        return _record(node, plain, is_physical=is_physical, bodies=bodies)


class _everything_allowed:  # noqa: N801 -- used as a word
    def __init__(self, node: EdgeNode) -> None:
        self._node = node

    def __enter__(self) -> None:
        vars(self._node)["_has_right"] = lambda _process, _facts: True

    def __exit__(self, *_: object) -> None:
        del vars(self._node)["_has_right"]


def _rights_by_wall(machine: holding.Holding, now_us: Any) -> Rights:
    clock: SimClock = now_us.__self__
    return Rights(machine, clock.wall_us)


def _wall_us(leasing: Leasing) -> int:
    return leasing._clock.wall_us()


def _released_and_kept(machine: holding.Holding, event: holding.Released) -> list[holding.Effect]:
    kept = machine._codes.intersection(event.codes)
    effects = _released(machine, event)
    machine._codes |= kept
    return effects


def _take_besides(machine: holding.Holding, grant: Grant, now_us: int) -> list[holding.Effect]:
    """What the grant does not name is not given up for it."""
    codes = tuple(sorted({*grant.codes, *machine._codes}))
    return _take(machine, msgspec.structs.replace(grant, codes=codes), now_us)


def _never_over(machine: holding.Holding, _now_us: int) -> bool:
    return machine._deadline_us is not None


LEASES = (
    Mutant(name="lease_fence_frees", wrong="what a copied computer may still issue is free at once, and it is not told",
           patches=((Grants, "_fenced", _fence_frees),)),
    Mutant(name="lease_regrant_without_facts", wrong="what is given back is free before the facts are in",
           patches=((Grants, "_free_given_up", _without_facts),)),
    Mutant(name="lease_regrant_by_time", wrong="what a silent agent holds is free after half its time",
           patches=((Grants, "_tick", _free_at_expiry),)),
    Mutant(name="lease_counted_early", wrong="people may take what an agent may still issue",
           patches=((Grants, "countable", _countable_early),)),
    Mutant(name="lease_adopts_none", wrong="a restored ledger takes what it did not grant for free, and grants at once",
           patches=((Grants, "_reissue", _adopt_none), (Grants, "is_frozen", property(_adopts_and_thaws)))),
    Mutant(name="lease_unfit_freed", wrong="what its holder issued and the ledger could not take is free",
           patches=((Grants, "_spent", _free_unfit),)),
    Mutant(name="lease_ignored", wrong="an agent issues what it does not hold",
           patches=((EdgeNode, "_has_right", _has_right),)),
    Mutant(name="lease_emergency_unmarked", wrong="an emergency is not marked as one",
           patches=((EdgeNode, "record", _unmarked),)),
    Mutant(name="lease_by_wall_clock", wrong="the time of a lease is that of the wall clock",
           patches=((edge_node, "Rights", _rights_by_wall), (Leasing, "_now_us", _wall_us))),
    Mutant(name="lease_kept_on", wrong="an agent goes on issuing what it gave back",
           patches=((holding.Holding, "_released", _released_and_kept), (holding.Holding, "_take", _take_besides))),
    Mutant(name="lease_never_over", wrong="an agent issues when its time is over",
           patches=((holding.Holding, "_lasts", _never_over),)),
)  # fmt: skip
