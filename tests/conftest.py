"""What every test shares: the tables of functions and faults, told at the end of a run."""

import importlib.util
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from types import ModuleType

import pytest
import structlog


def _load_tables() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tables", Path(__file__).with_name("tables.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TABLES = _load_tables()

sys.set_coroutine_origin_tracking_depth(8)  # a coroutine that nobody awaited is found much later: say who made it


@pytest.fixture(scope="session")
def tables() -> ModuleType:
    """The module that makes the tables of functions and faults."""
    return TABLES


_MEMORY, _ROOM_BYTES = Path("/dev/shm"), 2 << 30
_IS_FIRST = "PYTEST_XDIST_WORKER" not in os.environ


def _folder() -> Path:
    """Where all files of the tests lie: in memory where there is room, as most of a test's time is its syncs else.

    What a sync is good for, no disk can show: the sweeps do, call by call.
    """
    has_room = "TMPDIR" not in os.environ and _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ROOM_BYTES
    return Path(tempfile.mkdtemp(prefix="codepool-tests-", dir=_MEMORY if has_room else None))


if _IS_FIRST:
    os.environ["TMPDIR"] = str(_folder())  # workers and all that they start inherit it
    tempfile.tempdir = None
os.environ["RUNTIME_DIRECTORY"] = tempfile.mkdtemp(prefix="run-")  # as systemd gives agents one
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # the processes of the tests are hundreds: compile what they run once

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background job; processes of tests would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A framed and coloured traceback, with the sources around each call, takes a second to draw, and nobody looks at it.
_PLAIN = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
structlog.configure(processors=[*structlog.get_config()["processors"][:-1], _PLAIN])


# The longest first. Then files that wait for processes and files that draw pages in turn, so that neither worker waits
# for the other's core; the short ones are left for the end, so that both end together.
_LONG = ("simulation", "acceptance", "integration/soak", "sweeps")
_IN_TURN = ("integration", "browser", "scale")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    files = list(dict.fromkeys(item.path for item in items))
    turn: dict[Path, tuple[int, float]] = dict.fromkeys(files, (len(_LONG) + 1, 0.0))
    for stage, part in enumerate(_LONG):
        turn.update((file, (stage, 0.0)) for file in files if file.is_relative_to(here / part))
    for part in _IN_TURN:
        rest = [file for file in files if file.is_relative_to(here / part) and turn[file][0] > len(_LONG)]
        turn.update((file, (len(_LONG), (n + 0.5) / len(rest))) for n, file in enumerate(rest))
    items.sort(key=lambda item: turn[item.path])


def pytest_sessionfinish(exitstatus: int) -> None:
    if _IS_FIRST and not exitstatus:  # what failed leaves its files
        shutil.rmtree(os.environ["TMPDIR"], ignore_errors=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.section("functions and faults")
    for line in TABLES.summary():
        terminalreporter.write_line(line)
