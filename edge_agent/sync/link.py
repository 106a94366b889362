"""The link to the broker: messages out, messages in, and whether it is up. It reconnects for ever, with growing waits.

MQTT 3.1.1 with a clean session: nothing is asked of the broker's memory, for it is a lossy wire (design.md §6).
"""

import asyncio
import math
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from random import Random
from typing import Any, Protocol

import aiomqtt
import msgspec
import structlog

from edge_agent.errors import LinkDownError
from sync_protocol import topics

FIRST_WAIT_S = 0.2
LONGEST_WAIT_S = 10.0
SETTLED_S = 5.0
"""A connection that lasted this long starts the waits anew; a shorter one is one more failure."""
KEEPALIVE_S = 15
ANSWER_S = 5.0
OUTGOING = 32
TURNS_TO_LEAVE = 3
"""Turns of the loop that a message takes from ``Link.send`` to the socket."""
INCOMING = 256
STOP_AGAIN_AFTER_S = 0.2

_log: structlog.stdlib.BoundLogger = structlog.get_logger("edge_agent.link")


class LinkUp(msgspec.Struct, frozen=True, kw_only=True):
    pass


class LinkDown(msgspec.Struct, frozen=True, kw_only=True):
    cause: str


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    data: bytes
    topic: str

    @property
    def is_urgent(self) -> bool:
        """Of the recall lane, before everything else."""
        return self.topic == topics.RECALLS


LinkEvent = LinkUp | LinkDown | Heard


class Link(Protocol):
    async def run(self, hear: Callable[[LinkEvent], Awaitable[None]]) -> None:
        """Connect, serve and reconnect until cancelled."""

    def send(self, data: bytes) -> None:
        """Hand over a message; it may still be lost. Raises LinkDownError if it cannot even leave."""


class MqttLink:
    def __init__(self, *, host: str, port: int, device: str, random: Random) -> None:
        self._host = host
        self._port = port
        self._device = device
        self._random = random
        self._outgoing: asyncio.Queue[bytes] | None = None
        self._broker = f"broker {host}:{port}"
        self._log = _log.bind(broker=f"{host}:{port}")

    def send(self, data: bytes) -> None:
        if self._outgoing is None:
            raise LinkDownError("no connection to the broker")
        try:
            self._outgoing.put_nowait(data)
        except asyncio.QueueFull as error:
            raise LinkDownError(f"{OUTGOING} messages wait for the broker already") from error

    async def run(self, hear: Callable[[LinkEvent], Awaitable[None]]) -> None:
        loop = asyncio.get_running_loop()
        wait_s, last_cause = FIRST_WAIT_S, ""
        while True:
            began_s = loop.time()
            cause = await _in_a_task_of_its_own(self._serve(hear))
            if cause != last_cause:  # an outage of a night is one line of the log
                self._log.warning("link_down", cause=cause)
            last_cause = cause
            await hear(LinkDown(cause=cause))
            wait_s = FIRST_WAIT_S if loop.time() - began_s > SETTLED_S else min(LONGEST_WAIT_S, wait_s * 2)
            await asyncio.sleep(wait_s * self._random.uniform(0.5, 1.0))

    async def _serve(self, hear: Callable[[LinkEvent], Awaitable[None]]) -> str:
        """One connection; why it ended."""
        cause = f"{self._broker}: the connection was closed"
        try:
            async with self._client() as client:
                await client.subscribe([(topics.RECALLS, 1), (topics.down(self._device), 1), (topics.BROADCAST, 0)])
                self._outgoing = asyncio.Queue(OUTGOING)
                self._log.info("link_up")
                await hear(LinkUp())
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._send_all(client, self._outgoing), name="link: send")
                    tasks.create_task(_hear_all(client, hear), name="link: hear")
        except* (aiomqtt.MqttError, OSError, TimeoutError) as losses:
            cause = f"{self._broker}: {_first_line(losses)}"
        finally:
            self._outgoing = None
        return cause

    def _client(self) -> aiomqtt.Client:
        return aiomqtt.Client(
            self._host,
            self._port,
            identifier=self._device,
            protocol=aiomqtt.ProtocolVersion.V311,
            clean_session=True,
            keepalive=KEEPALIVE_S,
            timeout=ANSWER_S,
            queue_type=_RecallsFirst,
            max_queued_incoming_messages=INCOMING,
            max_queued_outgoing_messages=OUTGOING,
            # Without it a round trip is 44 ms instead of 0.3 (performance.md).
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        )

    async def _send_all(self, client: aiomqtt.Client, outgoing: asyncio.Queue[bytes]) -> None:
        topic = topics.up(self._device)
        while True:
            data = await outgoing.get()
            try:
                async with asyncio.timeout(ANSWER_S):
                    await client.publish(topic, data, qos=1, timeout=math.inf)
            except TimeoutError as error:
                raise TimeoutError(f"the broker has confirmed nothing for {ANSWER_S:.0f} s") from error


class _RecallsFirst(asyncio.Queue[aiomqtt.Message]):
    """REQ-07: a recall set passes everything that came before it and still waits."""

    _queue: deque[aiomqtt.Message]

    def _put(self, item: aiomqtt.Message) -> None:
        if str(item.topic) == topics.RECALLS:
            self._queue.appendleft(item)
        else:
            self._queue.append(item)


async def _in_a_task_of_its_own(session: Coroutine[Any, Any, str]) -> str:
    """A task group of Python 3.11 may lose the cancellation of the task that it runs in: so that is never ours.

    So may its ``wait_for``, by which aiomqtt waits, when the answer comes just then: it is told until it ends, and
    inside the group, which passes it on once only, ``asyncio.timeout`` waits instead.
    """
    task = asyncio.create_task(session)
    try:
        return await asyncio.shield(task)
    finally:
        while not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=STOP_AGAIN_AFTER_S)
        if not task.cancelled():
            task.exception()  # seen: it is being stopped


async def _hear_all(client: aiomqtt.Client, hear: Callable[[LinkEvent], Awaitable[None]]) -> None:
    async for message in client.messages:
        if isinstance(message.payload, bytes | bytearray):
            await hear(Heard(data=bytes(message.payload), topic=str(message.topic)))


def _first_line(losses: BaseExceptionGroup[BaseException]) -> str:
    loss: BaseException = losses
    while isinstance(loss, BaseExceptionGroup):
        loss = loss.exceptions[0]
    return (str(loss) or type(loss).__name__).splitlines()[0]
