"""One commit of the ledger in the making: facts are appended and folded, rows staged, everything written at the end.

Nothing of it is visible to anyone before ``write.Ledger`` commits; a transaction that raises never was.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from central.errors import ConservationError
from central.ledger import rows, statements
from central.ledger.lives import follow
from central.ledger.reading import flaw
from central.ledger.staging import Staging, in_chunks
from sync_protocol.chain import SessionStart, seal
from sync_protocol.codec import encode_fact
from sync_protocol.documents import DeliveryNote, Order, OrderState, Person, Product
from sync_protocol.errors import ProtocolError
from sync_protocol.facts import Fact, Moment, SealedFact, What
from sync_protocol.items import Item, Kind
from sync_protocol.lifecycle import Outcome, Refusal, fold
from sync_protocol.machines.ingest import SessionState, begin
from sync_protocol.messages import Rows
from sync_protocol.recalls import InForce

_PRESCANNED, _PIECE = What.PRESCANNED, Kind.PIECE


class Folded(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A fact of this commit and what it did."""

    position: int
    sealed: SealedFact
    fact: Fact
    outcome: Outcome


class Transaction:
    """What ``Ledger.commit`` hands to its caller; only valid during the call.

    ``stock``: items as they are after the facts so far, ``originals``: as they were before this commit (None: unknown);
    both hold every code that was loaded. ``changed``: items that this commit changed or created. ``is_refilling``: the
    ledger was restored and may lack facts that agents still hold. ``recalls``: those in force.
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
        preparations: "Sequence[Preparation]" = (),
        is_refilling: bool = False,
    ) -> None:
        self.version = version
        self.is_refilling = is_refilling
        self.position = position
        self.own = own
        self.moment = moment
        self.recalls = recalls
        self._preparations = preparations
        self.now_us = moment().wall_us
        self.folded: list[Folded] = []
        self.stock: dict[str, Item] = {}
        self.originals: dict[str, Item | None] = {}
        self.changed: dict[str, Item] = {}
        self.placed: list[str] = []
        self.has_work = False
        self._connection = connection
        self._last: dict[str, int] = {}
        self._staging = Staging(connection, version=version, now_us=self.now_us, last=self._last)
        self._sessions: dict[bytes, SessionState] = {}
        self._orders: dict[str, Order] = {}
        self._notes: dict[str, DeliveryNote] = {}
        self._products: dict[str, Product] = {}
        self._people: dict[str, Person] = {}

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

    def select(self, statement: str, values: Sequence[Any] = ()) -> list[rows.Row]:
        """Rows as they are with everything staged so far."""
        self._staging.write()
        return self._connection.execute(statement, values).fetchall()

    def select_in(self, statement: str, keys: Iterable[str]) -> Iterator[rows.Row]:
        """Rows of a statement with one IN list, with everything staged so far."""
        self._staging.write()
        return in_chunks(self._connection, statement, sorted(keys))

    def execute(self, statement: str, values: Iterable[rows.Row]) -> None:
        """Write rows that no replica holds."""
        self.has_work = True
        self._connection.executemany(statement, values)

    def load(self, codes: Iterable[str]) -> None:
        """Bring the committed items of these codes into ``stock``."""
        originals, stock, last = self.originals, self.stock, self._last
        missing = {code: None for code in codes if code not in originals}
        if not missing:
            return
        originals.update(missing)
        found = list(in_chunks(self._connection, statements.ITEMS, sorted(missing)))
        items = {item.code: item for item in rows.items_of(found)}
        originals.update(items)
        stock.update(items)
        last.update((row[0], row[rows.LAST_POSITION]) for row in found)

    def session(self, session: bytes) -> SessionState | None:
        """The session as it is with everything staged so far; None: never heard of."""
        return self._sessions.get(session) or read_session(self._connection, session)

    def append(self, start: SessionStart, facts: Sequence[SealedFact], *, budget: int) -> int:
        """Append consecutive facts of a session until about ``budget`` rows are changed, at least one; say how many.

        Every fact is kept: one that cannot be read or folded is filed as such and goes on the work list.
        """
        read = [flaw(sealed.body) for sealed in facts]
        self.load([code for fact, _ in read if fact is not None for code in fact.codes])
        room, count = budget - len(self._orders), 0
        for sealed, (fact, cause) in zip(facts, read, strict=True):
            if count and len(self.changed) > room:
                break
            self._file(sealed, fact, cause)
            count += 1
        last = facts[count - 1]
        self._advance(SessionState(start=start, through=last.id.seq, head=last.hash))
        return count

    def record(self, fact: Fact) -> Folded:
        """Append a fact of central's own and fold it. The caller decides what a refusal means to it."""
        sealed = seal(self.own.start, self.own.through + 1, self.own.head, encode_fact(fact))
        self.load(fact.codes)
        self._file(sealed, fact, "")
        self.own = SessionState(start=self.own.start, through=sealed.id.seq, head=sealed.hash)
        self._advance(self.own)
        return self.folded[-1]

    def open_session(self, start: SessionStart) -> None:
        """File a session of which no fact has come yet."""
        self.has_work = True
        self._advance(begin(start))

    def raise_misfit(self, start: SessionStart, *, reason: str, found: str, expected: str) -> None:
        """Put a chain that cannot be true on the work list."""
        self.has_work = True
        self._staging.add_misfit(start.device, start.session, reason=reason, found=found, expected=expected)

    def doubt(self, folded: Folded, refusal: Refusal) -> None:
        """Put a fact that was folded on the work list all the same."""
        self._staging.add_refusal(folded.position, folded.sealed, refusal)

    def _advance(self, state: SessionState) -> None:
        self._sessions[state.start.session] = state
        self._staging.put_session(state)

    def _file(self, sealed: SealedFact, fact: Fact | None, cause: str) -> None:
        self.has_work = True
        if fact is not None:
            for prepare in self._preparations:
                prepare(self, fact)
        self.position += 1
        if fact is None:
            self._staging.add_unreadable(self.position, sealed, cause)
            return
        try:
            outcome = fold(fact, self.stock)
        except (ProtocolError, OverflowError, ValueError) as error:
            self._staging.add_unreadable(self.position, sealed, f"{type(error).__name__}: {error}")
            return
        self._stage(fact, outcome.items)
        stock, codes, position = self.stock, fact.codes, self.position
        self._staging.add_fact(position, sealed, fact, follow(self._last, position, codes, stock))
        if outcome.refusals or len(outcome.items) < len(codes):
            self._staging.touch(code for code in codes if code in stock)
            for refusal in outcome.refusals:
                self._staging.add_refusal(position, sealed, refusal)
        self.folded.append(Folded(position=position, sealed=sealed, fact=fact, outcome=outcome))

    def _stage(self, fact: Fact, items: tuple[Item, ...]) -> None:
        if fact.what is _PRESCANNED:  # units of a box that was opened
            self.load([item.code for item in items])
        originals, stage = self.originals, self._staging.put_item
        for item in items:
            code = item.code
            self.stock[code] = self.changed[code] = item
            stage(item, originals[code])

    def put(self, document: DeliveryNote | Product | Person) -> None:
        """Write a document or a master record; the row replaces the one with its id."""
        self.has_work = True
        match document:
            case DeliveryNote():
                self._notes[document.id] = document
                self._connection.execute(statements.WRITE_NOTE, rows.note_row(document, self.version))
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
        dispensed_us = self.now_us if order.state is OrderState.DISPENSED else 0
        self._connection.execute(statements.SETTLE_ORDER, (order.state, dispensed_us, self.version, order.id))

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
        )


Preparation = Callable[[Transaction, Fact], None]
"""A rule that runs before a fact is folded; it may record facts of central's own."""


def read_session(connection: sqlite3.Connection, session: bytes) -> SessionState | None:
    """A session as it stands in the ledger."""
    row = connection.execute(statements.READ_SESSION, (session,)).fetchone()
    if row is None:
        return None
    start = SessionStart(
        device=row[0],
        session=session,
        parent_session=row[1],
        parent_seq=row[2],
        parent_hash=row[3],
        started_us=row[4],
    )
    return SessionState(start=start, through=row[5], head=row[6])
