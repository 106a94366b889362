"""A station as a process: recalled while it is on, killed, started without a network, and still refusing (X10)."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from hardware_sims.ports import free_port
from hardware_sims.process import ManagedProcess
from tests.integration.recalls.house import PLACE, Agent, House, box

pytestmark = pytest.mark.mosquitto
EDGE = Path(sys.executable).with_name("codepool-edge")
CONFIG = """\
[agent]
device = "station-1"
location = "{place}"
workplace = "station"
data = "{data}"
reserve_mb = 1
[central]
mqtt = "{broker}"
recall_keys = ["{key}"]
[screen]
port = {port}
[[devices]]
name = "scanner-1"
driver = "scanner-serial"
url = "{data}/scanner"
[station]
scanner = "scanner-1"
"""


async def public_key(house: House) -> str:
    """What the command says."""
    command = [sys.executable, "-m", "central.cli", "recall-key", "--config", str(house.folder / "central.toml")]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    assert process.returncode == 0
    return said.decode().strip()


async def health(session: aiohttp.ClientSession) -> dict[str, Any]:
    try:
        async with session.get("/healthz") as answer:
            return dict(await answer.json())
    except aiohttp.ClientError:
        return {}


async def wait_for(session: aiohttp.ClientSession, name: str) -> dict[str, Any]:
    async with asyncio.timeout(30):
        while not (report := await health(session)).get(name):  # noqa: ASYNC110 -- another process
            await asyncio.sleep(0.05)
    return report


@pytest.mark.covers("X10")
async def test_killed_and_started_without_a_network_it_refuses_what_is_recalled(house: House, tmp_path: Path) -> None:
    key, port = await public_key(house), free_port()
    assert key == house.key_text
    config, data = tmp_path / "edge.toml", tmp_path / "edge"
    values = {"place": PLACE, "data": data, "broker": house.broker.url, "key": key, "port": port}
    config.write_text(CONFIG.format(**values), "utf-8")
    with Agent(tmp_path, house.broker.port, house.key, device="station-2") as other:
        async with other.online():
            await other.receive(house, box(1, 2), product="CEF")
    command = [str(EDGE), "run", "--config", str(config)]
    station = ManagedProcess("station", command, tmp_path / "station.log")
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(
        f"http://127.0.0.1:{port}", cookie_jar=jar, headers={"Accept": "application/json"}
    ) as session:
        await station.start()
        await wait_for(session, "is_connected")
        await house.recall(product="CEF")
        report = await wait_for(session, "recall_version")
        await wait_for(session, "recalled_here")
        await station.kill()
        await house.broker.kill()
        await station.start()
        again = await wait_for(session, "recall_version")
        assert again["recall_version"] == report["recall_version"]
        assert [each["recall"][0] for each in again["recalled_here"]] == ["R1"]
        assert not again["is_connected"]
        async with session.post("/sign-in", json={"person": "N1", "pin": "2468"}) as answer:
            assert answer.status == 200, await answer.text()
        async with session.post("/step", json={"step": "prescan"}) as answer:
            assert answer.status == 200
        async with session.post("/scan", json={"code": box(1, 2)}) as answer:
            verdict = await answer.json()
        assert (answer.status, verdict["reason"]) == (409, "recalled")
        assert "particles" in verdict["found"]
        await station.stop()
        await house.broker.start()
