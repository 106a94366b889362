"""The command line: what it says when it cannot do what is asked, and with which status."""

import subprocess
import sys
from pathlib import Path

import pytest

from hardware_sims import cli


def sims(*arguments: str, path: str = "/nowhere") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hardware_sims.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": path},
    )


@pytest.mark.parametrize("command", [[], ["demo"], ["books"], ["device"], ["device", "scanner"]])
def test_help_tells_what_it_is_for(command: list[str]) -> None:
    done = sims(*command, "--help")
    assert done.returncode == 0
    assert "usage: codepool-sims" in done.stdout


@pytest.mark.parametrize(
    "arguments", [[], ["demo", "--broker", "emqx"], ["demo", "--seed", "x"], ["device", "scanner"], ["books"]]
)
def test_wrong_options_are_named(arguments: list[str]) -> None:
    done = sims(*arguments)
    assert done.returncode == 2
    assert "error:" in done.stderr


def test_the_books_of_two_mornings_do_not_mix(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("here")
    done = sims("demo", "--once", "--dir", str(tmp_path))
    assert done.returncode == cli.UNUSABLE
    assert "is not empty" in done.stderr
    assert "Traceback" not in done.stderr


def test_books_of_no_morning_are_named(tmp_path: Path) -> None:
    done = sims("books", "--dir", str(tmp_path))
    assert done.returncode == cli.UNUSABLE
    assert "diary.json" in done.stderr
    assert "Traceback" not in done.stderr
