"""The shipped ``Transaction`` on tables that are dictionaries."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, takewhile
from typing import Any, cast

from central.errors import ConservationError
from central.ledger import statements
from central.ledger.reading import flaw
from central.ledger.staging import Staging
from central.ledger.transaction import Transaction
from central.stock import recall_rows
from sync_protocol.chain import SessionStart
from sync_protocol.conservation import imbalance
from sync_protocol.facts import Moment
from sync_protocol.items import Kind
from sync_protocol.lifecycle import Reason
from sync_protocol.machines.ingest import SessionState
from sync_protocol.recalls import InForce
from tests.simulation.dict_leases import LEASE_WRITES
from tests.simulation.dict_tables import DictStaging, Row, Tables, in_order
from tests.simulation.disk import GONE, Write

_DOUBTS = {Reason.RECALLED, Reason.OVERTAKEN}
_OF_RECALLS = {recall_rows._WRITE, recall_rows._SETTLE, recall_rows.WRITE_SET}


class DictTransaction(Transaction):
    def __init__(
        self, tables: Tables, *, position: int, own: SessionState, moment: Callable[[], Moment], is_refilling: bool
    ) -> None:
        version = tables.version + 1
        super().__init__(
            cast("Any", tables),
            version=version,
            position=position,
            own=own,
            moment=moment,
            recalls=InForce(),
            is_refilling=is_refilling,
        )
        self._tables = tables
        self.besides: list[Write] = []
        """Rows of other tables that this commit writes."""
        self.staged = DictStaging(version)
        self._staging = cast("Staging", self.staged)
        self._selects: dict[str, Callable[..., list[Row]]] = {
            statements.SAME_CONFLICT: self._same_conflict,
            statements.SIBLING_SESSIONS: self._sibling_sessions,
            statements.OTHER_ROOTS: self._other_roots,
            statements.OTHER_SESSION: self._other_session,
            statements.HASH_OF: self._hash_of,
            statements.UNMET_PLACES: list,
            statements.EARLY_OF: self._early_of,
            statements.EARLY_HASH: self._early_hash,
            recall_rows.ALL: lambda: in_order(self._recalls()),
        }

    def load(self, codes: Iterable[str]) -> None:
        for code in codes:
            if code not in self.originals:
                row = self._tables.items.get(code)
                self.originals[code] = row[0] if row else None
                if row:
                    self.stock[code], self.versions[code] = row[0], row[1]

    def know(self, sessions: Iterable[bytes]) -> None:
        """All of them are."""

    def session(self, session: bytes) -> SessionState | None:
        return self._sessions.get(session) or self._tables.sessions.get(session)

    def select(self, statement: str, values: Sequence[Any] = ()) -> list[Row]:
        """The statements that central asks a transaction, by name; a new one needs its answer here."""
        return self._selects[statement](*values)

    def lives(self, codes: Iterable[str], *, after: int) -> Iterator[Row]:
        about = set(codes)
        misfits = [*self._tables.misfits.values(), *self.staged.misfits]
        refused = {(misfit.code, misfit.position) for misfit, _ in misfits if misfit.reason not in _DOUBTS}
        entries = chain(reversed(self.staged.facts), reversed(self._tables.facts.values()))
        for entry in takewhile(lambda entry: about and entry.version > after, entries):
            fact, _ = flaw(entry.sealed.body)
            if fact is None:
                continue
            for code in about.intersection(fact.codes):
                if (code, entry.position) not in refused:
                    yield code, entry.position, entry.sealed.id.device, fact.what

    def execute(self, statement: str, values: Iterable[Row]) -> None:
        """Facts that wait for older ones come and go, and so do leases; recalls are said."""
        self.has_work = True
        for row in values:
            if statement in _OF_RECALLS:
                self._write_recall(statement, row)
                continue
            if statement in LEASE_WRITES:
                self.besides.append(LEASE_WRITES[statement](*row))
            elif statement == statements.ADD_EARLY:
                self.staged.early.append(("early", row[:2], row[2:]))
            else:
                assert statement == statements.DROP_EARLY, f"no answer here to: {statement}"
                session, through = row
                gone = [key for key in self._tables.early if key[0] == session and key[1] <= through]
                self.staged.early += [("early", key, GONE) for key in gone]

    def _write_recall(self, statement: str, row: Row) -> None:
        known = self._recalls()
        if statement == recall_rows._SETTLE:
            self.staged.recalls[row[0]] = (*known[row[0]][:-1], True)
        elif statement == recall_rows.WRITE_SET:
            self.staged.recall_set = [("recall_set", 1, row)]
        else:
            self.staged.recalls[row[0]] = row

    def _recalls(self) -> dict[str, Row]:
        return self._tables.disk.tables["recall"] | self.staged.recalls

    def select_in(self, statement: str, keys: Iterable[str]) -> Iterator[Row]:
        assert not list(keys), f"no answer here to: {statement}"
        return iter(())

    def finish(self) -> None:
        boxes = {item.box or item.code for item in self.changed.values() if item.kind is not Kind.PIECE}
        self.load(boxes)
        for code in sorted(boxes):
            units = self._tables.units.get(code, set()) | {
                one for one, item in self.changed.items() if item.box == code
            }
            self.load(units)
            broken = imbalance(self.stock[code], [self.stock[unit] for unit in units])
            if broken is not None:
                raise ConservationError(f"box {code}: {broken}")

    def _same_conflict(self, session: bytes, found: str) -> list[Row]:
        rows = [*self._tables.misfits.values(), *self.staged.misfits]
        is_known = any(one.session == session and not one.seq and row[5] == found for one, row in rows)
        return [(1,)] if is_known else []

    def _sibling_sessions(self, parent: bytes, session: bytes) -> list[Row]:
        starts = self._starts()
        return [(sum(start.parent_session == parent and start.session != session for start in starts),)]

    def select_of(self, statement: str, values: Sequence[Row]) -> Iterator[Row]:
        """Which sessions follow a fact of these spans."""
        assert statement == statements.CHILD_SESSIONS, f"no answer here to: {statement}"
        spans = {session: range(before, through) for session, before, through in values}
        for one in self._starts():
            if one.parent_seq in spans.get(one.parent_session, ()):
                yield (one.session,)

    def _other_roots(self, device: str, session: bytes, no_parent: bytes) -> list[Row]:
        roots = [start for start in self._starts() if start.device == device and start.parent_session == no_parent]
        return [(sum(start.session != session for start in roots),)]

    def _other_session(self, device: str, session: bytes) -> list[Row]:
        is_known = any(start.device == device and start.session != session for start in self._starts())
        return [(1,)] if is_known else []

    def _hash_of(self, session: bytes, seq: int) -> list[Row]:
        committed = self._tables.hashes.get((session, seq))
        if committed is not None:
            return [(committed,)]
        staged = (entry.sealed for entry in self.staged.facts)
        return [(sealed.hash,) for sealed in staged if (sealed.id.session, sealed.id.seq) == (session, seq)]

    def _early_of(self, session: bytes, limit: int) -> list[Row]:
        rows = sorted((seq, body) for (of, seq), (body, _) in self._tables.early.items() if of == session)
        return list(rows[:limit])

    def _early_hash(self, session: bytes, seq: int) -> list[Row]:
        staged = {key: row for _, key, row in self.staged.early}
        found = staged.get((session, seq)) or self._tables.early.get((session, seq))
        return [(found[1],)] if found else []

    def _starts(self) -> list[SessionStart]:
        states = self._tables.sessions | self.staged.sessions
        return [state.start for state in states.values()]
