"""The raw ledger loop: batches decoded, what is new by the watermark, inserts and sorted updates, one FULL commit.

Its rows hold what the ledger's hold: a state update rewrites its whole row, so that a shorter one would be no measure.
"""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from central.ledger.rows import new_item_row
from sync_protocol import envelope
from sync_protocol.chain import link
from sync_protocol.codec import decode_up
from sync_protocol.messages import Batch
from tests.benchmarks import pool

_decode = msgspec.msgpack.Decoder(list).decode
_ITEM = (
    "code, kind, product, lot, expiry, state, location, document, order_id, holder, box, units, pouch, before, tag, "
    "made, is_controlled"
)
_FACT = "session BLOB, seq INTEGER, what TEXT, body BLOB, hash BLOB, version INTEGER, wall_us INTEGER, operator TEXT"
_TABLES = (
    f"CREATE TABLE fact({_FACT}, PRIMARY KEY (session, seq)) WITHOUT ROWID",
    f"CREATE TABLE item({_ITEM}, version INTEGER, PRIMARY KEY (code)) WITHOUT ROWID",
    "CREATE TABLE session(session BLOB PRIMARY KEY, through INTEGER) WITHOUT ROWID",
)
_THROUGH = "SELECT through FROM session WHERE session = ?"
_MOVE_ON = "INSERT OR REPLACE INTO session(session, through) VALUES (?, ?)"
_ADD = "INSERT INTO fact VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_STOCK = f"INSERT INTO item VALUES ({', '.join('?' * 18)})"
_UPDATE = "UPDATE item SET state = ?, holder = ?, version = ? WHERE code = ?"


class RawLedger:
    def __init__(self, path: Path, stock: int) -> None:
        self._connection = pool.connect_raw(path)
        for statement in _TABLES:
            self._connection.execute(statement)
        self._connection.execute("BEGIN")
        self._connection.executemany(_STOCK, (new_item_row(pool.item(number), 1, 0)[:18] for number in range(stock)))
        self._connection.execute("COMMIT")
        self._version = 1

    def take(self, messages: Iterable[bytes]) -> None:
        """Commit batches together."""
        self._version += 1
        self._connection.execute("BEGIN IMMEDIATE")
        facts: list[tuple[object, ...]] = []
        states: dict[str, tuple[object, ...]] = {}
        for message in messages:
            batch = decode_up(envelope.read(message).message)
            assert isinstance(batch, Batch)
            session, digest = batch.start.session, batch.previous_hash
            row = self._connection.execute(_THROUGH, (session,)).fetchone()
            through = row[0] if row else 0
            for seq, body in enumerate(batch.bodies, start=batch.first_seq):
                digest = link(digest, body)
                if seq > through:
                    what, codes, at, operator, *_ = _decode(body)
                    facts.append((session, seq, what, body, digest, self._version, at[0], operator))
                    states.update((code, (what, operator, self._version, code)) for code in codes)
            self._connection.execute(_MOVE_ON, (session, batch.last_seq))
        self._connection.executemany(_ADD, facts)
        self._connection.executemany(_UPDATE, [states[code] for code in sorted(states)])
        self._connection.execute("COMMIT")

    def close(self) -> None:
        self._connection.close()
