"""Goal 10: a replica that was away catches up, against the raw apply of sorted rows; scans go on meanwhile."""

import asyncio
import itertools
import shutil
import sqlite3
import time
from collections.abc import Coroutine, Iterator
from contextlib import closing
from random import Random
from typing import Any

import msgspec

from central.sync.publish import MAX_ROWS
from edge_agent.clock import SystemClock
from edge_agent.store.replica import Replica
from edge_agent.sync.comparing import PAUSE_S
from sync_protocol.items import State
from sync_protocol.machines import downlink
from sync_protocol.messages import Delta, Rows
from tests.benchmarks import pool
from tests.benchmarks.measuring import Bench, Figures, Result, at_least, at_most, percentile, since_us
from tests.benchmarks.workplace import Workplace

GOAL = 10
POOL = 100_000
SCANS = 1_500
_PUT = "INSERT OR REPLACE INTO item(code, body) VALUES (?, ?)"
_STATES = (State.TAKEN, State.IN_STOCK, State.DISPENSED)


async def measure(bench: Bench) -> list[Result]:
    size = bench.count(POOL, least=2 * MAX_ROWS)
    folder = bench.place("goal-10")
    shutil.copy(await pool.replica(bench, size), folder / "replica.db")
    here = Workplace(folder / "agent", folder / "replica.db")
    with closing(here), closing(_raw_table(bench)) as connection:

        async def raw(number: int) -> Figures:
            batches = [
                sorted((item.code, _encode(item)) for page in pages for item in page.items)
                for pages in _gathered(_changes(size, number))
            ]
            began_s = time.perf_counter()
            for batch in batches:
                connection.execute("BEGIN")
                connection.executemany(_PUT, batch)
                connection.execute("COMMIT")
            return [size / (time.perf_counter() - began_s)]

        async def own(number: int) -> Figures:
            changes = _changes(size, number)
            began_s = time.perf_counter()
            await _apply(here.replica, changes)
            return [size / (time.perf_counter() - began_s)]

        async def idle(seed: int) -> Figures:
            return await _scan(here, size, seed, bench.count(SCANS, least=20))

        async def beside(work: Coroutine[Any, Any, None], seed: int) -> Figures:
            """As many scans as of an idle agent: of a tenth of them the last hundredth is one or two, and chance."""
            working = asyncio.create_task(work)
            spent = await idle(seed)
            working.cancel()
            await asyncio.wait({working})
            return spent

        async def busy(number: int) -> Figures:
            changes = [_changes(size, number + turn) for turn in range(len(_STATES))]
            return await beside(_apply_on(here.replica, changes), number + 10)

        catching_up = await bench.alternate(raw=raw, own=own, is_on_disk=True)

        async def comparing(number: int) -> Figures:
            return await beside(_sum_up(here.replica), number + 20)

        scanning = await bench.alternate(raw=idle, own=busy, is_on_disk=True)
        compared = await bench.alternate(raw=idle, own=comparing, is_on_disk=True)
    return [
        catching_up.result(
            goal=GOAL,
            name="replica catch-up, rows a second",
            floor=at_least(0.5),
            aim=at_least(0.8),
            note=f"{downlink.GATHERED:,} rows a commit, in pages of {MAX_ROWS:,}; raw: sorted, code and body only",
        ),
        scanning.result(
            goal=GOAL,
            name="scan p99 while it catches up, ms",
            floor=at_most(3),
            aim=at_most(2),
            note="raw: scan p99 of an idle agent",
        ),
        compared.result(
            goal=GOAL,
            name="scan p99 while it is compared with the ledger, ms",
            floor=at_most(3),
            aim=at_most(2),
            note="raw: scan p99 of an idle agent",
        ),
    ]


def _raw_table(bench: Bench) -> sqlite3.Connection:
    connection = pool.connect_raw(bench.place("goal-10") / "raw.db")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("CREATE TABLE item(code TEXT PRIMARY KEY, body BLOB) WITHOUT ROWID")
    return connection


def _changes(size: int, number: int) -> list[Rows]:
    """Every piece of the pool in another state, in the deltas that a pull brings."""
    state = _STATES[number % len(_STATES)]
    order = list(range(size))
    Random(number).shuffle(order)
    return [
        Rows(items=tuple(pool.item(one, state=state) for one in sorted(order[first : first + MAX_ROWS])))
        for first in range(0, size, MAX_ROWS)
    ]


def _gathered(changes: list[Rows]) -> Iterator[list[Rows]]:
    """The pages that are written together (``downlink.GATHERED``)."""
    pages = downlink.GATHERED // MAX_ROWS
    return (changes[first : first + pages] for first in range(0, len(changes), pages))


async def _apply(replica: Replica, changes: list[Rows]) -> None:
    latest = replica.version + len(changes)
    for pages in _gathered(changes):
        first = replica.version
        deltas = [
            Delta(after=version, to=version + 1, rows=rows, latest=latest) for version, rows in enumerate(pages, first)
        ]
        await replica.apply(downlink.joined(deltas), as_of_us=SystemClock().wall_us())


async def _apply_on(replica: Replica, changes: list[list[Rows]]) -> None:
    """Catching up that never ends."""
    for each in itertools.cycle(changes):
        await _apply(replica, each)


async def _sum_up(replica: Replica) -> None:
    """As ``edge_agent.sync.comparing`` does, again and again."""
    while True:
        scan = replica.scan()
        while scan.step() is None:  # noqa: ASYNC110 -- it is the pace, nothing is waited for
            await asyncio.sleep(PAUSE_S)


async def _scan(here: Workplace, size: int, seed: int, scans: int) -> Figures:
    """What scanners see that scan whenever they like, whatever the agent does."""
    chance, spent = Random(seed), []
    for _ in range(scans):
        fact = pool.taken(chance.randrange(size), here.recorder.moment())
        await asyncio.sleep(chance.uniform(0.0, 0.004))
        began_ns = time.perf_counter_ns()
        await here.recorder.observe(fact)
        spent.append(since_us(began_ns) / 1e3)
    return [percentile(spent, 99)]


_encode = msgspec.msgpack.Encoder().encode
