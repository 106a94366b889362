"""The link to the broker: letters of agents in, answers out. It reconnects for ever, with growing, jittered waits.

MQTT 3.1.1 with a clean session: nothing is asked of the broker's memory, for it is a lossy wire. Both queues are
bounded; what does not fit is dropped and counted, and the agent that misses an answer sends again.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, Protocol

import aiomqtt
import msgspec
import structlog

from central.sync.inbox import Inbox, Letter
from sync_protocol import topics
from sync_protocol.errors import ProtocolError

FIRST_WAIT_S = 0.2
LONGEST_WAIT_S = 10.0
SETTLED_S = 5.0
"""A connection that lasted this long starts the waits anew; a shorter one is one more failure."""
KEEPALIVE_S = 15
ANSWER_S = 5.0
INBOX = 512
OUTBOX = 512

_log = structlog.get_logger("central.link")


class Outbox(Protocol):
    @property
    def is_up(self) -> bool: ...

    def send(self, topic: str, data: bytes) -> None:
        """Hand over a message; it may be lost."""


class Broker(msgspec.Struct, frozen=True, kw_only=True):
    """Where the broker is."""

    host: str
    port: int = 1883
    user: str = ""
    password: str = ""


class MqttLink:
    """``cause``: why there is no connection, empty while there is one."""

    def __init__(self, broker: Broker, inbox: Inbox, *, client: str, random: Random, on_up: Callable[[], None]) -> None:
        """``client``: the name at the broker, which ends an older connection of the same name."""
        self.cause = "not connected yet"
        self.dropped_out = 0
        self._broker = broker
        self._client_name = client
        self._inbox = inbox
        self._random = random
        self._on_up = on_up
        self._outgoing: asyncio.Queue[tuple[str, bytes]] | None = None
        self._log = _log.bind(broker=f"{broker.host}:{broker.port}")

    @property
    def is_up(self) -> bool:
        return self._outgoing is not None

    def send(self, topic: str, data: bytes) -> None:
        if self._outgoing is None:
            return
        try:
            self._outgoing.put_nowait((topic, data))
        except asyncio.QueueFull:
            self.dropped_out += 1

    async def run(self) -> None:
        """Connect, serve and reconnect until cancelled."""
        loop = asyncio.get_running_loop()
        wait_s = FIRST_WAIT_S
        while True:
            began_s = loop.time()
            cause = await _in_a_task_of_its_own(self._serve())
            if cause != self.cause:  # an outage of a night is one line of the log
                self._log.warning("link down", cause=cause)
            self.cause = cause
            wait_s = FIRST_WAIT_S if loop.time() - began_s > SETTLED_S else min(LONGEST_WAIT_S, wait_s * 2)
            await asyncio.sleep(wait_s * self._random.uniform(0.5, 1.0))

    async def _serve(self) -> str:
        """One connection; why it ended."""
        cause = "the broker closed the connection"
        try:
            async with self._client() as client:
                await client.subscribe(topics.ALL_UP, qos=1)
                self._outgoing = _RecallsFirst(OUTBOX)
                self.cause = ""
                self._log.info("link up")
                self._on_up()
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(_send_all(client, self._outgoing), name="link: send")
                    tasks.create_task(self._hear_all(client), name="link: hear")
        except* (aiomqtt.MqttError, OSError, TimeoutError) as losses:
            cause = _first_line(losses)
        finally:
            self._outgoing = None
        return cause

    def _client(self) -> aiomqtt.Client:
        return aiomqtt.Client(
            self._broker.host,
            self._broker.port,
            username=self._broker.user or None,
            password=self._broker.password or None,
            identifier=self._client_name,
            protocol=aiomqtt.ProtocolVersion.V311,
            clean_session=True,
            keepalive=KEEPALIVE_S,
            timeout=ANSWER_S,
            max_queued_incoming_messages=INBOX,
            max_queued_outgoing_messages=OUTBOX,
            # Without it a round trip is 44 ms instead of 0.3 (performance.md).
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        )

    async def _hear_all(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            if isinstance(message.payload, bytes | bytearray):
                self._hear(str(message.topic), bytes(message.payload))

    def _hear(self, topic: str, data: bytes) -> None:
        try:
            self._inbox.put(Letter(device=topics.device_of(topic), data=data))
        except ProtocolError as error:
            self._log.warning("letter without a sender", cause=str(error))


class _RecallsFirst(asyncio.Queue[tuple[str, bytes]]):
    """REQ-07: a recall set leaves before everything else that waits."""

    _queue: deque[tuple[str, bytes]]

    def _put(self, item: tuple[str, bytes]) -> None:
        if item[0] == topics.RECALLS:
            self._queue.appendleft(item)
        else:
            self._queue.append(item)


async def _in_a_task_of_its_own(session: Coroutine[Any, Any, str]) -> str:
    """A task group of Python 3.11 may lose the cancellation of the task that it runs in: so that is never ours."""
    task = asyncio.create_task(session)
    try:
        return await asyncio.shield(task)
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.exception()  # seen: it is being stopped


async def _send_all(client: aiomqtt.Client, outgoing: asyncio.Queue[tuple[str, bytes]]) -> None:
    while True:
        topic, data = await outgoing.get()
        await client.publish(topic, data, qos=1, retain=topic in topics.RETAINED)


def _first_line(losses: BaseExceptionGroup[BaseException]) -> str:
    loss: BaseException = losses
    while isinstance(loss, BaseExceptionGroup):
        loss = loss.exceptions[0]
    return (str(loss) or type(loss).__name__).splitlines()[0]
