"""A hospital over a real ledger, its server, and callers of each kind."""

import pathlib
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.integration.central_faces.hospital import READER, Hospital, browser, caller, serving, sign_in


@pytest.fixture
async def hospital(tmp_path: pathlib.Path) -> AsyncIterator[Hospital]:
    house = Hospital(tmp_path)
    try:
        yield house
    finally:
        await house.close()


@pytest.fixture
async def address(hospital: Hospital) -> AsyncIterator[str]:
    async with serving(hospital) as address:
        yield address


@pytest.fixture
async def his(address: str) -> AsyncIterator[aiohttp.ClientSession]:
    """The hospital system: every scope."""
    async with caller(address) as session:
        yield session


@pytest.fixture
async def reader(address: str) -> AsyncIterator[aiohttp.ClientSession]:
    async with caller(address, READER) as session:
        yield session


@pytest.fixture
async def stranger(address: str) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(address) as session:
        yield session


@pytest.fixture
async def nurse(hospital: Hospital, address: str) -> AsyncIterator[aiohttp.ClientSession]:
    """A person signed in at a browser, in a hospital with some stock."""
    await hospital.stock()
    async with browser(address) as session:
        assert await sign_in(session) == 303
        yield session
