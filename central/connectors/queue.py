"""The insurer's queue, in the ledger's own database: a row is written in the commit of the fact that it reports.

::

    waiting ──► sending ──► accepted
       ▲           │  └───► refused      the platform said no: a person corrects and sends again
       │           ▼
       └──────── unknown                 sent, and no answer: resolved by asking, never by sending twice

    waiting ──► exempt                   of an order that no insurer pays: none is told
    refused ──► waiting                  a person has corrected what was wrong
"""

import sqlite3
from collections import Counter
from collections.abc import Iterable
from enum import StrEnum

import msgspec

from central.errors import InvalidError
from central.ledger import statements
from central.ledger.rows import product_of
from central.ledger.staging import in_chunks
from central.ledger.transaction import Transaction
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
    """One row of the queue with all that the ledger knows of it. ``product`` None: not in the catalogue."""

    id: int
    box: str
    quantity: int
    is_split: bool
    attempts: int
    is_self_pay: bool
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


def enqueue_sales(transaction: Transaction) -> None:
    """Consequence: what was dispensed from boxes is reported, by box code and quantity; sub-codes stay here."""
    added, dispensed = [], What.DISPENSED
    for folded in transaction.folded:
        if folded.fact.what is not dispensed:
            continue
        units = Counter(item.box for item in folded.outcome.items if item.kind is Kind.UNIT)
        order = {item.box or item.code: item.order for item in folded.outcome.items}
        whole = [item.code for item in folded.outcome.items if item.kind is Kind.BOX]
        now_us = transaction.now_us
        # A fact that comes back to a restored ledger may have been reported already: it is asked about first.
        state = RowState.UNKNOWN if transaction.is_refilling else RowState.WAITING
        added += [(folded.position, box, order[box], count, True, state, now_us) for box, count in units.items()]
        added += [(folded.position, box, order[box], 1, False, state, now_us) for box in whole]
    if added:
        transaction.execute(statements.ADD_INSURER_ROW, added)


class SalesQueue:
    """Every change is committed before anything leaves the house, and after every answer."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def recover(self) -> int:
        """While nothing is on its way: what is marked as being sent may have arrived. Returns how many rows."""
        if not self._ledger.connection.execute(statements.ANY_SENDING).fetchone():
            return 0
        now_us = self._ledger.time.now_us()
        return self._ledger.write(
            lambda connection: connection.execute(statements.SENDING_IS_UNKNOWN, (now_us,)).rowcount
        )

    def due(self, state: RowState, limit: int = LARGEST_REQUEST) -> list[Sale]:
        """Rows in a state whose time has come, oldest first."""
        now_us = self._ledger.time.now_us()
        rows = self._ledger.connection.execute(statements.DUE_SALES, (state, now_us, limit)).fetchall()
        return [_sale(row) for row in rows]

    def find(self, ids: Iterable[int]) -> list[Sale]:
        return [_sale(row) for row in in_chunks(self._ledger.connection, statements.SALES, sorted(ids))]

    def wait_us(self) -> int | None:
        """Microseconds until the next row is due; None: no row waits."""
        (next_us,) = self._ledger.connection.execute(statements.NEXT_SALE).fetchone()
        return None if next_us is None else max(0, next_us - self._ledger.time.now_us())

    def counts(self) -> dict[str, int]:
        return dict(self._ledger.connection.execute(statements.SALES_BY_STATE).fetchall())

    def send(self, sales: Iterable[Sale], *, msgid: str, request: bytes) -> None:
        now_us = self._ledger.time.now_us()
        values = [(RowState.SENDING, msgid, request, now_us, sale.id) for sale in sales]
        self._ledger.write(lambda connection: connection.executemany(statements.SEND_SALE, values))

    def settle(
        self, sales: Iterable[Sale], state: RowState, *, cause: str = "", again_after_us: int = 0, tried: bool = True
    ) -> None:
        """Put rows in a state. ``tried``: whether this counts as an attempt."""
        now_us = self._ledger.time.now_us()
        values = [(state, cause, int(tried), now_us + again_after_us, now_us, sale.id) for sale in sales]
        if values:
            self._ledger.write(lambda connection: connection.executemany(statements.SETTLE_SALE, values))

    def repair(self, ids: Iterable[int], person: str) -> int:
        """In the name of a person: what was refused is sent again, what is unknown is asked about at once. How many."""
        if not person:
            raise InvalidError("person", "nothing", "the person who corrected it", "sign in")
        now_us = self._ledger.time.now_us()
        return self._ledger.write(lambda connection: _repair(connection, sorted(ids), person, now_us))

    def next_sequence(self) -> int:
        """A number that was never given before, durable before it is used."""
        return self._ledger.write(_next_sequence)


def _repair(connection: sqlite3.Connection, ids: list[int], person: str, now_us: int) -> int:
    blocked = list(in_chunks(connection, statements.BLOCKED_SALES, ids))
    for state, what, statement in (
        (RowState.REFUSED, "again", statements.SEND_AGAIN),
        (RowState.UNKNOWN, "ask", statements.ASK_NOW),
    ):
        rows = [(row, cause) for row, its_state, cause in blocked if its_state == state]
        connection.executemany(statement, [(now_us, row) for row, _ in rows])
        connection.executemany(statements.ADD_REPAIR, [(row, what, cause, person, now_us) for row, cause in rows])
    return len(blocked)


def _next_sequence(connection: sqlite3.Connection) -> int:
    row = connection.execute(statements.READ_META, ("insurer_sequence",)).fetchone()
    number = int(row[0]) + 1 if row else 1
    connection.execute(statements.WRITE_META, ("insurer_sequence", str(number)))
    return number


def _sale(row: tuple[object, ...]) -> Sale:
    *fields, body, fact_hash = row
    names = Sale.__struct_fields__[:-2]
    rest = {"product": product_of(body) if isinstance(body, bytes) else None, "fact_hash": fact_hash}
    return msgspec.convert(dict(zip(names, fields, strict=True)) | rest, Sale, strict=False)
