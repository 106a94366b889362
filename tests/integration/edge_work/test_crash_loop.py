"""An agent that ends again and again by one bad row goes on without what fails, as a real process (fault 10)."""

import asyncio
import os
import pty
import sqlite3
import sys
import tty
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from edge_agent.safe_mode import ENDED_UNASKED
from hardware_sims.ports import free_port
from hardware_sims.process import ManagedProcess
from sync_protocol.items import State
from tests.unit.edge_work.ward import AMOXICILLIN, PIN, WANG, Ward, box, box_code

EDGE = Path(sys.executable).with_name("codepool-edge")
CONFIG = """\
[agent]
device = "station-1"
location = "pharmacy"
workplace = "station"
data = "{data}"
reserve_mb = 1
[central]
mqtt = "mqtt://127.0.0.1:9"
[screen]
port = {port}
[[devices]]
name = "scanner-1"
driver = "scanner-serial"
url = "{line}"
[station]
scanner = "scanner-1"
"""
BAD, GOOD = box_code(AMOXICILLIN, 1), box_code(AMOXICILLIN, 2)


async def stocked(data: Path) -> None:
    """A replica with two boxes, one of them in a row that no version of the agent can read."""
    ward = Ward(data)
    boxes = box(AMOXICILLIN, 1, State.IN_STOCK), box(AMOXICILLIN, 2, State.IN_STOCK)
    await ward.load(**(Ward.catalogue() | {"items": boxes}))
    ward.close()
    with closing(sqlite3.connect(data / "replica.db")) as raw, raw:
        assert raw.execute("UPDATE item SET body = x'c1' WHERE code = ?", (BAD,)).rowcount == 1


class Loop:
    """A station that is started again whenever it ends, as systemd does; the scanner's line stays."""

    def __init__(self, folder: Path) -> None:
        self._port = free_port()
        self._scanner, self._line = pty.openpty()
        tty.setraw(self._line)
        config = folder / "edge.toml"
        values = {"data": folder / "data", "port": self._port, "line": os.ttyname(self._line)}
        config.write_text(CONFIG.format(**values), "utf-8")
        self.process = ManagedProcess("station", [str(EDGE), "run", "--config", str(config)], folder / "station.log")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[aiohttp.ClientSession]:
        """Started, its scanner ready and somebody signed in."""
        await self.process.start()
        async with aiohttp.ClientSession(
            f"http://127.0.0.1:{self._port}",
            cookie_jar=aiohttp.CookieJar(unsafe=True),
            headers={"Accept": "application/json"},
        ) as session:
            await until(session, lambda report: any(each["state"] == "ready" for each in report.get("devices", ())))
            yield session

    def pull(self, code: str) -> None:
        os.write(self._scanner, code.encode() + b"\r")

    async def close(self) -> None:
        await self.process.stop()
        os.close(self._scanner)
        os.close(self._line)


async def health(session: aiohttp.ClientSession) -> dict[str, Any]:
    try:
        async with session.get("/healthz") as answer:
            return dict(await answer.json())
    except aiohttp.ClientError:
        return {}


async def until(session: aiohttp.ClientSession, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    async with asyncio.timeout(90):
        while not is_so(report := await health(session)):  # noqa: ASYNC110 -- another process
            await asyncio.sleep(0.02)
    return report


async def sign_in(session: aiohttp.ClientSession, step: str) -> None:
    async with session.post("/sign-in", json={"person": WANG.id, "pin": PIN}) as answer:
        assert answer.status == 200, await answer.text()
    async with session.post("/step", json={"step": step}) as answer:
        assert answer.status == 200, await answer.text()


@pytest.mark.timeout(400)  # five starts of an agent, on a machine that may be busy
@pytest.mark.fault(10)
async def test_a_crash_loop_ends_in_a_safe_mode_that_still_records(tmp_path: Path) -> None:
    await stocked(tmp_path / "data")
    loop = Loop(tmp_path)
    for _ in range(ENDED_UNASKED):
        async with loop.running() as session:
            await sign_in(session, "prescan")
            loop.pull(BAD)
            await until(session, lambda _report: loop.process.has_died)
    async with loop.running() as session:
        assert (await until(session, bool))["failing"] == []
        await sign_in(session, "prescan")
        loop.pull(BAD)
        report = await until(session, lambda report: bool(report.get("failing")))
        assert report["failing"][0]["part"] == "workplace"
        async with session.get("/part/status", headers={"Accept": "text/html"}) as answer:
            assert "DecodeError" in await answer.text()
        async with session.post("/scan", json={"code": GOOD}) as answer:
            assert answer.status == 200, await answer.text()
        assert (await until(session, bool))["facts_waiting"] == 1
    await loop.close()
    assert not (tmp_path / "data" / "starts.json").exists()
