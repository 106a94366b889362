"""Chromium on the agent's own pages."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, async_playwright

from tests.unit.edge_work.ward import CABINET, Ward

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(ARGUMENTS))
        yield browser
        await browser.close()


@pytest.fixture
async def ward(tmp_path: Path) -> AsyncIterator[Ward]:
    ward = Ward(tmp_path)
    await ward.load(**Ward.catalogue())
    yield ward
    ward.close()


@pytest.fixture
async def cabinet_ward(tmp_path: Path) -> AsyncIterator[Ward]:
    ward = Ward(tmp_path, location=CABINET, device="cabinet-1")
    await ward.load(**Ward.catalogue())
    yield ward
    ward.close()
