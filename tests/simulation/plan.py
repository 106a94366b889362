"""A run as a list of decisions: who does what when, and what goes wrong. Made from a seed, or read from a file.

A decision says where to pick by a fraction, not what to take: if others are left out it still finds something to do.
"""

import math
from collections.abc import Callable, Iterator
from random import Random

import msgspec

from tests.simulation.network import Weather
from tests.simulation.scheduler import MINUTE_US, SECOND_US, stream


class Decision(msgspec.Struct, frozen=True, array_like=True):
    """``who``: of which node. ``pick``, ``more``: which and how, as fractions. ``long_us``: how long it lasts."""

    at_us: int
    what: str
    who: int = 0
    pick: float = 0.0
    more: float = 0.0
    long_us: int = 0


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of the code under test, made small in some runs so that rare ways become common (buggify)."""

    batch_facts: int = 500
    coalesced: int = 16
    budget: int = 10_000
    delta_rows: int = 5_000
    settling_slice: int = 500
    linger_us: int = 250_000
    backlog: int = 2_000
    slice_early: int = 500
    room: int = 32_000
    least_credit: int = 50
    most_held: int = 4_000
    gathered: int = 20_000


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    seed: int
    edges: int
    locations: int
    minutes: float
    weather: Weather
    bounds: Bounds
    decisions: tuple[Decision, ...]
    keep_us: int = 0
    """How long agents keep facts that are in a backup (REQ-02); 0: for ever."""
    busy: float = 0.0
    """How often central's disk takes no facts, so that they must be sent again on a line that stays up."""
    nemeses: tuple[str, ...] = ()
    """Kinds that this seed turned on, for the reader."""


WORK = {
    "receive": 3.0,
    "prescan": 4.0,
    "hand_out": 6.0,
    "late_scan": 4.0,
    "bring_back": 2.0,
    "take": 2.0,
    "put_back": 2.0,
    "send_off": 1.0,
    "arrive": 1.5,
    "write_off": 0.4,
    "count": 1.0,
    "again": 3.0,
    "unreadable": 0.3,
    "stocktake": 0.4,
}
"""What people do at workplaces, by how often."""
OFFICE = {"announce": 3.0, "order": 5.0, "cancel": 1.0, "freeze": 0.7, "release": 0.7, "destroy": 0.3}
"""What central does by itself."""

_Nemesis = Callable[[Random, int, int], list[Decision]]
"""(chance, edges, end of the safety phase) -> decisions."""
_SECONDS_PER_ACT = (4.0, 12.0)
_OFFICE_SECONDS = 9.0
_BACKLOG = 0.15
_WITH_LOSSES = 0.4
_WITH_RECALLS = 0.5
_WITH_JAMS = 0.3
_WITH_FULL_LEASES = 0.2
_WITH_PAGES = 0.4
_BUSY = (0.0, 0.0, 0.0, 0.05, 0.3)
_TROUBLES = (
    ("partition", ""),
    ("partition", "kill_edge"),
    ("pause", ""),
    ("restore", ""),
    ("restore", "partition"),
    ("clone", ""),
    ("clone", "partition"),
    ("wake", ""),
    ("wake", "partition"),
)
_TROUBLE_S = {"partition": (120, 300), "pause": (40, 200), "restore": (5, 20), "wake": (5, 20), "clone": (40, 200)}
_DEAF = 0.5
"""A pick: what is said to it gets lost, and what it says comes."""
_ECHOED = 0.5
_LATEST = 0.99
_WHOLLY = 0.99
"""A pick: both ways of a line, or a death between two steps."""


def make_plan(seed: int) -> Plan:
    random = stream(seed, "plan")
    locations = random.choice((1, 2, 2, 3))
    edges = random.randint(max(2, locations), 5)
    minutes = random.choice((8, 12, 20))
    decisions = [*_work(stream(seed, "workload"), edges, minutes), *_office(stream(seed, "office"), minutes)]
    nemeses = (*_choose_nemeses(random), *_choose_losses(stream(seed, "losses")))
    if stream(seed, "recalls").random() < _WITH_RECALLS:
        nemeses = (*nemeses, *RECALLS)
    if stream(seed, "full lines").random() < _WITH_JAMS:
        nemeses = (*nemeses, *JAMS)
    for name in nemeses:
        decisions += NEMESES[name](stream(seed, f"nemesis/{name}"), edges, minutes * MINUTE_US)
    bounds = _with_lanes(_bounds(random), stream(seed, "lanes"))
    full = stream(seed, "full leases")
    if full.random() < _WITH_FULL_LEASES:
        bounds = msgspec.structs.replace(bounds, most_held=full.choice((24, 6)))
    paging = stream(seed, "pages")
    if paging.random() < _WITH_PAGES:
        bounds = msgspec.structs.replace(
            bounds, delta_rows=paging.choice((1, 3, 10)), gathered=paging.choice((1, 10, 40, 20_000))
        )
    keep_us = stream(seed, "keep").choice(KEPT_US) if "backups" in nemeses else 0
    return Plan(
        seed=seed,
        edges=edges,
        locations=locations,
        minutes=minutes,
        weather=_weather(random, forged=stream(seed, "forger").choice((0.0, 0.0, 0.02, 0.2))),
        bounds=bounds,
        keep_us=keep_us,
        busy=stream(seed, "busy").choice(_BUSY),
        decisions=tuple(sorted(decisions, key=lambda decision: decision.at_us)),
        nemeses=nemeses,
    )


def _weather(random: Random, *, forged: float) -> Weather:
    return Weather(
        loss=random.choice((0.0, 0.0, 0.02, 0.1, 0.3)),
        duplicate=random.choice((0.0, 0.0, 0.05, 0.3)),
        delay_us=random.choice((500, 5_000, 50_000, 500_000)),
        late=random.choice((0.0, 0.0, 0.01)),
        forged=forged,
    )


def _bounds(random: Random) -> Bounds:
    if random.random() < 0.4:
        return Bounds()
    return Bounds(
        batch_facts=random.choice((1, 2, 5, 500)),
        coalesced=random.choice((1, 3, 16)),
        budget=random.choice((1, 5, 10_000)),
        delta_rows=random.choice((3, 20, 5_000)),
        settling_slice=random.choice((1, 4, 500)),
        linger_us=random.choice((0, 250_000, 5_000_000)),
    )


def _with_lanes(bounds: Bounds, random: Random) -> Bounds:
    return msgspec.structs.replace(
        bounds,
        backlog=random.choice((0, 3, 20, 2_000)),
        slice_early=random.choice((1, 7, 500)),
        room=random.choice((0, 60, 32_000)),
        least_credit=random.choice((1, 5, 50)),
    )


def _work(random: Random, edges: int, minutes: float) -> Iterator[Decision]:
    names, weights = list(WORK), list(WORK.values())
    mean_us = random.uniform(*_SECONDS_PER_ACT) * SECOND_US
    burst = 20 if random.random() > _BACKLOG else 600
    for edge in range(edges):
        at_us = 0.0
        while (at_us := at_us + random.expovariate(1.0) * mean_us) < minutes * MINUTE_US:
            (what,) = random.choices(names, weights)
            size = random.randint(2, burst) if what == "stocktake" else 0
            yield Decision(int(at_us), what, edge, random.random(), random.random(), size)


def _office(random: Random, minutes: float) -> Iterator[Decision]:
    names, weights = list(OFFICE), list(OFFICE.values())
    for n in range(4):
        yield Decision(n * 1_000, "announce", 0, random.random(), random.random())
    at_us = 0.0
    while (at_us := at_us + random.expovariate(1.0) * _OFFICE_SECONDS * SECOND_US) < minutes * MINUTE_US:
        (what,) = random.choices(names, weights)
        yield Decision(int(at_us), what, 0, random.random(), random.random())


def _choose_nemeses(random: Random) -> tuple[str, ...]:
    """A random subset: faults that mask one another are not always on together (swarm testing)."""
    share = random.choice((0.15, 0.4, 0.7))
    chosen = [name for name in NEMESES if name not in _RARE + LOSSES + RECALLS + JAMS and random.random() < share]
    chosen += [name for name in _RARE if random.random() < share * 0.3]
    return tuple(chosen)


def _choose_losses(random: Random) -> tuple[str, ...]:
    """Ledgers and disks that are put back or gone, in four runs of ten."""
    if random.random() > _WITH_LOSSES:
        return ()
    chosen = [name for name in LOSSES if random.random() < 0.4]
    if "restore_central" in chosen and "backups" not in chosen:
        chosen.append("backups")
    return tuple(chosen)


def _times(random: Random, end_us: int, mean: float) -> Iterator[int]:
    """About ``mean`` moments of a run, at least one."""
    for _ in range(max(1, round(random.expovariate(1.0) * mean))):
        yield random.randint(5 * SECOND_US, end_us)


def _some(what: str, mean: float, shortest_s: float, longest_s: float) -> _Nemesis:
    def decide(random: Random, edges: int, end_us: int) -> list[Decision]:
        return [
            Decision(
                at_us,
                what,
                random.randrange(edges),
                random.random(),
                random.random(),
                int(math.exp(random.uniform(math.log(shortest_s), math.log(longest_s))) * SECOND_US),
            )
            for at_us in _times(random, end_us, mean)
        ]

    return decide


def _flap(random: Random, edges: int, end_us: int) -> list[Decision]:
    """Up for 5 s, down for 2, for a while."""
    who, start_us = random.randrange(edges), random.randrange(end_us)
    return [
        Decision(start_us + n * 7 * SECOND_US, "cut_line", who, 0.0, 0.0, 2 * SECOND_US)
        for n in range(random.randint(3, 20))
    ]


def _old_disk(what: str) -> _Nemesis:
    """The image is of one that had not heard lately what of it is in the ledger, and it hears nothing for a while."""

    def decide(random: Random, edges: int, end_us: int) -> list[Decision]:
        who, taken_us = random.randrange(edges), random.randrange(end_us)
        back_us = random.randint(taken_us, end_us)
        deaf_us = random.randint(0, 40) * SECOND_US
        return [
            Decision(max(0, taken_us - deaf_us), "partition", who, _DEAF, 0.0, 2 * deaf_us),
            Decision(taken_us, "image", who),
            Decision(back_us, what, who, random.random(), random.random(), random.randint(1, 30) * SECOND_US),
            Decision(back_us, "partition", who, _WHOLLY, 0.0, random.randint(0, 60) * SECOND_US),
        ]

    return decide


def _rush(random: Random, edges: int, end_us: int) -> list[Decision]:
    """All reach for the same few things, while one of them is cut off, stands still, is set back or copied.

    One that is set back or copied may be cut off besides, and one that is cut off may die: nobody can tell it then
    that what it believes to hold is another's.
    """
    who, start_us = random.randrange(edges), random.randrange(end_us)
    trouble, besides = random.choice(_TROUBLES)
    long_s = random.randint(*_TROUBLE_S[trouble])
    reaches = [
        Decision(
            start_us + int(random.random() * (long_s + 90) * SECOND_US),
            random.choice(("late_scan", "again", "again")),
            edge,
            random.random(),
            random.random(),
        )
        for edge in range(edges + 1)  # a copy is a workplace too
        for _ in range(30)
    ]
    return [
        Decision(start_us, "image", who),
        Decision(start_us + random.randint(0, 20) * SECOND_US, trouble, who, random.random(), 0.0, long_s * SECOND_US),
        Decision(start_us + random.randint(0, 20) * SECOND_US, "clock", who, random.random() / 2, random.random()),
        *(_besides(random, besides, who, start_us) if besides else ()),
        *reaches,
        *(_echo(reach, who) for reach in reaches if reach.who != who and random.random() < _ECHOED),
    ]


def _echo(reach: Decision, who: int) -> Decision:
    """The one in trouble scans what another has just issued."""
    return Decision(reach.at_us + SECOND_US // 2, "again", who, _LATEST, 0.5)


def _besides(random: Random, what: str, who: int, start_us: int) -> Iterator[Decision]:
    """The whole line of one is dead, or its process dies, soon after ``start_us``."""
    long_s = random.randint(90, 240) if what == "partition" else random.randint(1, 10)
    at_us = start_us + random.randint(0, 40) * SECOND_US
    yield Decision(at_us, what, who, _WHOLLY, random.random(), long_s * SECOND_US)


NEMESES: dict[str, _Nemesis] = {
    "kill_edge": _some("kill_edge", 5, 0.5, 120),
    "kill_central": _some("kill_central", 4, 0.5, 60),
    "pause": _some("pause", 2, 2, 600),
    "partition": _some("partition", 3, 3, 400),
    "central_alone": _some("central_alone", 1, 3, 200),
    "swizzle": _some("swizzle", 2, 5, 120),
    "kill_broker": _some("kill_broker", 2, 0.5, 60),
    "clock": _some("clock", 3, 1, 2),
    "flap": _flap,
    "rush": _rush,
    "hello": _some("cut_line", 6, 0.001, 0.002),
    "flood": _some("flood", 3, 1, 2),
    "drift": _some("drift", 4, 1, 2),
    "restore": _old_disk("restore"),
    "clone": _some("clone", 1, 1, 30),
    "wake": _old_disk("wake"),
    "backups": _some("back_up", 5, 0.1, 60),
    "restore_central": _some("restore_central", 1.5, 0.5, 60),
    "second_central": _some("second_central", 1, 5, 200),
    "wipe": _some("wipe", 1, 1, 60),
    "spoil_replica": _some("spoil_replica", 2, 1, 2),
    "kill_rebuilding": _some("kill_rebuilding", 4, 0.5, 60),
    "recalls": _some("recall", 6, 1, 2),
    "lifts": _some("lift", 3, 1, 2),
    "jams": _some("jam", 12, 0.05, 20),
}
_RARE = ("restore", "clone", "wake")
LOSSES = ("backups", "restore_central", "second_central", "wipe", "spoil_replica", "kill_rebuilding")
RECALLS = ("recalls", "lifts")
JAMS = ("jams",)
KEPT_US = (0, 20 * SECOND_US, 2 * MINUTE_US)
