"""The shipped stores on real files, in memory: the journal and the replica of an agent, the ledger of central.

A killed process leaves its files as they are: they are copied, with their write-ahead logs, before anything closes
them, and the next process starts on the copy. A lost power cannot be played here: the page cache outlives a process.
"""

import contextlib
import functools
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock
from zoneinfo import ZoneInfo

import msgspec

from central.changes import Changes
from central.clock import HospitalTime
from central.ledger import rows, statements, store
from central.ledger.write import Ledger
from central.sync.comparing import Comparing
from central.sync.link import Outbox
from central.sync.publish import Publisher
from edge_agent.check import Stock
from edge_agent.store import folder as names
from edge_agent.store import opening, sqlite
from edge_agent.store import replica as replicas
from edge_agent.store.journal import Journal, Touched
from edge_agent.store.leased import NO_CHANGE, LeaseChange
from edge_agent.store.overlay import Overlay
from edge_agent.store.replica import Replica
from edge_agent.store.witness import Witness
from sync_protocol.chain import SessionStart
from sync_protocol.envelope import Voice
from sync_protocol.facts import FactId, SealedFact
from sync_protocol.items import Item
from sync_protocol.machines.ingest import SessionState
from sync_protocol.messages import Bucket, Delta
from tests.simulation.books import Entry, Misfit
from tests.simulation.clocks import SUMMER_2026_US, SimClock
from tests.simulation.perils import Perils

_ZONE = ZoneInfo("Asia/Shanghai")
_decode_item = msgspec.msgpack.Decoder(Item).decode
_encode_item = msgspec.msgpack.Encoder().encode

_OVERLAY = "SELECT code, position FROM overlay"
_TOUCHED = "SELECT position FROM overlay WHERE code = ?"
_DRIFTED = "SELECT DISTINCT device FROM drift"
_SHOWN = "SELECT code, body FROM item"
_ENTRIES = "SELECT position, session, seq, device, body, hash, version FROM fact WHERE position > ? ORDER BY position"
_MISFITS = "SELECT position, device, session, seq, code, reason FROM exception ORDER BY id LIMIT -1 OFFSET ?"
_SESSIONS = "SELECT device, session, parent_session, parent_seq, parent_hash, started_us, through, head FROM session"
_ITEMS = f"SELECT {statements.ITEM_COLUMNS}, version FROM item WHERE version > ?"


class PerilousJournal(Journal):
    perils: Perils

    def commit(
        self, bodies: Sequence[bytes], touched: Iterable[Touched], lease: LeaseChange = NO_CHANGE
    ) -> tuple[FactId, ...]:
        self.perils.point("journal.write")
        identities = super().commit(bodies, touched, lease)
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

    @classmethod
    def resume(cls, path: Path) -> "PerilousJournal":
        """Without a session of its own: what a machine does that was woken from a snapshot."""
        connection = sqlite.connect(path, is_durable=True)
        return cls(path, connection, opening.read_lines(connection), Witness.open(path.with_name(names.WITNESS)))


class PerilousReplica(Replica):
    """As shipped, but in the turn of whoever asks: the simulation has no threads."""

    perils: Perils
    repairs = 0

    async def apply(self, delta: Delta, *, as_of_us: int) -> None:
        self.perils.point("replica.write")
        with _no_threads():
            await super().apply(delta, as_of_us=as_of_us)
        self.perils.point("replica.written")

    async def repair(self, bucket: Bucket) -> int:
        self.repairs += 1
        self.perils.point("repair.write")
        with mock.patch.object(replicas, "_on_a_thread", _at_once):
            return await super().repair(bucket)

    async def build_on(self, delta: Delta, *, as_of_us: int) -> None:
        self.perils.point("rebuild.write")
        with _no_threads():
            await super().build_on(delta, as_of_us=as_of_us)

    def swap(self, *, as_of_us: int) -> None:
        self.perils.point("swap.write")
        super().swap(as_of_us=as_of_us)
        self.perils.point("swap.written")

    async def make_durable(self) -> None:
        """These files are in memory."""


async def _take_in(writer: sqlite3.Connection, delta: Delta, as_of_us: int) -> None:
    replicas._write(writer, delta, as_of_us, threading.Event())


async def _at_once(work: Callable[[threading.Event], int]) -> int:
    return work(threading.Event())


def _no_threads() -> contextlib.AbstractContextManager[object]:
    return mock.patch.object(replicas, "_take_in", _take_in)


class FileStores:
    def __init__(self, journal: PerilousJournal, replica: PerilousReplica) -> None:
        self.journal: Journal = journal
        self.replica: Replica = replica
        self._replica = replica
        self._stock = Stock(Overlay(journal), replica, lambda: SUMMER_2026_US)
        self._shown: dict[str, Item] = {}
        self._shown_at = (-1, 0)

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
        self._folders = _Folders(folder)

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
        _copy(self._folders.current, folder)
        return FileMedium(folder)


class FileBooks:
    """The ledger in a folder, with a second connection for whoever looks in from outside."""

    def __init__(self, folder: Path) -> None:
        self._folders = _Folders(folder / "central")
        self._folders.current.mkdir()
        (self._folders.current / store.FILE).write_bytes(_empty_ledger())
        self._ledger: Ledger | None = None
        self._reader: sqlite3.Connection | None = None

    def open(self, clock: SimClock, new_session: Callable[[], bytes], perils: Perils) -> Ledger:
        time = HospitalTime(clock, _ZONE)
        ledger = Ledger(self._folders.current / store.FILE, time, Changes(), new_session)
        ledger.follow(lambda _transaction: perils.point("ledger.write"))
        ledger.follow(lambda _transaction: perils.point("ledger.sync"))
        self._ledger = ledger
        return ledger

    def publisher(self, ledger: Ledger, outbox: Outbox, voice: Voice, key: bytes) -> Publisher:
        return Publisher(ledger, outbox, voice, key=key)

    def comparing(self, ledger: Ledger, publisher: Publisher) -> Comparing:
        return Comparing(ledger, publisher, every_s=0.0, random=Random(0))

    def close(self) -> None:
        if self._ledger is not None:
            self._ledger.close()
            self._ledger = None
        self._close_reader()

    def crashed(self, random: Random, *, is_power: bool) -> None:  # noqa: ARG002 -- nothing is lost here
        self._folders.leave()
        self._close_reader()

    def version(self) -> int:
        found = self._ask(statements.READ_META, "version")
        return int(found[0][0]) if found else 0

    def entries(self, after: int) -> list[Entry]:
        return [
            Entry(
                position=position,
                sealed=SealedFact(id=FactId(device=device, session=session, seq=seq), body=body, hash=digest),
                version=version,
            )
            for position, session, seq, device, body, digest, version in self._ask(_ENTRIES, after)
        ]

    def misfits(self, after: int) -> list[Misfit]:
        return [
            Misfit(position=position, device=device, session=session, seq=seq, code=code, reason=reason)
            for position, device, session, seq, code, reason in self._ask(_MISFITS, after)
        ]

    def sessions(self) -> Mapping[bytes, SessionState]:
        return {
            session: SessionState(
                start=SessionStart(
                    device=device,
                    session=session,
                    parent_session=parent,
                    parent_seq=parent_seq,
                    parent_hash=parent_hash,
                    started_us=started_us,
                ),
                through=through,
                head=head,
            )
            for device, session, parent, parent_seq, parent_hash, started_us, through, head in self._ask(_SESSIONS)
        }

    def drifted(self) -> set[str]:
        return {device for (device,) in self._ask(_DRIFTED)}

    def items(self) -> Mapping[str, Item]:
        return {code: item for code, (item, _) in self.changed(0).items()}

    def changed(self, after: int) -> dict[str, tuple[Item, int]]:
        found = self._ask(_ITEMS, after)
        return {row[0]: (rows.item_of(row[:-1]), row[-1]) for row in found}

    def _ask(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        if self._reader is None:
            self._reader = store.connect(self._folders.current / store.FILE)
        return self._reader.execute(statement, values).fetchall()

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None


class _Folders:
    """Where the files are: another folder after every death."""

    def __init__(self, first: Path) -> None:
        self._first = first
        self._deaths = 0
        self.current = first

    def leave(self) -> None:
        self._deaths += 1
        left, self.current = self.current, self._first.with_name(f"{self._first.name}-{self._deaths}")
        if left.exists():
            _copy(left, self.current)


def _copy(folder: Path, to: Path) -> None:
    """Files as a machine would find them after a reset: without the shared memory of the processes."""
    shutil.copytree(folder, to, ignore=shutil.ignore_patterns("*-shm"), dirs_exist_ok=True)


@functools.cache
def _empty_ledger() -> bytes:
    """Made once: creating the tables takes longer than many a run."""
    with tempfile.TemporaryDirectory(prefix="simulation-") as folder:
        path = store.prepare(Path(folder), now_us=SUMMER_2026_US)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return path.read_bytes()
