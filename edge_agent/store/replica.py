"""The replica: a copy of central's state at one ledger version. A cache: damaged or of another schema, it is deleted.

Deltas are written on a thread, by a connection of their own, so that scans go on meanwhile; readers see the old rows
until the whole delta and the cursor are committed together (REQ-05).
"""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import structlog

from edge_agent.errors import StoreError
from edge_agent.store import schema, sqlite
from sync_protocol.documents import Order
from sync_protocol.items import Item
from sync_protocol.messages import Delta, Rows

READER_CACHE = "PRAGMA cache_size = -8192"
"""Kibibytes: the inner pages of a million items, so that a lookup reads one leaf."""
WRITER_CACHE = "PRAGMA cache_size = -16384"
"""Half as fast again as with the usual two megabytes; given back once the replica has caught up."""
SLICE = 200
"""Rows between two looks at whether the delta is still wanted."""

_CURSOR = "SELECT version, as_of_us FROM cursor"
_MOVE = "UPDATE cursor SET version = ?, as_of_us = ?"
_PUT_ITEM = (
    "INSERT OR REPLACE INTO item(code, body, product, kind, state, location, order_id) VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_PUT_ORDER = "INSERT OR REPLACE INTO orders(id, body, location, route, state, ordered_us) VALUES (?, ?, ?, ?, ?, ?)"
_PUT_NOTE = "INSERT OR REPLACE INTO note(id, body, location, state) VALUES (?, ?, ?, ?)"
_PUT_PRODUCT = "INSERT OR REPLACE INTO product(id, body) VALUES (?, ?)"
_DROP_CODES = "DELETE FROM product_code WHERE product = ?"
_PUT_CODE = "INSERT OR REPLACE INTO product_code(code, product) VALUES (?, ?)"
_PUT_PERSON = "INSERT OR REPLACE INTO person(id, body, badge) VALUES (?, ?, ?)"

_R = TypeVar("_R")
_Write = tuple[str, Sequence[tuple[Any, ...]]]
_encode = msgspec.msgpack.Encoder().encode
_log: structlog.stdlib.BoundLogger = structlog.get_logger("edge_agent.replica")


class Replica:
    """To be used on the loop's thread."""

    def __init__(self, path: Path) -> None:
        """Open the replica in ``path``; an empty one, filled by pulling, if that is damaged. Raises StoreError."""
        self.path = path
        self._open()

    def _open(self) -> None:
        try:
            connections = _open_whole(self.path)
        except sqlite3.Error as error:
            if sqlite.is_outage(error):  # a full disk must not cost the copy that works without it
                raise _explained(self.path, error) from error
            _log.warning("replica_dropped", path=str(self.path), cause=str(error))
            _delete(self.path)
            try:
                connections = _open_whole(self.path)
            except sqlite3.Error as second:
                raise _explained(self.path, second) from second
        self._reader, self._writer = connections
        row: tuple[int, int] = self._reader.execute(_CURSOR).fetchone()
        self.version, self.as_of_us = row
        self.is_damaged = False
        """Set by the first read or write that met damage: to be reset and pulled anew."""

    def query(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Raises StoreError."""
        try:
            return self._reader.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise self._explain(error) from error

    async def apply(self, delta: Delta, *, as_of_us: int) -> None:
        """Take in a delta that starts at ``version`` and move the cursor with it, or neither. Raises StoreError."""
        assert delta.after == self.version, "the downlink machine applies a delta only at its start"
        is_unwanted = threading.Event()
        writing = asyncio.ensure_future(asyncio.to_thread(self._write, delta, as_of_us, is_unwanted))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            is_unwanted.set()
            await asyncio.wait({writing})  # a slice at most: nobody may close the connection under the thread
            if writing.exception() is None and writing.result():
                self.version, self.as_of_us = delta.to, as_of_us
            raise
        except sqlite3.Error as error:
            raise self._explain(error) from error
        self.version, self.as_of_us = delta.to, as_of_us

    def _write(self, delta: Delta, as_of_us: int, is_unwanted: threading.Event) -> bool:
        """On a thread of its own, which alone uses the writer meanwhile. False: unwanted, and nothing was written."""
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            for statement, rows in _writes(delta.rows):
                if is_unwanted.is_set():
                    self._undo()
                    return False
                self._writer.executemany(statement, rows)
            self._writer.execute(_MOVE, (delta.to, as_of_us))
            self._writer.execute("COMMIT")
            if delta.to >= delta.latest:
                self._writer.execute("PRAGMA shrink_memory")
        except BaseException:
            self._undo()
            raise
        return True

    def confirm(self, *, as_of_us: int) -> None:
        """Central said that nothing has changed since ``version``. Raises StoreError."""
        try:
            self._writer.execute(_MOVE, (self.version, as_of_us))
        except sqlite3.Error as error:
            raise self._explain(error) from error
        self.as_of_us = as_of_us

    def reset(self) -> None:
        """Forget everything: it is not a copy of this ledger. Raises StoreError."""
        self.close()
        _delete(self.path)
        self._open()

    def close(self) -> None:
        self._writer.close()
        self._reader.close()

    def _explain(self, error: sqlite3.Error) -> StoreError:
        self.is_damaged = self.is_damaged or sqlite.is_damage(error)
        return _explained(self.path, error)

    def _undo(self) -> None:
        with suppress(sqlite3.Error):
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")


def _open_whole(path: Path) -> tuple[sqlite3.Connection, sqlite3.Connection]:
    """A reader and a writer. Raises sqlite3.Error unless the whole file can be trusted."""
    reader = sqlite.connect(path, is_durable=False)
    try:
        reader.execute(READER_CACHE)
        _check(reader)
        writer = sqlite.connect(path, is_durable=False, is_of_any_thread=True)
        writer.execute(WRITER_CACHE)
    except BaseException:
        reader.close()
        raise
    return reader, writer


def _check(connection: sqlite3.Connection) -> None:
    """Make the tables of an empty replica. Raises sqlite3.Error for one that is damaged or of another schema."""
    found = schema.version_of(connection)
    if found == 0:
        schema.create_replica(connection)
    elif found != schema.REPLICA_VERSION:
        raise sqlite3.DatabaseError(f"schema version {found}, expected {schema.REPLICA_VERSION}")
    verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise sqlite3.DatabaseError(verdict)


def _delete(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _explained(path: Path, error: sqlite3.Error) -> StoreError:
    advice = "it is fetched anew" if sqlite.is_damage(error) else f"check the disk of {path.parent} and its free space"
    return StoreError(f"{path}: the copy of central's state: {error}; {advice}")


def _writes(rows: Rows) -> Iterator[_Write]:
    """Sorted by key, as the trees are: neighbours are written together."""
    yield from _sliced(_PUT_PRODUCT, rows.products, lambda product: (product.id, _encode(product)))
    yield _DROP_CODES, [(product.id,) for product in rows.products]
    yield _PUT_CODE, [(code, product.id) for product in rows.products for code in (*product.drug_ids, *product.gtins)]
    yield from _sliced(_PUT_PERSON, rows.people, lambda person: (person.id, _encode(person), person.badge))
    yield from _sliced(_PUT_NOTE, rows.notes, lambda note: (note.id, _encode(note), note.location, note.state))
    yield from _sliced(_PUT_ORDER, rows.orders, _order_row)
    yield from _sliced(_PUT_ITEM, sorted(rows.items, key=lambda item: item.code), _item_row)


def _sliced(statement: str, rows: Sequence[_R], row_of: Callable[[_R], tuple[Any, ...]]) -> Iterator[_Write]:
    for first in range(0, len(rows), SLICE):
        yield statement, [row_of(row) for row in rows[first : first + SLICE]]


def _order_row(order: Order) -> tuple[Any, ...]:
    return (order.id, _encode(order), order.location, order.route, order.state, order.ordered_us)


def _item_row(item: Item) -> tuple[Any, ...]:
    return (item.code, _encode(item), item.product, item.kind, item.state, item.location, item.order)
