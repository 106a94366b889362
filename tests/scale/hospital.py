"""Broker and central as processes, agents with their real stores and sync, and what they cost."""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import msgspec

from edge_agent.store.outgoing import waiting
from edge_agent.sync.leasing import Share
from edge_agent.sync.link import Heard, LinkEvent, MqttLink
from edge_agent.sync.shell import SyncShell
from hardware_sims.broker import Brand, Broker
from hardware_sims.process import ManagedProcess, ProcessDiedError
from sync_protocol import envelope
from sync_protocol.codec import decode_down
from sync_protocol.documents import Route
from sync_protocol.messages import Ack, Welcome
from tests.benchmarks.office import secret_of
from tests.benchmarks.workplace import Workplace

PATIENCE_S = 3_000.0
_SMALL = 600
_CONFIG = """\
[central]
data = "{data}"
port = 0

[mqtt]
url = "{broker}"

[sync]
enrolment = "open"
"""


class Hospital(msgspec.Struct, kw_only=True):
    broker: Broker
    central: ManagedProcess

    @property
    def central_mb(self) -> float:
        """The most memory that central ever had."""
        return peak_mb(self.central.pid)


@asynccontextmanager
async def hospital(folder: Path) -> AsyncIterator[Hospital]:
    """Broker and central on the ledger in ``folder``."""
    broker = Broker(Brand.MOSQUITTO, folder)
    config = folder / "central.toml"
    config.write_text(_CONFIG.format(data=folder, broker=broker.url), encoding="utf-8")
    command = [sys.executable, "-m", "central.cli", "run", "--config", str(config)]
    central = ManagedProcess("central", command, folder / "central.log")
    await broker.start()
    try:
        await central.start()
        await until(lambda: central.has_died or "link up" in central.log.read_text(encoding="utf-8"))
        yield Hospital(broker=broker, central=central)
        if central.has_died:
            raise ProcessDiedError(central, "ended while it was measured")
    finally:
        await central.stop()
        await broker.stop()


class Agent:
    """One agent. ``on_ack`` hears of acks with the time at which they came, ``on_welcome`` of answers to its HELLO.

    Both before the agent reads them.
    """

    def __init__(self, folder: Path, port: int, device: str, *, replica: Path | None = None) -> None:
        self.here = Workplace(folder, replica or folder / "replica.db", device=device)
        self.on_ack: Callable[[Ack, float], None] = lambda _ack, _at_s: None
        self.on_welcome: Callable[[Welcome], None] = lambda _welcome: None
        self.largest_batch = 0
        self.shell = SyncShell(
            link=_Watched(MqttLink(host="127.0.0.1", port=port, device=device, random=Random(device)), self),
            journal=self.here.journal,
            replica=self.here.replica,
            watch=self.here.watch,
            tell=lambda _rows: None,
            software="scale",
            rights=self.here.hand.rights,
            stock=self.here.stock,
            share=Share(location="ward", route=Route.CABINET, want=0),
            recalls=self.here.recorder.recalls,
            identity=secret_of(device),
        )
        self.here.recorder.listen(lambda _items: self.shell.committed())

    @property
    def waiting(self) -> int:
        return waiting(self.here.journal).facts

    @asynccontextmanager
    async def online(self) -> AsyncIterator[asyncio.Task[None]]:
        running = asyncio.create_task(self.shell.run(), name="sync")
        try:
            yield running
        finally:
            running.cancel()
            await asyncio.wait([running])
            if not running.cancelled():
                running.result()

    def close(self) -> None:
        self.here.close()


class _Watched:
    """The shipping link, and who hears of acks."""

    def __init__(self, link: MqttLink, agent: Agent) -> None:
        self._link = link
        self._agent = agent

    def send(self, data: bytes) -> None:
        self._agent.largest_batch = max(self._agent.largest_batch, len(data))
        self._link.send(data)

    async def run(self, hear: Callable[[LinkEvent], Awaitable[None]]) -> None:
        async def note(event: LinkEvent) -> None:
            if isinstance(event, Heard) and len(event.data) < _SMALL:
                message = decode_down(envelope.read(event.data).message)
                if isinstance(message, Ack):
                    self._agent.on_ack(message, time.perf_counter())
                elif isinstance(message, Welcome):
                    self._agent.on_welcome(message)
            await hear(event)

        await self._link.run(note)


async def until(is_so: Callable[[], bool], running: asyncio.Task[None] | None = None) -> None:
    """Wait for it. Raises TimeoutError, or what ``running`` failed with."""
    async with asyncio.timeout(PATIENCE_S):
        while not is_so():
            if running is not None and running.done():
                running.result()
            await asyncio.sleep(0.005)


def peak_mb(pid: int | None = None) -> float:
    """The most memory that a process ever had; this one by default."""
    status = Path(f"/proc/{pid or os.getpid()}/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return round(int(line.split()[1]) / 1024, 1)


def quantile(values: Iterable[float], share: float) -> float:
    """0 for no values."""
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 4) if ordered else 0.0


def tell(figures: msgspec.Struct, to: Path | None) -> None:
    """Print the figures, and write them down."""
    text = json.dumps(msgspec.to_builtins(figures), indent=1)
    print(text)  # noqa: T201 -- what the program was asked for
    if to is not None:
        to.write_text(f"{text}\n", encoding="utf-8")
