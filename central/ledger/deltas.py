"""Rows changed between two versions of the ledger, as agents copy them (REQ-05)."""

import sqlite3

import msgspec

from central.ledger import rows, statements
from central.ledger.changed import changed_items
from central.ledger.staging import in_chunks
from sync_protocol.messages import Rows


def read_rows(connection: sqlite3.Connection, spoken: set[str], after: int, to: int) -> Rows:
    """Rows changed in (after, to]; ``spoken``: all codes whose items may have."""
    items = tuple(changed_items(connection, spoken, after, to))
    return msgspec.structs.replace(read_documents(connection, after, to), items=items)


def read_documents(connection: sqlite3.Connection, after: int, to: int) -> Rows:
    """All but the items."""
    span = (after, to)
    orders = connection.execute(statements.CHANGED_ORDERS, span).fetchall()
    codes: dict[str, list[str]] = {row[0]: [] for row in orders}
    for order, code, _ in in_chunks(connection, statements.ORDER_CODES, sorted(codes)):
        codes[order].append(code)
    return Rows(
        orders=tuple(rows.order_of(row, tuple(codes[row[0]])) for row in orders),
        notes=tuple(rows.note_of(row) for row in connection.execute(statements.CHANGED_NOTES, span)),
        products=tuple(rows.product_of(row[0]) for row in connection.execute(statements.CHANGED_PRODUCTS, span)),
        people=tuple(rows.person_of(row) for row in connection.execute(statements.CHANGED_PEOPLE, span)),
        transfers=tuple(rows.transfer_of(row) for row in connection.execute(statements.CHANGED_TRANSFERS, span)),
        sheets=tuple(rows.count_sheet_of(row[0]) for row in connection.execute(statements.CHANGED_SHEETS, span)),
    )
