"""One commit of the ledger in the making: facts are appended and folded, rows staged, everything written at the end.

Nothing of it is visible to anyone before ``write.Ledger`` commits; a transaction that raises never was.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum, auto
from types import MappingProxyType
from typing import Any

import msgspec

from central.errors import ConservationError
from central.ledger import rows, statements
from central.ledger.lives import follow
from central.ledger.reading import flaw
from central.ledger.session_rows import read_session, read_sessions
from central.ledger.staging import Staging, in_chunks, in_rows
from sync_protocol.chain import SessionStart, Stretch, stretch
from sync_protocol.codec import encode_fact
from sync_protocol.documents import CountSheet, DeliveryNote, Order, Person, Product, Transfer
from sync_protocol.errors import ProtocolError
from sync_protocol.facts import Fact, Moment, SealedFact, What
from sync_protocol.items import Item, Kind, State
from sync_protocol.lifecycle import Outcome, Refusal, fold
from sync_protocol.machines.ingest import SessionState, begin
from sync_protocol.messages import Rows
from sync_protocol.recalls import InForce

_PRESCANNED, _PIECE = What.PRESCANNED, Kind.PIECE
_NONE_PREPARED: "Mapping[What, Sequence[Preparation]]" = MappingProxyType({})


class Folded(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A fact of this commit and what it did. ``index``: its place in the stretch that it came in."""

    position: int
    facts: Stretch
    index: int
    fact: Fact
    outcome: Outcome

    @property
    def device(self) -> str:
        return self.facts.start.device

    @property
    def sealed(self) -> SealedFact:
        return self.facts[self.index]


class Holding(Enum):
    """Who may issue an item in stock, as far as it matters to whom it is locked to."""

    FREE = auto()
    RECALLABLE = auto()
    """An agent that can be asked to give it back."""
    AWAY = auto()


HeldBy = Callable[[str], Holding]


def nobody(_code: str) -> Holding:
    return Holding.FREE


class Transaction:
    """What ``Ledger.commit`` hands to its caller; only valid during the call.

    ``stock``: items as they are after the facts so far, ``originals``: as they were before this commit (None: unknown);
    both hold every code that was loaded. ``versions``: of the commits that changed them last. ``changed``: items that
    this commit changed or created. ``doubted``: devices whose journal cannot be what it was. ``wanted``: items that
    orders wait for and agents hold. ``is_refilling``: the ledger was restored and may lack facts that agents still
    hold. ``recalls``: those in force.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        *,
        version: int,
        position: int,
        own: SessionState,
        moment: Callable[[], Moment],
        recalls: InForce,
        preparations: "Mapping[What, Sequence[Preparation]]" = _NONE_PREPARED,
        is_refilling: bool = False,
        held_by: HeldBy = nobody,
    ) -> None:
        self.version = version
        self.is_refilling = is_refilling
        self.held_by = held_by
        self.wanted: set[str] = set()
        self.position = position
        self.own = own
        self.moment = moment
        self.recalls = recalls
        self._preparations = preparations
        self.now_us = moment().wall_us
        self.folded: list[Folded] = []
        self._by_what: dict[What, list[Folded]] = defaultdict(list)
        self._shifts: tuple[int, Mapping[tuple[State | None, State], list[str]]] = 0, {}
        self.stock: dict[str, Item] = {}
        self.originals: dict[str, Item | None] = {}
        self.changed: dict[str, Item] = {}
        self.placed: list[str] = []
        self.doubted: list[str] = []
        self.has_work = False
        self._connection = connection
        self.versions: dict[str, int] = {}
        self._last: dict[str, int] = {}
        self._staging = Staging(
            connection, version=version, now_us=self.now_us, originals=self.originals, last=self._last
        )
        self._sessions: dict[bytes, SessionState] = {}
        self._orders: dict[str, Order] = {}
        self._notes: dict[str, DeliveryNote] = {}
        self._products: dict[str, Product] = {}
        self._people: dict[str, Person] = {}
        self._transfers: dict[str, Transfer] = {}
        self._sheets: dict[str, CountSheet] = {}

    @property
    def filed(self) -> list[rows.Row]:
        """Rows of the facts of this commit, once it is finished."""
        return self._staging.filed

    @property
    def notes(self) -> list[DeliveryNote]:
        """Delivery notes that this commit wrote."""
        return list(self._notes.values())

    @property
    def size(self) -> int:
        """Rows that replicas will have to copy, about."""
        return len(self.changed) + len(self._orders)

    def of(self, *whats: What) -> list[Folded]:
        """Facts of these kinds that were folded so far, in their order."""
        found = [folded for what in whats for folded in self._by_what.get(what, ())]
        return sorted(found, key=lambda folded: folded.position) if len(whats) > 1 else found

    def shifted(self, is_meant: Callable[[State | None, State], bool]) -> list[str]:
        """Codes of what was changed so far, by the state before this commit (None: unknown) and the state now.

        Items are grouped by both once, so that each rule looks at its own only.
        """
        count, shifts = self._shifts
        if count != len(self.folded):
            shifts = defaultdict(list)
            originals = self.originals
            for code, item in self.changed.items():
                before = originals[code]
                shifts[before.state if before is not None else None, item.state].append(code)
            self._shifts = len(self.folded), shifts
        return [code for shift, codes in shifts.items() if is_meant(*shift) for code in codes]

    def select(self, statement: str, values: Sequence[Any] = ()) -> list[rows.Row]:
        """Rows as they are with everything staged so far."""
        self._staging.write()
        return self._connection.execute(statement, values).fetchall()

    def select_in(self, statement: str, keys: Iterable[str]) -> Iterator[rows.Row]:
        """Rows of a statement with one IN list, with everything staged so far."""
        self._staging.write()
        return in_chunks(self._connection, statement, sorted(keys))

    def select_of(self, statement: str, values: Sequence[rows.Row]) -> Iterator[rows.Row]:
        """Rows of a statement that asks for many rows of values, with everything staged so far."""
        self._staging.write()
        return in_rows(self._connection, statement, values)

    def lives(self, codes: Iterable[str], *, after: int) -> Iterator[rows.Row]:
        """Code, position, device and step of each fact past a version that changed one of these items, or fitted it."""
        return self.select_in(statements.LIVES % {"after": after}, codes)

    def execute(self, statement: str, values: Iterable[rows.Row]) -> None:
        """Write rows that no replica holds."""
        self.has_work = True
        self._connection.executemany(statement, values)

    def load(self, codes: Iterable[str]) -> None:
        """Bring the committed items of these codes into ``stock``."""
        originals, stock, last, versions = self.originals, self.stock, self._last, self.versions
        missing = sorted(set(codes).difference(originals))
        if not missing:
            return
        originals.update(dict.fromkeys(missing))
        found = in_chunks(self._connection, statements.ITEMS, missing)
        for item, version, position in rows.versioned_items_of(found):
            code = item.code
            originals[code] = stock[code] = item
            last[code] = position
            versions[code] = version

    def session(self, session: bytes) -> SessionState | None:
        """The session as it is with everything staged so far; None: never heard of."""
        return self._sessions.get(session) or read_session(self._connection, session)

    def know(self, sessions: Iterable[bytes]) -> None:
        """Read these sessions together: who asks for one after the other pays for a statement each."""
        self._sessions |= read_sessions(self._connection, set(sessions).difference(self._sessions))

    def append(self, facts: Stretch, *, budget: int) -> int:
        """Append consecutive facts of a session until about ``budget`` rows are changed, at least one; say how many.

        Every fact is kept: one that cannot be read or folded is filed as such and goes on the work list.
        """
        self.has_work = True
        read = [flaw(body) for body in facts.bodies]
        self.load([code for fact, _ in read if fact is not None for code in fact.codes])
        prepared = self._preparations
        room, changed, count = budget - len(self._orders), self.changed, 0
        for fact, cause in read:
            if count and len(changed) > room:
                break
            if fact is None:
                self._file_unreadable(facts, count, cause)
            else:
                for prepare in prepared.get(fact.what, ()):
                    prepare(self, fact)
                self._file(facts, count, fact)
            count += 1
        through = facts.first_seq + count - 1
        self._advance(SessionState(start=facts.start, through=through, head=facts.hashes[count - 1]))
        return count

    def record(self, fact: Fact) -> Folded:
        """Append a fact of central's own and fold it. The caller decides what a refusal means to it."""
        self.has_work = True
        self.load(fact.codes)
        for prepare in self._preparations.get(fact.what, ()):
            prepare(self, fact)
        own = self.own  # a preparation may have recorded others before this one
        facts = stretch(own.start, own.through + 1, own.head, [encode_fact(fact)])
        self._file(facts, 0, fact)
        self.own = SessionState(start=own.start, through=facts.first_seq, head=facts.hashes[0])
        self._advance(self.own)
        return self.folded[-1]

    def open_session(self, start: SessionStart) -> None:
        """File a session of which no fact has come yet."""
        self.has_work = True
        self._advance(begin(start))

    def raise_misfit(self, start: SessionStart, *, reason: str, found: str, expected: str) -> None:
        """Put a chain that cannot be true on the work list."""
        self.has_work = True
        self.doubted.append(start.device)
        self._staging.add_misfit(start.device, start.session, reason=reason, found=found, expected=expected)

    def doubt(self, folded: Folded, refusal: Refusal) -> None:
        """Put a fact that was folded on the work list all the same."""
        self._staging.add_refusal(folded.position, folded.sealed, refusal)

    def _advance(self, state: SessionState) -> None:
        self._sessions[state.start.session] = state
        self._staging.put_session(state)

    def _file_unreadable(self, facts: Stretch, index: int, cause: str) -> None:
        self.position += 1
        self._staging.add_unreadable(self.position, facts[index], cause)

    def _file(self, facts: Stretch, index: int, fact: Fact) -> None:
        stock = self.stock
        try:
            outcome = fold(fact, stock)
        except (ProtocolError, OverflowError, ValueError) as error:
            self._file_unreadable(facts, index, f"{type(error).__name__}: {error}")
            return
        self.position = position = self.position + 1
        codes, items, staging = fact.codes, outcome.items, self._staging
        if fact.what is _PRESCANNED:  # units of a box that was opened
            self.load([item.code for item in items])
        changed, staged = self.changed, staging.items
        for item in items:
            code = item.code
            stock[code] = changed[code] = staged[code] = item
        staging.add_fact(position, facts, index, fact, follow(self._last, position, codes, stock))
        if len(items) < len(codes) or outcome.refusals:
            staging.touch(code for code in codes if code in stock)
            for refusal in outcome.refusals:
                staging.add_refusal(position, facts[index], refusal)
        folded = Folded(position=position, facts=facts, index=index, fact=fact, outcome=outcome)
        self.folded.append(folded)
        self._by_what[fact.what].append(folded)

    def put(self, document: DeliveryNote | CountSheet | Transfer | Product | Person) -> None:
        """Write a document or a master record; the row replaces the one with its id."""
        self.has_work = True
        match document:
            case DeliveryNote():
                self._notes[document.id] = document
                self._connection.execute(statements.WRITE_NOTE, rows.note_row(document, self.version))
            case Transfer():
                self._transfers[document.id] = document
                self._connection.execute(statements.WRITE_TRANSFER, rows.transfer_row(document, self.version))
            case CountSheet():
                self._sheets[document.id] = document
                self._connection.execute(statements.WRITE_SHEET, rows.count_sheet_row(document, self.version))
            case Product():
                self._products[document.id] = document
                self._connection.execute(statements.WRITE_PRODUCT, rows.product_row(document, self.version))
            case Person():
                self._people[document.id] = document
                self._connection.execute(statements.WRITE_PERSON, rows.person_row(document, self.version))

    def place(self, order: Order) -> None:
        self.has_work = True
        self.placed.append(order.id)
        self._connection.execute(statements.ADD_ORDER, rows.new_order_row(order, self.now_us, self.version))

    def settle(self, order: Order) -> None:
        """The order with the state and the codes that it has now."""
        self.has_work = True
        self._orders[order.id] = order
        self._connection.execute(statements.SETTLE_ORDER, (order.state, self.now_us, self.version, order.id))

    def finish(self) -> None:
        """Write what is staged and check conservation. Raises ConservationError."""
        self._staging.write()
        boxes = sorted({item.box or item.code for item in self.changed.values() if item.kind is not _PIECE})
        for box, units, found in in_chunks(self._connection, statements.UNBALANCED_BOXES, boxes):
            raise ConservationError(f"box {box}: found {found} units in their places, expected {units}")

    def delta_rows(self) -> Rows:
        """All rows of this commit that replicas hold."""
        return Rows(
            items=tuple(self.changed.values()),
            orders=tuple(self._orders.values()),
            notes=tuple(self._notes.values()),
            products=tuple(self._products.values()),
            people=tuple(self._people.values()),
            transfers=tuple(self._transfers.values()),
            sheets=tuple(self._sheets.values()),
        )


Preparation = Callable[[Transaction, Fact], None]
"""A rule that runs before a fact of some kinds is folded; it may record facts of central's own."""
