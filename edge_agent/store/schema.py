"""Tables of the journal and the way to them from every older version; a replica has those of ``replica_format``.

A journal that is newer than this code is never touched; a replica that is newer or older than it is thrown away.
"""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent.errors import JournalNewerError
from sync_protocol import replica_format

if TYPE_CHECKING:
    from sqlite_utils import Database

JOURNAL_VERSION = 7

# A fact stands at session number * 2^32 + seq: one tree, written at its end only, read by range.
SEQ_BITS = 32

_JOURNAL = (
    """
    CREATE TABLE session(
        number INTEGER PRIMARY KEY,
        session BLOB NOT NULL UNIQUE,
        device TEXT NOT NULL,
        parent_session BLOB NOT NULL,
        parent_seq INTEGER NOT NULL,
        parent_hash BLOB NOT NULL,
        started_us INTEGER NOT NULL,
        acked INTEGER NOT NULL DEFAULT 0,
        acked_version INTEGER NOT NULL DEFAULT 0
    ) STRICT
    """,
    "CREATE TABLE fact(position INTEGER PRIMARY KEY, body BLOB NOT NULL, hash BLOB NOT NULL) STRICT",
    # The same for people and tools: facts by the session's name.
    """
    CREATE VIEW written AS
        SELECT session.device, session.session, session.number AS session_number,
               fact.position & 0xffffffff AS seq, fact.body, fact.hash,
               (fact.position & 0xffffffff) <= session.acked AS is_acked
        FROM fact JOIN session ON session.number = fact.position >> 32
    """,
    # Items that facts of this device touched, until the replica shows the same: `position` is the last such fact.
    """
    CREATE TABLE overlay(
        code TEXT PRIMARY KEY,
        item BLOB NOT NULL,
        product TEXT NOT NULL,
        kind TEXT NOT NULL,
        state TEXT NOT NULL,
        location TEXT NOT NULL,
        order_id TEXT NOT NULL,
        position INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX overlay_position ON overlay(position)",
    "CREATE INDEX overlay_order ON overlay(order_id) WHERE order_id <> ''",
    "CREATE TABLE sign_in(person TEXT PRIMARY KEY, failures INTEGER NOT NULL, locked_until_us INTEGER NOT NULL) STRICT",
    "CREATE TABLE setting(name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT",
)

# Facts through `base` are pruned: the chain goes on from `base_hash`. `safe`: in a verified backup of central.
_JOURNAL_PRUNED = (
    "ALTER TABLE session ADD COLUMN safe INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE session ADD COLUMN base INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE session ADD COLUMN base_hash BLOB NOT NULL DEFAULT x''",
)

# REQ-07: the recall set in force as it was signed. More than one only while the newest lacks what an older one says.
_JOURNAL_RECALLS = (
    "CREATE TABLE recall_set(version INTEGER PRIMARY KEY, body BLOB NOT NULL, signature BLOB NOT NULL) STRICT",
)
# Codes that this agent may issue by lease, as far as its facts have not used them (REQ-08).
_JOURNAL_LEASED = ("CREATE TABLE leased(code TEXT PRIMARY KEY) STRICT, WITHOUT ROWID",)

# The overlay by position, so that the rows of a commit lie together at the end of it; what is written at random is only
# the small index by code. A commit of 64 scans writes two thirds of the pages that it did.
_JOURNAL_OVERLAY = (
    """
    CREATE TABLE touched(
        position INTEGER NOT NULL,
        code TEXT NOT NULL,
        item BLOB NOT NULL,
        product TEXT NOT NULL,
        kind TEXT NOT NULL,
        state TEXT NOT NULL,
        location TEXT NOT NULL,
        order_id TEXT NOT NULL,
        PRIMARY KEY (position, code)
    ) STRICT, WITHOUT ROWID
    """,
    """
    INSERT INTO touched(position, code, item, product, kind, state, location, order_id)
        SELECT position, code, item, product, kind, state, location, order_id FROM overlay ORDER BY position, code
    """,
    "DROP TABLE overlay",
    "ALTER TABLE touched RENAME TO overlay",
    "CREATE UNIQUE INDEX overlay_code ON overlay(code)",
    "CREATE INDEX overlay_order ON overlay(order_id) WHERE order_id <> ''",
)

# Sheets of paper that were printed here, or of which a line was scanned here; and the fact that each line became (A22).
_JOURNAL_SHEETS = (
    """
    CREATE TABLE sheet(
        id TEXT PRIMARY KEY,
        body BLOB NOT NULL,
        added_us INTEGER NOT NULL,
        closed_us INTEGER NOT NULL DEFAULT 0,
        closed_by TEXT NOT NULL DEFAULT '',
        why TEXT NOT NULL DEFAULT ''
    ) STRICT
    """,
    """
    CREATE TABLE sheet_line(
        sheet TEXT NOT NULL,
        line INTEGER NOT NULL,
        position INTEGER NOT NULL,
        PRIMARY KEY (sheet, line)
    ) STRICT, WITHOUT ROWID
    """,
)

# REQ-04: what stands past `parted` is written again in a session of its own, which was `again_from` that position on:
# central has other facts under these numbers.
_JOURNAL_PARTED = (
    "ALTER TABLE session ADD COLUMN parted INTEGER",
    "ALTER TABLE session ADD COLUMN again_from INTEGER NOT NULL DEFAULT 0",
    "DROP VIEW written",
    """
    CREATE VIEW written AS
        SELECT session.device, session.session, session.number AS session_number,
               fact.position & 0xffffffff AS seq, fact.body, fact.hash,
               (fact.position & 0xffffffff) <= session.acked AS is_acked,
               coalesce((fact.position & 0xffffffff) > session.parted, 0) AS is_again
        FROM fact JOIN session ON session.number = fact.position >> 32
    """,
)


_STEPS = [
    ("tables", _JOURNAL),
    ("pruned", _JOURNAL_PRUNED),
    ("recalls", _JOURNAL_RECALLS),
    ("overlay", _JOURNAL_OVERLAY),
    ("leased", _JOURNAL_LEASED),
    ("sheets", _JOURNAL_SHEETS),
    ("parted", _JOURNAL_PARTED),
]


def version_of(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def migrate_journal(connection: sqlite3.Connection, path: Path) -> None:
    """Bring a journal to this version. Raises JournalNewerError, and writes nothing, if it is beyond it."""
    found = version_of(connection)
    if found > JOURNAL_VERSION:
        raise JournalNewerError(
            f"{path}: found schema version {found}, expected at most {JOURNAL_VERSION}: newer software wrote this"
            " journal. Nothing was changed. Install the version that ran here last, or a newer one."
        )
    if found < JOURNAL_VERSION:
        _apply(connection, "journal", _STEPS, JOURNAL_VERSION)


def create_replica(connection: sqlite3.Connection) -> None:
    """Make the tables of an empty replica."""
    connection.execute("BEGIN IMMEDIATE")
    for statement in (*replica_format.TABLES, *replica_format.INDEXES, replica_format.STAMP):
        connection.execute(statement)
    connection.execute("COMMIT")


def _apply(connection: sqlite3.Connection, name: str, steps: list[tuple[str, tuple[str, ...]]], version: int) -> None:
    """Each step and its record in one transaction; steps that were applied before are left out."""
    # Imported when there is something to migrate: 13 MB that an agent on a small PC need not carry every day.
    from sqlite_utils import Database, Migrations  # noqa: PLC0415

    migrations = Migrations(name)
    for number, (label, statements) in enumerate(steps, start=1):
        migrations(name=f"{number:04d} {label}")(_step(statements, number))
    migrations.apply(Database(connection))
    assert version_of(connection) == version, "every version has its step"


def _step(statements: tuple[str, ...], number: int) -> Callable[["Database"], None]:
    def run(database: "Database") -> None:
        for statement in statements:
            database.execute(statement)
        database.execute(f"PRAGMA user_version = {number}")

    return run
