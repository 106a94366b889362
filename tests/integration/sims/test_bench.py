"""Single devices served for a bench: what is typed happens on the wire, and what cannot be done is said."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest

from drivers.lock_board import LockBoard8A
from drivers.readings import DoorState, LinkState
from drivers.rfid_llrp import LlrpReader
from drivers.scanner_serial import SerialScanner
from hardware_sims import bench

TAG = "010011020000000F426A1E8B"


class Keyboard:
    """Types lines when told, and hears what the bench says."""

    def __init__(self) -> None:
        self._typed: asyncio.Queue[str] = asyncio.Queue()
        self._said: asyncio.Queue[str] = asyncio.Queue()

    async def lines(self) -> AsyncIterator[str]:
        while True:
            yield await self._typed.get()

    def say(self, text: str) -> None:
        self._said.put_nowait(text)

    async def hears(self, part: str) -> str:
        async with asyncio.timeout(10):
            while True:
                said = await self._said.get()
                if part in said:
                    return said

    async def types(self, line: str, *, answer: str) -> str:
        self._typed.put_nowait(line)
        return await self.hears(answer)


@pytest.fixture
async def keyboard() -> Keyboard:
    return Keyboard()


async def ready(look: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not look():  # noqa: ASYNC110 - a driver's health has no event
            await asyncio.sleep(0.02)


async def served(keyboard: Keyboard, device: Awaitable[None]) -> asyncio.Task[None]:
    task = asyncio.ensure_future(device)
    await keyboard.hears("on ")
    return task


async def test_each_line_typed_is_one_scan(keyboard: Keyboard, tmp_path: Path) -> None:
    options = bench.ScannerOptions(pty=tmp_path / "scanner")
    serving = await served(keyboard, bench.scanner(options, keyboard.lines(), keyboard.say))
    driver = SerialScanner(name="scanner-1", url=str(tmp_path / "scanner"))
    running = asyncio.create_task(driver.run())
    await ready(lambda: driver.health.state is LinkState.READY)
    await keyboard.types(r"0106901234567892\x1d21X", answer="scanned")
    async with asyncio.timeout(10):
        scan = await anext(driver.scans())
    assert scan.data == b"0106901234567892\x1d21X"
    for task in (running, serving):
        task.cancel()
    await asyncio.gather(running, serving, return_exceptions=True)


async def test_doors_shut_by_hand(keyboard: Keyboard, tmp_path: Path) -> None:
    serving = await served(keyboard, bench.lock_board(tmp_path / "lock", keyboard.lines(), keyboard.say))
    driver = LockBoard8A(name="lock-1", url=str(tmp_path / "lock"))
    running = asyncio.create_task(driver.run())
    await ready(lambda: driver.health.state is LinkState.READY)
    await driver.open(1)
    assert (await driver.doors())[1] is DoorState.OPEN
    await keyboard.types("doors", answer="open: [1]")
    await keyboard.types("close one", answer="not done: found 'one', expected a number")
    await keyboard.types("close", answer="not done: expected: close LOCK")
    await keyboard.types("kick 1", answer="'kick' is unknown")
    await keyboard.types("close 1", answer="done")
    await keyboard.types("doors", answer="open: []")
    for task in (running, serving):
        task.cancel()
    await asyncio.gather(running, serving, return_exceptions=True)


async def test_tags_come_and_go(keyboard: Keyboard) -> None:
    serving = asyncio.ensure_future(bench.reader(0, 7, keyboard.lines(), keyboard.say))
    port = int((await keyboard.hears("reader on")).rpartition(":")[2])
    driver = LlrpReader(name="reader-1", host="127.0.0.1", port=port)
    running = asyncio.create_task(driver.run())
    await ready(lambda: driver.health.state is LinkState.READY)
    await keyboard.types("put nonsens", answer="not done: epc is")
    await keyboard.types(f"put {TAG}", answer="done")
    await keyboard.types("inside", answer=TAG)
    assert [tag.epc for tag in (await driver.read_round(duration_s=0.1)).tags] == [TAG]
    await keyboard.types(f"take {TAG}", answer="done")
    await keyboard.types(f"take {TAG}", answer="not done")
    for task in (running, serving):
        task.cancel()
    await asyncio.gather(running, serving, return_exceptions=True)


async def test_the_packager_and_the_insurer_answer(keyboard: Keyboard) -> None:
    packager = asyncio.ensure_future(bench.packager(0, keyboard.lines(), keyboard.say))
    assert "YP-0201" in await keyboard.hears("packager on socket://127.0.0.1:")
    await keyboard.types("fill YP-0201 many", answer="expected a number")
    await keyboard.types("pouches", answer="0")
    packager.cancel()
    insurer = asyncio.ensure_future(bench.insurer(0, "H11010100001", keyboard.lines(), keyboard.say))
    url = (await keyboard.hears("insurer on")).split()[2].rstrip(",")
    async with aiohttp.ClientSession() as http, http.post(url, json={}) as answer:
        assert (await answer.json())["infcode"] == -1
    await keyboard.types("refused", answer="none")
    insurer.cancel()
    await asyncio.gather(packager, insurer, return_exceptions=True)
