"""The ledger as dictionaries: the shipped ``Transaction`` on tables that can lose power.

Folding, filing, sealing and what becomes of a fact that cannot be read are the shipped code; only tables stand in.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random
from typing import Any, TypeVar, cast

from central.errors import ConservationError
from central.ledger import statements
from central.ledger.staging import Staging
from central.ledger.transaction import Transaction
from central.ledger.write import DEVICE, Committed, Ledger
from central.sync import publish
from central.sync.link import Outbox
from central.sync.publish import Publisher
from sync_protocol.chain import SessionStart
from sync_protocol.conservation import imbalance
from sync_protocol.facts import Moment
from sync_protocol.items import Item, Kind
from sync_protocol.machines.ingest import SessionState, begin
from sync_protocol.messages import Delta, Rows
from tests.simulation.books import Entry, Misfit
from tests.simulation.clocks import SimClock
from tests.simulation.dict_tables import DictStaging, Row, Tables
from tests.simulation.disk import Disk, Write
from tests.simulation.perils import Perils

_T = TypeVar("_T")


class DictTransaction(Transaction):
    def __init__(
        self, tables: Tables, *, version: int, position: int, own: SessionState, moment: Callable[[], Moment]
    ) -> None:
        super().__init__(cast("Any", tables), version=version, position=position, own=own, moment=moment)
        self._tables = tables
        self.staged = DictStaging(version)
        self._staging = cast("Staging", self.staged)

    def load(self, codes: Iterable[str]) -> None:
        for code in codes:
            if code not in self.originals:
                row = self._tables.items.get(code)
                self.originals[code] = row[0] if row else None
                if row:
                    self.stock[code] = row[0]

    def session(self, session: bytes) -> SessionState | None:
        return self._sessions.get(session) or self._tables.sessions.get(session)

    def select(self, statement: str, values: Sequence[Any] = ()) -> list[Row]:
        if statement == statements.SAME_CONFLICT:
            session, found = values
            rows = [*self._tables.misfits.values(), *self.staged.misfits]
            is_known = any(one.session == session and not one.seq and row[5] == found for one, row in rows)
            return [(1,)] if is_known else []
        assert statement == statements.SIBLING_SESSION, f"no answer here to: {statement}"
        parent, session = values
        states = [*self._tables.sessions.values(), *self.staged.sessions.values()]
        return [
            (state.start.session,)
            for state in states
            if state.start.parent_session == parent and state.start.session != session
        ][:1]

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


class DictLedger:
    """Stands in for ``central.ledger.write.Ledger``."""

    def __init__(self, disk: Disk, clock: SimClock, new_session: Callable[[], bytes], perils: Perils) -> None:
        self.tables = Tables(disk)
        self.time = _Time(clock)
        self._disk = disk
        self._perils = perils
        self._listeners: list[Callable[[Committed], None]] = []
        self._meta = disk.tables["meta"]
        self._own = self._next_own_session(new_session())

    @property
    def version(self) -> int:
        return self.tables.version

    @property
    def connection(self) -> Tables:
        return self.tables

    def listen(self, listener: Callable[[Committed], None]) -> None:
        self._listeners.append(listener)

    def close(self) -> None:
        """Nothing is held."""

    def commit(self, work: Callable[[Transaction], _T]) -> _T:
        transaction = DictTransaction(
            self.tables,
            version=self.version + 1,
            position=len(self.tables.facts),
            own=self._own,
            moment=self.time.moment,
        )
        result = work(transaction)
        if not transaction.has_work:
            return result
        transaction.finish()
        self._write(transaction)
        self._own = transaction.own
        committed = Committed(version=transaction.version, rows=Rows(items=tuple(transaction.changed.values())))
        for listener in self._listeners:
            listener(committed)
        return result

    def _write(self, transaction: DictTransaction) -> None:
        staged, version = transaction.staged, transaction.version
        first = len(self.tables.misfits)
        writes: list[Write] = [("fact", entry.position, entry) for entry in staged.facts]
        writes += [("item", code, (item, version)) for code, item in staged.items.items()]
        writes += [("session", session, state) for session, state in staged.sessions.items()]
        writes += [("exception", first + n, misfit) for n, misfit in enumerate(staged.misfits)]
        writes += [("change", version, tuple(staged.items)), ("meta", "own", transaction.own)]
        self._perils.point("ledger.write")
        self._disk.write(writes)
        self._perils.point("ledger.sync")
        self._disk.sync()
        for item in staged.items.values():
            self.tables.index_item(item)
        for misfit, verdict in staged.misfits:
            self.tables.index_misfit(misfit, verdict)

    def _next_own_session(self, session: bytes) -> SessionState:
        last: SessionState | None = self._meta.get("own")
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


class DictPublisher(Publisher):
    """Reads the rows of a delta from the tables; everything else is the shipped publisher."""

    def delta(self, after: int) -> Delta:
        tables = cast("Tables", self._ledger.connection)
        latest = tables.version
        codes: dict[str, None] = {}
        to = after
        for version in range(after + 1, latest + 1):
            fresh = [code for code in tables.changes[version] if tables.items[code][1] == version]
            if codes and len(codes) + len(fresh) > publish.MAX_ROWS:
                break
            codes.update(dict.fromkeys(fresh))
            to = version
        return Delta(after=after, to=to, rows=Rows(items=tuple(tables.items[code][0] for code in codes)), latest=latest)


class DictBooks:
    def __init__(self) -> None:
        self._disk = Disk("session", "fact", "item", "change", "exception", "meta")

    def open(self, clock: SimClock, new_session: Callable[[], bytes], perils: Perils) -> Ledger:
        return cast("Ledger", DictLedger(self._disk, clock, new_session, perils))

    def publisher(self, ledger: Ledger, outbox: Outbox) -> Publisher:
        return DictPublisher(ledger, outbox)

    def close(self) -> None:
        """Nothing is held."""

    def crashed(self, random: Random, *, is_power: bool) -> None:
        if is_power:
            self._disk.lose_power(random)
        else:
            self._disk.sync()

    def version(self) -> int:
        return len(self._disk.tables["change"])

    def changed(self, after: int) -> dict[str, tuple[Item, int]]:
        return {code: row for code, row in self._disk.tables["item"].items() if row[1] > after}

    def entries(self, after: int) -> list[Entry]:
        facts = self._disk.tables["fact"]
        return [facts[position] for position in range(after + 1, len(facts) + 1)]

    def misfits(self, after: int) -> list[Misfit]:
        rows = self._disk.tables["exception"]
        return [rows[n][0] for n in range(after, len(rows))]

    def sessions(self) -> Mapping[bytes, SessionState]:
        return self._disk.tables["session"]

    def items(self) -> Mapping[str, Item]:
        return {code: item for code, (item, _) in self._disk.tables["item"].items()}


class _Time:
    """Stands in for ``HospitalTime`` without its calendar."""

    def __init__(self, clock: SimClock) -> None:
        self._clock = clock

    def now_us(self) -> int:
        return self._clock.wall_us()

    def moment(self) -> Moment:
        return Moment(wall_us=self._clock.wall_us(), mono_us=self._clock.mono_us(), offset_us=0)
