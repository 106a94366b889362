"""The soak as a command: a short one that meets every family of trouble, kills one by one, and how it says no."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hardware_sims import broker, cli
from hardware_sims.soak import nemesis

COMMAND = (sys.executable, "-m", "hardware_sims.cli", "soak")
BUSY = pytest.mark.timeout(400)
"""All of its processes start and heal within a minute on a machine that does nothing else."""
SEED = 20202
"""In 20 s with two agents it draws kills of all three kinds of process, a hole, flapping, repeats, stale messages."""


def soak(*options: str, timeout_s: float = 380) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *options], capture_output=True, text=True, timeout=timeout_s, check=False)


def clean(found: dict[str, Any]) -> bool:
    """Whether it says so itself, and each of its counts as well."""
    counts = (
        "facts_lost",
        "facts_twice",
        "conservation_violations",
        "chain_breaks",
        "ledger_state_mismatches",
        "replica_mismatches",
        "facts_invented",
        "misplaced",
        "recalls_not_held",
    )
    return found["passed"] is True and not any(found[name] for name in counts) and found["problems"] == []


@BUSY
@pytest.mark.mosquitto
@pytest.mark.covers("E03")
@pytest.mark.fault(20, 21, 23, 25, 26, 30)
def test_after_a_storm_nothing_is_lost_and_nothing_twice(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    run = soak(
        "--minutes",
        str(20 / 60),
        "--agents",
        "2",
        "--seed",
        str(SEED),
        "--json",
        str(out),
        "--dir",
        str(tmp_path / "s"),
    )
    assert run.returncode == 0, run.stdout + run.stderr
    found = json.loads(out.read_text())
    assert clean(found), found["problems"]
    kinds = {event["nemesis"] for event in found["events"]}
    assert kinds >= {"kill", "hole_down", "flap", "repeat", "lose", "stale"}
    assert found["kills"].keys() >= {"broker", "central", "station-1"}
    assert found["facts_in_ledger"] > 50
    assert found["facts_per_s"] > 0
    assert found["not_drained"] == 0
    assert found["not_converged"] == ""
    assert found["calm_scan_to_ledger"]["count"] > 0
    assert found["peak_memory_mb"].keys() == {"broker", "central", *found["agents"]}
    assert sum(line.get("repeated", 0) + line.get("stale", 0) for line in found["lines"].values()) > 0
    assert "soak passed" in run.stdout
    decided = nemesis.draw(SEED, total_s=20.0, agents=found["agents"]).decisions
    assert found["decisions"] == list(msgspec.to_builtins(decided))
    assert len(found["events"]) == len(decided)


@BUSY
@pytest.mark.mosquitto
@pytest.mark.fault(21, 30)
def test_killed_one_by_one_each_drains_again(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    run = soak("--rounds", "4", "--agents", "1", "--seed", "1", "--json", str(out), "--dir", str(tmp_path / "s"))
    assert run.returncode == 0, run.stdout + run.stderr
    found = json.loads(out.read_text())
    assert clean(found), found["problems"]
    assert sum(found["kills"].values()) == 4
    assert set(found["kills"]) == {"broker", "central", "station-1"}
    assert found["drained_after_kill"]["any"]["count"] == 4
    assert found["not_drained"] == 0


def test_help_names_what_it_does_and_the_statuses() -> None:
    said = soak("--help").stdout
    for text in (
        "--minutes",
        "--rounds",
        "--seed",
        "--agents",
        "--broker",
        "exit status:",
        "nothing lost",
        "examples:",
    ):
        assert text in said


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--minutes", "0"), "found '0', expected minutes from 0.1"),
        (("--agents", "none"), "found 'none', expected a number above 0"),
        (("--agents", "51"), "expected at most 50 agents"),
        (("--broker", "other"), "invalid choice"),
    ],
)
def test_wrong_options_are_named(options: tuple[str, ...], says: str) -> None:
    run = soak(*options)
    assert run.returncode == 2
    assert says in run.stderr


def test_a_folder_that_is_in_use_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("x")
    run = soak("--dir", str(tmp_path))
    assert run.returncode == 69
    assert "is not empty" in run.stderr


def test_without_mosquitto_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(broker, "_MOSQUITTO_PLACES", "/nowhere")
    assert cli.run(["soak", "--agents", "1"]) == cli.UNUSABLE
    said = capsys.readouterr().err
    assert "apt install mosquitto" in said
    assert "--broker amqtt" in said


@BUSY
@pytest.mark.mosquitto
def test_ctrl_c_leaves_no_process_behind(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    running = subprocess.Popen(
        [*COMMAND, "--agents", "1", "--dir", str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert running.stdout is not None
    try:
        for line in running.stdout:
            if "answer" in line:
                break
        assert processes_of(folder)
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=180)
    finally:
        running.kill()
    assert errors == ""
    assert not processes_of(folder)
    shutil.rmtree(folder)


def processes_of(folder: Path) -> list[str]:
    """Command lines of running processes that name the folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in command and "hardware_sims.cli" not in command:
            found.append(command)
    return found
