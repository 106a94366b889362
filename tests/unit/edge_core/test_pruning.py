"""REQ-02: only what is safe and old leaves the journal, and its chain still verifies."""

import os
import sqlite3
from pathlib import Path

import msgspec
import pytest

from edge_agent.errors import JournalCorruptError
from edge_agent.store.folder import JOURNAL, WITNESS
from edge_agent.store.journal import Journal, Touched
from edge_agent.store.outgoing import read_batch, settled_lines, unsent_lines, waiting
from edge_agent.store.overlay import Overlay
from edge_agent.store.salvage import salvage
from edge_agent.sync.pruning import DAY_US, prune
from sync_protocol.codec import encode_fact
from sync_protocol.facts import Moment
from sync_protocol.items import State
from sync_protocol.machines.uplink_events import Line
from tests.unit.edge_core.shelf import DEVICE, NOON_US, code, piece, taken


def journal_of(path: Path, *days: int) -> Journal:
    """A new session; a fact for each day, so many days after noon."""
    journal = Journal.open(path / JOURNAL, device=DEVICE, session=os.urandom(16), started_us=NOON_US)
    for number, day in enumerate(days):
        at = Moment(wall_us=NOON_US + day * DAY_US, mono_us=0)
        journal.commit([encode_fact(msgspec.structs.replace(taken(number), at=at))], [])
    return journal


def acked(journal: Journal, through: int, safe: int) -> bytes:
    session = journal.start.session
    journal.settle(session, through, 1, safe)
    return session


async def pruned(journal: Journal, day: int) -> int:
    return await prune(journal, older_than_us=NOON_US + day * DAY_US, may_go_on=lambda: True)


@pytest.mark.parametrize(
    ("safe", "day", "leaving"),
    [(0, 99, 0), (5, 0, 0), (5, 1, 1), (5, 3, 3), (2, 3, 2), (5, 99, 5), (9, 99, 5)],
)
async def test_what_leaves_is_safe_and_acked_and_older_than_the_day(
    tmp_path: Path, safe: int, day: int, leaving: int
) -> None:
    journal = journal_of(tmp_path, *range(9))
    session = acked(journal, 5, safe)
    assert await pruned(journal, day) == leaving
    assert (journal.lines[session].base, waiting(journal).facts) == (leaving, 4)
    journal.close()
    again = journal_of(tmp_path)
    assert [line.kept for line in unsent_lines(again)] == [leaving]
    assert read_batch(again, session, after=max(5, leaving), limit=9).last_seq == 9
    again.close()


async def test_a_fact_between_younger_ones_stays_with_the_rest(tmp_path: Path) -> None:
    """A clock that jumped back: only a whole prefix leaves."""
    journal = journal_of(tmp_path, 0, 50, 1, 2)
    acked(journal, 4, 4)
    assert await pruned(journal, 10) == 1
    journal.close()


async def test_sessions_leave_in_order_and_a_later_one_never_before_an_earlier(tmp_path: Path) -> None:
    first = journal_of(tmp_path, 0, 1)
    one = acked(first, 2, 1)
    first.close()
    second = journal_of(tmp_path, 2, 3)
    other = acked(second, 2, 2)
    assert await pruned(second, 99) == 1
    second.settle(one, 2, 1, 2)
    assert await pruned(second, 99) == 3
    assert (second.lines[one].base, second.lines[other].base) == (2, 2)
    assert settled_lines(second) == []
    second.close()
    third = journal_of(tmp_path, 4)
    assert third.start.parent_seq == 2
    assert third.start.parent_hash == third.lines[other].base_hash
    third.close()
    journal_of(tmp_path).close()


async def test_a_long_journal_leaves_in_slices_and_stops_when_told(tmp_path: Path) -> None:
    journal = journal_of(tmp_path)
    journal.commit([encode_fact(taken(number)) for number in range(900)], [])
    acked(journal, 900, 900)
    asked = 0

    def may_go_on() -> bool:
        nonlocal asked
        asked += 1
        return asked < 3

    assert await prune(journal, older_than_us=NOON_US + DAY_US, may_go_on=may_go_on) == 400
    journal.close()


async def test_an_edit_behind_the_pruned_part_is_still_found(tmp_path: Path) -> None:
    journal = journal_of(tmp_path, *range(9))
    acked(journal, 5, 5)
    await pruned(journal, 99)
    journal.close()
    with sqlite3.connect(tmp_path / JOURNAL) as raw:
        raw.execute("UPDATE session SET base_hash = zeroblob(32)")
    raw.close()
    with pytest.raises(JournalCorruptError, match="fact 6 of session 1"):
        journal_of(tmp_path)


async def test_a_wholly_pruned_journal_is_proven_by_its_witness(tmp_path: Path) -> None:
    journal = journal_of(tmp_path, 0, 1)
    acked(journal, 2, 2)
    assert await pruned(journal, 99) == 2
    journal.close()
    journal_of(tmp_path).close()
    with sqlite3.connect(tmp_path / JOURNAL) as raw:
        raw.execute("UPDATE session SET base = 1 WHERE number = 1")
        raw.execute("UPDATE session SET parent_seq = 1 WHERE number = 2")
    raw.close()
    assert (tmp_path / WITNESS).exists()
    with pytest.raises(JournalCorruptError, match=r"fact 2 of session 1 was recorded and is gone|does not follow"):
        journal_of(tmp_path)


async def test_salvage_proves_what_follows_the_pruned_part_and_misses_nothing_of_it(tmp_path: Path) -> None:
    journal = journal_of(tmp_path, *range(9))
    acked(journal, 5, 5)
    await pruned(journal, 99)
    journal.query("PRAGMA wal_checkpoint(TRUNCATE)")
    journal.query("VACUUM")
    journal.close()
    saved = salvage(tmp_path, tmp_path / "saved.jsonl")
    assert (saved.proven, saved.unproven, saved.missing) == (4, 0, 0)


def test_another_incarnation_forgets_every_ack_in_one_transaction(tmp_path: Path) -> None:
    """REQ-03."""
    journal_of(tmp_path, 0, 1).close()
    journal = journal_of(tmp_path, 2, 3)
    first, session = journal.lines
    journal.settle(first, 2, 7, 2)
    acked(journal, 2, 1)
    journal.prune(first, 1)
    journal.adopt(9)
    assert waiting(journal).facts == 3
    journal.close()
    again = journal_of(tmp_path)
    assert again.incarnation == 9
    assert unsent_lines(again) == [
        Line(session=first, head=2, acked=1, kept=1),
        Line(session=session, head=2),
    ]
    assert [line.safe for line in again.lines.values()] == [1, 0, 0]
    again.close()


# As version 1 had it.
_OLD_OVERLAY = """
    CREATE TABLE old(
        code TEXT PRIMARY KEY, item BLOB NOT NULL, product TEXT NOT NULL, kind TEXT NOT NULL, state TEXT NOT NULL,
        location TEXT NOT NULL, order_id TEXT NOT NULL, position INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    INSERT INTO old SELECT code, item, product, kind, state, location, order_id, position FROM overlay;
    DROP TABLE overlay;
    ALTER TABLE old RENAME TO overlay;
    CREATE INDEX overlay_position ON overlay(position);
    CREATE INDEX overlay_order ON overlay(order_id) WHERE order_id <> '';
"""


def test_a_journal_of_the_first_version_is_brought_up_to_this_one(tmp_path: Path) -> None:
    journal = journal_of(tmp_path, 0, 1)
    first, *others = [piece(number, state=State.TAKEN) for number in (3, 1, 2)]
    touched = [Touched(item=first, index=0), *(Touched(item=item, index=1) for item in others)]
    journal.commit([encode_fact(taken(3)), encode_fact(taken(1, 2))], touched)
    session = acked(journal, 1, 0)
    journal.close()
    with sqlite3.connect(tmp_path / JOURNAL) as raw:
        raw.execute("DROP VIEW written")
        raw.execute("CREATE VIEW written AS SELECT 1")
        for column in ("safe", "base", "base_hash", "parted", "again_from"):
            raw.execute(f"ALTER TABLE session DROP COLUMN {column}")
        raw.execute("DROP TABLE recall_set")
        for table in ("leased", "sheet", "sheet_line"):
            raw.execute(f"DROP TABLE {table}")
        raw.executescript(_OLD_OVERLAY)
        raw.execute("DELETE FROM _sqlite_migrations WHERE name NOT LIKE '%tables'")
        raw.execute("PRAGMA user_version = 1")
    raw.close()
    again = journal_of(tmp_path)
    assert (waiting(again).facts, again.incarnation) == (3, 0)
    assert Overlay(again).items(map(code, range(9))) == {item.code: item for item in (first, *others)}
    assert again.forget_settled(session, 3, limit=9) == 1
    assert Overlay(again).item(first.code) is None
    assert Overlay(again).item(others[0].code) == others[0]
    again.close()
