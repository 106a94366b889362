"""An agent's stores in a temporary folder, with twenty pieces in stock."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.edge_core.shelf import Shelf, piece


@pytest.fixture
async def shelf(tmp_path: Path) -> AsyncIterator[Shelf]:
    shelf = Shelf(tmp_path / "data")
    await shelf.load(*(piece(number) for number in range(20)))
    yield shelf
    shelf.close()
