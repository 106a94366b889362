"""A program that does not come up is not left behind: it would hold what its successor needs."""

import signal
import sys
from pathlib import Path

import aiohttp
import pytest

from hardware_sims import program
from hardware_sims.process import ProcessDiedError
from hardware_sims.program import Program


async def test_what_does_not_answer_in_time_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "codepool-central"
    script.write_text("#!/bin/sh\nexec sleep 60\n")
    script.chmod(0o700)
    monkeypatch.setattr(program, "_READY_S", 0.3)
    async with aiohttp.ClientSession() as http:
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr(sys, "executable", str(tmp_path / "python"))
            central = Program(
                "central",
                "codepool-central",
                settings=tmp_path / "central.toml",
                log=tmp_path / "central.log",
                url="http://127.0.0.1:9",
                http=http,
            )
        with pytest.raises(ProcessDiedError, match="does not answer"):
            await central.start_ready()
    assert central.status == -signal.SIGKILL
