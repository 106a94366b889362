"""How long acks gather before they are written: by how long the disk takes for it, for its syncs delay scans."""

from pathlib import Path

import pytest

from edge_agent.sync.settling import LINGER_US, Settling
from sync_protocol.machines.uplink_events import Settle
from tests.unit.edge_core.shelf import HandClock, Shelf, piece, taken


@pytest.mark.parametrize(
    ("write_us", "linger_us"), [(0, 5_000), (20, 5_000), (200, 20_000), (1_500, 150_000), (12_000, LINGER_US)]
)
async def test_a_slow_disk_is_written_to_less_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_us: int, linger_us: int
) -> None:
    clock = HandClock()
    shelf = Shelf(tmp_path, clock=clock)
    await shelf.load(*(piece(number) for number in range(2)))
    session = next(iter(shelf.journal.lines))
    settling, settle = Settling(shelf.journal, clock.mono_us), shelf.journal.settle

    def slowly(*said: int) -> None:
        clock.now_us += write_us
        settle(*said)  # type: ignore[arg-type] # session, through, version, safe

    monkeypatch.setattr(shelf.journal, "settle", slowly)
    for through, expected_us in ((1, LINGER_US), (2, linger_us)):
        await shelf.recorder.record(taken(through - 1))
        settling.add(Settle(session=session, through=through, version=1, exceptions=(), safe=0))
        heard_us = clock.mono_us()
        assert settling.wake_us == heard_us + expected_us
        clock.now_us += expected_us - 1
        assert not await settling.flush(shelf.replica)
        assert shelf.journal.lines[session].acked == through - 1
        clock.now_us += 1
        assert await settling.flush(shelf.replica)
        assert shelf.journal.lines[session].acked == through
        assert settling.wake_us is None
    shelf.close()
