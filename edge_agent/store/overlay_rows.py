"""Rows of the overlay, as the journal writes them: items as facts of this device left them."""

from typing import Any

import msgspec

from sync_protocol.items import Item

TOUCH = (
    "INSERT OR REPLACE INTO overlay(position, code, item, product, kind, state, location, order_id)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
SETTLED = "SELECT position, code FROM overlay WHERE position BETWEEN ? AND ? ORDER BY position, code LIMIT ?"
LEAVE = "DELETE FROM overlay WHERE position BETWEEN ? AND ?"
TOUCHED = "SELECT code FROM overlay LIMIT ?"
MOVE = "UPDATE overlay SET position = position + ? WHERE position BETWEEN ? AND ?"

_encode = msgspec.msgpack.Encoder().encode


def row(item: Item, position: int) -> tuple[Any, ...]:
    # str(): SQLite's adapters take several times as long over a member of an enum as over a plain text.
    kind, state = str(item.kind), str(item.state)
    return (position, item.code, bytearray(_encode(item)), item.product, kind, state, item.location, item.order)
