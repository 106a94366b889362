"""Chromium on the agent's own pages."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.unit.edge_work.ward import CABINET, Ward


@pytest.fixture
def browser(chromium: Browser) -> Browser:
    return chromium


@pytest_asyncio.fixture(loop_scope="session")
async def ward(tmp_path: Path) -> AsyncIterator[Ward]:
    ward = Ward(tmp_path)
    await ward.load(**Ward.catalogue())
    yield ward
    ward.close()


@pytest_asyncio.fixture(loop_scope="session")
async def cabinet_ward(tmp_path: Path) -> AsyncIterator[Ward]:
    ward = Ward(tmp_path, location=CABINET, device="cabinet-1")
    await ward.load(**Ward.catalogue())
    yield ward
    ward.close()
