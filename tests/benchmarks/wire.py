"""An agent's sync over a real broker with central as a process of its own, and when its acks came back."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

from edge_agent.sync.leasing import Share
from edge_agent.sync.link import Heard, LinkEvent, LinkUp, MqttLink
from edge_agent.sync.shell import SyncShell
from hardware_sims.broker import Brand, Broker
from hardware_sims.process import ManagedProcess, ProcessDiedError
from sync_protocol import envelope
from sync_protocol.codec import decode_down
from sync_protocol.documents import Route
from sync_protocol.messages import Ack, Welcome
from tests.benchmarks.office import secret_of
from tests.benchmarks.workplace import Workplace

_LONGEST_ACK = 500
_PATIENCE_S = 60.0
_CONFIG = """\
[central]
data = "{data}"
port = 0

[mqtt]
url = "{broker}"

[sync]
enrolment = "open"
"""


class WatchedLink:
    """The shipping link; notes when it came up and when acks came in, before the agent reads them."""

    def __init__(self, link: MqttLink) -> None:
        self._link = link
        self.up_s: float | None = None
        self.is_welcome = False
        self.through = 0
        self.on_ack: Callable[[int], None] = lambda _through: None

    def send(self, data: bytes) -> None:
        self._link.send(data)

    async def run(self, hear: Callable[[LinkEvent], Awaitable[None]]) -> None:
        async def note(event: LinkEvent) -> None:
            if isinstance(event, LinkUp):
                self.up_s = time.perf_counter()
            elif isinstance(event, Heard) and len(event.data) < _LONGEST_ACK:
                message = decode_down(envelope.read(event.data).message)
                self.is_welcome = self.is_welcome or isinstance(message, Welcome)
                if isinstance(message, Ack):
                    self.through = message.through
                    self.on_ack(message.through)
            await hear(event)

        await self._link.run(note)


@asynccontextmanager
async def central(folder: Path) -> AsyncIterator[int]:
    """Broker and central on the ledger in ``folder``; the broker's port."""
    broker = Broker(Brand.MOSQUITTO, folder)
    config = folder / "central.toml"
    config.write_text(_CONFIG.format(data=folder, broker=broker.url), encoding="utf-8")
    command = [str(Path(sys.executable).with_name("codepool-central")), "run", "--config", str(config)]
    process = ManagedProcess("central", command, folder / "central.log")
    await broker.start()
    try:
        await process.start()
        await until(lambda: process.has_died or "link up" in process.log.read_text(encoding="utf-8"))
        yield broker.port
        if process.has_died:
            raise ProcessDiedError(process, "ended while it was measured")
    finally:
        await process.stop()
        await broker.stop()


@asynccontextmanager
async def syncing(here: Workplace, port: int) -> AsyncIterator[WatchedLink]:
    """The agent's sync runs; at the end it is waited for until all is settled and the replica up to date."""
    watched = WatchedLink(MqttLink(host="127.0.0.1", port=port, device=here.recorder.device, random=Random(1)))
    shell = SyncShell(
        link=watched,
        journal=here.journal,
        replica=here.replica,
        watch=here.watch,
        tell=lambda _rows: None,
        software="bench",
        rights=here.hand.rights,
        stock=here.stock,
        share=Share(location="ward", route=Route.CABINET, want=0),
        recalls=here.recorder.recalls,
        identity=secret_of(here.recorder.device),
    )
    recorder_tells = True

    def committed(_items: object) -> None:
        if recorder_tells:
            shell.committed()

    here.recorder.listen(committed)
    running = asyncio.create_task(shell.run(), name="sync")
    try:
        yield watched
        await until(lambda: all(line.acked == line.head for line in here.journal.lines.values()), running)
        await until(lambda: here.replica.version >= shell.state.latest, running)
    finally:
        recorder_tells = False
        running.cancel()
        await asyncio.wait([running])


async def until(is_so: Callable[[], bool], running: asyncio.Task[None] | None = None) -> None:
    """Wait for it, a minute at most. Raises TimeoutError, or what ``running`` failed with."""
    async with asyncio.timeout(_PATIENCE_S):
        while not is_so():
            if running is not None and running.done():
                running.result()
            await asyncio.sleep(0.002)
