"""Statements of many rows do what a statement of one row does for each."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from sync_protocol.sql import AT_ONCE, many

ADD = "INSERT INTO thing(code, place) VALUES (?, ?)"
MOVE = (
    "WITH new (place, code) AS (VALUES (?, ?)) UPDATE thing SET place = new.place FROM new WHERE thing.code = new.code"
)
DROP = "DELETE FROM thing WHERE code IN (VALUES (?))"


@pytest.fixture
def things() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE thing(code TEXT PRIMARY KEY, place TEXT) WITHOUT ROWID")
        yield connection


def content(things: sqlite3.Connection) -> list[tuple[str, str]]:
    return things.execute("SELECT code, place FROM thing ORDER BY code").fetchall()


def run(things: sqlite3.Connection, statement: str, rows: list[tuple[str, ...]]) -> int:
    """How many statements that took."""
    writes = list(many(statement, rows, tuple))
    for each, values in writes:
        things.execute(each, values)
    return len(writes)


@pytest.mark.parametrize("count", [0, 1, 2, AT_ONCE, AT_ONCE + 1, 3 * AT_ONCE - 1])
def test_rows_are_written_moved_and_dropped_however_many(things: sqlite3.Connection, count: int) -> None:
    codes = [f"{number:04d}" for number in range(count)]
    statements = -(-count // AT_ONCE)
    assert run(things, ADD, [(code, f"shelf {code}") for code in codes]) == statements
    assert content(things) == [(code, f"shelf {code}") for code in codes]
    things.execute(ADD, ("other", "stays"))
    assert run(things, MOVE, [(f"ward {code}", code) for code in codes]) == statements
    assert content(things) == [*((code, f"ward {code}") for code in codes), ("other", "stays")]
    assert run(things, DROP, [(code,) for code in codes]) == statements
    assert content(things) == [("other", "stays")]


def test_the_values_of_a_row_are_made_where_they_are_needed(things: sqlite3.Connection) -> None:
    writes = list(many(ADD, range(AT_ONCE + 1), lambda number: (f"{number:04d}", "shelf")))
    assert [len(values) for _, values in writes] == [2 * AT_ONCE, 2]
    for statement, values in writes:
        things.execute(statement, values)
    assert len(content(things)) == AT_ONCE + 1


def test_the_rows_that_move_are_looked_up_by_their_key(things: sqlite3.Connection) -> None:
    ((statement, values),) = many(MOVE, [("ward", f"{number:04d}") for number in range(AT_ONCE)], tuple)
    plan = [row[3] for row in things.execute(f"EXPLAIN QUERY PLAN {statement}", values)]
    assert any("SEARCH thing USING PRIMARY KEY (code=?)" in step for step in plan), plan
    assert not any(step.startswith("SCAN thing") for step in plan), plan
