"""What every node shares: time, lines, the world and the truth."""

import dataclasses
from collections.abc import Set as AbstractSet
from pathlib import Path
from random import Random
from typing import Protocol

from sync_protocol.facts import SESSION_BYTES, Fact, FactId
from tests.simulation.network import Network
from tests.simulation.scheduler import Scheduler, stream
from tests.simulation.snapshots import Whole
from tests.simulation.truth import Known, Truth
from tests.simulation.world import World


class Recorded(Protocol):
    """Told of a fact that is on a disk. ``is_physical``: it happened whatever the screen said.

    ``in_hands``: items that somebody had taken out of the stock before, by what the screen said.
    """

    def __call__(self, known: Known, fact: Fact, *, is_physical: bool, in_hands: AbstractSet[str]) -> None: ...


@dataclasses.dataclass(kw_only=True)
class Around:
    seed: int
    scheduler: Scheduler
    network: Network
    world: World
    truth: Truth
    folder: Path
    """For stores that are files."""
    snapshots: dict[str, Whole] = dataclasses.field(default_factory=dict)
    """What central serves on its site, by hash."""
    keep_us: int = 0
    """How long agents keep facts that are in a backup; 0: for ever."""

    busy: float = 0.0
    """How often central's disk takes nothing of what has come; everything else that it writes it does take."""

    on_recorded: list[Recorded] = dataclasses.field(default_factory=list)

    def random(self, name: str) -> Random:
        return stream(self.seed, name)


def session_of(random: Random) -> bytes:
    return random.randbytes(SESSION_BYTES)


def spoken(identity: FactId) -> str:
    return f"{identity.device}/{identity.session.hex()[:6]}/{identity.seq}"
