"""A broker as a real process."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hardware_sims.broker import Brand, Broker


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    broker = Broker(Brand.MOSQUITTO, tmp_path)
    await broker.start()
    yield broker
    await broker.stop()
