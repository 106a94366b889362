"""The stores as plain records: facts of every journal and of the ledger, and the ledger's tables.

Files are opened read-only; a store of a running program may be read, a damaged one says so.
"""

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import msgspec

LEDGER = "ledger.db"
JOURNAL = "journal.db"
REPLICA = "replica.db"
_SEQ_BITS = 32
_SEQ_MASK = 2**_SEQ_BITS - 1

_JOURNAL_SESSIONS = (
    "SELECT number, session, device, parent_session, parent_seq, parent_hash FROM session ORDER BY number"
)
_JOURNAL_FACTS = "SELECT position, body, hash FROM fact ORDER BY position"
_LEDGER_FACTS = "SELECT position, device, session, seq, body, hash FROM fact ORDER BY position"
_LEDGER_ITEMS = "SELECT code, kind, product, lot, state, location, order_id, holder, box, units, pouch FROM item"
_LEDGER_ORDERS = "SELECT id, product, quantity, state FROM orders"
_LEDGER_EXCEPTIONS = "SELECT reason, count(*) FROM exception GROUP BY reason"
_LEDGER_VERSION = "SELECT value FROM meta WHERE key = 'version'"
_REPLICA_VERSION = "SELECT version FROM cursor"
_REPLICA_ITEMS = "SELECT code, kind, product, state, location, order_id FROM item"


class PaperError(Exception):
    """A store that cannot be read."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One fact as stored. ``position`` is its place in the ledger, 0 in a journal."""

    device: str
    session: bytes
    seq: int
    body: bytes
    hash: bytes
    position: int = 0

    @property
    def key(self) -> tuple[bytes, int]:
        return self.session, self.seq


class ItemRow(msgspec.Struct, frozen=True, kw_only=True):
    code: str
    kind: str
    product: str
    lot: str
    state: str
    location: str
    order: str
    holder: str
    box: str
    units: int
    pouch: str


class OrderRow(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    product: str
    quantity: int
    state: str


class Journal(msgspec.Struct, frozen=True, kw_only=True):
    """``breaks``: where its hash chain does not hold."""

    device: str
    entries: tuple[Entry, ...]
    sessions: int
    breaks: tuple[str, ...]


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    entries: tuple[Entry, ...]
    items: dict[str, ItemRow]
    orders: dict[str, OrderRow]
    exceptions: dict[str, int]
    version: int


class Replica(msgspec.Struct, frozen=True, kw_only=True):
    """An agent's copy of the ledger. ``items`` by code: kind, product, state, location, order."""

    device: str
    version: int
    items: dict[str, tuple[str, ...]]


def read_journal(path: Path) -> Journal:
    """Raises PaperError."""
    with _reading(path) as connection:
        sessions = connection.execute(_JOURNAL_SESSIONS).fetchall()
        facts = connection.execute(_JOURNAL_FACTS).fetchall()
    entries: list[Entry] = []
    breaks: list[str] = []
    for number, session, device, *parent in sessions:
        own = [
            Entry(device=device, session=session, seq=position & _SEQ_MASK, body=body, hash=digest)
            for position, body, digest in facts
            if position >> _SEQ_BITS == number
        ]
        breaks += _breaks(device, session, tuple(parent), own)
        entries += own
    devices = {device for _, _, device, *_ in sessions}
    if len(devices) != 1:
        raise PaperError(f"{path}: found sessions of {sorted(devices) or 'no device'}, expected those of one device")
    return Journal(device=devices.pop(), entries=tuple(entries), sessions=len(sessions), breaks=tuple(breaks))


def read_ledger(path: Path) -> Ledger:
    """Raises PaperError."""
    with _reading(path) as connection:
        return Ledger(
            entries=tuple(
                Entry(position=position, device=device, session=session, seq=seq, body=body, hash=digest)
                for position, device, session, seq, body, digest in connection.execute(_LEDGER_FACTS)
            ),
            items={row[0]: _row(ItemRow, row) for row in connection.execute(_LEDGER_ITEMS)},
            orders={row[0]: _row(OrderRow, row) for row in connection.execute(_LEDGER_ORDERS)},
            exceptions=dict(connection.execute(_LEDGER_EXCEPTIONS).fetchall()),
            version=int(connection.execute(_LEDGER_VERSION).fetchone()[0]),
        )


def read_replica(device: str, path: Path) -> Replica:
    """Raises PaperError."""
    with _reading(path) as connection:
        return Replica(
            device=device,
            version=int(connection.execute(_REPLICA_VERSION).fetchone()[0]),
            items={code: tuple(row) for code, *row in connection.execute(_REPLICA_ITEMS)},
        )


def _breaks(device: str, session: bytes, parent: tuple[bytes, int, bytes], entries: list[Entry]) -> Iterator[str]:
    """Places where seq has a gap or a hash does not follow from the one before it."""
    opening = msgspec.msgpack.encode((device, session, *parent))
    previous = hashlib.sha256(b"codepool session 1" + opening).digest()
    for expected, entry in enumerate(entries, start=1):
        if entry.seq != expected:
            yield f"{device}: seq {entry.seq} stands where {expected} was expected"
            return
        if hashlib.sha256(b"codepool fact 1" + previous + entry.body).digest() != entry.hash:
            yield f"{device}: the hash of fact {entry.seq} does not follow from the one before it"
            return
        previous = entry.hash


_Row = TypeVar("_Row", bound=msgspec.Struct)


def _row(kind: type[_Row], row: tuple[object, ...]) -> _Row:
    return msgspec.convert(dict(zip(kind.__struct_fields__, row, strict=True)), kind)


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
            yield connection
    except sqlite3.Error as error:
        raise PaperError(f"{path}: {error}") from error
