"""Goal 14: what a decision costs in a pool a hundred times larger, and a fact of a thousand agents against one's."""

import time
from contextlib import closing

from central.sync.ingest import COALESCED
from sync_protocol.facts import What
from tests.benchmarks import office, pool
from tests.benchmarks.goal_01_local_decision import decide
from tests.benchmarks.measuring import Bench, Figures, Result, at_most, percentile
from tests.benchmarks.office import Chain, Office
from tests.benchmarks.workplace import Workplace

GOAL = 14
SMALL, LARGE = 10_000, pool.MILLION
LOGARITHMIC = 1.5
"""log 1,000,000 / log 10,000."""
FLAT = 1.2
DECISIONS = 10_000
AGENTS = 1_000
LETTERS = 1_000
FACTS = 20
"""Of one letter."""


async def measure(bench: Bench) -> list[Result]:
    return [await _pool(bench), await _agents(bench)]


async def _pool(bench: Bench) -> Result:
    sizes = bench.count(SMALL, least=200), bench.count(LARGE, least=2_000)
    small, large = [
        Workplace(bench.place(f"goal-14-{size}"), await pool.replica(bench, size), device=f"cabinet-{size}")
        for size in sizes
    ]
    with closing(small), closing(large):

        def figures(here: Workplace, size: int, number: int) -> Figures:
            decisions, moment = min(size, bench.count(DECISIONS)), here.recorder.moment()
            facts = [pool.taken(one, moment) for one in pool.sample(decisions, size, seed=number)]
            return [percentile(decide(here.stock, facts), 50)]

        async def in_small(number: int) -> Figures:
            return figures(small, sizes[0], number)

        async def in_large(number: int) -> Figures:
            return figures(large, sizes[1], number)

        rounds = await bench.alternate(raw=in_small, own=in_large, is_on_disk=False)
    return rounds.result(
        goal=GOAL,
        name=f"decision among {sizes[1]:,} codes, p50, µs",
        floor=at_most(LOGARITHMIC),
        aim=None,
        note=f"raw: the same among {sizes[0]:,}; logarithmic is {LOGARITHMIC}",
    )


async def _agents(bench: Bench) -> Result:
    letters, agents = bench.count(LETTERS, least=COALESCED), bench.count(AGENTS, least=COALESCED)
    folder = await office.stocked(bench, "goal-14-ledger", stock=max(pool.NOTE, letters * FACTS))
    one = [Chain("cabinet-1")]
    many = [Chain(f"station-{number}") for number in range(agents)]
    with closing(Office(folder)) as central:

        async def figures(chains: list[Chain]) -> Figures:
            """Out and back again: one is more to do than the other."""
            moment = central.time.moment()
            known = central.ledger.version + 2 * letters  # who puts back has heard that it is out
            waiting = [
                chains[place % len(chains)].letter(office.moves(what, place * FACTS, FACTS, moment, seen=known))
                for what in (What.TAKEN, What.PUT_BACK)
                for place in range(letters)
            ]
            began_s = time.perf_counter()
            for first in range(0, len(waiting), COALESCED):
                await central.take(waiting[first : first + COALESCED])
            return [(time.perf_counter() - began_s) * 1e6 / (len(waiting) * FACTS)]

        async def of_one(_: int) -> Figures:
            return await figures(one)

        async def of_many(_: int) -> Figures:
            return await figures(many)

        await figures(many)  # central meets an agent, and files its session, once
        rounds = await bench.alternate(raw=of_one, own=of_many, is_on_disk=True)
    return rounds.result(
        goal=GOAL,
        name=f"a fact into the ledger, {agents:,} agents, µs",
        floor=at_most(FLAT),
        aim=None,
        note=f"raw: the same of one agent; letters of {FACTS} facts; flat is {FLAT}",
    )
