"""Many agents reconnect at once, as when the power is back (fault 27), each with facts that wait.

``python -m tests.scale.reconnect --agents 200 --facts 50 --json out.json``; agents live in a few worker processes.
"""

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from tests.benchmarks import office
from tests.benchmarks.measuring import Bench
from tests.benchmarks.office import Office
from tests.scale.hospital import hospital, quantile, tell

WORKERS = 2
_GO = "go\n"


class Figures(msgspec.Struct, kw_only=True):
    """``whole``: from the broker's return until an agent's facts are all acked; ``ack``: from a batch to its ack."""

    agents: int
    facts: int
    first_s: float
    whole_p50_s: float
    whole_p99_s: float
    whole_max_s: float
    worker_mb: float
    central_mb: float
    lost: int
    exceptions: int


async def measure(folder: Path, agents: int, facts: int) -> Figures:
    place = await office.stocked(Bench(folder=folder), "ledger", stock=max(2_000, agents * facts))
    async with hospital(place) as there:
        workers = [
            await _worker(place, there.broker.port, first, min(agents, first + -(-agents // WORKERS)), facts)
            for first in range(0, agents, -(-agents // WORKERS))
        ]
        try:
            for worker in workers:
                await _line(worker)  # every agent is connected and welcome
            await there.broker.kill()
            for worker in workers:
                await _tell(worker, "record\n")
                await _line(worker)  # every agent has recorded what nobody can take
            await there.broker.start()
            began_s = time.monotonic()
            for worker in workers:
                await _tell(worker, f"{began_s}\n")
            told = [json.loads(await _line(worker)) for worker in workers]
        finally:
            for worker in workers:
                with contextlib.suppress(ProcessLookupError):
                    worker.terminate()
                await worker.wait()
        central_mb = there.central_mb
    office_after = Office(place)
    with contextlib.closing(office_after):
        found = sum(office_after.facts_of(f"agent-{number}") for number in range(agents))
        ((exceptions,),) = office_after.ledger.connection.execute("SELECT count(*) FROM exception").fetchall()
    whole_s = [seconds for one in told for seconds in one["whole_s"]]
    return Figures(
        agents=agents,
        facts=agents * facts,
        first_s=round(min(whole_s), 3),
        whole_p50_s=quantile(whole_s, 0.5),
        whole_p99_s=quantile(whole_s, 0.99),
        whole_max_s=quantile(whole_s, 1.0),
        worker_mb=max(one["mb"] for one in told),
        central_mb=central_mb,
        lost=agents * facts - found,
        exceptions=exceptions,
    )


async def _worker(place: Path, port: int, first: int, last: int, facts: int) -> asyncio.subprocess.Process:
    command = [sys.executable, "-m", "tests.scale.swarm", str(place), str(port), str(first), str(last), str(facts)]
    return await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )


async def _line(worker: asyncio.subprocess.Process) -> str:
    assert worker.stdout is not None, "a worker is started with pipes"
    line = await worker.stdout.readline()
    assert line, "a worker ended before its time"
    return line.decode()


async def _tell(worker: asyncio.subprocess.Process, text: str) -> None:
    assert worker.stdin is not None, "a worker is started with pipes"
    worker.stdin.write(text.encode())
    await worker.stdin.drain()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents", type=int, default=200)
    parser.add_argument("--facts", type=int, default=50)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tell(asyncio.run(measure(Path(folder), asked.agents, asked.facts)), asked.json)


if __name__ == "__main__":
    main()
