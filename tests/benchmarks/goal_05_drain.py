"""Goal 5: a backlog drains from the journal to acks of the ledger, exactly once, over a real broker.

Agent, broker and central are three processes, as they are in a hospital; the raw loop is one and has no wire.
"""

import time
from contextlib import closing
from pathlib import Path

from sync_protocol.facts import Moment, What
from tests.benchmarks import office, pool, wire
from tests.benchmarks.measuring import ROUNDS, Bench, Figures, Result, at_least
from tests.benchmarks.office import BATCH, Chain, Office
from tests.benchmarks.raw_ledger import RawLedger
from tests.benchmarks.workplace import DEVICE, Workplace

GOAL = 5
FACTS = 30_000


async def measure(bench: Bench) -> list[Result]:
    facts = bench.count(FACTS // BATCH) * BATCH
    folder = await office.stocked(bench, "goal-05", stock=max(pool.NOTE, ROUNDS * facts))
    chain = Chain("raw")
    with closing(RawLedger(folder / "raw.db", ROUNDS * facts)) as ledger:
        async with wire.central(folder) as port:

            async def raw(number: int) -> Figures:
                letters = [
                    chain.letter(office.moves(What.TAKEN, first, BATCH, Moment(wall_us=1, mono_us=1)))
                    for first in range(number * facts, (number + 1) * facts, BATCH)
                ]
                began_s = time.perf_counter()
                for letter in letters:
                    ledger.take([letter.data])
                return [facts / (time.perf_counter() - began_s)]

            async def own(number: int) -> Figures:
                with closing(Workplace(folder / "agent", folder / "replica.db")) as here:
                    for first in range(number * facts, (number + 1) * facts, BATCH):
                        await here.recorder.record(*office.moves(What.TAKEN, first, BATCH, here.recorder.moment()))
                    recorded = here.journal.head
                    async with wire.syncing(here, port) as link:
                        await wire.until(lambda: link.through == recorded)
                        ended_s = time.perf_counter()
                        assert link.up_s is not None
                return [facts / (ended_s - link.up_s)]

            rounds = await bench.alternate(raw=raw, own=own, is_on_disk=True)
        _check(folder, ROUNDS * facts)
    return [
        rounds.result(
            goal=GOAL,
            name="drain, facts from journal to ledger ack, a second",
            floor=at_least(0.5),
            aim=at_least(0.9),
            note=f"mosquitto; raw: {BATCH} facts a FULL transaction, no wire",
        )
    ]


def _check(folder: Path, facts: int) -> None:
    """Every fact is in the ledger once."""
    with closing(Office(folder)) as central:
        found = central.facts_of(DEVICE)
    assert found == facts, f"the ledger holds {found} facts, {facts} were recorded"
