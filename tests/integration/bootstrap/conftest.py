"""A broker, a central that offers snapshots early, and a line to its site that can be cut."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3]))

from hardware_sims.broker import Broker
from tests.integration.bootstrap.line import Line
from tests.integration.bootstrap.stocked import Stocked


@pytest.fixture
async def house(tmp_path: Path, broker: Broker) -> AsyncIterator[Stocked]:
    house = Stocked(tmp_path, broker)
    await house.open()
    yield house
    await house.close()


@pytest.fixture
async def line(house: Stocked) -> AsyncIterator[Line]:
    line = Line(house.central)
    await line.open()
    yield line
    await line.close()
