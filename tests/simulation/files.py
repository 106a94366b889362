"""The shipped stores of an agent on real files, in memory: the journal and the replica.

A killed process leaves its files as they are: they are copied, with their write-ahead logs, before anything closes
them, and the next process starts on the copy. A lost power cannot be played here: the page cache outlives a process.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from random import Random
from typing import TypeVar

import msgspec

from edge_agent.check import Stock
from edge_agent.store import folder as names
from edge_agent.store import opening, sqlite
from edge_agent.store.journal import Journal, Touched
from edge_agent.store.leased import NO_CHANGE, LeaseChange
from edge_agent.store.opening import Line
from edge_agent.store.overlay import Overlay
from edge_agent.store.replica import Replica
from edge_agent.store.witness import Witness
from edge_agent.store.writing import Writing
from sync_protocol.facts import FactId, Paper
from sync_protocol.items import Item
from sync_protocol.messages import Bucket, Delta
from tests.simulation.clocks import SUMMER_2026_US
from tests.simulation.folders import Folders, copy
from tests.simulation.perils import Perils

_T = TypeVar("_T")
_decode_item = msgspec.msgpack.Decoder(Item).decode
_encode_item = msgspec.msgpack.Encoder().encode

_OVERLAY = "SELECT code, position FROM overlay"
_TOUCHED = "SELECT position FROM overlay WHERE code = ?"
_SHOWN = "SELECT code, body FROM item"


class PerilousJournal(Journal):
    perils: Perils
    partings = 0

    def commit(
        self,
        bodies: Sequence[bytes],
        touched: Iterable[Touched],
        lease: LeaseChange = NO_CHANGE,
        papers: Sequence[tuple[int, Paper]] = (),
    ) -> tuple[FactId, ...]:
        self.perils.point("journal.write")
        identities = super().commit(bodies, touched, lease, papers)
        self.perils.point("journal.sync")
        self.perils.point("journal.synced")
        return identities

    def settle(self, session: bytes, through: int, version: int, safe: int = 0) -> None:
        self.perils.point("settle.write")
        super().settle(session, through, version, safe)
        self.perils.point("settle.synced")

    def adopt(self, incarnation: int) -> None:
        self.perils.point("adopt.write")
        super().adopt(incarnation)
        self.perils.point("adopt.synced")

    def keep_lease(self, change: LeaseChange, *, incarnation: int, is_whole: bool) -> None:
        self.perils.point("lease.write")
        super().keep_lease(change, incarnation=incarnation, is_whole=is_whole)
        self.perils.point("lease.synced")

    def prune(self, session: bytes, through: int) -> None:
        self.perils.point("prune.write")
        super().prune(session, through)
        self.perils.point("prune.synced")

    def forget_settled(self, session: bytes, through: int, limit: int) -> int:
        self.perils.point("forget.write")
        count = super().forget_settled(session, through, limit)
        self.perils.point("forget.synced")
        return count

    def write_again(self, session: bytes, through: int) -> Line:
        self.perils.point("again.write")
        line = super().write_again(session, through)
        self.partings += 1
        self.perils.point("again.synced")
        return line

    @classmethod
    def resume(cls, path: Path) -> "PerilousJournal":
        """Without a session of its own: what a machine does that was woken from a snapshot."""
        connection = sqlite.connect(path, is_durable=True)
        return cls(path, connection, opening.read_lines(connection), Witness.open(path.with_name(names.WITNESS)))


class PerilousReplica(Replica):
    """As shipped, but in the turn of whoever asks: the simulation has no threads."""

    perils: Perils
    repairs = 0

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._writing = _AtOnce()

    async def apply(self, delta: Delta, *, as_of_us: int) -> None:
        self.perils.point("replica.write")
        await super().apply(delta, as_of_us=as_of_us)
        self.perils.point("replica.written")

    async def repair(self, bucket: Bucket) -> int:
        self.repairs += 1
        self.perils.point("repair.write")
        return await super().repair(bucket)

    async def build_on(self, delta: Delta, *, as_of_us: int) -> None:
        self.perils.point("rebuild.write")
        await super().build_on(delta, as_of_us=as_of_us)

    def swap(self, *, as_of_us: int) -> None:
        self.perils.point("swap.write")
        super().swap(as_of_us=as_of_us)
        self.perils.point("swap.written")

    async def make_durable(self) -> None:
        """These files are in memory."""


class _AtOnce(Writing):
    async def on_a_thread(self, work: Callable[[threading.Event], _T]) -> _T:
        return work(threading.Event())


class FileStores:
    def __init__(self, journal: PerilousJournal, replica: PerilousReplica) -> None:
        self.journal: Journal = journal
        self._journal = journal
        self.replica: Replica = replica
        self._replica = replica
        self._stock = Stock(Overlay(journal), replica, lambda: SUMMER_2026_US)
        self._shown: dict[str, Item] = {}
        self._shown_at = (-1, 0)

    @property
    def partings(self) -> int:
        return self._journal.partings

    def item(self, code: str) -> Item | None:
        return self._stock.item(code)

    def overlay(self) -> dict[str, int]:
        return dict(self.journal.query(_OVERLAY))

    def touched_at(self, code: str) -> int | None:
        found = self.journal.query(_TOUCHED, code)
        return int(found[0][0]) if found else None

    def shown(self) -> Mapping[str, Item]:
        at = (self._replica.version, self._replica.repairs)
        if self._shown_at != at:
            self._shown = {code: _decode_item(body) for code, body in self.replica.query(_SHOWN)}
            self._shown_at = at
        return self._shown

    def drift(self, code: str, item: Item | None) -> None:
        with closing(sqlite3.connect(self.replica.path)) as behind, behind:
            if item is None:
                behind.execute("DELETE FROM item WHERE code = ?", (code,))
            else:
                behind.execute("UPDATE item SET body = ? WHERE code = ?", (_encode_item(item), code))
        self._shown_at = (-1, 0)

    def close(self) -> None:
        self.replica.close()
        self.journal.close()


class FileMedium:
    def __init__(self, folder: Path) -> None:
        self._folders = Folders(folder)

    def open(self, *, device: str, session: bytes, started_us: int, perils: Perils, is_resumed: bool) -> FileStores:
        folder = self._folders.current
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / names.JOURNAL
        if is_resumed and path.exists():
            journal = PerilousJournal.resume(path)
        else:
            journal = PerilousJournal.open(path, device=device, session=session, started_us=started_us)
        replica = PerilousReplica(folder / names.REPLICA)
        journal.perils = replica.perils = perils
        return FileStores(journal, replica)

    def crashed(self, random: Random, *, is_power: bool) -> None:  # noqa: ARG002 -- nothing is lost here
        self._folders.leave()

    def image(self, folder: Path) -> "FileMedium":
        copy(self._folders.current, folder)
        return FileMedium(folder)

    def fresh(self, folder: Path) -> "FileMedium":
        return FileMedium(folder)
