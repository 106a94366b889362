"""The link to the broker: letters of agents in, answers out. It reconnects for ever, with growing, jittered waits.

MQTT 3.1.1 with a clean session: nothing is asked of the broker's memory, for it is a lossy wire. Both queues are
bounded; what does not fit is dropped and counted, and the agent that misses an answer sends again.

Letters go straight into the inbox, and several answers are on their way at once: a busy loop comes round seldom, and
one that takes or gives a single message each time loses the race against agents that send again.
"""

import asyncio
import math
import socket
from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
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
OUTBOX = 4_096
"""Messages that wait to leave."""
BROADCASTS = 64
"""Of these, broadcasts: past it the oldest goes, and agents that find the gap pull."""
ON_THE_WAY = 64
"""Messages that the broker has not confirmed."""
STOP_AGAIN_AFTER_S = 0.2

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
        self._outgoing: _Outgoing | None = None
        self._log = _log.bind(broker=f"{broker.host}:{broker.port}")

    @property
    def is_up(self) -> bool:
        return self._outgoing is not None

    @property
    def waiting(self) -> int:
        """Messages that have not left yet."""
        return self._outgoing.qsize() if self._outgoing is not None else 0

    def send(self, topic: str, data: bytes) -> None:
        if self._outgoing is not None and not self._outgoing.add(topic, data):
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
                outgoing = self._outgoing = _Outgoing()
                self.cause = ""
                self._log.info("link up")
                self._on_up()
                async with asyncio.TaskGroup() as tasks:
                    for number in range(ON_THE_WAY):
                        tasks.create_task(_send_all(client, outgoing), name=f"link: send {number}")
                    tasks.create_task(_stay(client), name="link: stay")
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
            queue_type=partial(_Straight, self._hear),  # type: ignore[arg-type]  # whatever makes a queue
            max_inflight_messages=ON_THE_WAY,
            # Without it a round trip is 44 ms instead of 0.3 (performance.md).
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        )

    def _hear(self, message: aiomqtt.Message) -> None:
        try:
            if isinstance(message.payload, bytes | bytearray):
                self._inbox.put(Letter(device=topics.device_of(str(message.topic)), data=bytes(message.payload)))
        except ProtocolError as error:
            self._log.warning("letter without a sender", cause=str(error))


class _Straight(asyncio.Queue[aiomqtt.Message]):
    """Hands on at once what comes, and keeps nothing."""

    def __init__(self, hear: Callable[[aiomqtt.Message], None], maxsize: int = 0) -> None:
        super().__init__(maxsize)
        self._hear = hear

    def put_nowait(self, item: aiomqtt.Message) -> None:
        self._hear(item)


class _Outgoing(asyncio.Queue[tuple[str, bytes]]):
    """What waits to leave: recalls first (REQ-07), then answers, then broadcasts, for a pull makes up for these."""

    _lanes: tuple[deque[tuple[str, bytes]], ...]

    def add(self, topic: str, data: bytes) -> bool:
        """False: something was dropped."""
        broadcasts = self._lanes[-1]
        is_full = self.qsize() >= OUTBOX
        if topic == topics.BROADCAST and len(broadcasts) >= BROADCASTS:
            broadcasts.popleft()
            is_full = True
        elif is_full:
            return False
        self.put_nowait((topic, data))
        return not is_full

    def qsize(self) -> int:
        return sum(map(len, self._lanes))

    def empty(self) -> bool:
        return not any(self._lanes)

    def _init(self, maxsize: int) -> None:  # noqa: ARG002 - of the queue that this is
        self._lanes = (deque(), deque(), deque())

    def _put(self, item: tuple[str, bytes]) -> None:
        self._lanes[_LANES.get(item[0], 1)].append(item)

    def _get(self) -> tuple[str, bytes]:
        return next(lane for lane in self._lanes if lane).popleft()


_LANES = {topics.RECALLS: 0, topics.BROADCAST: 2}


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


async def _send_all(client: aiomqtt.Client, outgoing: _Outgoing) -> None:
    """One message after the other; of several such, each begins a message in its turn."""
    while True:
        topic, data = await outgoing.get()
        async with asyncio.timeout(ANSWER_S):
            await client.publish(topic, data, qos=1, retain=topic in topics.RETAINED, timeout=math.inf)


async def _stay(client: aiomqtt.Client) -> None:
    """Until the connection ends. Raises MqttError."""
    async for _ in client.messages:
        pass


def _first_line(losses: BaseExceptionGroup[BaseException]) -> str:
    loss: BaseException = losses
    while isinstance(loss, BaseExceptionGroup):
        loss = loss.exceptions[0]
    return (str(loss) or type(loss).__name__).splitlines()[0]
