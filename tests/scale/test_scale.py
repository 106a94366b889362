"""The scale programs, small: `make scale` runs them at the size that they are for."""

from pathlib import Path

import pytest

from tests.scale import backlog, thirty_days

pytestmark = pytest.mark.mosquitto


@pytest.mark.fault(29)
async def test_what_happens_now_does_not_wait_for_a_backlog(tmp_path: Path) -> None:
    figures = await backlog.measure(tmp_path, 20_000)
    assert (figures.lost, figures.exceptions) == (0, 0)
    assert figures.live_p95_s < 2.0
    assert figures.largest_message < 256 * 1024


@pytest.mark.fault(28)
async def test_a_month_offline_drains_and_goes_on_after_a_cut(tmp_path: Path) -> None:
    figures = await thirty_days.measure(tmp_path, 4)
    assert (figures.lost, figures.exceptions) == (0, 0)
    assert figures.after_cut >= figures.cut_at, "it went on where it had stopped"
