"""The port behind which the ledger is: what outlives central's process, and how the simulator looks into it."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from random import Random
from typing import Any, Protocol

import msgspec

from central.ledger.write import Ledger
from central.sync.comparing import Comparing
from central.sync.link import Outbox
from central.sync.publish import Publisher
from central.sync.safe import Safe
from sync_protocol.envelope import Voice
from sync_protocol.facts import SealedFact
from sync_protocol.items import Item
from sync_protocol.machines.ingest import SessionState
from tests.simulation.clocks import SimClock
from tests.simulation.perils import Perils


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A fact of the ledger."""

    position: int
    sealed: SealedFact
    version: int


class Misfit(msgspec.Struct, frozen=True, kw_only=True):
    """An exception of the ledger; ``position`` is None where it is about a chain."""

    position: int | None
    device: str
    session: bytes
    seq: int
    code: str
    reason: str
    found: str = ""


class Way(StrEnum):
    """How an older ledger comes back."""

    COPIED = "an older file is put in the ledger's place; what lies beside it stays"
    MOVED = "the file is put on a new machine, which has nothing else"
    TOOL = "with the command that is there for it"


class Backup(msgspec.Struct, frozen=True, kw_only=True):
    """A copy of the ledger as it was at one moment. ``held``: facts in it, by session. ``what`` is the store's own."""

    held: Mapping[bytes, int]
    what: Any


class Books(Protocol):
    """The ledger's disk. What it tells is committed state, also while no process runs on it."""

    def open(self, clock: SimClock, new_session: Callable[[], bytes], perils: Perils) -> Ledger: ...

    def publisher(self, ledger: Ledger, outbox: Outbox, voice: Voice, key: bytes) -> Publisher: ...

    def comparing(self, ledger: Ledger, publisher: Publisher) -> Comparing: ...

    def safe(self, ledger: Ledger, publisher: Publisher) -> Safe: ...

    def back_up(self, now_us: int) -> Backup:
        """Copy the ledger. Nobody is told of it before ``tell``."""

    def tell(self, backup: Backup) -> None:
        """Lay the manifest of a verified backup where central finds it."""

    def put_back(self, backup: Backup, way: Way) -> None:
        """While no process runs on it."""

    def another(self, backup: Backup, folder: Path) -> "Books":
        """A second machine with a copy of the ledger; ``folder``: a free place for it."""

    def twin(self, folder: Path) -> "Books":
        """A copy of the whole machine, with what lies beside the ledger."""

    def close(self) -> None:
        """The process is gone."""

    def crashed(self, random: Random, *, is_power: bool) -> None: ...

    def version(self) -> int: ...

    def incarnation(self) -> int: ...

    def changed(self, after: int) -> dict[str, tuple[Item, int]]:
        """Items with the version that changed them last, past ``after``."""

    def entries(self, after: int) -> list[Entry]:
        """Facts by position, past ``after``."""

    def misfits(self, after: int) -> list[Misfit]:
        """Exceptions in the order they were raised, but for the first ``after``."""

    def sessions(self) -> Mapping[bytes, SessionState]: ...

    def items(self) -> Mapping[str, Item]: ...

    def drifted(self) -> set[str]:
        """Devices whose replicas are said to have drifted."""
