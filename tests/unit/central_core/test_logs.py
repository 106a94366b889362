"""Logs of central and agents when what they are written to takes nothing: a full disk, a limit, a pipe that is gone."""

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from central.logs import WriteOrDrop

_SAY = "import structlog; from {0} import logs; logs.{1}(); structlog.get_logger('x').error('said'); print('went on')"


class _Disk(io.StringIO):
    """Takes half a line and fails while it is full."""

    is_full = False

    def write(self, text: str, /) -> int:
        if not self.is_full:
            return super().write(text)
        super().write(text[: len(text) // 2])
        raise OSError(28, "No space left on device")


def _events(disk: _Disk) -> Iterator[object]:
    for line in disk.getvalue().splitlines():
        if line.startswith("{") and line.endswith("}"):
            said = json.loads(line)
            yield said.get("lines", said["event"])


@pytest.mark.parametrize(("package", "set_up"), [("central", "set_up"), ("edge_agent", "configure")])
def test_a_full_disk_under_the_log_stops_nobody(package: str, set_up: str) -> None:
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [sys.executable, "-c", _SAY.format(package, set_up)],
            check=False,
            stdout=subprocess.PIPE,
            stderr=full,
            timeout=60,
        )
    assert (ran.returncode, ran.stdout) == (0, b"went on\n")


def test_the_first_line_that_is_written_again_says_how_many_were_not() -> None:
    disk = _Disk()
    log = WriteOrDrop(disk)("a name")
    log.info('{"event": "before"}')
    disk.is_full = True
    for _ in range(3):
        log.error('{"event": "the disk is full"}')
    disk.is_full = False
    log.info('{"event": "after"}')
    log.info('{"event": "as ever"}')
    assert list(_events(disk)) == ["before", 3, "after", "as ever"]
