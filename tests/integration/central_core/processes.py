"""``codepool-central`` as a process, and an agent made by hand that speaks to it over the broker."""

import asyncio
import contextlib
import json
import math
import sqlite3
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import aiomqtt
import msgspec

from hardware_sims.process import ManagedProcess
from sync_protocol import envelope, topics
from sync_protocol.codec import decode_down
from sync_protocol.messages import Ack, Batch, Delta, Down, Hello, Position, Pull, Up, Welcome
from tests.unit.central_core.desk import HandAgent

PATIENCE_S = 30.0
TOKEN = "0123456789abcdef"
_M = TypeVar("_M")


class CentralProcess:
    def __init__(self, folder: Path, mqtt: str, *, extra: str = "", settings: str = "") -> None:
        """``settings``: further lines of [central]."""
        self.folder = folder
        self.address = ""
        self._log = folder / "central.log"
        config = folder / "central.toml"
        config.write_text(
            f'[central]\ndata = "data"\nport = 0\n{settings}\n[mqtt]\nurl = "{mqtt}"\n'
            f'[sync]\nenrolment = "open"\n{extra}\n'
            f'[[clients]]\nname = "his"\ntoken = "{TOKEN}"\n'
            'scopes = ["read", "orders", "receiving", "usage", "masterdata", "recalls"]\n',
            encoding="utf-8",
        )
        command = [sys.executable, "-m", "central.cli", "run", "--config", str(config)]
        self.process = ManagedProcess("central", command, self._log)

    async def start(self) -> None:
        seen = len(self._lines())
        await self.process.start()
        async with asyncio.timeout(PATIENCE_S):
            while not (ready := [line for line in self._lines()[seen:] if line.get("event") == "ready"]):
                assert not self.process.has_died, self.process.log_tail()
                await asyncio.sleep(0.02)
        self.address = ready[0]["address"]

    async def kill(self) -> None:
        await self.process.kill()

    async def stop(self) -> None:
        await self.process.stop()

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(self.folder / "data" / "ledger.db")
        try:
            return connection.execute(statement).fetchall()
        finally:
            connection.close()

    async def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with (
            aiohttp.ClientSession() as http,
            http.request(method, self.address + path, json=body, headers=headers) as response,
        ):
            return response.status, json.loads(await response.text() or "null")

    def _lines(self) -> list[dict[str, Any]]:
        if not self._log.exists():
            return []
        lines = self._log.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]


class WireAgent:
    """One connection of an agent."""

    def __init__(self, agent: HandAgent, client: aiomqtt.Client, *, is_known: bool) -> None:
        self.agent = agent
        self._client = client
        self._heard: list[tuple[bool, Down]] = []
        self._is_introduced = is_known

    async def say(self, message: Up) -> None:
        if not self._is_introduced and not isinstance(message, Hello):
            await self.say(Hello(start=self.agent.start, head=None, head_hash=b"", pending=(), replica_version=0))
        self._is_introduced = True
        if isinstance(message, Hello):
            message = msgspec.structs.replace(message, key=self.agent.secret.public)
        topic = topics.up(self.agent.device)
        await self._client.publish(topic, self.agent.voice.say(message, topic), qos=1)

    async def hear(self, kind: type[_M], *, is_broadcast: bool = False) -> _M:
        """The next message of a kind; others are kept for later."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for heard in self._heard:
                    if heard[0] is is_broadcast and isinstance(heard[1], kind):
                        self._heard.remove(heard)
                        return heard[1]
                message = await anext(self._client.messages)
                assert isinstance(message.payload, bytes)
                said = decode_down(envelope.read(message.payload).message)
                self._heard.append((str(message.topic) == topics.BROADCAST, said))

    async def greet(self, *, version: int = 0) -> Welcome:
        """Say hello until central answers."""
        start, through = self.agent.start, self.agent.seq
        hello = Hello(
            start=start,
            head=None,
            head_hash=self.agent.head,
            pending=(Position(session=start.session, through=through),),
            replica_version=version,
        )
        async with asyncio.timeout(PATIENCE_S):
            while True:
                await self.say(hello)
                try:
                    async with asyncio.timeout(1):
                        return await self.hear(Welcome)
                except TimeoutError:
                    continue

    async def deliver(self, batch: Batch) -> Ack:
        """Send a batch until it is acked whole, as the uplink machine does."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                await self.say(batch)
                try:
                    async with asyncio.timeout(1):
                        ack = await self.hear(Ack)
                except TimeoutError:
                    continue
                if ack.session == batch.start.session and ack.through >= batch.last_seq:
                    return ack

    async def pull_of(self, incarnation: int) -> Delta:
        """Ask for everything, as an agent that has given back all it holds, until that central answers."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                await self.say(Pull(after=0, incarnation=incarnation))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(1):
                        while (delta := await self.hear(Delta)).incarnation != incarnation:
                            pass  # of two centrals alive the older one answers, too
                        return delta

    async def pull(self, after: int) -> Delta:
        await self.say(Pull(after=after))
        while (delta := await self.hear(Delta)).after != after:
            pass
        return delta


async def until(is_so: Callable[[], Awaitable[bool]], *, within_s: float = PATIENCE_S) -> None:
    """Look at another process until it is so."""
    async with asyncio.timeout(within_s):
        while not await is_so():  # noqa: ASYNC110 -- another process: there is nothing to wait for but time
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def connected(agent: HandAgent, port: int, *, is_known: bool = False) -> AsyncIterator[WireAgent]:
    """``is_known``: central has its key; else it says HELLO before its first word.

    No waits by aiomqtt's clock: ``wait_for`` of Python 3.11 may lose the cancellation of a test's task.
    """
    protocol = aiomqtt.ProtocolVersion.V311
    async with aiomqtt.Client(
        "127.0.0.1", port, identifier=agent.device, protocol=protocol, timeout=math.inf
    ) as client:
        await client.subscribe([(topics.down(agent.device), 1), (topics.BROADCAST, 1)])
        yield WireAgent(agent, client, is_known=is_known)
