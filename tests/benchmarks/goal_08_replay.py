"""Goal 8: a batch that central has already costs next to nothing, against its first apply."""

import time
from contextlib import closing

from central.sync.inbox import Letter
from sync_protocol.facts import What
from tests.benchmarks import office, pool
from tests.benchmarks.measuring import ROUNDS, Bench, Figures, Result, at_most, percentile, since_us
from tests.benchmarks.office import BATCH, Chain, Office

GOAL = 8
BATCHES = 12


async def measure(bench: Bench) -> list[Result]:
    batches = bench.count(BATCHES)
    folder = await office.stocked(bench, "goal-08", stock=max(pool.NOTE, ROUNDS * batches * BATCH))
    chain = Chain("cabinet-1")
    with closing(Office(folder)) as central:
        sent: list[Letter] = []

        async def take() -> Figures:
            spent = []
            for letter in sent:
                began_ns = time.perf_counter_ns()
                await central.take([letter])
                spent.append(since_us(began_ns) / 1e3)
            return [percentile(spent, 50)]

        async def first(number: int) -> Figures:
            places = range(number * batches * BATCH, (number + 1) * batches * BATCH, BATCH)
            moment, seen = central.time.moment(), central.ledger.version
            sent[:] = [chain.letter(office.moves(What.TAKEN, place, BATCH, moment, seen=seen)) for place in places]
            return await take()

        async def again(_: int) -> Figures:
            version = central.ledger.version
            spent = await take()
            assert central.ledger.version == version, "a replay changed the ledger"
            return spent

        rounds = await bench.alternate(raw=first, own=again, is_on_disk=True)
    return [
        rounds.result(
            goal=GOAL,
            name=f"replayed batch of {BATCH} facts, p50, ms",
            floor=at_most(0.1),
            aim=at_most(0.02),
            note="raw: its first apply",
        )
    ]
