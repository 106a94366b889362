"""Debian's Chromium, without a word to anyone outside."""

import pathlib
from collections.abc import AsyncIterator

import pytest_asyncio

from tests.integration.central_faces.hospital import Hospital


@pytest_asyncio.fixture(loop_scope="session")
async def hospital(tmp_path: pathlib.Path) -> AsyncIterator[Hospital]:
    house = Hospital(tmp_path)
    try:
        yield house
    finally:
        await house.close()
