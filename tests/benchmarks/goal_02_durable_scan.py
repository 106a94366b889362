"""Goal 2: one scanner, one scan after the other, each awaited until its commit is on the disk."""

import time
from contextlib import closing

from sync_protocol.codec import encode_fact
from tests.benchmarks import pool
from tests.benchmarks.measuring import Bench, Figures, Result, at_most, percentile, since_us
from tests.benchmarks.workplace import Workplace

GOAL = 2
SCANS = 2_500


async def measure(bench: Bench) -> list[Result]:
    size = bench.count(pool.MILLION, least=2_000)
    scans = bench.count(SCANS, least=20)
    numbers = pool.sample(3 * scans, size, seed=2)
    raw_path = pool.raw_table(bench, size)
    here = Workplace(bench.place("goal-02"), await pool.replica(bench, size))
    with closing(here), closing(pool.connect_raw(raw_path)) as connection:
        body = encode_fact(pool.taken(1, here.recorder.moment()))

        async def raw(number: int) -> Figures:
            spent = []
            for one in numbers[number * scans : (number + 1) * scans]:
                key = pool.code(one)
                began_ns = time.perf_counter_ns()
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("SELECT state FROM item WHERE code = ?", (key,)).fetchone()
                connection.execute("INSERT INTO fact(body) VALUES (?)", (body,))
                connection.execute("UPDATE item SET state = 'taken', version = 2 WHERE code = ?", (key,))
                connection.execute("COMMIT")
                spent.append(since_us(began_ns) / 1e3)
            return percentile(spent, 50), percentile(spent, 99)

        async def own(number: int) -> Figures:
            spent = []
            for one in numbers[number * scans : (number + 1) * scans]:
                fact = pool.taken(one, here.recorder.moment())
                began_ns = time.perf_counter_ns()
                await here.recorder.record(fact)
                spent.append(since_us(began_ns) / 1e3)
            return percentile(spent, 50), percentile(spent, 99)

        rounds = await bench.alternate(raw=raw, own=own, is_on_disk=True)
    note = "raw: lookup, insert, update, one FULL transaction"
    return [
        rounds.result(goal=GOAL, name="durable scan, p50, ms", floor=at_most(2.5), aim=at_most(1.2), note=note),
        rounds.result(goal=GOAL, name="durable scan, p99, ms", figure=1, floor=at_most(3), aim=at_most(1.5), note=note),
    ]
