"""The ledger's file: whole or refused, never replaced; a full disk stops writing and says so."""

import datetime as dt
import os
import sqlite3
from pathlib import Path

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.exc import OperationalError

from central.errors import (
    BusyError,
    ConservationError,
    DataFolderHeldError,
    DiskError,
    Exit,
    LedgerCorruptError,
    LedgerNewerError,
)
from central.ledger import rows, statements, store
from central.ledger.read import open_reader
from central.ledger.schema import metadata
from central.ledger.transaction import Transaction
from sync_protocol.facts import What
from sync_protocol.items import Item, Kind, State
from sync_protocol.messages import Ack
from tests.unit.central_core.desk import STENT, Desk, HandAgent, a_note, an_order, piece


def tables(path: Path) -> list[tuple[str, str]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
    finally:
        connection.close()


def test_migrations_lead_to_the_tables_of_the_schema(tmp_path: Path) -> None:
    path = store.prepare(tmp_path, now_us=1)
    engine = sqlalchemy.create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection), metadata)
    engine.dispose()
    assert found == []
    made = sqlite3.connect(tmp_path / "made.db")
    metadata.create_all(engine := sqlalchemy.create_engine(f"sqlite:///{tmp_path / 'made.db'}"))
    engine.dispose()
    made.close()
    own = [table for table in tables(path) if "alembic" not in table[0]]
    assert [name for name, _ in own] == [name for name, _ in tables(tmp_path / "made.db")]
    indexes = {name: sql for name, sql in own if sql and "INDEX" in sql}
    assert indexes == {name: sql for name, sql in tables(tmp_path / "made.db") if sql and "INDEX" in sql}


def test_a_ledger_opened_twice_is_the_same(tmp_path: Path) -> None:
    path = store.prepare(tmp_path, now_us=1)
    first = tables(path)
    connection = sqlite3.connect(path)
    identity = connection.execute("SELECT * FROM meta ORDER BY key").fetchall()
    assert store.prepare(tmp_path, now_us=2) == path
    assert tables(path) == first
    assert connection.execute("SELECT * FROM meta ORDER BY key").fetchall() == identity
    connection.close()


def test_commits_are_on_the_disk_when_they_return(tmp_path: Path) -> None:
    connection = store.connect(store.prepare(tmp_path, now_us=1))
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    connection.close()


@pytest.mark.parametrize("damage", ["rubbish", "torn page", "empty", "log without database"])
def test_a_damaged_ledger_is_refused_and_left_as_it_is(tmp_path: Path, damage: str) -> None:
    path = store.prepare(tmp_path, now_us=1)
    if damage == "rubbish":
        path.write_bytes(b"rubbish" * 1000)
    elif damage == "torn page":
        data = bytearray(path.read_bytes())
        data[4096 * 2 : 4096 * 4] = os.urandom(4096 * 2)
        path.write_bytes(bytes(data))
    elif damage == "empty":
        path.write_bytes(b"")
    else:
        path.rename(tmp_path / "ledger.db-wal")
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(LedgerCorruptError) as raised:
        store.prepare(tmp_path, now_us=2)
    assert raised.value.exit_status == Exit.LEDGER_CORRUPT
    assert str(path) in str(raised.value)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_ledger_of_a_newer_software_is_refused(tmp_path: Path) -> None:
    path = store.prepare(tmp_path, now_us=1)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    with pytest.raises(LedgerNewerError, match="9999"):
        store.prepare(tmp_path, now_us=2)


def test_a_data_folder_has_one_holder(tmp_path: Path) -> None:
    with store.hold(tmp_path / "data"), pytest.raises(DataFolderHeldError):
        store.hold(tmp_path / "data")
    store.hold(tmp_path / "data").close()
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskError):
        store.hold(tmp_path / "file" / "data")


async def test_a_full_disk_stops_ingest_and_is_said_and_ends_by_itself(desk: Desk) -> None:
    codes = [piece(number) for number in range(400)]
    await desk.in_stock(STENT, codes, note="N-1")
    connection = desk.ledger.connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    agent = HandAgent("cabinet-1")
    batch = agent.batch(*(desk.fact(What.TAKEN, code, reason="x" * 200) for code in codes))
    version = desk.ledger.version
    assert await desk.send(agent, batch) == []
    assert "full" in desk.ledger.trouble
    assert desk.states() == {State.IN_STOCK: 400}
    with pytest.raises(BusyError, match="full") as raised:
        await desk.receiving.announce(a_note(STENT, tuple(piece(number) for number in range(1_000, 4_000)), note="N-2"))
    assert raised.value.retry_after_s > 0
    assert desk.ledger.version == version
    connection.execute("PRAGMA max_page_count = 1000000")
    await desk.send(agent, batch)
    (ack,) = desk.post.to("cabinet-1", Ack)
    assert (ack.through, ack.exceptions) == (400, ())
    assert desk.ledger.trouble == ""
    assert desk.states() == {State.TAKEN: 400}


async def test_trouble_that_is_over_is_found_out_without_a_request(desk: Desk) -> None:
    other = sqlite3.connect(desk.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(BusyError):
        desk.record(What.TAKEN, piece(1))
    desk.ledger.probe()
    assert "another process" in desk.ledger.trouble
    other.execute("ROLLBACK")
    other.close()
    desk.ledger.probe()
    assert desk.ledger.trouble == ""


async def test_damage_found_while_running_ends_central_with_its_status(desk: Desk) -> None:
    await desk.units(1)
    pages = desk.path.stat().st_size
    desk.ledger.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    desk.ledger.connection.execute("PRAGMA cache_size = 0")
    with desk.path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(max(pages, desk.path.stat().st_size) - 4096))
    codes = [piece(number) for number in range(50)]
    with pytest.raises(LedgerCorruptError) as raised:
        desk.record(What.TAKEN, *codes)
    assert raised.value.exit_status == Exit.LEDGER_CORRUPT


async def test_rows_that_contradict_each_other_are_never_committed(desk: Desk) -> None:
    def place_twice(transaction: Transaction) -> None:
        for _ in range(2):
            transaction.place(an_order("O-1"))

    with pytest.raises(ConservationError, match="UNIQUE"):
        desk.ledger.commit(place_twice)
    assert desk.rows("SELECT count(*) FROM orders") == [(0,)]


async def test_a_failed_commit_leaves_no_trace_in_memory(desk: Desk) -> None:
    await desk.units(1)
    before = desk.ledger.version

    def fail(transaction: Transaction) -> None:
        transaction.record(desk.fact(What.WRITTEN_OFF, *desk.orders.get("O-1").codes, reason="broken"))
        raise RuntimeError("the caller fails")

    await desk.orders.place(an_order("O-1"))
    with pytest.raises(RuntimeError):
        desk.ledger.commit(fail)
    assert desk.ledger.version == before + 1
    desk.record(What.WRITTEN_OFF, *desk.orders.get("O-1").codes, reason="broken")
    assert [row[0] for row in desk.rows("SELECT seq FROM fact ORDER BY position")] == list(range(1, 7))


async def test_central_goes_on_from_its_own_chain(desk: Desk, tmp_path: Path) -> None:
    await desk.units(1)
    desk.close()
    second = Desk(tmp_path / "data")
    second.record(What.TAKEN, piece(1))
    sessions = second.rows("SELECT parent_session, parent_seq, parent_hash, through, head FROM session ORDER BY rowid")
    assert (sessions[0][3], sessions[1][3]) == (3, 1)
    ((first,),) = second.rows("SELECT session FROM session WHERE parent_session = x''")
    assert sessions[1][:3] == (first, 3, sessions[0][4])
    assert second.ledger.version == 5
    second.close()


async def test_readers_see_commits_and_cannot_write(desk: Desk) -> None:
    await desk.units(1)
    engine = open_reader(desk.path)
    async with engine.connect() as connection:
        count = (await connection.execute(sqlalchemy.text("SELECT count(*) FROM item"))).scalar_one()
        assert count == 11
        with pytest.raises(OperationalError, match="readonly"):
            await connection.execute(sqlalchemy.text("DELETE FROM item"))
    await engine.dispose()


def test_items_are_read_as_they_were_written_whatever_their_texts(tmp_path: Path) -> None:
    texts = ("", "plain", 'it\'s "quoted"', "back\\slash", "群组\x1dtab\tnul\x00end", "💊", "{codes} [1, 2]")
    items = [
        Item(
            code=f"{number:02d}{text}",
            kind=Kind.BOX,
            product=text,
            lot=text,
            expiry=dt.date(2028, 2, 29),
            state=State.FROZEN,
            location=text,
            holder=text,
            units=2**53 + number,
            before=before,
            made=made,
            is_controlled=made is None,
        )
        for number, text in enumerate(texts)
        for before, made in [((State.LOCKED, None), (None, dt.date(2025, 1, 1)))[number % 2]]
    ]
    connection = store.connect(store.prepare(tmp_path, now_us=1))
    for position, item in enumerate(items):
        connection.execute(statements.ADD_ITEM, rows.new_item_row(item, 7, position))
    found = connection.execute(statements.ITEMS_AFTER, ("", 100)).fetchall()
    none = connection.execute(statements.ITEMS_AFTER, ("~", 100)).fetchall()
    connection.close()
    assert rows.items_of(found) == items
    assert list(rows.versioned_items_of(found)) == [(item, 7, position) for position, item in enumerate(items)]
    assert rows.items_of(none) == []
