"""Fault 39: whatever is edited, deleted or inserted in the ledger's file is found."""

import asyncio
import os
import shutil
import sqlite3
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from central.connectors.queue import SalesQueue
from central.ledger import heads, signing
from central.ledger.schema import metadata
from central.ledger.verify import Report, open_ledger, verify
from central.stock.base_stock import BaseStock, Level
from central.stock.places import Level as PlaceLevel
from central.stock.places import Place, Places
from central.stock.recalls import NewRecall
from central.stock.requisitions import Asking, Requisitions, Wish
from central.stock.roles import PersonChange, Role, Roles
from central.stock.stocktake import Opening, Stocktakes
from central.stock.usage import Usage
from sync_protocol.documents import Person
from sync_protocol.facts import Moment, What
from sync_protocol.items import Kind
from sync_protocol.messages import Confirm, Hello, Holds
from tests.unit.central_core.desk import (
    LATE,
    NOON_US,
    PLACE,
    SPLIT,
    STENT,
    WHOLE,
    Desk,
    HandAgent,
    a_note,
    an_order,
    box,
    piece,
)

TABLES = (*(table.name for table in metadata.sorted_tables), "alembic_version")
DAY_US = 86_400_000_000


def check(path: Path, folder: Path | None = None) -> Report:
    keys = signing.trusted(folder or path.parent)
    connection = open_ledger(path, is_still=False)
    try:
        return verify(connection, folder or path.parent, keys, lambda _done, _of: None)
    finally:
        connection.close()


async def busy(desk: Desk) -> None:
    """A ledger with rows in every table: all that a day brings, and what goes wrong on it."""
    await desk.catalogue()
    await desk.people.put([Person(id="n1", name="Li", badge="b1", pin="$argon2id$x"), Person(id="n2", name="Wu")])
    await desk.in_stock(STENT, [piece(number) for number in range(6)], note="N-P")
    await desk.in_stock(WHOLE, [box(WHOLE, number) for number in range(4)], note="N-W")
    await desk.receiving.announce(a_note(WHOLE, (box(WHOLE, 90), box(WHOLE, 91)), note="N-OPEN"))
    await desk.units(1, 2)
    for number in range(4):
        await desk.orders.place(an_order(f"O-{number}", SPLIT, 3))
    await desk.orders.place(an_order("O-W", WHOLE, 2))
    await desk.orders.cancel("O-3")
    agent = HandAgent("station-1")
    await desk.send(agent, Hello(start=agent.start, head=None, head_hash=agent.head, pending=(), replica_version=0))
    keeper = HandAgent("station-9")
    hello = Hello(start=keeper.start, head=None, head_hash=keeper.head, pending=(), replica_version=0)
    life = desk.ledger.incarnation
    holds = Holds(session=keeper.start.session, number=1, seen=0, incarnation=0, spoken_to=life, sent_us=1,
                  location=PLACE, route=SPLIT.route, want=3, codes=())  # fmt: skip
    await desk.send(keeper, hello, holds)
    desk.leases.turn()
    first, second = (desk.orders.get(key).codes for key in ("O-0", "O-1"))
    spare = f"{box(SPLIT, 2)}#010"
    await desk.send(
        agent,
        agent.batch(
            *(desk.fact(What.DISPENSED, code, order="O-0") for code in first),
            desk.fact(What.DISPENSED, second[0], order="O-1"),
            desk.fact(What.DISPENSED, first[0], order="O-0"),
            desk.fact(What.DISPENSED, spare, how=LATE, order="O-2"),
            desk.fact(What.RETURNED, first[1]),
            desk.fact(What.TAKEN, piece(0), "9" * 24),
            b"no fact at all",
        ),
    )
    clone = HandAgent("station-1", parent=agent)
    clone.start = type(clone.start)(
        device="station-1",
        session=os.urandom(16),
        parent_session=agent.start.session,
        parent_seq=2,
        parent_hash=agent.batch().previous_hash,
    )
    clone.head = clone.start.hash
    await desk.send(clone, clone.batch(desk.fact(What.COUNTED, piece(1))))
    await desk.usage.record(Usage(id="U-1", codes=(piece(0), piece(2)), patient="P", operator="n1", wall_us=NOON_US))
    await a_recall(desk)
    await an_early_fact(desk)
    await Stocktakes(desk.ledger).open(Opening(location=PLACE, products=(WHOLE.id,), person="n1"))
    desk.record(What.COUNTED, box(WHOLE, 0), product=WHOLE.id, kind=Kind.BOX, units=2)
    base = BaseStock(desk.ledger)
    await base.set_level(Level(location=PLACE, product=WHOLE.id, quantity=9, person="n1"))
    await base.request([(PLACE, WHOLE.id)], "n1")
    await Roles(desk.ledger, desk.people).change(
        PersonChange(
            id="n2", name="Wu", badge="", pin="", is_active=True, roles=frozenset(Role), operator="n1", witness="n2"
        )
    )
    desk.agents.write()
    add = "INSERT INTO backup (file, sha256, taken_us) VALUES ('a', 'b', 1)"
    desk.ledger.write(lambda connection: connection.execute(add))
    packed = "INSERT INTO pack (code, parent, level, status, lot, fetched_us) VALUES ('8', '83', 1, 'A', 'L1', 5)"
    desk.ledger.write(lambda connection: connection.execute(packed))
    drifted = "INSERT INTO drift (device, found_us, version, items) VALUES ('cabinet-1', 1, 2, 3)"
    desk.ledger.write(lambda connection: connection.execute(drifted))
    refuse = "UPDATE insurer_row SET state = 'refused', cause = 'no' WHERE id = 1"
    desk.ledger.write(lambda connection: connection.execute(refuse))
    assert SalesQueue(desk.ledger).repair([1], "n1") == 1
    store = Place(id="store", name="药库", level=PlaceLevel.STORE)
    await Places(desk.ledger).put([store, Place(id=PLACE, name="药房", level=PlaceLevel.PHARMACY, parent="store")])
    wish = Wish(product=WHOLE.id, quantity=2)
    await Requisitions(desk.ledger).ask(Asking(target=PLACE, wishes=(wish,), operator="n1"))
    desk.ledger.keep_witnesses()


async def a_recall(desk: Desk) -> None:
    """Of the boxes of an order; a station that has not heard of it yet hands them out."""
    boxes = desk.orders.get("O-W").codes
    wanted = NewRecall(id="R-1", product=WHOLE.id, lot="L1", reason="particles", operator="n1", witness="n2")
    await desk.recalls.issue(wanted)
    later = Moment(wall_us=NOON_US + 3_600_000_000, mono_us=1)
    fact = msgspec.structs.replace(desk.fact(What.DISPENSED, *boxes, order="O-W"), at=later)
    station = HandAgent("station-2")
    await desk.send(station, station.batch(fact))
    await desk.send(station, Confirm(recall_version=desk.recalls.version))


async def an_early_fact(desk: Desk) -> None:
    """Of a station whose backlog is still on its way."""
    before = HandAgent("station-3")
    before.batch(desk.fact(What.COUNTED, piece(1)))
    station = HandAgent("station-3", parent=before)
    await desk.send(station, msgspec.structs.replace(station.batch(desk.fact(What.COUNTED, piece(2))), is_early=True))


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a ledger with rows in every table, closed. Nobody writes in it."""
    folder = tmp_path_factory.mktemp("day") / "whole"
    asyncio.run(a_day(folder))
    return folder


async def a_day(folder: Path) -> None:
    desk = Desk(folder)
    await busy(desk)
    desk.ledger.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    desk.close()


@pytest.fixture
def whole(day: Path, tmp_path: Path) -> Path:
    """A copy of that folder."""
    return shutil.copytree(day, tmp_path / "whole")


def changed(value: Any, random: Random) -> Any:
    """Another value of the same kind."""
    match value:
        case None:
            return 1
        case int():
            return value + random.choice([-1, 1])
        case bytes():
            if not value:
                return b"\0"
            place = random.randrange(len(value))
            return value[:place] + bytes([value[place] ^ 1 << random.randrange(8)]) + value[place + 1 :]
        case _:
            place = random.randrange(len(value) + 1)
            return value[:place] + random.choice("1x ") + value[place:]


def rows_of(raw: sqlite3.Connection, table: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    cursor = raw.execute(f'SELECT * FROM "{table}"')
    return [column[0] for column in cursor.description], cursor.fetchall()


def mutate(raw: sqlite3.Connection, table: str, kind: str, random: Random) -> str:
    """Change one row; what was done. Empty if the database itself refused it."""
    names, rows = rows_of(raw, table)
    row = random.choice(rows)
    where = " AND ".join(f'"{name}" IS ?' for name in names)
    try:
        if kind == "delete":
            raw.execute(f'DELETE FROM "{table}" WHERE {where}', row)
        elif kind == "insert":
            fresh = tuple(changed(value, random) for value in row)
            raw.execute(f'INSERT INTO "{table}" VALUES ({",".join("?" * len(row))})', fresh)
        else:
            name = random.choice(names)
            value = changed(row[names.index(name)], random)
            raw.execute(f'UPDATE "{table}" SET "{name}" = ? WHERE {where}', (value, *row))
            return f"{table}.{name}: {row[names.index(name)]!r} became {value!r}"
    except sqlite3.IntegrityError:
        return ""
    return f"{table}: {kind} {row!r}"


def test_a_ledger_as_it_was_written_is_whole(whole: Path) -> None:
    report = check(whole / "ledger.db")
    assert report.flaws == ()
    assert report.facts > 20
    raw = sqlite3.connect(whole / "ledger.db")
    assert {table for table in TABLES if not rows_of(raw, table)[1]} == set(), "every table has rows"
    raw.close()


async def test_a_row_that_central_itself_replaces_leaves_nothing_in_the_seal(whole: Path) -> None:
    desk = Desk(whole)
    await desk.recalls.lift("R-1", operator="n1", witness="n2", reason="cleared")
    desk.close()
    assert check(whole / "ledger.db").flaws == ()


@pytest.mark.covers("E04", "X06")
@pytest.mark.fault(39)
@pytest.mark.parametrize("kind", ["edit", "delete", "insert"])
@pytest.mark.parametrize("table", TABLES)
def test_every_change_of_any_row_of_any_table_is_found(day: Path, tmp_path: Path, table: str, kind: str) -> None:
    """100 %."""
    random = Random(f"{table} {kind}")
    missed, done, tries = [], 0, 0
    while done < 12 and tries < 60:
        tries += 1
        copy = tmp_path / "copy.db"
        shutil.copy(day / "ledger.db", copy)
        raw = sqlite3.connect(copy)
        what = mutate(raw, table, kind, random)
        raw.commit()
        raw.close()
        if what:
            done += 1
            if check(copy, day).is_whole:
                missed.append(what)
    assert missed == []
    assert done > 0


async def test_a_change_is_found_although_central_wrote_on(whole: Path) -> None:
    raw = sqlite3.connect(whole / "ledger.db")
    raw.execute("UPDATE person SET badge = 'mine' WHERE id = 'n1'")
    raw.commit()
    raw.close()
    desk = Desk(whole)
    await desk.people.put([Person(id="n2", name="Wang")])
    desk.record(What.COUNTED, piece(1))
    desk.close()
    assert check(whole / "ledger.db").flaws == (
        "table person: a row was edited, deleted or inserted since it was sealed",
    )


@pytest.mark.covers("X06")
async def test_a_history_rewritten_with_every_hash_no_longer_fits_the_heads(whole: Path, tmp_path: Path) -> None:
    """Somebody with the key writes another history: heads kept elsewhere show it."""
    desk = Desk(whole)
    desk.record(What.COUNTED, piece(3))
    desk.ledger.keep_witnesses()
    desk.close()
    other = Desk(tmp_path / "other")
    await busy(other)
    other.close()
    shutil.copy(tmp_path / "other" / "ledger.db", whole / "ledger.db")
    signing.trust(whole, signing.trusted(tmp_path / "other")[0])
    (flaw,) = check(whole / "ledger.db").flaws
    assert "are not those that were there on that day" in flaw


async def test_heads_are_written_once_a_day_and_an_edited_one_is_found(whole: Path) -> None:
    desk = Desk(whole)
    desk.clock.us += 2 * DAY_US
    desk.ledger.keep_witnesses()
    desk.record(What.COUNTED, piece(4))
    desk.ledger.keep_witnesses()
    desk.close()
    paths = sorted((whole / heads.FOLDER).iterdir())
    assert len(paths) == 2
    assert check(whole / "ledger.db").is_whole
    text = paths[0].read_text("utf-8")
    paths[0].write_text(text.replace('"position": ', '"position": 1'), "utf-8")
    paths[1].rename(paths[1].with_name("2026-01-01.json"))
    assert len(check(whole / "ledger.db").flaws) == 2


async def test_the_key_is_for_central_alone(whole: Path) -> None:
    assert (whole / signing.KEY).stat().st_mode & 0o777 == 0o600
    assert len((whole / signing.KEY).read_bytes()) == 32
