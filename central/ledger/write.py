"""The one writer. Every change of the ledger is a call of ``Ledger.commit``: one transaction, one version, one fsync.

A commit runs on the event loop without giving it up, so commits are serialised by construction, and whatever follows
one (acks, deltas, news to pages) sees only committed state.
"""

import pathlib
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

import msgspec
import structlog

from central.changes import Changes
from central.clock import HospitalTime
from central.errors import BusyError, ConservationError, DiskError
from central.ledger import heads, insurer_statements, mark, signing, statements, store
from central.ledger.seal import Seal, State
from central.ledger.session_rows import read_session
from central.ledger.transaction import Folded, HeldBy, Preparation, Transaction, nobody
from sync_protocol import garbage
from sync_protocol.chain import SessionStart
from sync_protocol.facts import What
from sync_protocol.items import Item
from sync_protocol.machines.incarnation import Mark, mint, version_of_new_life, wake
from sync_protocol.machines.ingest import SessionState, begin
from sync_protocol.messages import Rows
from sync_protocol.recalls import InForce

DEVICE = "central"
"""Central's own acts are facts of this device."""
AGAIN_AFTER_S = 2.0
_T = TypeVar("_T")
_log = structlog.get_logger()


class Committed(msgspec.Struct, frozen=True, kw_only=True):
    """What a commit changed, for those who tell others. ``before``: its items as they were, None: unknown."""

    version: int
    rows: Rows
    before: Mapping[str, Item | None] = {}
    folded: tuple[Folded, ...] = ()
    doubted: tuple[str, ...] = ()
    wanted: frozenset[str] = frozenset()


Consequence = Callable[[Transaction], None]
"""A rule that follows from the facts of a commit; it runs inside the commit, in the order of ``Ledger.follow``."""


class Ledger:
    """``trouble``: why the ledger takes no change at the moment, empty while it is well.

    ``incarnation``: which life of the ledger this is; it is another one after a restore (REQ-03). ``is_refilling``:
    agents are giving back what a restored ledger lacks; nothing is allocated meanwhile. ``held_by``: whether central
    may lock an item to an order, or an agent may be issuing it. ``recalls``: those in force in every commit.
    """

    def __init__(
        self, path: pathlib.Path, time: HospitalTime, changes: Changes, new_session: Callable[[], bytes]
    ) -> None:
        self.path = path
        self.trouble = ""
        self.recalls = InForce()
        self.time = time
        self._changes = changes
        self._new_session = new_session
        self._preparations: dict[What, list[Preparation]] = {}
        self._consequences: list[Consequence] = []
        self._listeners: list[Callable[[Committed], None]] = []
        self._key = signing.load(path.parent)
        self._seal = Seal(self._key)
        self._version = 0
        self._position = 0
        self.is_refilling = False
        self.held_by: HeldBy = nobody
        with store.starting(path):
            self._connection = store.connect(path)
            state = self._seal.attach(self._connection)
            self._read_counters()
            self._own = self._next_own_session()
            self.incarnation = self._read_number("incarnation")
        self._wake(path, state)
        changes.announce(self._version)

    @property
    def version(self) -> int:
        """Of the last commit."""
        return self._version

    @property
    def connection(self) -> sqlite3.Connection:
        """For reading committed state between commits. Ask again each time: it is replaced after a failure."""
        return self._connection

    def prepare(self, preparation: Preparation, *, before: Iterable[What]) -> None:
        """Run ``preparation`` before each fact of these kinds is folded."""
        for what in before:
            self._preparations.setdefault(what, []).append(preparation)

    def follow(self, *consequences: Consequence) -> None:
        self._consequences.extend(consequences)

    def listen(self, listener: Callable[[Committed], None]) -> None:
        """Call ``listener`` after every commit."""
        self._listeners.append(listener)

    @garbage.not_now()
    def commit(self, work: Callable[[Transaction], _T]) -> _T:
        """Run ``work`` in one transaction with all its consequences.

        Raises BusyError if the disk or another process does not let it (nothing was changed), ConservationError if
        it would not add up, LedgerCorruptError or DiskError if the file is lost, and whatever ``work`` raises.
        """
        try:
            self._begin()
            transaction = self._transaction()
            result = work(transaction)
            if not transaction.has_work:
                self._connection.execute("ROLLBACK")
                return result
            for consequence in self._consequences:
                consequence(transaction)
            transaction.finish()
            self._seal.add_facts(transaction.filed)
            self._connection.execute(statements.WRITE_META, ("version", str(transaction.version)))
            self._seal_and_commit()
        except sqlite3.IntegrityError as error:
            self._roll_back()
            raise ConservationError(f"rows of the ledger would contradict each other: {error}") from error
        except sqlite3.Error as error:
            raise self._failed(error) from error
        except BaseException:
            self._roll_back()
            raise
        self._committed(transaction)
        return result

    def write(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run ``work`` in one transaction that has no version: rows that no replica holds. Raises BusyError."""
        try:
            self._begin()
            result = work(self._connection)
            self._seal_and_commit()
        except sqlite3.Error as error:
            raise self._failed(error) from error
        except BaseException:
            self._roll_back()
            raise
        self.trouble = ""
        self._changes.announce()
        return result

    def begin_life(self) -> None:
        """This ledger went back in time: it gets a new incarnation before it says another word (REQ-03).

        What may have been reported to the insurer in the life before is asked about, not sent again. Raises BusyError.
        """
        incarnation = mint(self.time.now_us(), self.incarnation)
        self._renew(incarnation)
        self._changes.announce(self._version)

    def keep_witnesses(self) -> None:
        """Keep what stands outside the ledger: its mark, and a head for each day. Raises OSError."""
        self._mark.sync()
        day = self.time.today().isoformat()
        heads.write(self.path.parent, self._connection, self._key, date=day, now_us=self.time.now_us())

    def probe(self) -> None:
        """While there is trouble: write a little, to learn whether it is over."""
        if not self.trouble:
            return
        row = ("probed_us", str(self.time.now_us()))
        try:
            self.write(lambda connection: connection.execute(statements.WRITE_META, row))
        except BusyError:
            return  # it is not over

    def close(self) -> None:
        self._connection.close()
        self._mark.close()

    def _begin(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        self._seal.begin()

    def _seal_and_commit(self) -> None:
        state, signed = self._seal.write(self._connection)
        self._connection.execute("COMMIT")
        self._seal.keep(state)
        self._write_mark(state, signed)

    def _write_mark(self, state: State, signed: bytes) -> None:
        self._standing = Mark(incarnation=self.incarnation, position=state.commits, head=signed)
        try:
            self._mark.write(self._standing)
        except OSError as error:  # it only lags behind
            _log.warning("mark not written", cause=str(error))

    def _wake(self, path: pathlib.Path, state: bytes) -> None:
        """Find out which life this is. Raises DiskError: without a mark on the disk the next start is another one."""
        self._standing = Mark(incarnation=self.incarnation, position=self._seal.commits, head=state)
        try:
            self._mark = mark.MarkFile.open(path.with_name(mark.FILE))
            incarnation = wake(self._standing, mark.read(path.with_name(mark.FILE)), now_us=self.time.now_us())
            if incarnation != self.incarnation:
                self._renew(incarnation)
            self._mark.write(self._standing)
            self._mark.sync()
        except (BusyError, OSError) as error:
            raise DiskError(f"ledger {path}: {error}.\nMake the disk writable and start again.") from error

    def _renew(self, incarnation: int) -> None:
        before = self.incarnation, self._version
        self.incarnation, self._version = incarnation, version_of_new_life(self._version)
        try:
            self.write(self._write_life)
        except BaseException:
            self.incarnation, self._version = before
            raise
        try:
            self._mark.sync()
        except OSError as error:  # it only lags behind, and is synced again within a second
            _log.warning("mark not synced", cause=str(error))
        _log.warning("new incarnation", before=before[0], now=incarnation)

    def _write_life(self, connection: sqlite3.Connection) -> None:
        now_us = self.time.now_us()
        lives = [*heads.lives_of(connection), (self.incarnation, self._position)]
        connection.execute(statements.WRITE_META, ("incarnation", str(self.incarnation)))
        connection.execute(statements.WRITE_META, ("version", str(self._version)))
        connection.execute(statements.WRITE_META, ("lives", msgspec.json.encode(lives).decode()))
        if connection.execute(statements.ANY_AGENT).fetchone():
            connection.execute(statements.WRITE_META, ("refill_since_us", str(now_us)))
            connection.execute(statements.WRITE_META, ("leases_since_us", str(now_us)))
            connection.execute(insurer_statements.NOT_REPORTED_FOR_SURE, (now_us,))

    def _transaction(self) -> Transaction:
        return Transaction(
            self._connection,
            version=self._version + 1,
            position=self._position,
            own=self._own,
            moment=self.time.moment,
            is_refilling=self.is_refilling,
            held_by=self.held_by,
            recalls=self.recalls,
            preparations=self._preparations,
        )

    def _committed(self, transaction: Transaction) -> None:
        self.trouble = ""
        self._version = transaction.version
        self._position = transaction.position
        self._own = transaction.own
        committed = Committed(
            version=transaction.version,
            rows=transaction.delta_rows(),
            before=transaction.originals,
            folded=tuple(transaction.folded),
            doubted=tuple(transaction.doubted),
            wanted=frozenset(transaction.wanted),
        )
        for listener in self._listeners:
            listener(committed)
        self._changes.announce(self._version)

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _failed(self, error: sqlite3.Error) -> BusyError:
        """What to tell the caller. A disk that failed once is not trusted: the file is opened and read anew."""
        store.refuse_damage(self.path, error)
        cause = store.cause_of(error)
        _log.error("ledger takes no change", cause=cause, path=str(self.path))
        self.trouble = cause
        if store.is_passing(error):
            self._roll_back()
        else:
            self._reopen(cause)
        return BusyError(cause, retry_after_s=AGAIN_AFTER_S)

    def _reopen(self, cause: str) -> None:
        self._connection.close()
        try:
            self._connection = store.connect(self.path)
            self._seal.attach(self._connection)
        except sqlite3.Error as error:
            raise DiskError(f"ledger {self.path}: {cause}; it cannot be opened again: {error}") from error
        self._read_counters()
        state = read_session(self._connection, self._own.start.session)
        self._own = state or begin(self._own.start)

    def _read_number(self, key: str) -> int:
        row = self._connection.execute(statements.READ_META, (key,)).fetchone()
        return int(row[0]) if row else 0

    def _read_counters(self) -> None:
        self._version = self._read_number("version")
        (self._position,) = self._connection.execute(statements.LAST_POSITION).fetchone()

    def _next_own_session(self) -> SessionState:
        """Central's chain goes on from the session that it wrote last."""
        row = self._connection.execute(statements.LAST_OWN_SESSION, (DEVICE,)).fetchone()
        parent, seq, head = row or (b"", 0, b"")
        return begin(
            SessionStart(
                device=DEVICE,
                session=self._new_session(),
                parent_session=parent,
                parent_seq=seq,
                parent_hash=head,
                started_us=self.time.now_us(),
            )
        )
