"""The soak's checker can fail: files of a clean soak, then each thing that must never happen, planted and found."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from hardware_sims.soak.checker import PHYSICAL, Finding, check, latencies_s, read
from hardware_sims.soak.physical import DONE, Act, PhysicalLog
from sync_protocol.facts import How, What
from sync_protocol.items import Kind
from tests.unit.sims.paper_hospital import Hospital, writing
from tests.unit.sims.test_books import EXPIRY, MADE

AGENT = "station-1"
BOX, PIECE, AWAY = "81001010000000000001", "010011020000000F426A1E8B", "010011020000000F436A0EEA"
UNITS = tuple(f"{BOX}#{number:03d}" for number in range(1, 4))
LEDGER, JOURNAL, REPLICA = "central/ledger.db", f"{AGENT}/journal.db", f"{AGENT}/replica.db"


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A box is received, opened, one unit handed out; two pieces are received, one leaves, comes back and leaves."""
    folder = tmp_path_factory.mktemp("soak")
    hospital, log = Hospital(folder), PhysicalLog(folder / PHYSICAL)
    for code, product, kind in ((BOX, "YP-1", Kind.BOX), (PIECE, "HC-1", Kind.PIECE), (AWAY, "HC-1", Kind.PIECE)):
        announced: dict[str, Any] = {"product": product, "lot": "L1", "expiry": EXPIRY, "made": MADE, "kind": kind}
        hospital.write("central", What.ANNOUNCED, code, document="SN1", **announced)
    log.write(AGENT, Act.SCANNED, step="received", codes=[BOX])
    for code in (PIECE, AWAY):
        log.write(AGENT, Act.PUT_IN, codes=[code])
    hospital.write(AGENT, What.RECEIVED, BOX, PIECE, AWAY, document="SN1")
    log.write(AGENT, Act.SHOWN, step="received", codes=[BOX, PIECE, AWAY], result=DONE)
    for _ in range(2):  # the answer to the first scan was lost
        log.write(AGENT, Act.SCANNED, step="prescanned", codes=[BOX])
    hospital.write(AGENT, What.PRESCANNED, BOX, units=3)
    log.write(AGENT, Act.SHOWN, step="prescanned", codes=[BOX], result=DONE)
    hospital.write("central", What.LOCKED, UNITS[0], order="YZ1")
    log.write(AGENT, Act.PRESSED, step="dispensed", order="YZ1", codes=UNITS[:1])
    hospital.write(AGENT, What.DISPENSED, UNITS[0], order="YZ1", how=How.AUTOMATIC)
    log.write(AGENT, Act.SHOWN, step="dispensed", order="YZ1", codes=UNITS[:1], result=DONE)
    for act, what in ((Act.TAKEN_OUT, What.TAKEN), (Act.PUT_IN, What.PUT_BACK), (Act.TAKEN_OUT, What.TAKEN)):
        log.write(AGENT, act, codes=[AWAY])
        hospital.write(AGENT, what, AWAY, operator="hs01")
        log.write(AGENT, Act.SHOWN, step=what.value, codes=[AWAY], result=DONE)
    log.close()
    hospital.row(BOX, "box", "opened", units=3)
    hospital.row(UNITS[0], "unit", "dispensed", order="YZ1", box=BOX)
    hospital.row(PIECE, "piece", "in_stock")
    hospital.row(AWAY, "piece", "taken")
    with writing(folder / LEDGER) as ledger:
        ledger.execute("UPDATE item SET holder = 'hs01' WHERE state = 'taken'")
    for unit in UNITS[1:]:
        hospital.row(unit, "unit", "in_stock", box=BOX)
    return folder


def found(folder: Path) -> Finding:
    return check(folder, [AGENT])


def test_a_clean_soak_is_clean(clean: Path) -> None:
    finding = found(clean)
    assert finding.is_clean, finding
    assert finding.facts == 6


def test_what_left_although_it_was_recalled_is_no_misfit(clean: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(clean, tmp_path / "copy")
    with writing(folder / LEDGER) as connection:
        connection.execute(DOUBTED.format(reason="recalled"))
    finding = found(folder)
    assert finding.is_clean, finding
    assert finding.exceptions == {"recalled": 1}


def of_agent(what: str, seq: int) -> str:
    return f"{what} WHERE device = '{AGENT}' AND seq = {seq}"


AGAIN = """INSERT INTO fact(device, session, seq, body, hash)
    SELECT device, session, {seq}, CAST({body} AS BLOB), hash FROM fact WHERE device = 'station-1' AND seq = {of}"""
DOUBTED = "INSERT INTO exception(reason) VALUES ('{reason}')"
RECALLED = "CREATE TABLE recall_set(version INTEGER); INSERT INTO recall_set VALUES ({version})"
PLANTED: dict[str, tuple[tuple[tuple[str, str], ...], str, str]] = {
    "a fact never arrived": (((LEDGER, of_agent("DELETE FROM fact", 6)),), "lost", "fact 6"),
    "journal and ledger forgot what a screen had shown": (
        ((LEDGER, of_agent("DELETE FROM fact", 6)), (JOURNAL, "DELETE FROM fact WHERE position & 255 = 6")),
        "lost",
        f"showed taken {AWAY} 2 times, the ledger has 1",
    ),
    "a fact stands twice": (((LEDGER, AGAIN.format(seq=2, body="body", of=2)),), "twice", "fact 2"),
    "a fact stands twice under another number": (
        ((LEDGER, AGAIN.format(seq=7, body="body", of=4)),),
        "twice",
        "",
    ),
    "a box was opened twice": (((LEDGER, AGAIN.format(seq=7, body="body", of=2)),), "twice", f"prescanned {BOX}"),
    "a unit vanished": (((LEDGER, f"DELETE FROM item WHERE code = '{UNITS[2]}'"),), "conservation", BOX),
    "an item's row was edited": (
        ((LEDGER, f"UPDATE item SET state = 'locked' WHERE code = '{UNITS[1]}'"),),
        "state",
        "state is 'locked' in the ledger, its facts say 'in_stock'",
    ),
    "an exception was made up": (
        ((LEDGER, DOUBTED.format(reason="wrong_state")),),
        "state",
        "exceptions: found 1, the facts say 0",
    ),
    "a fact's bytes were edited": (
        ((LEDGER, of_agent("UPDATE fact SET body = CAST(body || x'00' AS BLOB)", 3)),),
        "chains",
        "other bytes",
    ),
    "a fact of central's own was edited": (
        ((LEDGER, "UPDATE fact SET body = CAST(body || x'00' AS BLOB) WHERE device = 'central' AND seq = 4"),),
        "chains",
        "central: the hash of fact 4",
    ),
    "a fact of central's own was deleted": (
        ((LEDGER, "DELETE FROM fact WHERE device = 'central' AND seq = 4"),),
        "chains",
        "said to end at fact 4, its last one is 3",
    ),
    "a journal's chain is broken": (
        ((JOURNAL, "UPDATE fact SET hash = zeroblob(32) WHERE position & 255 = 2"),),
        "chains",
        "station-1: the hash of fact 2",
    ),
    "a replica stayed behind": (((REPLICA, "UPDATE cursor SET version = 11"),), "replicas", "version 11"),
    "a replica drifted": (((REPLICA, f"DELETE FROM shown WHERE code = '{PIECE}'"),), "replicas", PIECE),
    "an agent holds an old recall set": (
        ((LEDGER, RECALLED.format(version=7)), (JOURNAL, RECALLED.format(version=6))),
        "recalls",
        "station-1 holds recall set 6, central signed 7",
    ),
    "an agent never heard of a recall": (((LEDGER, RECALLED.format(version=7)),), "recalls", "holds recall set 0"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_finds(name: str, clean: Path, tmp_path: Path) -> None:
    frauds, field, text = PLANTED[name]
    folder = shutil.copytree(clean, tmp_path / "copy")
    for store, statements in frauds:
        with writing(folder / store) as connection:
            connection.executescript(statements)
    finding = found(folder)
    assert not finding.is_clean
    assert any(text in each for each in getattr(finding, field)), finding


def test_finds_a_fact_that_nobody_moved_a_hand_for(clean: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(clean, tmp_path / "copy")
    path = folder / PHYSICAL
    path.write_bytes(b"".join(line for line in path.read_bytes().splitlines(keepends=True) if b"pressed" not in line))
    assert found(folder).invented == (
        f"{AGENT}: dispensed {UNITS[0]} is in the ledger, and nobody scanned or moved it there",
    )


@pytest.mark.parametrize(
    ("act", "code", "says"),
    [(Act.PUT_IN, AWAY, "in its cabinet, the ledger says taken"), (Act.POUCHED, UNITS[1], "lies in a pouch")],
)
def test_finds_what_is_not_where_the_ledger_has_it(act: Act, code: str, says: str, clean: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(clean, tmp_path / "copy")
    log = PhysicalLog(folder / PHYSICAL)
    log.write(AGENT, act, codes=[code], order="YZ1")
    log.close()
    (text,) = found(folder).places
    assert code in text
    assert says in text


def test_measures_from_the_first_scan_of_a_box_to_its_commit(clean: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(clean, tmp_path / "copy")
    first = next(mark for mark in read(folder, [AGENT]).marks if mark.step == "prescanned")
    with writing(folder / LEDGER) as ledger:
        ledger.execute(of_agent(f"UPDATE fact SET received_us = {first.at_us + 250_000}", 2))
    evidence = read(folder, [AGENT])
    assert latencies_s(evidence, [(first.at_us, first.at_us + 1)]) == [0.25]
    assert latencies_s(evidence, [(first.at_us + 1, first.at_us + 2)]) == []
