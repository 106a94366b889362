"""From a failing run to the few decisions that matter: delta debugging, as long as the same rule breaks."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from tests.simulation.network import FAIR
from tests.simulation.plan import Bounds, Decision, Plan

OTHER_SEEDS = 3
"""Leaving out a decision changes what the lines lose after it: the same decisions are tried with other luck too."""
_SEED_STEP = 1_000_003

Breaks = Callable[[Plan], bool]
"""Whether a plan breaks the rule that the first one broke."""


def shrink(plan: Plan, breaks: Breaks, *, seconds: float) -> Plan:
    """A smaller plan that breaks the same rule; the one given, if time is up at once. ``seconds``: of the processor."""
    until_s = time.process_time() + seconds

    def find(candidate: Plan) -> Plan | None:
        for n in range(OTHER_SEEDS):
            other = msgspec.structs.replace(candidate, seed=candidate.seed + n * _SEED_STEP)
            if time.process_time() < until_s and breaks(other):
                return other
        return None

    plan = _fewest(_simpler(plan, find), find)
    return _shorter(_fewest(_simpler(plan, find), find), find)


_Find = Callable[[Plan], Plan | None]


def _simpler(plan: Plan, find: _Find) -> Plan:
    """Without bad weather, small bounds and nodes that do not matter."""
    candidates: list[dict[str, Any]] = [{"weather": FAIR}, {"bounds": Bounds()}, {"locations": 1}]
    candidates += [{"edges": edges} for edges in range(1, plan.edges)]
    for changes in candidates:
        simpler = msgspec.structs.replace(plan, **changes)
        if simpler != plan and simpler.locations <= simpler.edges <= plan.edges:
            plan = find(simpler) or plan
    return plan


def _fewest(plan: Plan, find: _Find) -> Plan:
    """Zeller's ddmin: leave out ever smaller parts."""
    parts = 2
    while len(plan.decisions) > 1:
        kept: Sequence[Decision] = plan.decisions
        size = max(1, len(kept) // parts)
        rests = ((*kept[:first], *kept[first + size :]) for first in range(0, len(kept), size))
        found = next(filter(None, (find(msgspec.structs.replace(plan, decisions=rest)) for rest in rests)), None)
        if found is not None:
            plan, parts = found, max(2, parts - 1)
        elif size == 1:
            break
        else:
            parts = min(len(kept), parts * 2)
    return plan


def _shorter(plan: Plan, find: _Find) -> Plan:
    """The faults end soon after the last decision."""
    last_us = max((decision.at_us for decision in plan.decisions), default=0)
    for extra_us in (1_000_000, 30_000_000, 120_000_000):
        shorter = msgspec.structs.replace(plan, minutes=(last_us + extra_us) / 60_000_000)
        found = find(shorter) if shorter.minutes < plan.minutes else None
        if found is not None:
            return found
    return plan
