"""A line to the broker that fails on demand: one proxy a client, on a port that stays.

It reads MQTT packets, so that a single message can be late, out of order, repeated, lost though it was acknowledged, or
told again in a later connection; below that the line can be cut in the middle of a packet, refuse to connect, or let
nothing through in one direction while the other goes on.
"""

import asyncio
from collections import Counter, deque
from contextlib import suppress
from enum import StrEnum
from random import Random
from types import TracebackType
from typing import Self

import msgspec

from hardware_sims.soak import mqtt
from hardware_sims.soak.lane import Lane
from hardware_sims.soak.mqtt import Kind, MqttError, Packet, Publish

_CHUNK = 65_536
_REMEMBERED = 40
_WILL_AT_MOST = 60_000
_STALE_S = (0.2, 3.0)
_ECHO_S = (0.0, 2.0)
_DETOUR_S = (0.02, 1.5)


class Way(StrEnum):
    UP = "up"
    """From the client to the broker."""
    DOWN = "down"


class Weather(msgspec.Struct, frozen=True, kw_only=True):
    """What happens to the messages of one way. Chances are of each message."""

    delay_s: tuple[float, float] = (0.0, 0.0)
    """In order, none before the one before it."""
    loses: float = 0.0
    """Acknowledged to who sent it, and gone: as a broker whose queue is full, or that is killed."""
    repeats: float = 0.0
    reorders: float = 0.0
    stale: int = 0
    """So many messages of earlier connections are told again in each new one."""


CLEAR = Weather()


class ChaosProxy:
    """``async with`` listens; ``counts`` says what was done to the line so far."""

    def __init__(self, broker_port: int, *, random: Random) -> None:
        self.port = 0
        self.counts: Counter[str] = Counter()
        self.weather = {Way.UP: CLEAR, Way.DOWN: CLEAR}
        self.is_refusing = False
        self.has_late_will = False
        """A client's next connection leaves what the last one said first as its will: it is heard when that ends."""
        self._broker_port = broker_port
        self._random = random
        self._open = {way: asyncio.Event() for way in Way}
        self._said: dict[Way, deque[Publish]] = {way: deque(maxlen=_REMEMBERED) for way in Way}
        self._greeting: Publish | None = None
        self._connections: dict[asyncio.Task[None], _Connection] = {}
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        for is_open in self._open.values():
            is_open.set()
        await self.listen()
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self.be_gone()
        running = list(self._connections)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def listen(self) -> None:
        """Take connections, at the same port as ever."""
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    def be_gone(self) -> None:
        """Nobody listens at the port any more, as at that of a broker that is dead."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def cut(self, *, is_midway: bool = False) -> None:
        """End every connection: now, or inside the next message."""
        self.counts["cuts"] += bool(self._connections)
        for connection in self._connections.values():
            connection.cut(is_midway=is_midway)

    def hold(self, way: Way) -> None:
        """From now on nothing gets through this way, neither bytes nor the end of the connection."""
        self.counts["holes"] += 1
        self._open[way].clear()

    def clear(self) -> None:
        """A good line again. What was held arrives now, if its connection still lives."""
        self.weather = {Way.UP: CLEAR, Way.DOWN: CLEAR}
        self.is_refusing = self.has_late_will = False
        for is_open in self._open.values():
            is_open.set()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_refusing:
            self.counts["refused"] += 1
            writer.transport.abort()
            return
        connection = _Connection(self, writer)
        task = asyncio.create_task(self._serve(connection, reader, writer), name="chaos proxy connection")
        self._connections[task] = connection
        task.add_done_callback(self._connections.pop)

    async def _serve(
        self, connection: "_Connection", reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            away_reader, away = await asyncio.open_connection("127.0.0.1", self._broker_port)
        except OSError:
            writer.transport.abort()  # no broker there
            return
        await connection.run(reader, away_reader, away)

    def forecast(self, way: Way) -> Weather:
        return self.weather[way]

    def is_open(self, way: Way) -> asyncio.Event:
        return self._open[way]

    def draw(self, span: tuple[float, float]) -> float:
        return self._random.uniform(*span)

    def happens(self, chance: float) -> bool:
        return chance > 0 and self._random.random() < chance

    def remember(self, way: Way, publish: Publish) -> None:
        self._said[way].append(publish)

    def greeted(self, publish: Publish) -> None:
        """The first message of a connection."""
        self._greeting = publish

    def stale(self, way: Way) -> list[Publish]:
        """Messages of earlier connections that this one is to hear."""
        said = list(self._said[way])
        return self._random.sample(said, k=min(self.weather[way].stale, len(said)))

    def dressed(self, connect: Packet) -> Packet:
        """The CONNECT, perhaps with a will that is as old as the connection before."""
        said = self._greeting
        if not self.has_late_will or said is None or len(said.payload) > _WILL_AT_MOST:
            return connect
        self.counts["late wills"] += 1
        return mqtt.with_will(connect, said.topic, said.payload)


class _Connection:
    """One client's connection, with a lane a way."""

    def __init__(self, proxy: ChaosProxy, client: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._client = client
        self._away: asyncio.StreamWriter | None = None
        self._lanes: dict[Way, Lane] = {}
        self._has_said_something = False

    async def run(
        self, reader: asyncio.StreamReader, away_reader: asyncio.StreamReader, away: asyncio.StreamWriter
    ) -> None:
        """Until one side has hung up and what it said before has arrived, or the line was cut."""
        self._away = away
        up = self._lanes[Way.UP] = Lane(away, self._proxy.is_open(Way.UP))
        down = self._lanes[Way.DOWN] = Lane(self._client, self._proxy.is_open(Way.DOWN))
        listening = [
            asyncio.create_task(self._listen(Way.UP, reader, up, down), name="proxy: up"),
            asyncio.create_task(self._listen(Way.DOWN, away_reader, down, up), name="proxy: down"),
        ]
        sending = [asyncio.create_task(lane.send_all(), name="proxy: lane") for lane in (up, down)]
        try:
            await asyncio.wait(sending, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._hang_up()
            for task in (*listening, *sending):
                task.cancel()
            await asyncio.gather(*listening, *sending, return_exceptions=True)

    def cut(self, *, is_midway: bool) -> None:
        if is_midway and self._lanes:
            for lane in self._lanes.values():
                lane.cut_in_next(self._proxy.draw((0.05, 0.95)))
        else:
            self._hang_up()

    def _hang_up(self) -> None:
        for writer in (self._client, self._away):
            if writer is not None:
                writer.transport.abort()

    async def _listen(self, way: Way, reader: asyncio.StreamReader, lane: Lane, back: Lane) -> None:
        splitter = mqtt.Splitter()
        with suppress(ConnectionError, MqttError):
            while data := await reader.read(_CHUNK):
                for packet in splitter.feed(data):
                    self._pass(way, packet, lane, back)
                await lane.has_room()
        lane.end()

    def _pass(self, way: Way, packet: Packet, lane: Lane, back: Lane) -> None:
        match packet.kind:
            case Kind.PUBLISH:
                self._pass_message(way, packet, lane, back)
            case Kind.CONNECT:
                lane.put(self._proxy.dressed(packet).raw)
                for each, to in ((Way.UP, lane), (Way.DOWN, back)):
                    self._tell_again(each, to)
            case _:
                lane.put(packet.raw)

    def _tell_again(self, way: Way, lane: Lane) -> None:
        for publish in self._proxy.stale(way):
            self._proxy.counts["stale"] += 1
            lane.put(publish.at_most_once().raw, after_s=self._proxy.draw(_STALE_S), is_message=True)

    def _pass_message(self, way: Way, packet: Packet, lane: Lane, back: Lane) -> None:
        proxy, weather = self._proxy, self._proxy.forecast(way)
        publish = mqtt.read_publish(packet)
        if way is Way.UP and not self._has_said_something:
            self._has_said_something = True
            proxy.greeted(publish)
        proxy.remember(way, publish)
        if proxy.happens(weather.loses):
            proxy.counts["lost"] += 1
            if publish.qos:
                back.put(mqtt.puback(publish.packet_id).raw)
            return
        if weather.delay_s != CLEAR.delay_s:
            proxy.counts["delayed"] += 1
        if proxy.happens(weather.reorders):
            proxy.counts["reordered"] += 1
            lane.put(packet.raw, after_s=proxy.draw(_DETOUR_S), is_message=True)
        else:
            lane.put(packet.raw, after_s=proxy.draw(weather.delay_s), is_message=True, is_in_order=True)
        if proxy.happens(weather.repeats):
            proxy.counts["repeated"] += 1
            lane.put(publish.at_most_once().raw, after_s=proxy.draw(_ECHO_S), is_message=True)
