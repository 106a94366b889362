"""A ledger with its catalogue in a temporary folder."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.central_core.desk import Desk, lay_ledger


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(lay_ledger(tmp_path / "data"))
    await desk.catalogue()
    yield desk
    desk.close()
