"""Snapshots without files and HTTP: what is offered and taken is decided by the shipped machines; the way is played."""

import dataclasses
import hashlib
from pathlib import Path
from random import Random
from typing import cast

from central.ledger.write import Ledger
from central.sync.snapshots import Snapshots
from edge_agent.sync.fetching import Fetcher
from sync_protocol import replica_format
from sync_protocol.items import Item
from sync_protocol.machines.bootstrap import Fetched, Missed
from sync_protocol.messages import Offer, Pull
from tests.simulation.clocks import SimClock
from tests.simulation.dict_tables import Tables
from tests.simulation.scheduler import SECOND_US, Node, Scheduler

FAR, FRESH = 6, 30
"""Versions behind from which a snapshot is offered, and behind which one is made anew."""
_LONGEST_US = 40 * SECOND_US


@dataclasses.dataclass(frozen=True)
class Whole:
    """What is in a snapshot."""

    items: dict[str, Item]
    version: int
    incarnation: int


class SimSnapshots:
    """Stands in for ``central.sync.snapshots.Snapshots``. ``kept``: by hash; it outlives central's process."""

    def __init__(self, ledger: Ledger, tables: Tables, kept: dict[str, Whole]) -> None:
        self._ledger = ledger
        self._tables = tables
        self._kept = kept

    def offer(self, pull: Pull) -> Offer | None:
        version, incarnation = self._ledger.version, self._ledger.incarnation
        if pull.takes != replica_format.VERSION or len(self._tables.changed_after(pull.after)) < FAR:
            return None
        for name, whole in reversed(self._kept.items()):
            if whole.incarnation == incarnation and whole.version > max(pull.after, version - FRESH):
                return _offer(bytes.fromhex(name), whole)
        name = hashlib.sha256(f"{incarnation}/{version}".encode()).hexdigest()
        items = {code: item for code, (item, _) in self._tables.items.items()}
        self._kept[name] = Whole(items, version, incarnation)
        return None  # it is being made: deltas meanwhile

    def as_shipped(self) -> Snapshots:
        return cast("Snapshots", self)


class SimFetcher:
    """Stands in for ``edge_agent.sync.fetching.Fetcher``: an attempt takes a while, and may be cut or spoilt."""

    part = b""

    def __init__(self, node: Node, scheduler: Scheduler, clock: SimClock, chance: Random) -> None:
        self._node = node
        self._scheduler = scheduler
        self._clock = clock
        self._chance = chance
        self._wanted: Offer | None = None

    def whole(self, offer: Offer) -> Path:
        return Path(offer.sha256.hex())

    def fetch(self, offer: Offer) -> None:
        self._wanted = offer
        self._scheduler.after(self._chance.uniform(0.01, 1.0) ** 3 * _LONGEST_US, self._node, "fetched", (self, offer))

    def discard(self, offer: Offer) -> None:
        """Nothing is kept."""

    def ended(self, offer: Offer) -> Fetched | Missed | None:
        """How the attempt ended; None: nobody waits for it."""
        if offer is not self._wanted:
            return None
        fate, now_us = self._chance.random(), self._clock.mono_us()
        if fate > 0.3:
            return Fetched(offer=offer, now_us=now_us)
        return Missed(
            offer=offer,
            cause="cut",
            is_wrong=fate < 0.05,
            fetched=self._chance.choice((0, 1)),
            chance=self._chance.random(),
            now_us=now_us,
        )

    def as_shipped(self) -> Fetcher:
        return cast("Fetcher", self)


def _offer(sha256: bytes, whole: Whole) -> Offer:
    return Offer(
        path="",
        sha256=sha256,
        size=1,
        raw_size=1,
        version=whole.version,
        incarnation=whole.incarnation,
        takes=replica_format.VERSION,
        ticket="",
        for_s=60,
    )
