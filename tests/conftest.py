"""What every test shares: the tables of functions and faults, told at the end of a run."""

import importlib.util
import os
import sys
import tempfile
from pathlib import Path
from types import ModuleType

import pytest


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


_RUNTIME = tempfile.TemporaryDirectory(prefix="codepool-tests-")
os.environ["RUNTIME_DIRECTORY"] = _RUNTIME.name  # as systemd gives agents one: nothing of theirs stays in /tmp


def pytest_unconfigure() -> None:
    _RUNTIME.cleanup()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.section("functions and faults")
    for line in TABLES.summary():
        terminalreporter.write_line(line)
