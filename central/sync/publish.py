"""What central says to agents: the broadcast of every commit, and the answer to a pull (REQ-05)."""

import sqlite3

from central.ledger import rows, statements
from central.ledger.staging import in_chunks
from central.ledger.write import Committed, Ledger
from central.sync.link import Outbox
from sync_protocol import topics
from sync_protocol.codec import MAX_MESSAGE, encode
from sync_protocol.messages import Delta, Down, Pull, Rows

MAX_ROWS = 5_000
"""Rows of one delta; more only where one commit changed more."""


class Publisher:
    def __init__(self, ledger: Ledger, outbox: Outbox) -> None:
        self._ledger = ledger
        self._outbox = outbox

    def tell(self, device: str, message: Down) -> None:
        if self._outbox.is_up:
            self._outbox.send(topics.down(device), encode(message))

    def broadcast(self, committed: Committed) -> None:
        """Send a commit's rows to everybody. What is too large for one message is only announced: agents pull it."""
        if not self._outbox.is_up or self._ledger.is_refilling:
            return
        to = committed.version
        if committed.rows.count <= MAX_ROWS:
            data = encode(self._delta(to - 1, to, committed.rows, latest=to))
            if len(data) <= MAX_MESSAGE:
                self._outbox.send(topics.BROADCAST, data)
                return
        self.ring()

    def ring(self) -> None:
        """Tell everybody which ledger this is and how far it is: a replica that is behind pulls."""
        version = self._ledger.version
        self._outbox.send(topics.BROADCAST, encode(self._delta(version, version, Rows(), latest=version)))

    def introduce(self, device: str) -> None:
        """Tell an agent that speaks to another life of the ledger which one this is: no broadcast may come for long."""
        version = self._ledger.version
        self.tell(device, self._delta(version, version, Rows(), latest=version))

    def answer(self, device: str, pull: Pull) -> None:
        """Answer a pull of this incarnation's rows; silence while the ledger is being refilled: it is pulled again."""
        if pull.incarnation not in {0, self._ledger.incarnation}:
            self.introduce(device)
        elif not self._ledger.is_refilling:
            self.tell(device, self.delta(max(0, min(pull.after, self._ledger.version))))

    def delta(self, after: int) -> Delta:
        """The rows that follow ``after``, cut between two commits."""
        connection, latest = self._ledger.connection, self._ledger.version
        versions = [row[0] for row in connection.execute(statements.VERSIONS_AFTER, (after, MAX_ROWS + 1))]
        to = latest
        if len(versions) > MAX_ROWS:
            # The last commit seen may go on behind the limit: stop before it, unless it is the only one.
            to = versions[-1] - 1 if versions[0] < versions[-1] else versions[-1]
        return self._delta(after, to, read_rows(connection, after, to), latest=latest)

    def _delta(self, after: int, to: int, rows: Rows, *, latest: int) -> Delta:
        return Delta(after=after, to=to, rows=rows, latest=latest, incarnation=self._ledger.incarnation)


def read_rows(connection: sqlite3.Connection, after: int, to: int) -> Rows:
    """Rows changed in (after, to]."""
    span = (after, to)
    orders = connection.execute(statements.CHANGED_ORDERS, span).fetchall()
    codes: dict[str, list[str]] = {row[0]: [] for row in orders}
    for order, code, _ in in_chunks(connection, statements.ORDER_CODES, sorted(codes)):
        codes[order].append(code)
    return Rows(
        items=tuple(rows.item_of(row) for row in connection.execute(statements.CHANGED_ITEMS, span)),
        orders=tuple(rows.order_of(row, tuple(codes[row[0]])) for row in orders),
        notes=tuple(rows.note_of(row) for row in connection.execute(statements.CHANGED_NOTES, span)),
        products=tuple(rows.product_of(row[0]) for row in connection.execute(statements.CHANGED_PRODUCTS, span)),
        people=tuple(rows.person_of(row) for row in connection.execute(statements.CHANGED_PEOPLE, span)),
    )
