"""Goal 12: 500 scans a second, steadily: from each scan's moment until its ack by the ledger is back at the agent.

The uplink lingers for nothing: a batch leaves at once while none is in flight. So the goals are the bare 100 and 25 ms.
"""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import closing

import aiomqtt

from sync_protocol.codec import encode_fact
from sync_protocol.facts import Moment
from tests.benchmarks import office, pool, wire
from tests.benchmarks.measuring import ROUNDS, Bench, Figures, Result, at_most, percentile
from tests.benchmarks.workplace import Workplace

GOAL = 12
RATE = 500
SECONDS = 5.0


async def measure(bench: Bench) -> list[Result]:
    scans = bench.count(round(RATE * SECONDS), least=50)
    folder = await office.stocked(bench, "goal-12", stock=max(pool.NOTE, ROUNDS * scans))
    with closing(pool.connect_raw(folder / "raw.db")) as connection:
        connection.execute("CREATE TABLE fact(position INTEGER PRIMARY KEY, body BLOB)")
        body = encode_fact(pool.taken(1, Moment(wall_us=1, mono_us=1)))

        def commit() -> None:
            connection.execute("INSERT INTO fact(body) VALUES (?)", (body,))

        async with wire.central(folder) as port:

            async def raw(_: int) -> Figures:
                return await _raw(port, scans, commit)

            async def own(number: int) -> Figures:
                with closing(Workplace(folder / "agent", folder / "replica.db")) as here:
                    return await _own(here, port, range(number * scans, (number + 1) * scans))

            rounds = await bench.alternate(raw=raw, own=own, is_on_disk=True)
    p50 = sorted(figures[1] for figures in rounds.own)[ROUNDS // 2]
    return [
        rounds.result(
            goal=GOAL,
            name=f"{RATE} scans/s, scan to ledger ack, p99, ms",
            floor=at_most(100, "value"),
            aim=at_most(25, "value"),
            note=f"p50 {p50:.1f} ms; raw: a message and an insert a scan, and the answer",
        )
    ]


async def _own(here: Workplace, port: int, pieces: range) -> Figures:
    due_s: list[float] = []
    spent_ms: list[float] = []

    def acked(through: int) -> None:
        now_s = time.perf_counter()
        while len(spent_ms) < through:
            spent_ms.append((now_s - due_s[len(spent_ms)]) * 1e3)

    async def scan(place: int, due: float) -> None:
        due_s.append(due)
        await here.recorder.record(pool.taken(pieces[place], here.recorder.moment()))

    async with wire.syncing(here, port) as link:
        link.on_ack = acked
        await wire.until(lambda: link.is_welcome)
        await _paced(len(pieces), scan)
        await wire.until(lambda: len(spent_ms) == len(pieces))
    return percentile(spent_ms, 99), percentile(spent_ms, 50)


async def _raw(port: int, scans: int, commit: Callable[[], None]) -> Figures:
    """A message a scan, one insert in a transaction of its own, a message back."""
    due_s: list[float] = []
    spent_ms: list[float] = []
    async with _client(port, "raw-agent") as agent, _client(port, "raw-central") as ledger:
        await ledger.subscribe("raw/up", qos=1)
        await agent.subscribe("raw/down", qos=1)

        async def take() -> None:
            async for message in ledger.messages:
                commit()
                await ledger.publish("raw/down", message.payload, qos=1)

        async def hear() -> None:
            async for message in agent.messages:
                assert isinstance(message.payload, bytes)
                spent_ms.append((time.perf_counter() - due_s[int(message.payload)]) * 1e3)

        async def scan(place: int, due: float) -> None:
            due_s.append(due)
            await agent.publish("raw/up", str(place), qos=1)

        tasks = [asyncio.create_task(take()), asyncio.create_task(hear())]
        await _paced(scans, scan)
        await wire.until(lambda: len(spent_ms) == scans)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    return percentile(spent_ms, 99), percentile(spent_ms, 50)


async def _paced(scans: int, scan: Callable[[int, float], Awaitable[None]]) -> None:
    """One after the other at the rate; what is late counts from when it was due."""
    began_s = time.perf_counter()
    for place in range(scans):
        due_s = began_s + place / RATE
        await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
        await scan(place, due_s)


def _client(port: int, name: str) -> aiomqtt.Client:
    return aiomqtt.Client(
        "127.0.0.1", port, identifier=name, socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
    )
