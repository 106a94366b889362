"""The same small ward as in the unit tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.edge_work.ward import Ward


@pytest.fixture
async def ward(tmp_path: Path) -> AsyncIterator[Ward]:
    ward = Ward(tmp_path)
    await ward.load(**Ward.catalogue())
    yield ward
    ward.close()
