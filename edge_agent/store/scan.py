"""Reads a replica whole at one version, a few rows at a time, so that no scan waits; and puts a part of it right."""

import sqlite3
import threading
import time

import msgspec

from edge_agent.store import sqlite
from sync_protocol import digests, replica_format
from sync_protocol.items import Item
from sync_protocol.messages import Bucket

STEP = 40
"""Rows of one step: a quarter of a millisecond, which a scan may have to wait."""
_PAGE = 400
_PAUSE_S = 0.001
_FOUND = "SELECT code, body, place, order_id FROM item WHERE code = ?"
_item = msgspec.msgpack.Decoder(Item)


class Scan:
    """The rows stay those of the moment when it was begun, whatever is written meanwhile."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.execute("BEGIN")
        row = connection.execute(replica_format.CURSOR).fetchone()
        self.version, self.incarnation = int(row[0]), int(row[2])
        self._sums = digests.empty()
        self._after = ""
        self.is_closed = False

    def step(self) -> bytes | None:
        """A few rows more; the packed digests after the last. Raises sqlite3.Error."""
        rows = self._connection.execute(replica_format.ITEMS, (self._after, STEP)).fetchall()
        for row in rows:
            _count(self._sums, row)
        if len(rows) == STEP:
            self._after = rows[-1][0]
            return None
        return digests.pack(self._sums)

    def close(self) -> None:
        """Let the file go; a swap needs it."""
        self.is_closed = True
        self._connection.close()


def _count(sums: list[int], row: tuple[str, bytes, int, str]) -> None:
    try:
        item = _item.decode(row[1])
    except msgspec.MsgspecError:
        digests.spoil(sums, row[0])
        return
    if replica_format.item_row(item)[2:] == row[2:] and item.code == row[0]:
        digests.add(sums, item)
    else:
        digests.spoil(sums, row[0])


def repair(writer: sqlite3.Connection, bucket: Bucket, is_unwanted: threading.Event) -> int:
    """Make the rows of this part of a bucket those of ``bucket``; how many were not. To be run on a thread.

    All or nothing. Raises sqlite3.Error.
    """
    right = {item.code: item for item in bucket.items}
    writer.execute("BEGIN IMMEDIATE")
    try:
        strangers = [code for code in _codes(writer, bucket, is_unwanted) if code not in right]
        wrong = [item for item in right.values() if _is_wrong(writer, item)]
        writer.executemany(replica_format.DROP_ITEM, [(code,) for code in strangers])
        writer.executemany(replica_format.PUT_PLACE, replica_format.places_of(wrong))
        writer.executemany(replica_format.PUT_ITEM, map(replica_format.item_row, wrong))
        writer.execute("ROLLBACK" if is_unwanted.is_set() else "COMMIT")
    except BaseException:
        sqlite.roll_back(writer)
        raise
    return len(strangers) + len(wrong)


def _codes(writer: sqlite3.Connection, bucket: Bucket, is_unwanted: threading.Event) -> list[str]:
    """Codes of this part of the bucket that the replica has."""
    found: list[str] = []
    after = bucket.after
    while not is_unwanted.is_set():
        page = [row[0] for row in writer.execute(replica_format.ITEMS, (after, _PAGE))]
        found += [code for code in page if digests.bucket_of(code) == bucket.bucket]
        if len(page) < _PAGE or (bucket.to and page[-1] > bucket.to):
            break
        after = page[-1]
        time.sleep(_PAUSE_S)  # the interpreter is the scans'
    return [code for code in found if not bucket.to or code <= bucket.to]


def _is_wrong(writer: sqlite3.Connection, item: Item) -> bool:
    row = writer.execute(_FOUND, (item.code,)).fetchone()
    return row is None or row != replica_format.item_row(item)
