"""A broker and a central as processes, with a catalogue, two people and a lot in stock."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3]))

from hardware_sims.broker import Broker
from tests.integration.recalls.house import House


@pytest.fixture
async def house(tmp_path: Path, broker: Broker) -> AsyncIterator[House]:
    house = House(tmp_path, broker)
    await house.open()
    yield house
    await house.close()
