"""A small swarm: all facts arrive once, and the figures are written. How fast anything is, is not asserted."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("reconnect.py")


@pytest.mark.mosquitto
@pytest.mark.fault(27)
def test_agents_that_reconnect_at_once_all_drain(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    run = subprocess.run(
        [sys.executable, str(SCRIPT), "--agents", "12", "--facts", "25", "--json", str(out)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(out.read_text())
    assert (found["agents"], found["facts"], found["lost"], found["twice"]) == (12, 300, 0, 0)
    assert found["central_peak_mb"] >= found["central_before_mb"] > 0
    assert 0 < found["ack_p50_s"] <= found["ack_p99_s"]
    assert found["scans_before"]["count"] > 0
