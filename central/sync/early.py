"""Facts that passed older ones of their device on the way: kept in the ledger's file until those are in the ledger."""

from collections.abc import Sequence
from functools import partial

import msgspec

from central.ledger import statements
from central.ledger.session_rows import read_session
from central.ledger.transaction import Transaction
from central.ledger.write import Ledger
from sync_protocol.chain import SessionStart, stretch
from sync_protocol.machines.early import MOST_HELD, may_enter, must_wait
from sync_protocol.machines.ingest import Admission, SessionState, admit, begin
from sync_protocol.messages import Batch

SLICE = 500
"""Facts that enter the ledger in one commit, at most: others wait meanwhile."""


class Early:
    """``held``: the sessions that have facts here, as far as these go."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.held: dict[bytes, SessionState] = {}
        self._forced: set[bytes] = set()
        self._given_up: set[bytes] = set()
        self._read()

    @property
    def facts(self) -> int:
        """How many wait."""
        ((count,),) = self._ledger.connection.execute(statements.COUNT_EARLY).fetchall()
        return int(count)

    def through(self, session: bytes) -> int:
        """How far facts of the session are here; 0: none are."""
        state = self.held.get(session)
        return state.through if state else 0

    def holds(self, transaction: Transaction, batch: Batch) -> bool:
        """Whether the batch is for here and not for the ledger."""
        start = batch.start
        parent = transaction.session(start.parent_session) if batch.is_early and start.parent_session else None
        if not batch.is_early and start.session in self.held:
            self._forced.add(start.session)  # its agent says that nothing more comes before it
        return must_wait(batch, self.held, parent)

    def hold(self, transaction: Transaction, batch: Batch) -> Admission:
        """Keep what is new of the batch. The caller calls ``rolled_back`` if it comes to that."""
        session = batch.start.session
        known = self.held.get(session) or transaction.session(session) or begin(batch.start)
        admission = admit(batch, known, partial(self._hash_of, transaction, session))
        start = transaction.session(session) or begin(batch.start)
        if admission.facts and admission.state.through - start.through <= MOST_HELD:
            rows = [(session, fact.id.seq, fact.body, fact.hash) for fact in admission.facts]
            transaction.execute(statements.ADD_EARLY, rows)
            self.held[session] = admission.state
        return admission

    def ready(self) -> bytes | None:
        """A session whose facts may enter the ledger now."""
        for session, state in self.held.items():
            if session in self._given_up:
                continue
            if session in self._forced or may_enter(state.start, self.held, self._parent(state.start)):
                return session
        return None

    def enter(self, transaction: Transaction, session: bytes, budget: int) -> tuple[int, int]:
        """Append a slice of a session to the ledger; its first and last seq. ``rolled_back`` as after ``hold``."""
        committed = transaction.session(session) or begin(self.held[session].start)
        rows = transaction.select(statements.EARLY_OF, (session, SLICE))
        facts = stretch(committed.start, rows[0][0], committed.head, (body for _, body in rows))
        count = transaction.append(facts, budget=budget)
        through = committed.through + count
        transaction.execute(statements.DROP_EARLY, [(session, through)])
        if through >= self.held[session].through:
            del self.held[session]
            self._forced.discard(session)
        return committed.through + 1, through

    def give_up(self, session: bytes) -> None:
        """It cannot enter, whoever tries: until central starts again nobody does."""
        self._given_up.add(session)

    def rolled_back(self) -> None:
        """What was kept or entered since the last commit was not."""
        self._read()

    def _read(self) -> None:
        self.held = {}
        for session, through, head in self._ledger.connection.execute(statements.EARLY_HEADS).fetchall():
            state = read_session(self._ledger.connection, session)
            assert state is not None, "a session is filed with its first facts"
            self.held[session] = msgspec.structs.replace(state, through=through, head=head)

    def _parent(self, start: SessionStart) -> SessionState | None:
        return read_session(self._ledger.connection, start.parent_session)

    def _hash_of(self, transaction: Transaction, session: bytes, seq: int) -> bytes | None:
        for statement in (statements.EARLY_HASH, statements.HASH_OF):
            rows: Sequence[tuple[bytes]] = transaction.select(statement, (session, seq))
            if rows:
                return rows[0][0]
        return None
