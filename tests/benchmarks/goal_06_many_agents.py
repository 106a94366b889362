"""Goal 6: a hundred agents send at once; what waits is committed together, against the raw loop that coalesces too."""

import time
from contextlib import closing

from central.sync.inbox import Letter
from central.sync.ingest import COALESCED
from sync_protocol.facts import What
from tests.benchmarks import office, pool
from tests.benchmarks.measuring import Bench, Figures, Result, at_least
from tests.benchmarks.office import BATCH, Chain, Office
from tests.benchmarks.raw_ledger import RawLedger

GOAL = 6
AGENTS = 100
FACTS = 300
"""Of each agent, in a round."""
RAW_COALESCED = 8


async def measure(bench: Bench) -> list[Result]:
    agents = bench.count(AGENTS, least=COALESCED)
    facts = min(FACTS, BATCH)
    folder = await office.stocked(bench, "goal-06", stock=max(pool.NOTE, agents * facts))
    own_chains = [Chain(f"agent-{number}") for number in range(agents)]
    raw_chains = [Chain(f"raw-{number}") for number in range(agents)]
    with closing(Office(folder)) as central, closing(RawLedger(folder / "raw.db", agents * facts)) as ledger:

        def letters(chains: list[Chain], number: int) -> list[Letter]:
            moment, what = central.time.moment(), What.PUT_BACK if number % 2 else What.TAKEN
            seen = central.ledger.version
            return [
                chain.letter(office.moves(what, place * facts, facts, moment, seen=seen))
                for place, chain in enumerate(chains)
            ]

        async def raw(number: int) -> Figures:
            waiting = [letter.data for letter in letters(raw_chains, number)]
            began_s = time.perf_counter()
            for first in range(0, agents, RAW_COALESCED):
                ledger.take(waiting[first : first + RAW_COALESCED])
            return [agents * facts / (time.perf_counter() - began_s)]

        async def own(number: int) -> Figures:
            waiting = letters(own_chains, number)
            began_s = time.perf_counter()
            for first in range(0, agents, COALESCED):
                await central.take(waiting[first : first + COALESCED])
            rate = agents * facts / (time.perf_counter() - began_s)
            assert central.facts_of(own_chains[-1].device) == (number + 1) * facts
            return [rate]

        rounds = await bench.alternate(raw=raw, own=own, is_on_disk=True)
    return [
        rounds.result(
            goal=GOAL,
            name=f"facts of {agents} agents into the ledger, a second",
            floor=at_least(50_000, "value"),
            aim=at_least(0.9),
            note=f"raw: {RAW_COALESCED} batches a FULL transaction",
        )
    ]
