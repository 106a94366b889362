"""What the code platform is to be asked or told, in the ledger's own database: written in the commit of its cause.

::

    relation  waiting ──► done                            the packs of a note stand in the note
                  └─────► refused                         the platform has none: each box is scanned
    receipt   waiting ──► sending ──► sent ──► done       uploaded, later processed
                  ▲           │ └───────┴────► refused    the platform said no
                  │           ▼
                  └─────── unknown                        no answer: resolved by asking, never by sending twice
"""

import hashlib
from collections.abc import Sequence
from enum import StrEnum

import msgspec

from central.connectors.top import PackInfo
from central.ledger.transaction import Transaction
from central.ledger.write import Ledger
from sync_protocol.codec import decode_fact
from sync_protocol.documents import NoteState
from sync_protocol.facts import Fact, What
from sync_protocol.items import Kind

_ADD = (
    "INSERT INTO platform_task (kind, subject, document, position, state, updated_us) VALUES (?, ?, ?, ?, ?, ?) "
    "ON CONFLICT DO NOTHING"
)
_ANY_SENDING = "SELECT 1 FROM platform_task WHERE state = 'sending' LIMIT 1"
_RECOVER = (
    "UPDATE platform_task SET state = 'unknown', next_try_us = 0, updated_us = ?, "
    "cause = 'central was restarted while it was sent' WHERE state = 'sending'"
)
_DUE = (
    "SELECT id, kind, subject, document, position, state, attempts FROM platform_task "
    "WHERE kind = ? AND state = ? AND next_try_us <= ? ORDER BY id LIMIT 1"
)
_NEXT = "SELECT min(next_try_us) FROM platform_task WHERE state IN ('waiting', 'unknown', 'sent')"
_SETTLE = (
    "UPDATE platform_task SET state = ?, cause = ?, attempts = attempts + 1, next_try_us = ?, updated_us = ? "
    "WHERE id = ?"
)
_FACT = "SELECT body FROM fact WHERE position = ?"
_KNOWN = "SELECT code FROM pack WHERE code IN (SELECT value FROM json_each(?))"
_KEEP = (
    "INSERT INTO pack (code, parent, level, status, lot, fetched_us) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (code) "
    "DO UPDATE SET parent = excluded.parent, level = excluded.level, status = excluded.status, lot = excluded.lot, "
    "fetched_us = excluded.fetched_us"
)
_BILL = 16


class TaskKind(StrEnum):
    RELATION = "relation"
    RECEIPT = "receipt"


class TaskState(StrEnum):
    WAITING = "waiting"
    SENDING = "sending"
    UNKNOWN = "unknown"
    SENT = "sent"
    DONE = "done"
    REFUSED = "refused"


class Task(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    kind: TaskKind
    subject: str
    document: str
    position: int
    state: TaskState
    attempts: int


def enqueue_platform_tasks(transaction: Transaction) -> None:
    """Consequence: a note that is expected asks for its packs, boxes that were received are reported."""
    now_us = transaction.now_us
    rows = [
        (TaskKind.RELATION, note.id, note.id, 0, TaskState.WAITING, now_us)
        for note in transaction.notes
        if note.kind is Kind.BOX and note.state is NoteState.EXPECTED and not note.packs
    ]
    # A fact that comes back to a restored ledger may have been reported already: it is asked about first.
    state = TaskState.UNKNOWN if transaction.is_refilling else TaskState.WAITING
    rows += [
        (TaskKind.RECEIPT, bill_of(folded.sealed.hash), folded.fact.document, folded.position, state, now_us)
        for folded in transaction.of(What.RECEIVED)
        if any(item.kind is Kind.BOX for item in folded.outcome.items)
    ]
    if rows:
        transaction.execute(_ADD, rows)


def bill_of(fact_hash: bytes) -> str:
    """The number of a bill: made of what it reports, so the same at every attempt, also after a restore."""
    return f"CP{hashlib.sha256(fact_hash).hexdigest()[:_BILL].upper()}"


class PlatformQueue:
    """Every change is committed before anything leaves the house, and after every answer."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def recover(self) -> None:
        """While nothing is on its way: what is marked as being sent may have arrived."""
        if self._ledger.connection.execute(_ANY_SENDING).fetchone():
            now_us = self._ledger.time.now_us()
            self._ledger.write(lambda connection: connection.execute(_RECOVER, (now_us,)).rowcount)

    def due(self, kind: TaskKind, state: TaskState) -> Task | None:
        """The oldest task in a state whose time has come."""
        row = self._ledger.connection.execute(_DUE, (kind, state, self._ledger.time.now_us())).fetchone()
        return msgspec.convert(dict(zip(Task.__struct_fields__, row, strict=True)), Task) if row else None

    def wait_us(self) -> int | None:
        """Microseconds until the next task is due; None: none waits."""
        (next_us,) = self._ledger.connection.execute(_NEXT).fetchone()
        return None if next_us is None else max(0, next_us - self._ledger.time.now_us())

    def settle(self, task: Task, state: TaskState, *, cause: str = "", again_after_us: int = 0) -> None:
        now_us = self._ledger.time.now_us()
        row = (state, cause, now_us + again_after_us, now_us, task.id)
        self._ledger.write(lambda connection: connection.execute(_SETTLE, row).rowcount)

    def fact_of(self, task: Task) -> Fact:
        """The received fact that a receipt reports."""
        (body,) = self._ledger.connection.execute(_FACT, (task.position,)).fetchone()
        return decode_fact(body)

    def not_kept(self, codes: Sequence[str]) -> list[str]:
        """Codes that the platform was never asked about."""
        wanted = msgspec.json.encode(list(codes)).decode()
        kept = {code for (code,) in self._ledger.connection.execute(_KNOWN, (wanted,))}
        return [code for code in codes if code not in kept]

    def keep(self, packs: Sequence[PackInfo]) -> None:
        """What the platform said: it is not asked again."""
        now_us = self._ledger.time.now_us()
        rows = [(pack.code, pack.parent, pack.level, pack.status, pack.lot, now_us) for pack in packs]
        self._ledger.write(lambda connection: connection.executemany(_KEEP, rows).rowcount)
