"""Goal 13 of performance.md: edge, broker and central are killed with -9 one after the other, many times over.

Each round ends when all that the journals held is in the ledger; before an agent is killed its line is down for a
moment, so that there is something to drain.
"""

import asyncio
from collections.abc import Callable
from random import Random

from hardware_sims.soak.crew import Crew
from hardware_sims.soak.nemesis import BROKER, CENTRAL
from hardware_sims.soak.storm import Storm

_LINE_DOWN_S = 0.6
_WORK_S = (0.2, 0.8)


async def kill_in_rounds(storm: Storm, crew: Crew, *, rounds: int, seed: int, say: Callable[[str], None]) -> None:
    random = Random(f"soak rounds {seed}")
    agents = list(crew.agents)
    for number in range(1, rounds + 1):
        await asyncio.sleep(random.uniform(*_WORK_S))
        target = random.choice([random.choice(agents), BROKER, CENTRAL])
        if target in agents:
            await _gather_facts(crew, target)
        await storm.kill(target, down_s=0.0)
        await storm.settled()
        last = storm.recoveries[-1]
        drained = "not drained" if last.drained_s is None else f"drained {last.drained_s:.2f} s later"
        state = f"{target} answers after {last.ready_s:.2f} s, {last.waiting} facts wait, {drained}"
        say(f"round {number}/{rounds}: {state}")


async def _gather_facts(crew: Crew, agent: str) -> None:
    line = crew.proxies[agent]
    line.is_refusing = True
    line.cut()
    await asyncio.sleep(_LINE_DOWN_S)
    line.clear()
