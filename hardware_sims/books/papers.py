"""The stores as plain records: facts of every journal and of the ledger, and the ledger's tables.

Files are opened read-only; a store of a running program may be read, a damaged one says so.
"""

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

LEDGER = "ledger.db"
JOURNAL = "journal.db"
REPLICA = "replica.db"
_SEQ_BITS = 32
_SEQ_MASK = 2**_SEQ_BITS - 1

_JOURNAL_SESSIONS = (
    "SELECT number, base, base_hash, session, device, parent_session, parent_seq, parent_hash"
    " FROM session ORDER BY number"
)
_JOURNAL_FACTS = "SELECT position, body, hash FROM fact ORDER BY position"
_LEDGER_FACTS = "SELECT position, device, session, seq, body, hash, received_us FROM fact ORDER BY position"
_LEDGER_SESSIONS = "SELECT session, device, parent_session, parent_seq, parent_hash, through, head FROM session"
_RECALLS = "SELECT max(version) FROM recall_set"
_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table'"
_LEDGER_ITEMS = "SELECT code, kind, product, lot, state, location, order_id, holder, box, units, pouch FROM item"
_LEDGER_ORDERS = "SELECT id, product, quantity, state FROM orders"
_LEDGER_EXCEPTIONS = "SELECT reason, count(*) FROM exception GROUP BY reason"
_LEDGER_VERSION = "SELECT value FROM meta WHERE key = 'version'"
_REPLICA_VERSION = "SELECT version FROM cursor"
_REPLICA_ITEMS = "SELECT code, kind, product, state, location, order_id FROM shown"


class PaperError(Exception):
    """A store that cannot be read."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One fact as stored. ``position``: its place in the ledger, ``received_us``: since when; 0 in a journal."""

    device: str
    session: bytes
    seq: int
    body: bytes
    hash: bytes
    position: int = 0
    received_us: int = 0

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
    """``breaks``: where its hash chain does not hold. ``recall_version``: of the newest recall set that it holds."""

    device: str
    entries: tuple[Entry, ...]
    sessions: int
    breaks: tuple[str, ...]
    recall_version: int = 0


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """``breaks``: where the chain of a session does not hold. ``recall_version``: of the signed recall set."""

    entries: tuple[Entry, ...]
    items: dict[str, ItemRow]
    orders: dict[str, OrderRow]
    exceptions: dict[str, int]
    version: int
    breaks: tuple[str, ...] = ()
    recall_version: int = 0


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
        recall_version = _recall_version(connection)
    entries: list[Entry] = []
    breaks: list[str] = []
    for number, base, base_hash, session, device, *parent in sessions:
        own = [
            Entry(device=device, session=session, seq=position & _SEQ_MASK, body=body, hash=digest)
            for position, body, digest in facts
            if position >> _SEQ_BITS == number
        ]
        head = base_hash if base else _opening(device, session, tuple(parent))
        breaks += _breaks(own, device=device, after=base, head=head)
        entries += own
    devices = {device for _, _, _, _, device, *_ in sessions}
    if len(devices) != 1:
        raise PaperError(f"{path}: found sessions of {sorted(devices) or 'no device'}, expected those of one device")
    return Journal(
        device=devices.pop(),
        entries=tuple(entries),
        sessions=len(sessions),
        breaks=tuple(breaks),
        recall_version=recall_version,
    )


def read_ledger(path: Path) -> Ledger:
    """Raises PaperError."""
    with _reading(path) as connection:
        entries = tuple(
            Entry(position=at, device=device, session=session, seq=seq, body=body, hash=digest, received_us=received_us)
            for at, device, session, seq, body, digest, received_us in connection.execute(_LEDGER_FACTS)
        )
        sessions = connection.execute(_LEDGER_SESSIONS).fetchall()
        return Ledger(
            entries=entries,
            breaks=tuple(_ledger_breaks(sessions, entries)),
            recall_version=_recall_version(connection),
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


def _opening(device: str, session: bytes, parent: tuple[object, ...]) -> bytes:
    """What the first fact of a session follows from."""
    return hashlib.sha256(b"codepool session 1" + msgspec.msgpack.encode((device, session, *parent))).digest()


def _breaks(entries: list[Entry], *, device: str, after: int, head: bytes) -> Iterator[str]:
    """Places where seq has a gap or a hash does not follow from the one before it."""
    for expected, entry in enumerate(entries, start=after + 1):
        if entry.seq != expected:
            yield f"{device}: seq {entry.seq} stands where {expected} was expected"
            return
        if hashlib.sha256(b"codepool fact 1" + head + entry.body).digest() != entry.hash:
            yield f"{device}: the hash of fact {entry.seq} does not follow from the one before it"
            return
        head = entry.hash


def _ledger_breaks(sessions: list[tuple[Any, ...]], entries: tuple[Entry, ...]) -> Iterator[str]:
    """The same of the ledger, and sessions whose watermark or head is not that of their last fact."""
    by_session: dict[bytes, list[Entry]] = {}
    for entry in sorted(entries, key=lambda entry: entry.seq):
        by_session.setdefault(entry.session, []).append(entry)
    for session, device, *parent, through, head in sessions:
        own = by_session.get(session, [])
        opening = _opening(device, session, tuple(parent))
        yield from (f"ledger: {text}" for text in _breaks(own, device=device, after=0, head=opening))
        last = (own[-1].seq, own[-1].hash) if own else (0, opening)
        if (through, head) != last:
            yield f"ledger: {device} {session.hex()[:8]} is said to end at fact {through}, its last one is {last[0]}"


def _recall_version(connection: sqlite3.Connection) -> int:
    """0 where no recall was ever issued."""
    if ("recall_set",) not in connection.execute(_TABLES).fetchall():
        return 0
    return int(connection.execute(_RECALLS).fetchone()[0] or 0)


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
