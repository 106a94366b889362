"""Time that a simulation plays: three programs agree on its file, and it never mixes with real time."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from central import played_time as of_central
from central.errors import ConfigError as CentralConfigError
from edge_agent import played_time as of_edge
from edge_agent.errors import ConfigError as EdgeConfigError
from hardware_sims.month.played_time import PlayedTime

SIDES = [(of_central, CentralConfigError), (of_edge, EdgeConfigError)]
BEGAN_US = 1_748_736_000_000_000


@pytest.fixture
def played(tmp_path: Path) -> Path:
    with PlayedTime(tmp_path / "time", began_us=BEGAN_US):
        return tmp_path / "time"


@pytest.mark.parametrize(("side", "_error"), SIDES)
def test_the_clock_says_what_is_played_and_the_rest_goes_on(
    side: ModuleType, _error: type[Exception], tmp_path: Path
) -> None:
    with PlayedTime(tmp_path / "time", began_us=BEGAN_US) as time:
        clock = side.clock_of(tmp_path / "data", tmp_path / "time")
        assert clock.wall_us() == BEGAN_US
        time.go_to(BEGAN_US + 86_400_000_000)
        time.go_to(BEGAN_US)
        assert clock.wall_us() == BEGAN_US + 86_400_000_000
        assert clock.mono_us() < clock.mono_us() + 1 < BEGAN_US


@pytest.mark.parametrize(("side", "error"), SIDES)
def test_a_played_folder_never_becomes_a_real_one(
    side: ModuleType, error: type[Exception], tmp_path: Path, played: Path
) -> None:
    data = tmp_path / "data"
    side.clock_of(data, played)
    side.clock_of(data, played)
    with pytest.raises(error, match="played by a simulation"):
        side.clock_of(data, None)


@pytest.mark.parametrize(("side", "error"), SIDES)
def test_a_real_folder_is_not_played_in(side: ModuleType, error: type[Exception], tmp_path: Path, played: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    side.clock_of(data, None)
    (data / "journal.db").touch()
    with pytest.raises(error, match="for simulations"):
        side.clock_of(data, played)
    assert [each.name for each in data.iterdir()] == ["journal.db"]


@pytest.mark.parametrize(("side", "error"), SIDES)
@pytest.mark.parametrize("spoil", [lambda path: path.unlink(), lambda path: path.write_bytes(b"x" * 32)])
def test_another_file_is_no_clock(
    side: ModuleType, error: type[Exception], spoil: Callable[[Path], object], tmp_path: Path, played: Path
) -> None:
    spoil(played)
    with pytest.raises(error, match="simulation writes its time"):
        side.clock_of(tmp_path / "data", played)
    assert not (tmp_path / "data").exists()


def test_the_programs_refuse_what_was_played(tmp_path: Path, played: Path) -> None:
    of_central.clock_of(tmp_path / "data", played)
    settings = tmp_path / "central.toml"
    settings.write_text(f'[central]\ndata = "{tmp_path / "data"}"\nport = 0\n[mqtt]\nurl = "mqtt://127.0.0.1:1"\n')
    command = [sys.executable, "-m", "central.cli", "run", "--config", str(settings)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "never becomes real" in done.stderr) == (78, True)
