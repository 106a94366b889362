"""A broker and a central as real processes."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hardware_sims.broker import Broker
from tests.integration.central_core.processes import CentralProcess


@pytest.fixture
async def central(tmp_path: Path, broker: Broker) -> AsyncIterator[CentralProcess]:
    central = CentralProcess(tmp_path, broker.url)
    await central.start()
    yield central
    await central.stop()
