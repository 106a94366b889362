"""Goal 1: does this code fit in this step? Decided among a million codes, against the barest lookup of one row."""

import time
from collections.abc import Sequence
from contextlib import closing

from edge_agent.check import Stock
from sync_protocol.facts import Fact
from sync_protocol.lifecycle import fold
from tests.benchmarks import pool
from tests.benchmarks.measuring import Bench, Figures, Result, at_most, percentile, since_us
from tests.benchmarks.workplace import Workplace

GOAL = 1
DECISIONS = 10_000
TOUCHED = 1_000
"""Items in the overlay: what a busy agent has not seen confirmed."""


async def measure(bench: Bench) -> list[Result]:
    size = bench.count(pool.MILLION, least=2_000)
    raw_path = pool.raw_table(bench, size)
    here = Workplace(bench.place("goal-01"), await pool.replica(bench, size))
    with closing(here), closing(pool.connect_raw(raw_path)) as connection:
        await here.recorder.record(
            *(pool.taken(number, here.recorder.moment()) for number in pool.sample(bench.count(TOUCHED), size, seed=0))
        )

        async def raw(number: int) -> Figures:
            spent = []
            for one in pool.sample(bench.count(DECISIONS), size, seed=number + 1):
                key = pool.code(one)
                began_ns = time.perf_counter_ns()
                connection.execute("SELECT state FROM item WHERE code = ?", (key,)).fetchone()
                spent.append(since_us(began_ns))
            return [percentile(spent, 50)]

        async def own(number: int) -> Figures:
            moment = here.recorder.moment()
            facts = [pool.taken(one, moment) for one in pool.sample(bench.count(DECISIONS), size, seed=number + 1)]
            return [percentile(decide(here.stock, facts), 50)]

        rounds = await bench.alternate(raw=raw, own=own, is_on_disk=False)
    name = f"local decision among {size:,} codes, p50, µs"
    return [rounds.result(goal=GOAL, name=name, floor=at_most(3), aim=at_most(1.5), note="overlay, replica, lifecycle")]


def decide(stock: Stock, facts: Sequence[Fact]) -> list[float]:
    """Microseconds of each decision."""
    spent = []
    for fact in facts:
        began_ns = time.perf_counter_ns()
        key = fact.codes[0]
        item = stock.item(key)
        fold(fact, {} if item is None else {key: item})
        spent.append(since_us(began_ns))
    return spent
