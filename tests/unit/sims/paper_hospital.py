"""The stores of a small hospital as the checkers read them, written by hand: facts go to journal and ledger at once."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sync_protocol.chain import SessionStart, seal
from sync_protocol.codec import encode_fact
from sync_protocol.facts import Fact, Moment, What

WHOLE = "81003030000000000002"
JOURNAL_TABLES = """
CREATE TABLE session(number INTEGER PRIMARY KEY, session BLOB, device TEXT, parent_session BLOB, parent_seq INTEGER,
    parent_hash BLOB, base INTEGER DEFAULT 0, base_hash BLOB DEFAULT x'');
CREATE TABLE fact(position INTEGER PRIMARY KEY, body BLOB, hash BLOB);
"""
LEDGER_TABLES = """
CREATE TABLE fact(position INTEGER PRIMARY KEY, device TEXT, session BLOB, seq INTEGER, body BLOB, hash BLOB,
    received_us INTEGER DEFAULT 0);
CREATE TABLE session(session BLOB PRIMARY KEY, device TEXT, parent_session BLOB, parent_seq INTEGER, parent_hash BLOB,
    through INTEGER, head BLOB);
CREATE TABLE item(code TEXT, kind TEXT, product TEXT, lot TEXT, state TEXT, location TEXT, order_id TEXT, holder TEXT,
    box TEXT, units INTEGER, pouch TEXT);
CREATE TABLE orders(id TEXT, product TEXT, quantity INTEGER, state TEXT);
CREATE TABLE exception(reason TEXT);
CREATE TABLE meta(key TEXT, value TEXT);
INSERT INTO meta VALUES ('version', '12');
"""
REPLICA_TABLES = """
CREATE TABLE cursor(version INTEGER);
INSERT INTO cursor VALUES (12);
CREATE TABLE shown(code TEXT, kind TEXT, product TEXT, state TEXT, location TEXT, order_id TEXT);
"""


class Hospital:
    """Writes facts to a journal and the ledger at once, as if sync were instant."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._clock = 0
        for name in ("central", "station-1"):
            (folder / name).mkdir()
        with writing(folder / "central/ledger.db") as ledger:
            ledger.executescript(LEDGER_TABLES)
        with writing(folder / "station-1/journal.db") as journal:
            journal.executescript(JOURNAL_TABLES)
        with writing(folder / "station-1/replica.db") as replica:
            replica.executescript(REPLICA_TABLES)
        self._starts = {
            device: SessionStart(device=device, session=bytes([number]) * 16)
            for number, device in enumerate(("station-1", "central"), start=1)
        }
        self._heads = {device: (0, start.hash) for device, start in self._starts.items()}
        start = self._starts["station-1"]
        with writing(folder / "station-1/journal.db") as journal:
            journal.execute(
                "INSERT INTO session(number, session, device, parent_session, parent_seq, parent_hash)"
                " VALUES (1, ?, ?, x'', 0, x'')",
                (start.session, start.device),
            )
        with writing(folder / "central/ledger.db") as ledger:
            rows = [(start.session, start.device, start.hash) for start in self._starts.values()]
            ledger.executemany("INSERT INTO session VALUES (?, ?, x'', 0, x'', 0, ?)", rows)

    def write(self, device: str, what: What, *codes: str, **fields: Any) -> None:
        self._clock += 1
        moment = Moment(wall_us=1_790_000_000_000_000 + self._clock, mono_us=self._clock)
        body = encode_fact(Fact(what=what, codes=codes, at=moment, location="pharmacy", **fields))
        seq, head = self._heads[device]
        sealed = seal(self._starts[device], seq + 1, head, body)
        self._heads[device] = (seq + 1, sealed.hash)
        row = (device, sealed.id.session, sealed.id.seq, body, sealed.hash)
        with writing(self.folder / "central/ledger.db") as ledger:
            ledger.execute("INSERT INTO fact(device, session, seq, body, hash) VALUES (?, ?, ?, ?, ?)", row)
            ledger.execute(
                "UPDATE session SET through = ?, head = ? WHERE session = ?",
                (sealed.id.seq, sealed.hash, sealed.id.session),
            )
        if device != "central":
            with writing(self.folder / f"{device}/journal.db") as journal:
                journal.execute("INSERT INTO fact VALUES (?, ?, ?)", (1 << 32 | seq + 1, body, sealed.hash))

    def row(self, code: str, kind: str, state: str, *, order: str = "", box: str = "", units: int = 0) -> None:
        product = "HC-1" if kind == "piece" else "YP-2" if code == WHOLE else "YP-1"
        with writing(self.folder / "central/ledger.db") as ledger:
            values = (code, kind, product, "L1", state, "pharmacy", order, "", box, units, "")
            ledger.execute("INSERT INTO item VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
        with writing(self.folder / "station-1/replica.db") as replica:
            replica.execute(
                "INSERT INTO shown VALUES (?, ?, ?, ?, ?, ?)", (code, kind, product, state, "pharmacy", order)
            )


@contextmanager
def writing(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path)) as connection, connection:
        yield connection
