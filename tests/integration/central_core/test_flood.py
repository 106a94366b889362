"""Central in a flood of letters: acks come, it looks after itself, and it ends when it is asked to (fault 27)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from hardware_sims.broker import Broker
from sync_protocol.facts import What
from sync_protocol.messages import Batch, Hello, Pull
from tests.integration.central_core.processes import CentralProcess, WireAgent, connected
from tests.integration.central_core.test_central_over_mqtt import fact, stocked
from tests.unit.central_core.desk import HandAgent

pytestmark = pytest.mark.mosquitto
AGENTS = 8
ENDS_WITHIN_S = 5.0


@asynccontextmanager
async def flood(broker: Broker, batch: Batch) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Agents that greet, send and pull without waiting for any answer, faster than anybody takes it."""

    async def pour(name: str) -> None:
        async with connected(HandAgent(name), broker.port) as agent:
            while True:
                start = agent.agent.start
                await agent.say(Hello(start=start, head=None, head_hash=b"", pending=(), replica_version=0))
                await agent.say(Pull(after=0))

    async def repeat(agent: WireAgent) -> None:
        while True:
            await agent.say(batch)

    async with connected(HandAgent("cabinet-9"), broker.port) as other:
        agents = [asyncio.create_task(pour(f"cabinet-{number}")) for number in range(10, 10 + AGENTS)]
        agents.append(asyncio.create_task(repeat(other)))
        try:
            yield agents
        finally:
            for task in agents:
                task.cancel()
            await asyncio.gather(*agents, return_exceptions=True)


@pytest.mark.fault(27)
async def test_facts_are_acked_in_a_flood_and_it_ends_when_asked(central: CentralProcess, broker: Broker) -> None:
    async with connected(HandAgent("cabinet-1"), broker.port) as agent:
        codes = await stocked(central, 400, agent)
        replay = HandAgent("cabinet-9").batch(fact(What.COUNTED, codes[0]))
        async with flood(broker, replay) as pouring:
            for code in codes[:20]:
                await agent.deliver(agent.agent.batch(fact(What.TAKEN, code)))
            assert not any(task.done() for task in pouring)
            loop = asyncio.get_running_loop()
            began_s = loop.time()
            await central.stop()
            assert central.process.status == 0, "it did not hear SIGTERM and was killed"
            assert loop.time() - began_s < ENDS_WITHIN_S
    assert central.rows("SELECT count(*) FROM fact WHERE device = 'cabinet-1' AND what = 'taken'") == [(20,)]
