"""Debian's Chromium, without a word to anyone outside."""

import pathlib
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, async_playwright

from tests.integration.central_faces.hospital import Hospital

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest.fixture
async def hospital(tmp_path: pathlib.Path) -> AsyncIterator[Hospital]:
    house = Hospital(tmp_path)
    try:
        yield house
    finally:
        await house.close()
