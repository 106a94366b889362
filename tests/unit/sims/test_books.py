"""The checker can fail: a small hospital whose books balance, then each kind of fraud and accident, found and named."""

import datetime as dt
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hardware_sims.books.papers import PaperError
from hardware_sims.books.report import Books, Diary, check, table
from hardware_sims.platforms.insurer_counter import SaleRow
from hardware_sims.truth import Box, OrderLine, Piece, Spot, Truth
from sync_protocol.facts import How, What
from sync_protocol.items import Kind
from tests.unit.sims.paper_hospital import WHOLE, Hospital, writing

SPLIT, STENT = "81001010000000000001", "010011020000000F426A1E8B"
EXPIRY, MADE = dt.date(2099, 12, 31), dt.date(2026, 1, 5)


def announce(hospital: Hospital, code: str, product: str, kind: Kind) -> None:
    hospital.write(
        "central", What.ANNOUNCED, code, document="SN1", product=product, lot="L1", expiry=EXPIRY, made=MADE, kind=kind
    )


@pytest.fixture(scope="module")
def balanced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hospital")
    hospital = Hospital(folder)
    for code, product, kind in ((SPLIT, "YP-1", Kind.BOX), (WHOLE, "YP-2", Kind.BOX), (STENT, "HC-1", Kind.PIECE)):
        announce(hospital, code, product, kind)
    hospital.write("station-1", What.RECEIVED, SPLIT, WHOLE, STENT, document="SN1")
    hospital.write("station-1", What.PRESCANNED, SPLIT, units=3)
    hospital.write("central", What.LOCKED, f"{SPLIT}#001", f"{SPLIT}#002", order="YZ1")
    hospital.write("central", What.LOCKED, WHOLE, order="YZ2")
    units = (f"{SPLIT}#001", f"{SPLIT}#002")
    hospital.write("station-1", What.DISPENSED, *units, order="YZ1", how=How.AUTOMATIC)
    hospital.write("station-1", What.DISPENSED, WHOLE, order="YZ2")
    hospital.row(SPLIT, "box", "opened", units=3)
    for unit in units:
        hospital.row(unit, "unit", "dispensed", order="YZ1", box=SPLIT)
    hospital.row(f"{SPLIT}#003", "unit", "in_stock", box=SPLIT)
    hospital.row(WHOLE, "box", "dispensed", order="YZ2")
    hospital.row(STENT, "piece", "in_stock")
    with writing(folder / "central/ledger.db") as ledger:
        ledger.executemany("INSERT INTO orders VALUES (?, ?, ?, 'dispensed')", [("YZ1", "YP-1", 2), ("YZ2", "YP-2", 1)])
    write_papers(folder)
    return folder


def write_papers(folder: Path) -> None:
    def box(code: str, product: str, content: int, **fields: Any) -> Box:
        return Box(
            code=code, symbol=code.encode(), product=product, lot="L1", expiry=EXPIRY, made=MADE, content=content,
            location="pharmacy", **fields,
        )  # fmt: skip

    def line(number: int, product: str, quantity: int) -> OrderLine:
        return OrderLine(
            id=f"YZ{number}", kind="stat", product=product, quantity=quantity, patient="p", visit="v", ward="w",
            location="pharmacy", prescriber="d",
        )  # fmt: skip

    piece = Piece(code=STENT, product="HC-1", lot="L1", expiry=EXPIRY, made=MADE, location="pharmacy", spot=Spot.STOCK)
    truth = Truth(
        boxes={
            SPLIT: box(SPLIT, "YP-1", 3, spot=Spot.OPEN, left=1, given={"YZ1": 2}),
            WHOLE: box(WHOLE, "YP-2", 1, spot=Spot.PATIENT, order="YZ2"),
        },
        pieces={STENT: piece},
        orders={"YZ1": line(1, "YP-1", 2), "YZ2": line(2, "YP-2", 1)},
    )
    truth.save(folder / "truth.json")
    sales = [
        SaleRow(
            serial=serial, codes=(code,), quantity=Decimal(quantity), is_split=quantity == 2, drug="X", document="YZ",
            fields={},
        )
        for serial, code, quantity in (("R1", SPLIT, 2), ("R2", WHOLE, 1))
    ]  # fmt: skip
    (folder / "insurer.json").write_bytes(msgspec.json.encode(sales))
    diary = Diary(seed=7, broker="amqtt", agents=["station-1"], scans_refused={"expired": 1})
    (folder / "diary.json").write_bytes(msgspec.json.encode(diary))


def test_books_that_balance_balance(balanced: Path) -> None:
    books = check(balanced)
    assert books.problems == []
    assert books.is_balanced
    assert (books.facts_journalled, books.facts_in_ledger) == (4, 4)
    assert (books.boxes_prescanned, books.units_created, books.units_dispensed, books.orders) == (1, 3, 2, 2)
    assert (books.pieces_received, books.boxes_dispensed, books.insurer_rows_accepted) == (1, 1, 2)
    assert books.insurer_upload_rate == 1.0
    assert "is_balanced" in table(books)


DOUBLE = """INSERT INTO fact(device, session, seq, body, hash)
    SELECT device, session, {seq}, body, hash FROM fact WHERE device = 'station-1' AND seq = 2"""
FRAUDS = {
    "a fact was lost": ("central/ledger.db", "DELETE FROM fact WHERE device = 'station-1' AND seq = 4"),
    "a fact stands twice": (
        "central/ledger.db",
        DOUBLE.format(seq="seq"),
    ),
    "a fact stands twice under another number": (
        "central/ledger.db",
        DOUBLE.format(seq="99"),
    ),
    "a fact was edited": (
        "central/ledger.db",
        "UPDATE fact SET body = CAST(body || x'00' AS BLOB) WHERE seq = 3 AND device <> 'central'",
    ),
    "a journal was edited": ("station-1/journal.db", "UPDATE fact SET hash = zeroblob(32) WHERE position & 255 = 2"),
    "a journal has a gap": ("station-1/journal.db", "DELETE FROM fact WHERE position & 255 = 2"),
    "a unit was moved to another box": (
        "central/ledger.db",
        f"UPDATE item SET box = '{WHOLE}' WHERE code LIKE '%#003'",
    ),
    "a unit vanished": ("central/ledger.db", "DELETE FROM item WHERE code LIKE '%#003'"),
    "a unit is dispensed by nobody": (
        "central/ledger.db",
        "UPDATE item SET state = 'dispensed', order_id = 'YZ1' WHERE code LIKE '%#003'",
    ),
    "a piece is said to be taken": ("central/ledger.db", "UPDATE item SET state = 'taken' WHERE kind = 'piece'"),
    "an order was never placed": ("central/ledger.db", "INSERT INTO orders VALUES ('YZ9', 'YP-1', 1, 'waiting')"),
    "an order is open though handed out": ("central/ledger.db", "UPDATE orders SET state = 'locked' WHERE id = 'YZ2'"),
    "a replica stayed behind": ("station-1/replica.db", "UPDATE cursor SET version = 11"),
    "a replica drifted": ("station-1/replica.db", "DELETE FROM shown WHERE code LIKE '%#002'"),
    "an exception that no fact explains": ("central/ledger.db", "INSERT INTO exception VALUES ('expired')"),
}
NAMED = {
    "a fact was lost": ("facts_lost", 1),
    "a fact stands twice": ("facts_twice", 1),
    "a fact stands twice under another number": ("facts_twice", 2),
    "a fact was edited": ("facts_altered", 1),
    "a journal was edited": ("facts_altered", 2),
    "a journal has a gap": ("facts_altered", 2),
    "a unit was moved to another box": ("conservation_violations", 2),
    "a unit vanished": ("conservation_violations", 1),
    "a unit is dispensed by nobody": ("truth_mismatches", 1),
    "a piece is said to be taken": ("truth_mismatches", 1),
    "an order was never placed": ("truth_mismatches", 1),
    "an order is open though handed out": ("truth_mismatches", 1),
    "a replica stayed behind": ("replica_mismatches", 1),
    "a replica drifted": ("replica_mismatches", 1),
    "an exception that no fact explains": ("ledger_state_mismatches", 1),
}


@pytest.mark.parametrize("fraud", FRAUDS)
def test_finds(fraud: str, balanced: Path, tmp_path: Path) -> None:
    store, statement = FRAUDS[fraud]
    folder = shutil.copytree(balanced, tmp_path / "copy")
    with writing(folder / store) as connection:
        connection.execute(statement)
    books = check(folder)
    field, count = NAMED[fraud]
    assert getattr(books, field) == count
    assert not books.is_balanced
    assert books.problems
    assert "✗" in table(books)


@pytest.mark.parametrize(("share", "rate"), [("1", 2 / 3), ("3", 1.0)])
def test_finds_what_the_insurer_has_too_little_or_too_much(
    share: str, rate: float, balanced: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(balanced, tmp_path / "copy")
    path = folder / "insurer.json"
    path.write_bytes(path.read_bytes().replace(b'"quantity":"2"', f'"quantity":"{share}"'.encode()))
    books = check(folder)
    assert books.insurer_mismatches == 1
    assert books.insurer_upload_rate == pytest.approx(rate)
    assert not books.is_balanced


def test_what_the_insurer_was_told_is_back_is_taken_off(balanced: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(balanced, tmp_path / "copy")
    path = folder / "insurer.json"
    sales = msgspec.json.decode(path.read_bytes(), type=list[SaleRow])
    once_more = msgspec.structs.replace(sales[1], serial="R3")
    back = msgspec.structs.replace(sales[1], serial="T1", is_return=True)
    path.write_bytes(msgspec.json.encode([*sales, back, once_more]))
    assert check(folder).is_balanced
    path.write_bytes(msgspec.json.encode([*sales, back]))
    assert check(folder).insurer_mismatches == 1


def test_finds_a_truth_that_the_ledger_does_not_know(balanced: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(balanced, tmp_path / "copy")
    truth = Truth.load(folder / "truth.json")
    truth.give_units(SPLIT, "YZ1", 1)
    truth.take_piece(STENT, "hs01")
    truth.save(folder / "truth.json")
    books = check(folder)
    assert books.truth_mismatches == 3
    assert not books.is_balanced


def test_a_store_that_cannot_be_read_is_named(balanced: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(balanced, tmp_path / "copy")
    (folder / "station-1/journal.db").write_bytes(b"not a database at all")
    with pytest.raises(PaperError, match=r"journal\.db"):
        check(folder)
    (folder / "truth.json").unlink()
    with pytest.raises(PaperError, match=r"truth\.json"):
        check(folder)


def test_the_books_are_json(balanced: Path) -> None:
    books = check(balanced)
    assert msgspec.json.decode(msgspec.json.encode(books), type=Books) == books
