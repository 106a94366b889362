"""Goal 9: an empty replica of a million codes is bootstrapped over loopback, verified, against a copy of the file."""

import asyncio
import contextlib
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

import msgspec
import zstandard
from aiohttp import web

from central.api.snapshots import add_routes
from central.changes import Changes
from central.clock import HospitalTime
from central.clock import SystemClock as CentralClock
from central.ledger import rows, snapshot, statements, store
from central.ledger.write import Ledger
from central.sync.publish import Publisher
from central.sync.snapshots import FOLDER, Policy, Snapshots
from edge_agent.clock import SystemClock, Watch
from edge_agent.store.replica import Replica
from edge_agent.sync.copying import Copying
from edge_agent.sync.fetching import Fetcher
from sync_protocol import envelope
from sync_protocol.codec import decode_down, encode_fact
from sync_protocol.envelope import Voice
from sync_protocol.facts import Fact, Moment, What
from sync_protocol.machines.bootstrap import Fetched, Missed
from sync_protocol.messages import Delta, Down, Offer, Pull, Welcome
from tests.benchmarks import pool
from tests.benchmarks.measuring import Bench, Figures, Result, at_most
from tests.benchmarks.office import secret_of

GOAL = 9
ZONE = ZoneInfo("Asia/Shanghai")
_DEVICE = "cabinet-1"


async def measure(bench: Bench) -> list[Result]:
    size = bench.count(pool.MILLION, least=20_000)
    folder = bench.place("goal-9")
    path = _ledger(bench, folder, size)
    raw_file, made_s, packed = _snapshot(bench, folder, path)
    with closing(Ledger(path, HospitalTime(CentralClock(), ZONE), Changes(), lambda: b"0" * 16)) as ledger:
        async with _served(ledger, folder) as (central, site):

            async def raw(number: int) -> Figures:
                target = folder / f"copy-{number}"
                began_s = time.perf_counter()
                shutil.copyfile(raw_file, target)
                spent_s = time.perf_counter() - began_s
                target.unlink()
                return [spent_s]

            async def own(number: int) -> Figures:
                agent = bench.place(f"goal-9/agent-{number}")
                spent_s = await _bootstrap(agent, central, site, size)
                shutil.rmtree(agent)
                return [spent_s]

            measured = await bench.alternate(raw=raw, own=own, is_on_disk=True)
    note = (
        f"{size:,} codes, {packed / 1e6:.1f} MB over HTTP, {raw_file.stat().st_size / 1e6:.0f} MB unpacked; made in"
        f" {made_s:.1f} s beside the work; raw: a copy of the file"
    )
    return [measured.result(goal=GOAL, name="bootstrap, s", floor=at_most(1.0, of="value"), aim=at_most(8), note=note)]


def _ledger(bench: Bench, folder: Path, size: int) -> Path:
    """A ledger with the items alone: a replica has nothing else of it."""
    bench.say(f"filling a ledger with {size:,} codes …")
    path = store.prepare(folder, now_us=0)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        items = (rows.new_item_row(pool.item(number), number // pool.NOTE + 1, 0) for number in range(size))
        connection.executemany(statements.ADD_ITEM, items)
        notes = range(1, (size - 1) // pool.NOTE + 2)
        connection.executemany(statements.ADD_FACT, [_note(number, size) for number in notes])
        connection.execute(statements.WRITE_META, ("version", str(notes[-1])))
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with closing(Ledger(path, HospitalTime(CentralClock(), ZONE), Changes(), lambda: b"0" * 16)):
        return path  # woken once: it has its incarnation


def _note(number: int, size: int) -> tuple[object, ...]:
    """The fact that a note of pieces was received: from facts central knows what an agent lacks."""
    codes = tuple(pool.code(one) for one in range((number - 1) * pool.NOTE, min(size, number * pool.NOTE)))
    body = encode_fact(
        Fact(what=What.RECEIVED, codes=codes, at=Moment(wall_us=0, mono_us=0), location="w", document="N")
    )
    return (number, b"0" * 16, number, "station-1", What.RECEIVED.value, body, b"", number, 0, 0, "", "", "", b"")


def _snapshot(bench: Bench, folder: Path, path: Path) -> tuple[Path, float, int]:
    """An unpacked one to copy; how long the shipping code takes to make one, and its size."""
    bench.say("making the snapshot …")
    where = folder / FOLDER
    where.mkdir()
    began_s = time.perf_counter()
    made = snapshot.make(path, where, now_us=CentralClock().wall_us(), is_stopped=threading.Event())
    spent_s = time.perf_counter() - began_s
    (where / "kept.json").write_bytes(msgspec.json.encode([made]))
    raw = folder / "raw.db"
    with (where / made.file).open("rb") as packed, raw.open("wb") as target:
        zstandard.ZstdDecompressor().copy_stream(packed, target)
    return raw, spent_s, made.size


@contextlib.asynccontextmanager
async def _served(ledger: Ledger, folder: Path) -> AsyncIterator[tuple["_Central", str]]:
    snapshots = Snapshots(ledger, folder, Policy(rows=1_000))
    app = web.Application()
    add_routes(app, snapshots)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield _Central(ledger, snapshots), f"http://{host}:{port}"
    finally:
        await runner.cleanup()


class _Central:
    """Answers pulls without a broker."""

    is_up = True

    def __init__(self, ledger: Ledger, snapshots: Snapshots) -> None:
        self.ledger = ledger
        secret = secret_of("central")
        voice = Voice(os.urandom(16), secret.sign)
        self._publisher = Publisher(ledger, self, voice, key=secret.public, snapshots=snapshots)
        self._said = b""

    def answer(self, pull: Pull) -> Down:
        self._publisher.answer(_DEVICE, pull)
        return decode_down(envelope.read(self._said).message)

    def send(self, _topic: str, data: bytes) -> None:
        self._said = data


async def _bootstrap(folder: Path, central: _Central, site: str, size: int) -> float:
    """Seconds from the first pull to a replica that answers."""
    watch = Watch(SystemClock(), ZONE)
    pulls: asyncio.Queue[Pull] = asyncio.Queue()
    ends: asyncio.Queue[Fetched | Missed] = asyncio.Queue()
    fetcher = Fetcher(site, folder, watch=watch, random=Random(1))
    running = asyncio.create_task(fetcher.run(ends.put, lambda _: None))
    with closing(Replica(folder / "replica.db")) as replica:
        copying = Copying(replica, watch=watch, tell=lambda _: None, send=pulls.put_nowait, fetcher=fetcher)
        began_s = time.perf_counter()
        ledger = central.ledger
        await copying.rebuild(ledger.incarnation, ledger.version)
        await copying.welcomed(Welcome(positions=(), version=ledger.version, incarnation=ledger.incarnation))
        while replica.version < ledger.version:
            await _exchange(copying, central, pulls, ends)
        assert replica.query("SELECT count(*) FROM item WHERE code = ?", pool.code(size - 1)) == [(1,)]
        spent_s = time.perf_counter() - began_s
    running.cancel()
    await asyncio.wait({running})
    return spent_s


async def _exchange(
    copying: Copying, central: _Central, pulls: asyncio.Queue[Pull], ends: asyncio.Queue[Fetched | Missed]
) -> None:
    if pulls.empty():
        ended = await ends.get()
        assert isinstance(ended, Fetched), ended
        await copying.ended(ended)
        return
    answer = central.answer(pulls.get_nowait())
    if isinstance(answer, Offer):
        await copying.offered(answer)
    else:
        assert isinstance(answer, Delta)
        await copying.arrived(answer)
