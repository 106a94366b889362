"""The units as systemd itself reads them."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def test_systemd_accepts_both_units_without_a_word_and_finds_them_tight() -> None:
    """E06: `systemd-analyze verify` prints nothing; the exposure is at most 1.5."""
    run = subprocess.run(["sh", str(ROOT / "systemd" / "verify.sh")], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    scores = [line.split(":")[1].split()[0] for line in run.stdout.splitlines()]
    assert len(scores) == 2
    assert all(float(score) <= 1.5 for score in scores)


@pytest.mark.parametrize("name", ["codepool-edge", "codepool-central"])
def test_a_fault_that_a_restart_cannot_mend_is_not_restarted(name: str) -> None:
    unit = (ROOT / "systemd" / f"{name}.service").read_text(encoding="utf-8")
    assert "RestartPreventExitStatus=65 66 76 78" in unit
    assert f"ExecStart=/opt/codepool/bin/{name} run --config" in unit
