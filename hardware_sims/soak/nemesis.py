"""What will go wrong and when, drawn from the seed alone before anything starts: the same seed, the same list.

A run is a row of cycles, each a calm and a storm. In a storm a random few kinds of trouble are at work, as the
simulator's swarms have it, kills always among them; at its end all is healed. Speed is measured in calms, once their
first seconds are over.
"""

from collections.abc import Sequence
from enum import StrEnum
from random import Random

import msgspec

CENTRAL, BROKER = "central", "broker"
_CYCLE_S = 60.0
_SETTLING_S = 12.0
"""A link waits up to 10 s before it tries again."""
_MEASURED_SHARE = 0.2
_MEAN_GAP_S = 1.4
_KINDS_AT_ONCE = 6


class Nemesis(StrEnum):
    CUT = "cut"
    CUT_MIDWAY = "cut_midway"
    DELAY = "delay"
    LOSE = "lose"
    REPEAT = "repeat"
    REORDER = "reorder"
    HOLE_UP = "hole_up"
    HOLE_DOWN = "hole_down"
    FLAP = "flap"
    STALE = "stale"
    LATE_WILL = "late_will"
    PAUSE = "pause"
    KILL = "kill"


_LASTS_S: dict[Nemesis, tuple[float, float]] = {
    Nemesis.CUT: (0.0, 0.0),
    Nemesis.CUT_MIDWAY: (0.5, 0.5),
    Nemesis.DELAY: (4.0, 15.0),
    Nemesis.LOSE: (3.0, 12.0),
    Nemesis.REPEAT: (4.0, 15.0),
    Nemesis.REORDER: (4.0, 15.0),
    Nemesis.HOLE_UP: (2.0, 26.0),
    Nemesis.HOLE_DOWN: (2.0, 26.0),
    Nemesis.FLAP: (14.0, 21.0),
    Nemesis.STALE: (6.0, 15.0),
    Nemesis.LATE_WILL: (6.0, 15.0),
    Nemesis.PAUSE: (1.0, 8.0),
    Nemesis.KILL: (0.0, 4.0),
}
_OF_PROCESSES = frozenset({Nemesis.PAUSE, Nemesis.KILL})


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """``for_s``: how long it lasts; of a kill, how long the process stays down. ``degree``: from 0 to 1."""

    at_s: float
    nemesis: Nemesis
    target: str
    for_s: float
    degree: float

    @property
    def end_s(self) -> float:
        return self.at_s + self.for_s


class Calm(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a calm in which speed is measured, in seconds from the start of the run."""

    from_s: float
    to_s: float


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    seed: int
    total_s: float
    calms: tuple[Calm, ...]
    decisions: tuple[Decision, ...]


def draw(seed: int, *, total_s: float, agents: Sequence[str]) -> Plan:
    cycles = max(1, round(total_s / _CYCLE_S))
    cycle_s = total_s / cycles
    settling_s = min(_SETTLING_S, cycle_s / 4)
    calm_s = settling_s + cycle_s * _MEASURED_SHARE
    calms, decisions = [], []
    for number in range(cycles):
        start_s = number * cycle_s
        calms.append(Calm(from_s=start_s + settling_s, to_s=start_s + calm_s))
        random = Random(f"soak storm {seed} {number}")
        decisions += _storm(random, start_s + calm_s, start_s + cycle_s, agents)
    return Plan(seed=seed, total_s=total_s, calms=tuple(calms), decisions=tuple(decisions))


def _storm(random: Random, start_s: float, end_s: float, agents: Sequence[str]) -> list[Decision]:
    kinds = [*random.sample(list(Nemesis), k=_KINDS_AT_ONCE), Nemesis.KILL, Nemesis.KILL]
    free_s: dict[tuple[str, bool], float] = {}
    decisions, at_s = [], start_s
    while (at_s := at_s + random.expovariate(1 / _MEAN_GAP_S)) < end_s:
        kind = random.choice(kinds)
        is_of_process = kind in _OF_PROCESSES
        target = random.choice([*agents, CENTRAL, BROKER] if kind is Nemesis.KILL else [*agents, CENTRAL])
        for_s, degree = random.uniform(*_LASTS_S[kind]), random.random()
        if free_s.get((target, is_of_process), 0.0) > at_s:
            continue
        for_s = min(for_s, end_s - at_s)
        # A killed process needs its time to start before anything else befalls it.
        free_s[target, is_of_process] = at_s + for_s + (4.0 if kind is Nemesis.KILL else 0.0)
        decisions.append(
            Decision(at_s=round(at_s, 3), nemesis=kind, target=target, for_s=round(for_s, 3), degree=round(degree, 3))
        )
    return decisions
