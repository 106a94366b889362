"""A worker of ``reconnect``: many agents in one process. It says a line after each step, and waits for one."""

import asyncio
import json
import sys
import time
from contextlib import AsyncExitStack, closing
from pathlib import Path

import structlog

from sync_protocol.facts import What
from tests.benchmarks import office
from tests.scale.hospital import Agent, peak_mb, until

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))


async def run(place: Path, port: int, first: int, last: int, facts: int) -> None:
    loop, whole_s = asyncio.get_running_loop(), dict[int, float]()
    async with AsyncExitStack() as stack:
        agents = {}
        for number in range(first, last):
            agent = Agent(place / f"agent-{number}", port, f"agent-{number}")
            stack.enter_context(closing(agent))
            agents[number] = agent
        for agent in agents.values():
            await stack.enter_async_context(agent.online())
        await until(lambda: all(agent.shell.state.is_welcome for agent in agents.values()))
        _say("online")
        await loop.run_in_executor(None, sys.stdin.readline)
        await until(lambda: not any(agent.shell.state.is_connected for agent in agents.values()))
        for number, agent in agents.items():
            recorder = agent.here.recorder
            await recorder.observe(*office.moves(What.TAKEN, number * facts, facts, recorder.moment()))
        _say("recorded")
        began_s = float(await loop.run_in_executor(None, sys.stdin.readline))

        def note() -> bool:
            for number, agent in agents.items():
                if number not in whole_s and agent.waiting == 0:
                    whole_s[number] = time.monotonic() - began_s
            return len(whole_s) == len(agents)

        await until(note)
        _say(json.dumps({"whole_s": list(whole_s.values()), "mb": peak_mb()}))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _place, *_numbers = sys.argv[1:]
    asyncio.run(run(Path(_place), *map(int, _numbers)))
