"""The raw ledger loop: batches decoded, what is new by the watermark, inserts and sorted updates, one FULL commit."""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from sync_protocol import envelope
from sync_protocol.codec import decode_up
from sync_protocol.messages import Batch
from tests.benchmarks import pool

_decode = msgspec.msgpack.Decoder(list).decode
_TABLES = (
    "CREATE TABLE fact(session BLOB, seq INTEGER, body BLOB, PRIMARY KEY (session, seq)) WITHOUT ROWID",
    "CREATE TABLE item(code TEXT PRIMARY KEY, state TEXT, version INTEGER) WITHOUT ROWID",
    "CREATE TABLE session(session BLOB PRIMARY KEY, through INTEGER) WITHOUT ROWID",
)
_THROUGH = "SELECT through FROM session WHERE session = ?"
_MOVE_ON = "INSERT OR REPLACE INTO session(session, through) VALUES (?, ?)"
_ADD = "INSERT INTO fact(session, seq, body) VALUES (?, ?, ?)"
_UPDATE = "UPDATE item SET state = ?, version = ? WHERE code = ?"


class RawLedger:
    def __init__(self, path: Path, stock: int) -> None:
        self._connection = pool.connect_raw(path)
        for statement in _TABLES:
            self._connection.execute(statement)
        self._connection.execute("BEGIN")
        rows = ((pool.code(number), "in_stock", 1) for number in range(stock))
        self._connection.executemany("INSERT INTO item(code, state, version) VALUES (?, ?, ?)", rows)
        self._connection.execute("COMMIT")
        self._version = 1

    def take(self, messages: Iterable[bytes]) -> None:
        """Commit batches together."""
        self._version += 1
        self._connection.execute("BEGIN IMMEDIATE")
        facts: list[tuple[bytes, int, bytes]] = []
        states: dict[str, tuple[str, int, str]] = {}
        for message in messages:
            batch = decode_up(envelope.read(message).message)
            assert isinstance(batch, Batch)
            session = batch.start.session
            row = self._connection.execute(_THROUGH, (session,)).fetchone()
            through = row[0] if row else 0
            for seq, body in enumerate(batch.bodies, start=batch.first_seq):
                if seq > through:
                    what, codes, *_ = _decode(body)
                    facts.append((session, seq, body))
                    states.update((code, (what, self._version, code)) for code in codes)
            self._connection.execute(_MOVE_ON, (session, batch.last_seq))
        self._connection.executemany(_ADD, facts)
        self._connection.executemany(_UPDATE, [states[code] for code in sorted(states)])
        self._connection.execute("COMMIT")

    def close(self) -> None:
        self._connection.close()
