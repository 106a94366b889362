"""A hospital's code pool of any size: as a replica that the shipping code wrote, and as a raw table beside it."""

import datetime as dt
import random
import sqlite3
from contextlib import closing
from pathlib import Path

from edge_agent.clock import SystemClock
from edge_agent.store.replica import Replica
from sync_protocol.epc import encode_piece
from sync_protocol.facts import Fact, How, Moment, What
from sync_protocol.items import Item, Kind, State
from sync_protocol.messages import Delta, Rows
from tests.benchmarks.measuring import Bench

MILLION = 1_000_000
NOTE = 2_000
"""Pieces of one delivery note: one product, one lot, one ward."""
WARDS, PRODUCTS = 40, 200
EXPIRY, MADE = dt.date(2031, 12, 31), dt.date(2026, 1, 1)
_DELTA = 20_000


def code(number: int) -> str:
    return encode_piece(1, number)


def item(number: int, *, state: State = State.IN_STOCK) -> Item:
    lot = number // NOTE
    return Item(
        code=code(number),
        kind=Kind.PIECE,
        product=product(number),
        lot=f"L{lot:05d}",
        expiry=EXPIRY,
        made=MADE,
        state=state,
        location=ward(number),
        document=f"N{lot:05d}",
    )


def product(number: int) -> str:
    return f"P{number // NOTE % PRODUCTS:03d}"


def ward(number: int) -> str:
    return f"ward-{number // NOTE % WARDS:02d}"


def taken(number: int, at: Moment) -> Fact:
    return _moved(What.TAKEN, number, at)


def put_back(number: int, at: Moment) -> Fact:
    return _moved(What.PUT_BACK, number, at)


def _moved(what: What, number: int, at: Moment) -> Fact:
    return Fact(
        what=what,
        codes=(code(number),),
        at=at,
        operator=f"nurse-{number % 30:02d}",
        location=ward(number),
        how=How.RFID,
        source="reader-1",
    )


def sample(size: int, pool: int, *, seed: int) -> list[int]:
    """Numbers of items, each once."""
    return random.Random(seed).sample(range(pool), size)


async def replica(bench: Bench, size: int) -> Path:
    """A replica with ``size`` pieces in stock, made once a run."""
    path = bench.place("pools") / f"replica-{size}.db"
    if path.exists():
        return path
    bench.say(f"filling a replica with {size:,} codes …")
    with closing(Replica(path)) as fresh:
        for first in range(0, size, _DELTA):
            rows = Rows(items=tuple(item(number) for number in range(first, min(size, first + _DELTA))))
            version = fresh.version
            delta = Delta(after=version, to=version + 1, rows=rows, latest=version + 1)
            await fresh.apply(delta, as_of_us=SystemClock().wall_us())
    return path


def raw_table(bench: Bench, size: int) -> Path:
    """The same codes with their state in the plainest table, made once a run; beside it an empty one for facts."""
    path = bench.place("pools") / f"raw-{size}.db"
    if path.exists():
        return path
    bench.say(f"filling a raw table with {size:,} codes …")
    with closing(connect_raw(path)) as connection:
        connection.execute("CREATE TABLE item(code TEXT PRIMARY KEY, state TEXT, version INTEGER) WITHOUT ROWID")
        connection.execute("CREATE TABLE fact(position INTEGER PRIMARY KEY, body BLOB)")
        connection.execute("BEGIN")
        rows = ((code(number), "in_stock", 1) for number in range(size))
        connection.executemany("INSERT INTO item(code, state, version) VALUES (?, ?, ?)", rows)
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


def connect_raw(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection
