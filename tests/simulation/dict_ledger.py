"""The ledger as dictionaries: the shipped ``Transaction`` on tables that can lose power.

Folding, filing, sealing and what becomes of a fact that cannot be read are the shipped code; only tables stand in.
"""

import datetime as dt
import hashlib
import sqlite3
from collections.abc import Callable
from typing import TypeVar, cast

from central.ledger.transaction import HeldBy, Transaction, nobody
from central.ledger.write import DEVICE, Committed, Consequence
from sync_protocol.chain import SessionStart
from sync_protocol.facts import Moment
from sync_protocol.machines.incarnation import Mark, mint, version_of_new_life, wake
from sync_protocol.machines.ingest import SessionState, begin
from sync_protocol.messages import Rows
from sync_protocol.recalls import InForce
from tests.simulation.clocks import SimClock
from tests.simulation.dict_tables import Tables, Writer
from tests.simulation.dict_transaction import DictTransaction
from tests.simulation.disk import Disk, Write
from tests.simulation.perils import Perils

_T = TypeVar("_T")


class DictLedger:
    """Stands in for ``central.ledger.write.Ledger``. ``outside``: the disk of the mark that no backup contains."""

    def __init__(
        self, disk: Disk, outside: Disk, clock: SimClock, new_session: Callable[[], bytes], perils: Perils
    ) -> None:
        self.tables = Tables(disk)
        self.time = _Time(clock)
        self.is_refilling = False
        self.recalls = InForce()
        self._disk = disk
        self._outside = outside
        self._perils = perils
        self._listeners: list[Callable[[Committed], None]] = []
        self._consequences: list[Consequence] = []
        self.held_by: HeldBy = nobody  # orders of the simulation lock what they like: a lock is a plan, and gives way
        self._own = self._next_own_session(new_session())
        self.incarnation = int(self.tables.meta.get("incarnation", 0))
        self._wake()

    @property
    def version(self) -> int:
        return self.tables.version

    @property
    def connection(self) -> Tables:
        return self.tables

    def listen(self, listener: Callable[[Committed], None]) -> None:
        self._listeners.append(listener)

    def follow(self, *consequences: Consequence) -> None:
        self._consequences.extend(consequences)

    def close(self) -> None:
        """Nothing is held."""

    def commit(self, work: Callable[[Transaction], _T]) -> _T:
        transaction = DictTransaction(
            self.tables,
            position=len(self.tables.facts),
            own=self._own,
            moment=self.time.moment,
            is_refilling=self.is_refilling,
        )
        result = work(transaction)
        if not transaction.has_work:
            return result
        for consequence in self._consequences:
            consequence(transaction)
        transaction.finish()
        self._write(transaction)
        self._own = transaction.own
        committed = Committed(
            version=transaction.version,
            rows=Rows(items=tuple(transaction.changed.values())),
            folded=tuple(transaction.folded),
            doubted=tuple(transaction.doubted),
            wanted=frozenset(transaction.wanted),
        )
        for listener in self._listeners:
            listener(committed)
        return result

    def write(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        writer = Writer(self.tables)
        result = work(cast("sqlite3.Connection", writer))
        self._put(writer.writes)
        return result

    def begin_life(self) -> None:
        self._renew(mint(self.time.now_us(), self.incarnation))

    def keep_witnesses(self) -> None:
        self._outside.sync()

    def _write(self, transaction: DictTransaction) -> None:
        staged, version = transaction.staged, transaction.version
        first = len(self.tables.misfits)
        writes: list[Write] = [("fact", entry.position, entry) for entry in staged.facts]
        writes += [("item", code, (item, version)) for code, item in staged.items.items()]
        for session, state in staged.sessions.items():
            writes += [("session", session, state), ("received", session, transaction.now_us)]
        writes += staged.early
        writes += [*(("recall", row[0], row) for row in staged.recalls.values()), *staged.recall_set]
        writes += [("exception", first + n, misfit) for n, misfit in enumerate(staged.misfits)]
        writes += transaction.besides
        writes += [("change", version, tuple(staged.items)), ("meta", "own", transaction.own)]
        self._put(writes)
        for item in staged.items.values():
            self.tables.index_item(item)
        for misfit, verdict in staged.misfits:
            self.tables.index_misfit(misfit, verdict)
        for entry in staged.facts:
            self.tables.index_fact(entry)

    def _put(self, writes: list[Write]) -> None:
        """One transaction, and the mark outside after it, which is synced later."""
        mark = self._mark
        facts = b"".join(row.sealed.hash for table, _, row in writes if table == "fact")
        head = hashlib.sha256(mark.head + facts).digest()
        mark = Mark(incarnation=self.incarnation, position=mark.position + 1, head=head)
        self._perils.point("ledger.write")
        self._disk.write([*writes, ("meta", "mark", mark)])
        self._perils.point("ledger.sync")
        self._disk.sync()
        self._outside.write([("mark", 1, mark)])

    @property
    def _mark(self) -> Mark:
        """Where the ledger stands."""
        mark: Mark = self.tables.meta.get("mark", Mark(incarnation=0, position=0, head=b""))
        return mark

    def _wake(self) -> None:
        """As the shipped ledger does."""
        incarnation = wake(self._mark, self._outside.tables["mark"].get(1), now_us=self.time.now_us())
        if incarnation != self.incarnation:
            self._renew(incarnation)
        else:
            self._outside.write([("mark", 1, self._mark)])
        self._outside.sync()

    def _renew(self, incarnation: int) -> None:
        self.incarnation = incarnation
        version = str(version_of_new_life(self.version))
        writes: list[Write] = [("meta", "incarnation", str(incarnation)), ("meta", "version", version)]
        if self._disk.tables["agent"] or any(one.start.device != DEVICE for one in self.tables.sessions.values()):
            writes.append(("meta", "refill_since_us", str(self.time.now_us())))
            writes.append(("meta", "leases_since_us", str(self.time.now_us())))
        self._put(writes)
        self._outside.sync()

    def _next_own_session(self, session: bytes) -> SessionState:
        last: SessionState | None = self.tables.meta.get("own")
        return begin(
            SessionStart(
                device=DEVICE,
                session=session,
                parent_session=last.start.session if last else b"",
                parent_seq=last.through if last else 0,
                parent_hash=last.head if last else b"",
                started_us=self.time.now_us(),
            )
        )


class _Time:
    """Stands in for ``HospitalTime`` without its calendar."""

    def __init__(self, clock: SimClock) -> None:
        self._clock = clock
        self._zero_us = clock.wall_us() - clock.mono_us()

    def now_us(self) -> int:
        return self._clock.wall_us()

    def steady_us(self) -> int:
        return self._zero_us + self._clock.mono_us()

    def local(self, wall_us: int) -> dt.datetime:
        return dt.datetime.fromtimestamp(wall_us / 1e6, dt.UTC)

    def moment(self) -> Moment:
        return Moment(wall_us=self._clock.wall_us(), mono_us=self._clock.mono_us(), offset_us=0)
