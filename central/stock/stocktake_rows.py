"""Rows of stocktake sheets, their lines and their counts."""

import json
from collections import defaultdict
from typing import Any

import msgspec

from central.ledger.transaction import Transaction

_SHEET = "id, location, products, opened_by, opened_us, closed_by, witness, reason, closed_us"
_LINE = "sheet, location, product, kind, state, position, posted_by, witness, reason, posted_us"
_COUNT = "position, sheet, location, product, kind, operator, device, at_us, objects, scanned, book, missing, surplus"
_OPEN = f"SELECT {_SHEET} FROM stocktake WHERE closed_us = 0 ORDER BY id"  # noqa: S608 - constants
_ONE = f"SELECT {_SHEET} FROM stocktake WHERE id = ?"  # noqa: S608 - constants
_LINES = f"SELECT {_LINE} FROM stocktake_line WHERE sheet = ? ORDER BY location, product, kind"  # noqa: S608
_COUNTS = f"SELECT {_COUNT} FROM stocktake_count WHERE sheet = ? ORDER BY position"  # noqa: S608 - constants
_LINE_AT = (
    f"SELECT {_LINE} FROM stocktake_line "  # noqa: S608 - constants
    "WHERE sheet = ? AND location = ? AND product = ? AND kind = ?"
)
_COUNTS_AT = (
    f"SELECT {_COUNT} FROM stocktake_count "  # noqa: S608 - constants
    "WHERE sheet = ? AND location = ? AND product = ? AND kind = ? ORDER BY position"
)
_ADD_SHEET = "INSERT INTO stocktake (location, products, opened_by, opened_us) VALUES (?, ?, ?, ?) RETURNING id"
_CLOSE_SHEET = "UPDATE stocktake SET closed_by = ?, witness = ?, reason = ?, closed_us = ? WHERE id = ?"
_WRITE_LINE = (
    f"INSERT INTO stocktake_line ({_LINE}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "  # noqa: S608 - constants
    "ON CONFLICT (sheet, location, product, kind) DO UPDATE SET state = excluded.state, position = excluded.position, "
    "posted_by = excluded.posted_by, witness = excluded.witness, reason = excluded.reason, "
    "posted_us = excluded.posted_us"
)
_ADD_COUNT = (
    f"INSERT INTO stocktake_count ({_COUNT}) "  # noqa: S608 - constants
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_COUNTED_BY = "SELECT DISTINCT location, product, kind, operator FROM stocktake_count WHERE sheet = ?"
_KEPT = (
    "SELECT DISTINCT location, product, kind FROM item WHERE {where} AND state IN ('in_stock', 'locked', 'frozen') "
    "ORDER BY location, product, kind"
)
LINES_AT_MOST = 2_000
"""Of one sheet: what workplaces know of it must fit one message."""
Key = tuple[str, str, str]
"""Location, product and kind of a line."""


class Sheet(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    location: str
    products: tuple[str, ...]
    opened_by: str
    opened_us: int
    closed_by: str = ""
    witness: str = ""
    reason: str = ""
    closed_us: int = 0

    @property
    def number(self) -> str:
        """As people and facts name it."""
        return number_of(self.id)

    def is_about(self, location: str, product: str) -> bool:
        return self.location in {"", location} and (not self.products or product in self.products)

    def overlaps(self, location: str, products: tuple[str, ...]) -> bool:
        is_same_place = not self.location or not location or self.location == location
        is_same_product = not self.products or not products or not set(self.products).isdisjoint(products)
        return is_same_place and is_same_product


class Line(msgspec.Struct, frozen=True, kw_only=True):
    sheet: int
    location: str
    product: str
    kind: str
    state: str
    position: int = 0
    posted_by: str = ""
    witness: str = ""
    reason: str = ""
    posted_us: int = 0

    @property
    def key(self) -> Key:
        return self.location, self.product, self.kind


class HandCount(msgspec.Struct, frozen=True, kw_only=True):
    """One person's count of a line, held against the book of its moment."""

    position: int
    sheet: int
    location: str
    product: str
    kind: str
    operator: str
    device: str
    at_us: int
    objects: int
    scanned: int
    book: int
    missing: tuple[str, ...] = ()
    surplus: tuple[str, ...] = ()

    @property
    def key(self) -> Key:
        return self.location, self.product, self.kind

    @property
    def is_agreed(self) -> bool:
        return self.objects == self.scanned


def number_of(sheet: int) -> str:
    return f"PD-{sheet:06d}"


def open_sheets(transaction: Transaction) -> list[Sheet]:
    return [sheet_of(row) for row in transaction.select(_OPEN)]


def find_sheet(transaction: Transaction, sheet: int) -> Sheet | None:
    rows = transaction.select(_ONE, (sheet,))
    return sheet_of(rows[0]) if rows else None


def add_sheet(transaction: Transaction, *, location: str, products: tuple[str, ...], person: str) -> int:
    transaction.has_work = True
    ((key,),) = transaction.select(_ADD_SHEET, (location, json.dumps(products), person, transaction.now_us))
    return int(key)


def close_sheet(transaction: Transaction, sheet: int, *, person: str, witness: str, reason: str) -> None:
    transaction.execute(_CLOSE_SHEET, [(person, witness, reason, transaction.now_us, sheet)])


def lines_of(transaction: Transaction, sheet: int) -> dict[Key, Line]:
    lines = (line_of(row) for row in transaction.select(_LINES, (sheet,)))
    return {line.key: line for line in lines}


def line_at(transaction: Transaction, sheet: int, key: Key) -> Line | None:
    rows = transaction.select(_LINE_AT, (sheet, *key))
    return line_of(rows[0]) if rows else None


def counts_at(transaction: Transaction, sheet: int, key: Key) -> list[HandCount]:
    """In the order of the ledger."""
    return [count_of(row) for row in transaction.select(_COUNTS_AT, (sheet, *key))]


def write_lines(transaction: Transaction, lines: list[Line]) -> None:
    transaction.execute(_WRITE_LINE, [msgspec.structs.astuple(line) for line in lines])


def counts_of(transaction: Transaction, sheet: int) -> list[HandCount]:
    return [count_of(row) for row in transaction.select(_COUNTS, (sheet,))]


def counted_by(transaction: Transaction, sheet: int) -> dict[Key, list[str]]:
    """Who has counted each line."""
    found: dict[Key, list[str]] = defaultdict(list)
    for *key, operator in transaction.select(_COUNTED_BY, (sheet,)):
        found[key[0], key[1], key[2]].append(operator)
    return found


def add_count(transaction: Transaction, count: HandCount) -> None:
    *values, missing, surplus = msgspec.structs.astuple(count)
    transaction.execute(_ADD_COUNT, [(*values, json.dumps(missing), json.dumps(surplus))])


def kept(transaction: Transaction, location: str, products: tuple[str, ...]) -> list[Key]:
    """What the book has in stock there, a line for each product and form."""
    if not products:
        return [(*row,) for row in transaction.select(_KEPT.format(where="location = ?"), (location,))]
    where = "product IN ({codes})" + (" AND +location = ?" if location else "")
    marks = ",".join("?" * len(products))
    statement = _KEPT.format(where=where.format(codes=marks))
    return [(*row,) for row in transaction.select(statement, (*products, *([location] if location else [])))]


def sheet_of(row: tuple[Any, ...]) -> Sheet:
    values = dict(zip(Sheet.__struct_fields__, row, strict=True))
    return Sheet(**values | {"products": tuple(json.loads(values["products"]))})


def line_of(row: tuple[Any, ...]) -> Line:
    return Line(**dict(zip(Line.__struct_fields__, row, strict=True)))


def count_of(row: tuple[Any, ...]) -> HandCount:
    values = dict(zip(HandCount.__struct_fields__, row, strict=True))
    codes = {name: tuple(json.loads(values[name])) for name in ("missing", "surplus")}
    return HandCount(**values | codes)
