"""The hospital walks: the whole morning with the real programs on real wires, once with each broker, books audited."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hardware_sims.books.report import Books

pytestmark = pytest.mark.timeout(400)  # a morning takes a minute on a machine that does nothing else
SEED = 7
LONGEST_S = 300.0
"""A minute on a machine that does nothing else."""


class Played(msgspec.Struct, frozen=True, kw_only=True):
    folder: Path
    books: Books
    output: str


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Played]:
    """Plays the morning of a broker once and remembers it."""
    played: dict[str, Played] = {}

    def play(broker: str) -> Played:
        if broker not in played:
            played[broker] = _play(broker, tmp_path_factory.mktemp(broker) / "morning")
        return played[broker]

    return play


def test_without_once_it_says_where_to_look_and_leaves_nothing_behind(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hardware_sims.cli", "demo", "--language", "en"]
    environment = os.environ | {"TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as demo:
        assert demo.stdout is not None
        try:
            shown: list[str] = []
            for line in demo.stdout:
                shown.append(line)
                if "1/8" in line:
                    break
            demo.send_signal(signal.SIGINT)
            demo.communicate(timeout=180)
        finally:
            demo.kill()  # its programs then end by themselves
    text = "".join(shown)
    for word in ("console", "station-1", "cabinet-1", "packager-1", "http://127.0.0.1:", "YP01", "2468"):
        assert word in text
    assert demo.returncode == 0
    assert list(tmp_path.iterdir()) == []
    assert not _processes_of(tmp_path)


def _processes_of(folder: Path) -> list[str]:
    """Command lines of processes that still work in a folder."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            lines.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return [line for line in lines if str(folder) in line]


def _play(broker: str, folder: Path) -> Played:
    out = folder.parent / "out.json"
    command = [sys.executable, "-m", "hardware_sims.cli", "demo", "--once", "--seed", str(SEED), "--broker", broker]
    done = subprocess.run(
        [*command, "--dir", str(folder), "--json", str(out)], capture_output=True, text=True, timeout=380, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return Played(folder=folder, books=msgspec.json.decode(out.read_bytes(), type=Books), output=done.stdout)


BROKERS = ["amqtt", pytest.param("mosquitto", marks=pytest.mark.mosquitto)]


@pytest.mark.parametrize("broker", BROKERS)
@pytest.mark.covers("A03", "A06", "A07", "A08", "A09", "A13", "A14", "A21", "B01", "B13", "E01", "E02", "E07", "X13")
def test_nothing_is_lost_and_everything_adds_up(broker: str, play: Callable[[str], Played]) -> None:
    books = play(broker).books
    assert books.problems == []
    assert (books.facts_lost, books.facts_twice, books.facts_altered, books.conservation_violations) == (0, 0, 0, 0)
    assert books.facts_journalled == books.facts_in_ledger > 0
    assert (books.ledger_state_mismatches, books.replica_mismatches) == (0, 0)
    assert (books.truth_mismatches, books.insurer_mismatches, books.insurer_upload_rate) == (0, 0, 1.0)
    assert books.is_balanced
    assert books.duration_s < LONGEST_S


@pytest.mark.parametrize("broker", BROKERS)
def test_the_morning_is_as_large_as_promised(broker: str, play: Callable[[str], Played]) -> None:
    books = play(broker).books
    assert (books.seed, books.broker, books.agents) == (SEED, broker, 3)
    assert books.boxes_prescanned >= 40
    assert books.orders >= 80
    assert books.orders_by_state == {"dispensed": books.orders}
    assert books.pieces_received == 40
    assert (books.pieces_taken, books.pieces_put_back, books.pieces_used) == (12, 3, 6)
    assert books.units_packed > 0
    assert books.insurer_rows_accepted > 0
    assert books.exceptions == {}


@pytest.mark.parametrize("broker", BROKERS)
@pytest.mark.covers("A02", "A10")
def test_each_bad_scan_is_refused_by_name(broker: str, play: Callable[[str], Played]) -> None:
    refused = play(broker).books.scans_refused
    wanted = {"unknown_code", "already_dispensed", "already_opened", "expired", "wrong_product", "not_split"}
    garbage = {"nul", "not_text", "glued", "full_width", "empty"}
    assert wanted | garbage == refused.keys()
    assert min(refused.values()) >= 1


@pytest.mark.parametrize("broker", BROKERS)
def test_the_faults_were_injected(broker: str, play: Callable[[str], Played]) -> None:
    faults = play(broker).books.faults_injected
    assert {"broker_killed_20s", "agent_killed:station-1", "packager_pouch_wasted"} <= set(faults)
    insurer = {"insurer_timeout_after_commit", "insurer_unauthorized", "insurer_slow", "insurer_output_as_text"}
    assert insurer <= set(faults)


@pytest.mark.mosquitto
def test_the_same_seed_counts_the_same_with_either_broker(play: Callable[[str], Played]) -> None:
    amqtt, mosquitto = (msgspec.to_builtins(play(broker).books) for broker in ("amqtt", "mosquitto"))
    for books in (amqtt, mosquitto):
        del books["duration_s"], books["broker"]
    assert amqtt == mosquitto


FRAUDS = {
    "facts_lost": "DELETE FROM fact WHERE position = (SELECT max(position) FROM fact WHERE device = 'station-1')",
    "facts_twice": "INSERT INTO fact(session, seq, device, what, body, hash)"
    " SELECT session, 1000000, device, what, body, hash FROM fact WHERE device = 'cabinet-1' LIMIT 1",
    "conservation_violations": "UPDATE item SET box = 'elsewhere'"
    " WHERE code = (SELECT min(code) FROM item WHERE box <> '')",
    "truth_mismatches": "UPDATE item SET state = 'in_stock', order_id = ''"
    " WHERE code = (SELECT min(code) FROM item WHERE kind = 'unit' AND state = 'dispensed')",
}


@pytest.mark.parametrize("found_as", FRAUDS)
def test_cooked_books_of_a_real_morning_are_found(found_as: str, play: Callable[[str], Played], tmp_path: Path) -> None:
    folder = shutil.copytree(play("amqtt").folder, tmp_path / "cooked", symlinks=True)
    with closing(sqlite3.connect(folder / "central/ledger.db")) as ledger, ledger:
        assert ledger.execute(FRAUDS[found_as]).rowcount == 1
    out = tmp_path / "out.json"
    command = [sys.executable, "-m", "hardware_sims.cli", "books", "--dir", str(folder), "--json", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "BOOKS DO NOT BALANCE" in done.stdout
    books: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    assert books[found_as] >= 1
    assert not books["is_balanced"]
