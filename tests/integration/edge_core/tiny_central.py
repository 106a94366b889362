"""The least that speaks for central: a ledger in memory, acks that can be lost, deltas that can be broadcast or not."""

import asyncio
import contextlib
import math
import os
from collections.abc import AsyncIterator
from typing import Any

import aiomqtt

from sync_protocol import codec, envelope, topics
from sync_protocol.envelope import Secret, Voice
from sync_protocol.facts import SealedFact
from sync_protocol.items import Item
from sync_protocol.lifecycle import fold
from sync_protocol.machines.ingest import SessionState, admit
from sync_protocol.messages import Ack, Batch, Delta, Down, Hello, Position, Pull, Rows, Up, Welcome

PAGE = 50
ANSWER_S = 1.0
SECRET = Secret(bytes(32))


class TinyCentral:
    def __init__(self, *items: Item) -> None:
        self.version = 1
        self.items = {item.code: (item, 1) for item in items}
        self.sessions: dict[bytes, SessionState] = {}
        self.ledger: list[SealedFact] = []
        self.conflicts: list[str] = []
        self.heard: list[Up] = []
        self.acks_to_lose = 0
        self.is_broadcasting = True
        self.is_deaf = False
        self.offset_us = 5_000_000
        self.incarnation = 0
        self.safe: dict[bytes, int] = {}
        self._client: aiomqtt.Client | None = None
        self._voice = Voice(os.urandom(16), SECRET.sign)

    @contextlib.asynccontextmanager
    async def on(self, port: int) -> AsyncIterator["TinyCentral"]:
        """Serve on a broker until left; the ledger stays."""
        serving = asyncio.create_task(self._serve(port), name="tiny central")
        try:
            yield self
        finally:
            while not serving.done():  # a cancellation that meets a dying connection may end that, and be forgotten
                serving.cancel()
                await asyncio.wait({serving}, timeout=1)

    async def change(self, *items: Item) -> None:
        """Central changes items by itself."""
        before = self.version
        self.version += 1
        self.items.update((item.code, (item, self.version)) for item in items)
        await self._broadcast(before)

    def backup(self) -> "TinyCentral":
        """What a restore brings back."""
        copy = TinyCentral()
        copy.version, copy.items, copy.sessions = self.version, dict(self.items), dict(self.sessions)
        copy.ledger, copy.incarnation, copy.safe = list(self.ledger), self.incarnation + 1, dict(self.safe)
        return copy

    async def say(self, device: str, message: Down) -> None:
        await self.send(device, self._voice.say(message, topics.down(device)))

    async def send(self, device: str, data: bytes) -> None:
        await self._publish(topics.down(device), data, qos=1)

    async def _publish(self, topic: str, data: bytes, *, qos: int) -> None:
        """Raises MqttError: a broker that is killed before it confirms would be waited for for ever."""
        if self._client is None:
            return
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._client.publish(topic, data, qos=qos)
        except TimeoutError as error:
            raise aiomqtt.MqttError(f"the broker has confirmed nothing for {ANSWER_S:.0f} s") from error

    async def _serve(self, port: int) -> None:
        while True:
            with contextlib.suppress(aiomqtt.MqttError):
                async with aiomqtt.Client("127.0.0.1", port, identifier="central", timeout=math.inf) as self._client:
                    await self._client.subscribe(topics.ALL_UP, qos=1)
                    if self.incarnation:
                        await self._broadcast(self.version)
                    async for message in self._client.messages:
                        await self._take(str(message.topic), message.payload)
            self._client = None
            await asyncio.sleep(0.05)

    async def _take(self, topic: str, payload: Any) -> None:
        if self.is_deaf:
            return
        opened, device = envelope.read(bytes(payload)), topics.device_of(topic)
        message = codec.decode_up(opened.message)
        self.heard.append(message)
        match message:
            case Hello():
                positions = (
                    Position(
                        session=each.session, through=self._through(each.session), safe=self.safe.get(each.session, 0)
                    )
                    for each in message.pending
                )
                await self._answer(
                    device,
                    Welcome(
                        positions=tuple(positions),
                        version=self.version,
                        incarnation=self.incarnation,
                        echo_us=message.sent_us,
                        central_us=message.sent_us + self.offset_us,
                        key=SECRET.public,
                    ),
                )
            case Batch():
                await self._ingest(device, message)
            case Pull():
                await self._answer(device, self._delta(message.after))

    async def _ingest(self, device: str, batch: Batch) -> None:
        session = batch.start.session
        hashes = {sealed.id.seq: sealed.hash for sealed in self.ledger if sealed.id.session == session}
        admission = admit(batch, self.sessions.get(session), hashes.get)
        if admission.conflict:
            self.conflicts.append(admission.conflict)
            return
        self.sessions[session] = admission.state
        before = self.version
        if admission.facts:
            self.version += 1
        for sealed in admission.facts:
            self.ledger.append(sealed)
            fact = codec.decode_fact(sealed.body)
            stock = {code: self.items[code][0] for code in fact.codes if code in self.items}
            self.items.update((item.code, (item, self.version)) for item in fold(fact, stock).items)
        if self.acks_to_lose > 0:
            self.acks_to_lose -= 1
        else:
            through, safe = admission.state.through, self.safe.get(session, 0)
            ack = Ack(session=session, through=through, version=self.version, incarnation=self.incarnation, safe=safe)
            await self._answer(device, ack)
        if admission.facts:
            await self._broadcast(before)

    async def _broadcast(self, after: int) -> None:
        if self.is_broadcasting:
            with contextlib.suppress(aiomqtt.MqttError):
                await self._publish(topics.BROADCAST, self._voice.say(self._delta(after), topics.BROADCAST), qos=0)

    def _delta(self, after: int) -> Delta:
        """Rows of whole versions, about a page of them."""
        changed = sorted((version, item.code) for item, version in self.items.values() if version > after)
        to = self.version if len(changed) <= PAGE else changed[PAGE][0]
        rows = tuple(self.items[code][0] for version, code in changed if version <= to)
        return Delta(
            after=after, to=max(to, after), rows=Rows(items=rows), latest=self.version, incarnation=self.incarnation
        )

    async def _answer(self, device: str, message: Welcome | Ack | Delta) -> None:
        await self.say(device, message)

    def _through(self, session: bytes) -> int:
        state = self.sessions.get(session)
        return state.through if state else 0
