"""Goal 3: 64 scanners at once, each waiting for its own scan's commit before the next."""

import asyncio
import time
from contextlib import closing

from sync_protocol.codec import encode_fact
from tests.benchmarks import pool
from tests.benchmarks.measuring import Bench, Figures, Result, at_least
from tests.benchmarks.workplace import Workplace

GOAL = 3
SCANNERS = 64
SCANS = 250
"""Of each scanner, in a round."""


async def measure(bench: Bench) -> list[Result]:
    size = bench.count(pool.MILLION, least=2_000)
    each = bench.count(SCANS, least=2)
    a_round = SCANNERS * each
    numbers = pool.sample(3 * a_round, size, seed=3)
    raw_path = pool.raw_table(bench, size)
    here = Workplace(bench.place("goal-03"), await pool.replica(bench, size))
    with closing(here), closing(pool.connect_raw(raw_path)) as connection:
        body = encode_fact(pool.taken(1, here.recorder.moment()))

        async def raw(number: int) -> Figures:
            keys = [pool.code(one) for one in numbers[number * a_round : (number + 1) * a_round]]
            began_s = time.perf_counter()
            for first in range(0, a_round, SCANNERS):
                connection.execute("BEGIN IMMEDIATE")
                for key in keys[first : first + SCANNERS]:
                    connection.execute("SELECT state FROM item WHERE code = ?", (key,)).fetchone()
                    connection.execute("INSERT INTO fact(body) VALUES (?)", (body,))
                    connection.execute("UPDATE item SET state = 'taken', version = 3 WHERE code = ?", (key,))
                connection.execute("COMMIT")
            return [a_round / (time.perf_counter() - began_s)]

        async def own(number: int) -> Figures:
            moment = here.recorder.moment()
            facts = [pool.taken(one, moment) for one in numbers[number * a_round : (number + 1) * a_round]]

            async def scan(first: int) -> None:
                for fact in facts[first : first + each]:
                    await here.recorder.record(fact)

            began_s = time.perf_counter()
            async with asyncio.TaskGroup() as scanners:
                for scanner in range(SCANNERS):
                    scanners.create_task(scan(scanner * each))
            return [a_round / (time.perf_counter() - began_s)]

        rounds = await bench.alternate(raw=raw, own=own, is_on_disk=True)
    return [
        rounds.result(
            goal=GOAL,
            name=f"durable scans of {SCANNERS} scanners, a second",
            floor=at_least(0.5),
            aim=at_least(0.8),
            note=f"raw: {SCANNERS} lookups, inserts and updates a FULL transaction",
        )
    ]
