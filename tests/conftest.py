"""What every test shares: the table of functions at the end of a run."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


def _load_functions() -> ModuleType:
    spec = importlib.util.spec_from_file_location("functions", Path(__file__).with_name("functions.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


FUNCTIONS = _load_functions()


@pytest.fixture(scope="session")
def functions() -> ModuleType:
    """The module that makes the table of functions."""
    return FUNCTIONS


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    catalogue, covered = FUNCTIONS.catalogue(), FUNCTIONS.covered()
    waiting = [key for key in catalogue if key not in covered]
    terminalreporter.section("functions")
    terminalreporter.write_line(f"shown by a test: {len(covered)} of {len(catalogue)}")
    terminalreporter.write_line(f"without a test:  {' '.join(waiting) or 'none'}")
