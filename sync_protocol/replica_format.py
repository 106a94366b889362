"""The file that a replica is: tables and statements. An agent writes it from deltas, central as a snapshot (REQ-06).

Both run the same statements, so that a file made at central is the one that the agent would have made itself. A file
of another version is no replica: it is dropped and fetched anew, never converted.
"""

import functools
import hashlib
import operator
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from sync_protocol.documents import Order, Transfer
from sync_protocol.items import Item
from sync_protocol.messages import Rows
from sync_protocol.sql import Write, many

VERSION = 5
"""The ``user_version`` of the file."""
APPLICATION = 0x63706C72
"""The ``application_id`` of the file: "cplr"."""

TABLES = (
    f"PRAGMA application_id = {APPLICATION}",
    """
    CREATE TABLE cursor(
        one INTEGER PRIMARY KEY CHECK (one = 1),
        version INTEGER NOT NULL,
        as_of_us INTEGER NOT NULL,
        incarnation INTEGER NOT NULL
    ) STRICT
    """,
    # What thousands of items have in common, so that a move of one writes a number and not four texts, twice.
    """
    CREATE TABLE place(
        id INTEGER PRIMARY KEY, location TEXT NOT NULL, state TEXT NOT NULL, product TEXT NOT NULL, kind TEXT NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE item(
        code TEXT PRIMARY KEY, body BLOB NOT NULL, place INTEGER NOT NULL, order_id TEXT NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    # For people and tools.
    """
    CREATE VIEW shown AS
        SELECT item.code, place.kind, place.product, place.state, place.location, item.order_id, item.body
        FROM item JOIN place ON place.id = item.place
    """,
    """
    CREATE TABLE orders(
        id TEXT PRIMARY KEY, body BLOB NOT NULL, location TEXT NOT NULL, route TEXT NOT NULL, state TEXT NOT NULL,
        ordered_us INTEGER NOT NULL
    ) STRICT
    """,
    "CREATE TABLE note(id TEXT PRIMARY KEY, body BLOB NOT NULL, location TEXT NOT NULL, state TEXT NOT NULL) STRICT",
    """
    CREATE TABLE transfer(
        id TEXT PRIMARY KEY, body BLOB NOT NULL, source TEXT NOT NULL, target TEXT NOT NULL, state TEXT NOT NULL,
        asked_us INTEGER NOT NULL
    ) STRICT
    """,
    "CREATE TABLE count_sheet(id TEXT PRIMARY KEY, body BLOB NOT NULL, is_open INTEGER NOT NULL) STRICT",
    "CREATE TABLE product(id TEXT PRIMARY KEY, body BLOB NOT NULL) STRICT",
    "CREATE TABLE product_code(code TEXT PRIMARY KEY, product TEXT NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE TABLE person(id TEXT PRIMARY KEY, body BLOB NOT NULL, badge TEXT NOT NULL) STRICT",
    "INSERT INTO cursor(one, version, as_of_us, incarnation) VALUES (1, 0, 0, 0)",
)
INDEXES = (
    "CREATE INDEX place_location ON place(location, state, product)",
    "CREATE INDEX item_place ON item(place)",
    "CREATE INDEX item_order ON item(order_id) WHERE order_id <> ''",
    "CREATE INDEX orders_place ON orders(location, route, state, ordered_us)",
    "CREATE INDEX note_place ON note(location, state)",
    "CREATE INDEX transfer_state ON transfer(state, asked_us)",
    "CREATE INDEX product_code_product ON product_code(product)",
    "CREATE INDEX person_badge ON person(badge) WHERE badge <> ''",
)
"""Apart: who fills a whole file makes them at the end."""
STAMP = f"PRAGMA user_version = {VERSION}"
"""The last statement of a new file."""
PARTS = "SELECT type, name, sql FROM sqlite_schema ORDER BY type, name"
"""Of what a file consists: a snapshot has exactly the parts that ``TABLES`` and ``INDEXES`` make."""

CURSOR = "SELECT version, as_of_us, incarnation FROM cursor"
MOVE = "UPDATE cursor SET version = ?, as_of_us = ?, incarnation = ?"
ITEMS = "SELECT code, body, place, order_id FROM item WHERE code > ? ORDER BY code LIMIT ?"
DROP_ITEM = "DELETE FROM item WHERE code = ?"
PUT_PLACE = "INSERT OR IGNORE INTO place(id, location, state, product, kind) VALUES (?, ?, ?, ?, ?)"
PUT_ITEM = "INSERT OR REPLACE INTO item(code, body, place, order_id) VALUES (?, ?, ?, ?)"
_PUT_ORDER = "INSERT OR REPLACE INTO orders(id, body, location, route, state, ordered_us) VALUES (?, ?, ?, ?, ?, ?)"
_PUT_NOTE = "INSERT OR REPLACE INTO note(id, body, location, state) VALUES (?, ?, ?, ?)"
_PUT_TRANSFER = "INSERT OR REPLACE INTO transfer(id, body, source, target, state, asked_us) VALUES (?, ?, ?, ?, ?, ?)"
_PUT_SHEET = "INSERT OR REPLACE INTO count_sheet(id, body, is_open) VALUES (?, ?, ?)"
_PUT_PRODUCT = "INSERT OR REPLACE INTO product(id, body) VALUES (?, ?)"
_DROP_CODES = "DELETE FROM product_code WHERE product IN (VALUES (?))"
_PUT_CODE = "INSERT OR REPLACE INTO product_code(code, product) VALUES (?, ?)"
_PUT_PERSON = "INSERT OR REPLACE INTO person(id, body, badge) VALUES (?, ?, ?)"

_PLACE_BYTES = 6
_encode = msgspec.msgpack.Encoder().encode
_code = operator.attrgetter("code")
_place = operator.attrgetter("location", "state", "product", "kind")


@functools.lru_cache(maxsize=65_536)
def place_of(location: str, state: str, product: str, kind: str) -> int:
    """The number of a place: 47 bits of a hash, the same in every file, so that nobody has to look it up."""
    name = f"{location}\0{state}\0{product}\0{kind}".encode()
    return int.from_bytes(hashlib.blake2b(name, digest_size=_PLACE_BYTES).digest()) >> 1


def writes(rows: Rows) -> Iterator[Write]:
    """Statements and their values, a slice at a time, sorted by key as the trees are: neighbours are written together.

    Between two of them the writer gives way, or is told to stop.
    """
    products = rows.products
    yield from many(_PUT_PRODUCT, products, lambda product: (product.id, _encode(product)))
    yield from many(_DROP_CODES, products, lambda product: (product.id,))
    codes = [(code, product.id) for product in products for code in (*product.drug_ids, *product.gtins)]
    yield from many(_PUT_CODE, codes, tuple)
    yield from many(_PUT_PERSON, rows.people, lambda person: (person.id, _encode(person), person.badge))
    yield from many(_PUT_NOTE, rows.notes, lambda note: (note.id, _encode(note), note.location, note.state))
    yield from many(_PUT_TRANSFER, rows.transfers, _transfer_row)
    yield from many(_PUT_SHEET, rows.sheets, lambda sheet: (sheet.id, _encode(sheet), sheet.is_open))
    yield from many(_PUT_ORDER, rows.orders, _order_row)
    yield from many(PUT_ITEM, sorted(rows.items, key=_code), item_row)
    yield from many(PUT_PLACE, places_of(rows.items), tuple)


def places_of(items: Sequence[Item]) -> list[tuple[Any, ...]]:
    """As ``PUT_PLACE`` takes them."""
    return [(place_of(*place), *place) for place in sorted(set(map(_place, items)))]


def _order_row(order: Order) -> tuple[Any, ...]:
    return (order.id, _encode(order), order.location, order.route, order.state, order.ordered_us)


def _transfer_row(transfer: Transfer) -> tuple[Any, ...]:
    return (transfer.id, _encode(transfer), transfer.source, transfer.target, transfer.state, transfer.asked_us)


def item_row(item: Item) -> tuple[Any, ...]:
    """As ``ITEMS`` reads it and ``PUT_ITEM`` takes it."""
    return (item.code, _encode(item), place_of(*_place(item)), item.order)
