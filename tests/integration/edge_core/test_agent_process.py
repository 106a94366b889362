"""``codepool-edge`` as a process: what it says and ends with when something is wrong, and when nothing is."""

import asyncio
import itertools
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import aiohttp
import pytest

from edge_agent.clock import SystemClock
from edge_agent.errors import Exit
from edge_agent.store.outgoing import waiting
from edge_agent.sync.leasing import Share
from edge_agent.sync.link import MqttLink
from edge_agent.sync.shell import SyncShell
from hardware_sims.broker import Brand, Broker
from sync_protocol.documents import Route
from tests.integration.edge_core.scans import PREPARED, prepare
from tests.integration.edge_core.tiny_central import TinyCentral
from tests.unit.edge_core.shelf import DEVICE, Shelf, piece

EDGE = Path(sys.executable).with_name("codepool-edge")
SCANS = Path(__file__).with_name("scans.py")
CONFIG = """\
[agent]
device = "cabinet-1"
location = "ward-3"
workplace = "station"
data = "{data}"
reserve_mb = 1
[central]
mqtt = "mqtt://127.0.0.1:{broker}"
[screen]
port = {port}
[[devices]]
name = "scanner-1"
driver = "scanner-serial"
url = "{data}/scanner"
[station]
scanner = "scanner-1"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return _config(tmp_path)


def _config(tmp_path: Path, *, port: int = 0, broker: int = 9, data: str = "") -> Path:
    path = tmp_path / "edge.toml"
    path.write_text(CONFIG.format(data=data or tmp_path / "data", port=port, broker=broker), "utf-8")
    return path


def _rewrite(config: Path, *changes: tuple[str, str]) -> None:
    text = config.read_text("utf-8")
    for old, new in changes:
        text = text.replace(old, new)
    config.write_text(text, "utf-8")


def _edge(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [str(EDGE), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, encoding="utf-8", timeout=60, check=False)


async def _refused(config: Path) -> tuple[int, str]:
    """Exit status and the last thing said by an agent that cannot start."""
    ended = await asyncio.to_thread(_edge, "run", "--config", config)
    said = ended.stderr.partition("codepool-edge: ")[2]
    assert "Traceback" not in ended.stderr
    assert 0 < len(said.splitlines()) <= 24, "one screen"
    return ended.returncode, said


@asynccontextmanager
async def _running(config: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """An agent that is ready, and the address of its screens."""
    process = await asyncio.create_subprocess_exec(
        str(EDGE), "run", "--config", str(config), stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(30):
            line = b""
            while b'"ready"' not in line:
                line = await process.stderr.readline()
                assert line, "the agent ended before it was ready"
        draining = asyncio.create_task(process.stderr.read())
        yield process, json.loads(line)["url"]
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(20):
            await draining
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_wrong_configuration_ends_with_78_and_names_every_mistake(tmp_path: Path, config: Path) -> None:
    again = '[[devices]]\nname = "scanner-1"\ndriver = "scanner-serial"\nurl = "/x"\n'
    _rewrite(
        config,
        ("port = 0\n", ""),
        ("scanner-serial", "scanner-x"),
        ("mqtt://", "amqp://"),
        ("[station]", f"{again}[station]"),
    )
    status, said = await _refused(config)
    assert status == 78
    for field in ("screen.port", "devices[1]", "devices[2].name", "central.mqtt"):
        assert field in said
    assert (await asyncio.to_thread(_edge, "check-config", "--config", config)).returncode == 78
    assert not (tmp_path / "data").exists()


async def test_a_file_that_cannot_be_read_ends_with_66(tmp_path: Path) -> None:
    status, said = await _refused(tmp_path / "none.toml")
    assert status == 66
    assert "none.toml: No such file or directory" in said


async def test_a_port_in_use_ends_with_69_and_writes_no_journal(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, said = await _refused(_config(tmp_path, port=port))
    assert status == 69
    assert f"port {port} of 127.0.0.1 is in use" in said
    assert not (tmp_path / "data" / "journal.db").exists()


async def test_an_address_of_another_machine_is_a_mistake_of_the_configuration(tmp_path: Path, config: Path) -> None:
    _rewrite(config, ("port = 0", 'port = 0\nhost = "192.0.2.1"'))
    status, said = await _refused(config)
    assert (status, "screen.host: found '192.0.2.1'" in said) == (78, True)
    assert not (tmp_path / "data" / "journal.db").exists()


@pytest.mark.fault(11)
async def test_a_second_agent_ends_with_75_and_the_first_goes_on(tmp_path: Path, config: Path) -> None:
    async with _running(config) as (process, url):
        status, said = await _refused(config)
        assert status == 75
        assert f"process {process.pid}" in said
        async with aiohttp.ClientSession() as session, session.get(f"{url}healthz") as answer:
            assert answer.status == 200
            assert (await answer.json())["device"] == "cabinet-1"
        running = await asyncio.to_thread(_edge, "status", "--data", tmp_path / "data")
        assert running.stdout == "cabinet-1: all 0 facts are in the ledger; the agent runs\n"
    assert process.returncode == 0
    assert not (tmp_path / "data" / "journal.db-wal").exists()


async def test_a_data_folder_that_cannot_be_written_ends_with_74(tmp_path: Path) -> None:
    status, said = await _refused(_config(tmp_path, data="/proc/none/data"))
    assert status == 74
    assert "/proc/none/data" in said


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
async def test_a_full_disk_at_the_start_ends_with_74(tmp_path: Path, config: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    fill = f"head -c 200k /dev/zero > {data}/ballast; exec {EDGE} run --config {config}"
    program = f"mount -t tmpfs -o size=200k none {data} && {{ {fill}; }}"
    command = ["unshare", "-m", "sh", "-c", program]
    ended = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, encoding="utf-8", timeout=60, check=False
    )
    assert ended.returncode == 74
    assert "full" in ended.stderr or "No space left" in ended.stderr


async def test_a_damaged_journal_ends_with_65_and_salvage_saves_what_is_intact(tmp_path: Path, config: Path) -> None:
    data = tmp_path / "data"
    await prepare(data, facts=40)
    content = bytearray((data / "journal.db").read_bytes())
    middle = content.index(b"reader-1", len(content) // 3)
    content[middle - 30 : middle] = os.urandom(30)
    (data / "journal.db").write_bytes(content)
    before = bytes(content)
    status, said = await _refused(config)
    assert status == 65
    assert "codepool-edge salvage --data" in said
    assert (data / "journal.db").read_bytes() == before
    saved = await asyncio.to_thread(_edge, "salvage", "--data", data, "--out", tmp_path / "saved.jsonl")
    assert saved.returncode == 0
    lines = [json.loads(line) for line in (tmp_path / "saved.jsonl").read_text("utf-8").splitlines()]
    assert sum(line["is_proven"] for line in lines) >= 38
    again = await asyncio.to_thread(_edge, "salvage", "--data", data, "--out", tmp_path / "saved.jsonl")
    assert again.returncode == 74


async def test_a_journal_of_newer_software_ends_with_76(tmp_path: Path, config: Path) -> None:
    await prepare(tmp_path / "data")
    with sqlite3.connect(tmp_path / "data" / "journal.db") as raw:
        raw.execute("PRAGMA user_version = 99")
    raw.close()
    status, said = await _refused(config)
    assert status == 76
    assert "newer software wrote this journal" in said


async def test_status_tells_what_waits_without_an_agent(tmp_path: Path) -> None:
    await prepare(tmp_path / "data", facts=3)
    asked = await asyncio.to_thread(_edge, "status", "--data", tmp_path / "data")
    assert asked.stdout.startswith("cabinet-1: 3 of 3 facts are not in the ledger yet, the oldest ")
    assert asked.stdout.endswith(" old; no agent runs\n")
    as_json = await asyncio.to_thread(_edge, "status", "--json", "--data", tmp_path / "data")
    assert json.loads(as_json.stdout)["facts_waiting"] == 3
    nothing = await asyncio.to_thread(_edge, "status", "--data", tmp_path)
    assert (nothing.returncode, "there is no journal" in nothing.stderr) == (74, True)


def test_help_names_every_exit_status() -> None:
    text = _edge("--help").stdout
    assert all(f"  {int(status)}  " in text for status in Exit)
    assert _edge("fly").returncode == 2


@pytest.mark.mosquitto
async def test_scans_of_agents_that_were_killed_are_drained_in_order_once(tmp_path: Path) -> None:
    data = tmp_path / "data"
    await prepare(data, facts=0)
    said = [await _scan_and_kill(data, after=after) for after in (3, 1, 4)]
    shelf = Shelf(data, clock=SystemClock())
    recorded = [code for fact in shelf.facts() for code in fact.codes]
    assert set(itertools.chain.from_iterable(said)) <= set(recorded)
    assert len(recorded) == len(set(recorded))
    broker, central = Broker(Brand.MOSQUITTO, tmp_path), TinyCentral(*(piece(number) for number in range(PREPARED)))
    await broker.start()
    shell = SyncShell(
        link=MqttLink(host="127.0.0.1", port=broker.port, device=DEVICE, random=Random(1)),
        journal=shelf.journal,
        replica=shelf.replica,
        watch=shelf.watch,
        tell=lambda _rows: None,
        software="test",
        rights=shelf.hand.rights,
        stock=shelf.stock,
        share=Share(location="ward", route=Route.CABINET, want=0),
        recalls=shelf.recorder.recalls,
        identity=shelf.identity,
    )
    async with central.on(broker.port):
        running = asyncio.create_task(shell.run())
        await _until(lambda: waiting(shelf.journal).facts == 0)
        running.cancel()
        await asyncio.wait({running})
    await broker.kill()
    assert [sealed.body for sealed in central.ledger] == [
        body for (body,) in shelf.journal.query("SELECT body FROM fact ORDER BY position")
    ]
    assert len({sealed.id.session for sealed in central.ledger}) == 3
    shelf.close()


async def _scan_and_kill(data: Path, *, after: int) -> list[str]:
    """Codes that a process said OK to before it was killed in the middle of the next scans."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(SCANS), str(data), "100", "1"), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    said: list[str] = []
    async with asyncio.timeout(30):
        while len(said) < after:
            line = (await process.stdout.readline()).decode().split()
            assert line, "the process ended by itself"
            said += line[2:] if line[0] == "OK" else []
        process.send_signal(signal.SIGKILL)
        rest = (await process.stdout.read()).decode().splitlines()
        await process.wait()
    return said + [line.split()[2] for line in rest if line.startswith("OK")]


async def _until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
