"""A backlog of an agent drains while work goes on there (fault 29): how long what is recorded now takes to be safe.

``python -m tests.scale.backlog --facts 1000000 --json out.json``
"""

import argparse
import asyncio
import tempfile
import time
from contextlib import closing
from pathlib import Path

import msgspec

from sync_protocol.facts import Fact, What
from sync_protocol.messages import Ack
from tests.benchmarks import office, pool
from tests.benchmarks.measuring import Bench
from tests.benchmarks.office import Office
from tests.scale.hospital import Agent, hospital, peak_mb, quantile, tell, until

DEVICE = "cabinet-1"
STOCK = 60_000
LIVE = 2_000
"""Pieces of the stock that are moved now, and not in the backlog."""
EVERY_S = 0.05
_BATCH = 500


class Figures(msgspec.Struct, kw_only=True):
    """``live_p95_s``: from the scan on the disk to central's word that it has it; ``whole_s``: all drained.

    ``in_order_p95_s``: to the ledger, in its order. ``lost``, ``twice``, ``exceptions``: of all facts.
    """

    facts: int
    live: int
    live_p50_s: float
    live_p95_s: float
    live_max_s: float
    in_order_p95_s: float
    whole_s: float
    facts_a_s: float
    agent_mb: float
    agent_growth_mb: float
    central_mb: float
    largest_message: int
    lost: int
    exceptions: int


class _Live:
    """When each fact of the present was recorded, and when central said that it has it."""

    def __init__(self, agent: Agent) -> None:
        self.recorded: dict[tuple[bytes, int], float] = {}
        self.held: dict[tuple[bytes, int], float] = {}
        self.in_order: dict[tuple[bytes, int], float] = {}
        agent.on_ack = self.acked

    def acked(self, ack: Ack, at_s: float) -> None:
        for told, known in ((max(ack.through, ack.held), self.held), (ack.through, self.in_order)):
            for key in self.recorded.keys() - known.keys():
                if key[0] == ack.session and key[1] <= told:
                    known[key] = at_s

    def seconds(self, known: dict[tuple[bytes, int], float]) -> list[float]:
        return [known[key] - at_s for key, at_s in self.recorded.items()]


async def measure(folder: Path, facts: int) -> Figures:
    stock = min(STOCK, max(2 * LIVE, facts))
    place = await office.stocked(Bench(folder=folder), "ledger", stock=stock)
    async with hospital(place) as there:
        agent = Agent(place / "agent", there.broker.port, DEVICE, replica=place / "replica.db")
        with closing(agent):
            await _fill(agent, facts, stock - LIVE)
            before_mb = peak_mb()
            live, began_s = _Live(agent), time.perf_counter()
            async with agent.online() as running:
                await until(lambda: agent.shell.state.is_welcome, running)
                await _work(agent, live, running, stock)
                await until(lambda: agent.waiting == 0, running)
            whole_s = time.perf_counter() - began_s
            recorded = facts + len(live.recorded)
        central_mb = there.central_mb
    with closing(Office(place)) as books:
        found = books.facts_of(DEVICE)
        ((exceptions,),) = books.ledger.connection.execute("SELECT count(*) FROM exception").fetchall()
    held_s = live.seconds(live.held)
    return Figures(
        facts=facts,
        live=len(held_s),
        live_p50_s=quantile(held_s, 0.5),
        live_p95_s=quantile(held_s, 0.95),
        live_max_s=quantile(held_s, 1.0),
        in_order_p95_s=quantile(live.seconds(live.in_order), 0.95),
        whole_s=round(whole_s, 2),
        facts_a_s=round(recorded / whole_s),
        agent_mb=peak_mb(),
        agent_growth_mb=round(peak_mb() - before_mb, 1),
        central_mb=central_mb,
        largest_message=agent.largest_batch,
        lost=recorded - found,
        exceptions=exceptions,
    )


async def _fill(agent: Agent, facts: int, stock: int) -> None:
    """Pieces are taken and put back, in turn, for as long as it takes."""
    done = 0
    while done < facts:
        lap, first = divmod(done, stock)
        count = min(_BATCH, facts - done, stock - first)
        what = What.PUT_BACK if lap % 2 else What.TAKEN
        await agent.here.recorder.record(*office.moves(what, first, count, agent.here.recorder.moment()))
        done += count


async def _work(agent: Agent, live: _Live, running: asyncio.Task[None], stock: int) -> None:
    """Somebody takes pieces and puts them back for as long as the backlog drains, and a little longer."""
    number, backlog = 0, set(agent.here.journal.lines)
    while number < 2 * LIVE:
        if running.done():
            running.result()
        piece, is_back = stock - LIVE + number // 2, number % 2
        moment = agent.here.recorder.moment()
        fact: Fact = pool.put_back(piece, moment) if is_back else pool.taken(piece, moment)
        (identity,) = (await agent.here.recorder.record(fact)).ids
        live.recorded[identity.session, identity.seq] = time.perf_counter()
        number += 1
        lines = agent.here.journal.lines
        if number >= 20 and all(lines[one].acked == lines[one].head for one in backlog if one != identity.session):
            return
        await asyncio.sleep(EVERY_S)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--facts", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tell(asyncio.run(measure(Path(folder), asked.facts)), asked.json)


if __name__ == "__main__":
    main()
