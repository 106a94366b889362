"""The insurer's queue, in the ledger's own database: a row is written in the commit of the fact that it reports.

::

    waiting ──► sending ──► accepted
       ▲           │  └───► refused      the platform said no: a person corrects and sends again
       │           ▼
       └──────── unknown                 sent, and no answer: resolved by asking, never by sending twice

    waiting ──► exempt                   of an order that no insurer pays: none is told
    refused ──► waiting                  a person has corrected what was wrong
    refused ──► accepted                 a person has reported it by hand, and says where

The platform hears of a box in the order in which it happened: a return waits until what was sold of it to its order is
accepted, the next sale of that box until the return is. What waits for a row that was refused is told by the board.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum

import msgspec

from central.errors import InvalidError
from central.ledger import insurer_statements, statements
from central.ledger.rows import Row, product_of
from central.ledger.staging import in_chunks
from central.ledger.transaction import Folded, Transaction
from central.ledger.write import Ledger
from sync_protocol.documents import Product
from sync_protocol.facts import What
from sync_protocol.items import Kind

LARGEST_REQUEST = 100


class RowState(StrEnum):
    WAITING = "waiting"
    SENDING = "sending"
    UNKNOWN = "unknown"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    EXEMPT = "exempt"


class Sale(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the queue with all that the ledger knows of it. ``product`` None: not in the catalogue.

    ``is_return``: it came back. ``sold_hash``: the fact by which it was sold then, empty if there were several.
    """

    id: int
    box: str
    quantity: int
    is_split: bool
    attempts: int
    is_self_pay: bool
    is_return: bool
    order: str
    visit: str
    patient: str
    prescriber: str
    lot: str
    expiry: str
    made: str
    operator: str
    wall_us: int
    product: Product | None
    fact_hash: bytes
    sold_hash: bytes


def enqueue_sales(transaction: Transaction) -> None:
    """Consequence: what was dispensed from boxes, or came back, is reported by box code and quantity.

    Sub-codes stay here.
    """
    added: list[Row] = []
    orders: dict[str, str] = {}
    for folded in transaction.of(What.DISPENSED, What.RETURNED):
        items = folded.outcome.items
        if folded.fact.what is What.DISPENSED:
            orders.update((item.code, item.order) for item in items)
        else:  # It is of no order any more: the one that it was of is from this commit, or from before it.
            new = [item.code for item in items if item.code not in orders]
            orders.update((code, before.order) for code in new if (before := transaction.originals[code]))
        added += _rows(transaction, folded, orders)
    if added:
        transaction.execute(insurer_statements.ADD_INSURER_ROW, added)


def _rows(transaction: Transaction, folded: Folded, orders: Mapping[str, str]) -> Iterator[Row]:
    """One a box; ``orders``: of each code of the fact."""
    items = folded.outcome.items
    units = Counter(item.box for item in items if item.kind is Kind.UNIT)
    order = {item.box or item.code: orders[item.code] for item in items}
    whole = [item.code for item in items if item.kind is Kind.BOX]
    # A fact that comes back to a restored ledger may have been reported already: it is asked about first.
    state = RowState.UNKNOWN if transaction.is_refilling else RowState.WAITING
    end = (folded.fact.what is What.RETURNED, state, transaction.now_us)
    yield from ((folded.position, box, order[box], count, True, *end) for box, count in units.items())
    yield from ((folded.position, box, order[box], 1, False, *end) for box in whole)


class SalesQueue:
    """Every change is committed before anything leaves the house, and after every answer."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def recover(self) -> int:
        """While nothing is on its way: what is marked as being sent may have arrived. Returns how many rows."""
        if not self._ledger.connection.execute(insurer_statements.ANY_SENDING).fetchone():
            return 0
        now_us = self._ledger.time.now_us()
        return self._ledger.write(
            lambda connection: connection.execute(insurer_statements.SENDING_IS_UNKNOWN, (now_us,)).rowcount
        )

    def due(self, state: RowState, limit: int = LARGEST_REQUEST) -> list[Sale]:
        """Rows in a state whose time has come and that wait for no other: oldest first, then those tried again."""
        now_us = self._ledger.time.now_us()
        rows = self._ledger.connection.execute(insurer_statements.DUE_SALES, (state, now_us, limit)).fetchall()
        return [_sale(row) for row in rows]

    def find(self, ids: Iterable[int]) -> list[Sale]:
        return [_sale(row) for row in in_chunks(self._ledger.connection, insurer_statements.SALES, sorted(ids))]

    def wait_us(self) -> int | None:
        """Microseconds until the next row is due; None: no row waits."""
        (next_us,) = self._ledger.connection.execute(insurer_statements.NEXT_SALE).fetchone()
        return None if next_us is None else max(0, next_us - self._ledger.time.now_us())

    def counts(self) -> dict[str, int]:
        return dict(self._ledger.connection.execute(insurer_statements.SALES_BY_STATE).fetchall())

    def send(self, sales: Iterable[Sale], *, msgid: str, request: bytes) -> None:
        now_us = self._ledger.time.now_us()
        values = [(RowState.SENDING, msgid, request, now_us, sale.id) for sale in sales]
        self._ledger.write(lambda connection: connection.executemany(insurer_statements.SEND_SALE, values))

    def settle(
        self, sales: Iterable[Sale], state: RowState, *, cause: str = "", again_after_us: int = 0, tried: bool = True
    ) -> None:
        """Put rows in a state. ``tried``: whether this counts as an attempt."""
        now_us = self._ledger.time.now_us()
        values = [(state, cause, int(tried), now_us + again_after_us, now_us, sale.id) for sale in sales]
        if values:
            self._ledger.write(lambda connection: connection.executemany(insurer_statements.SETTLE_SALE, values))

    def repair(self, ids: Iterable[int], person: str) -> int:
        """In the name of a person: what was refused is sent again, what is unknown is asked about at once. How many."""
        if not person:
            raise InvalidError("person", "nothing", "the person who corrected it", "sign in")
        now_us = self._ledger.time.now_us()
        return self._ledger.write(lambda connection: _repair(connection, sorted(ids), person, now_us))

    def report_by_hand(self, ids: Iterable[int], person: str, where: str) -> int:
        """In the name of a person: the insurer has what was refused here by another way. How many rows.

        ``where``: what finds it there again. Raises InvalidError, BusyError.
        """
        if not where.strip():
            raise InvalidError(
                "where", "nothing", "where the insurer has it: a number, a form", "write it beside the row"
            )
        now_us = self._ledger.time.now_us()
        return self._ledger.write(
            lambda connection: _report_by_hand(connection, sorted(ids), person, where.strip()[:200], now_us)
        )

    def next_sequence(self) -> int:
        """A number that was never given before, durable before it is used."""
        return self._ledger.write(_next_sequence)


def _repair(connection: sqlite3.Connection, ids: list[int], person: str, now_us: int) -> int:
    blocked = list(in_chunks(connection, insurer_statements.BLOCKED_SALES, ids))
    for state, what, statement in (
        (RowState.REFUSED, "again", insurer_statements.SEND_AGAIN),
        (RowState.UNKNOWN, "ask", insurer_statements.ASK_NOW),
    ):
        rows = [(row, cause) for row, its_state, cause in blocked if its_state == state]
        connection.executemany(statement, [(now_us, row) for row, _ in rows])
        connection.executemany(
            insurer_statements.ADD_REPAIR, [(row, what, cause, person, now_us) for row, cause in rows]
        )
    return len(blocked)


def _report_by_hand(connection: sqlite3.Connection, ids: list[int], person: str, where: str, now_us: int) -> int:
    blocked = in_chunks(connection, insurer_statements.BLOCKED_SALES, ids)
    refused = [(row, cause) for row, state, cause in blocked if state == RowState.REFUSED]
    connection.executemany(insurer_statements.REPORTED_BY_HAND, [(where, now_us, row) for row, _ in refused])
    connection.executemany(
        insurer_statements.ADD_REPAIR, [(row, "by_hand", cause, person, now_us) for row, cause in refused]
    )
    return len(refused)


def _next_sequence(connection: sqlite3.Connection) -> int:
    row = connection.execute(statements.READ_META, ("insurer_sequence",)).fetchone()
    number = int(row[0]) + 1 if row else 1
    connection.execute(statements.WRITE_META, ("insurer_sequence", str(number)))
    return number


def _sale(row: tuple[object, ...]) -> Sale:
    *fields, body, fact_hash, sold_hash = row
    names = Sale.__struct_fields__[:-3]
    product = product_of(body) if isinstance(body, bytes) else None
    rest = {"product": product, "fact_hash": fact_hash, "sold_hash": sold_hash}
    return msgspec.convert(dict(zip(names, fields, strict=True)) | rest, Sale, strict=False)
