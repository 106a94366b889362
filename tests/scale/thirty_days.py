"""An agent comes back after thirty days offline (fault 28): everything drains, also when the line is cut on the way.

``python -m tests.scale.thirty_days --days 30 --json out.json``
"""

import argparse
import asyncio
import tempfile
import time
from contextlib import closing
from pathlib import Path

import msgspec

from sync_protocol.facts import What
from sync_protocol.messages import Welcome
from tests.benchmarks import office
from tests.benchmarks.measuring import Bench
from tests.benchmarks.office import Office
from tests.scale.hospital import Agent, hospital, tell, until

DEVICE = "cabinet-1"
A_DAY = 2_000


class Figures(msgspec.Struct, kw_only=True):
    """``cut_at``: facts in the ledger when the broker was killed; ``after_cut``: what central said then that it has."""

    facts: int
    sessions: int
    drain_s: float
    facts_a_s: float
    cut_at: int
    after_cut: int
    journal_mb: float
    lost: int
    exceptions: int


async def measure(folder: Path, days: int) -> Figures:
    place = await office.stocked(Bench(folder=folder), "ledger", stock=A_DAY)
    async with hospital(place) as there:
        for day in range(days):  # the computer is switched on every morning
            agent = Agent(place / "agent", there.broker.port, DEVICE, replica=place / "replica.db")
            with closing(agent):
                what = What.PUT_BACK if day % 2 else What.TAKEN
                for first in range(0, A_DAY, 500):
                    await agent.here.recorder.record(*office.moves(what, first, 500, agent.here.recorder.moment()))
        agent = Agent(place / "agent", there.broker.port, DEVICE, replica=place / "replica.db")
        with closing(agent):
            facts = agent.waiting
            journal_mb = (place / "agent" / "journal.db").stat().st_size / 1e6
            began_s = time.perf_counter()
            async with agent.online() as running:
                await until(lambda: agent.waiting <= facts * 3 // 4, running)
                await there.broker.kill()
                cut_at, heard = facts - agent.waiting, list[int]()
                agent.on_welcome = lambda welcome: heard.append(_reached(agent, welcome))
                await there.broker.start()
                await until(lambda: agent.waiting == 0 and bool(heard), running)
            drain_s = time.perf_counter() - began_s
            sessions = len(agent.here.journal.lines)
    with closing(Office(place)) as books:
        found = books.facts_of(DEVICE)
        ((exceptions,),) = books.ledger.connection.execute("SELECT count(*) FROM exception").fetchall()
    return Figures(
        facts=facts,
        sessions=sessions,
        drain_s=round(drain_s, 2),
        facts_a_s=round(facts / drain_s),
        cut_at=cut_at,
        after_cut=heard[0] if heard else 0,
        journal_mb=round(journal_mb, 1),
        lost=facts - found,
        exceptions=exceptions,
    )


def _reached(agent: Agent, welcome: Welcome) -> int:
    """How many facts of this journal central has by its answer; sessions that were not asked for, it has whole."""
    through = {position.session: position.through for position in welcome.positions}
    return sum(through.get(session, line.head) for session, line in agent.here.journal.lines.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tell(asyncio.run(measure(Path(folder), asked.days)), asked.json)


if __name__ == "__main__":
    main()
