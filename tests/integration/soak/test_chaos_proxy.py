"""Every fault of the chaos proxy, over TCP, with a real broker behind it and clients of the library that we ship."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random

import aiomqtt
import pytest

from hardware_sims.broker import Brand, Broker
from hardware_sims.soak.proxy import ChaosProxy, Way, Weather

pytestmark = pytest.mark.mosquitto
UP, DOWN = "t/up", "t/down"
PATIENCE_S = 20.0


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    broker = Broker(Brand.MOSQUITTO, tmp_path)
    await broker.start()
    yield broker
    await broker.stop()


@pytest.fixture
async def proxy(broker: Broker) -> AsyncIterator[ChaosProxy]:
    async with ChaosProxy(broker.port, random=Random(1)) as proxy:
        yield proxy


@asynccontextmanager
async def client(port: int, topic: str = "", name: str | None = None) -> AsyncIterator[aiomqtt.Client]:
    """Connected; what it hears of ``topic`` is in ``messages``."""
    async with aiomqtt.Client(
        "127.0.0.1", port, identifier=name, protocol=aiomqtt.ProtocolVersion.V311, timeout=5, keepalive=5
    ) as connected:
        if topic:
            await connected.subscribe(topic, qos=1)
        yield connected


async def heard(listener: aiomqtt.Client, count: int, *, within_s: float = PATIENCE_S) -> list[bytes]:
    found: list[bytes] = []
    async with asyncio.timeout(within_s):
        while len(found) < count:
            message = await anext(listener.messages)
            assert isinstance(message.payload, bytes)
            found.append(message.payload)
    return found


async def silent(listener: aiomqtt.Client, for_s: float) -> bool:
    try:
        await heard(listener, 1, within_s=for_s)
    except TimeoutError:
        return True
    return False


async def say(speaker: aiomqtt.Client, count: int, topic: str = UP) -> list[bytes]:
    said = [f"{number}".encode() for number in range(count)]
    for each in said:
        await speaker.publish(topic, each, qos=1)
    return said


async def be_cut(proxy: ChaosProxy, *, saying: bytes = b"") -> None:
    """Raises MqttError: the line is cut, inside a message if there is one to say."""
    async with client(proxy.port, DOWN) as ours:
        proxy.cut(is_midway=bool(saying))
        if saying:
            await ours.publish(UP, saying, qos=1)
        else:
            await heard(ours, 1)


async def test_a_clear_line_changes_nothing(broker: Broker, proxy: ChaosProxy) -> None:
    async with client(broker.port, UP) as listener, client(proxy.port, DOWN) as ours:
        said = await say(ours, 50)
        assert await heard(listener, 50) == said
        await say(listener, 50, DOWN)
        assert await heard(ours, 50) == said
    assert not proxy.counts


async def test_messages_are_late_and_keep_their_order(broker: Broker, proxy: ChaosProxy) -> None:
    loop = asyncio.get_running_loop()
    async with client(broker.port, UP) as listener, client(proxy.port) as ours:
        proxy.weather[Way.UP] = Weather(delay_s=(0.3, 0.6))
        began_s = loop.time()
        saying = asyncio.gather(*(ours.publish(UP, f"{number}", qos=1) for number in range(10)))
        found = await heard(listener, 10)
        assert loop.time() - began_s >= 0.3
        await saying
    assert found == sorted(found)
    assert proxy.counts["delayed"] == 10


@pytest.mark.fault(20)
async def test_messages_change_places(broker: Broker, proxy: ChaosProxy) -> None:
    async with client(broker.port, UP) as listener, client(proxy.port) as ours:
        proxy.weather[Way.UP] = Weather(reorders=0.5)
        await asyncio.gather(*(ours.publish(UP, f"{number:02d}", qos=1) for number in range(30)))
        found = await heard(listener, 30)
    assert found != sorted(found)
    assert sorted(found) == [f"{number:02d}".encode() for number in range(30)]


@pytest.mark.fault(20)
@pytest.mark.parametrize("way", list(Way))
async def test_messages_come_again(broker: Broker, proxy: ChaosProxy, way: Way) -> None:
    async with client(broker.port, UP) as far, client(proxy.port, DOWN) as ours:
        proxy.weather[way] = Weather(repeats=1.0)
        speaker, listener, topic = (ours, far, UP) if way is Way.UP else (far, ours, DOWN)
        said = await say(speaker, 5, topic)
        assert sorted(await heard(listener, 10)) == sorted(said * 2)
        assert await silent(listener, 0.3)
    assert proxy.counts["repeated"] == 5


@pytest.mark.fault(21)
@pytest.mark.parametrize("way", list(Way))
async def test_messages_are_acknowledged_and_gone(broker: Broker, proxy: ChaosProxy, way: Way) -> None:
    async with client(broker.port, UP) as far, client(proxy.port, DOWN) as ours:
        proxy.weather[way] = Weather(loses=1.0)
        speaker, listener, topic = (ours, far, UP) if way is Way.UP else (far, ours, DOWN)
        await say(speaker, 3, topic)  # returns: each was acknowledged
        assert await silent(listener, 0.5)
        proxy.clear()
        await speaker.publish(topic, b"after", qos=1)
        assert await heard(listener, 1) == [b"after"]
    assert proxy.counts["lost"] == 3


async def test_a_cut_ends_the_connection_and_a_new_one_works(broker: Broker, proxy: ChaosProxy) -> None:
    async with client(broker.port, UP) as listener:
        with pytest.raises(aiomqtt.MqttError):
            await be_cut(proxy)
        async with client(proxy.port) as ours:
            await ours.publish(UP, b"again", qos=1)
            assert await heard(listener, 1) == [b"again"]
    assert proxy.counts["cuts"] == 1


async def test_a_cut_inside_a_message_delivers_nothing_of_it(broker: Broker, proxy: ChaosProxy) -> None:
    async with client(broker.port, UP) as listener:
        with pytest.raises(aiomqtt.MqttError):
            await be_cut(proxy, saying=b"x" * 1000)
        assert await silent(listener, 0.5)


@pytest.mark.fault(26)
async def test_a_refusing_line_takes_no_connection_until_it_is_clear(broker: Broker, proxy: ChaosProxy) -> None:
    proxy.is_refusing = True
    with pytest.raises(aiomqtt.MqttError):
        async with client(proxy.port):
            pass
    assert proxy.counts["refused"] >= 1
    proxy.clear()
    async with client(broker.port, UP) as listener, client(proxy.port) as ours:
        await ours.publish(UP, b"on", qos=1)
        assert await heard(listener, 1) == [b"on"]


@pytest.mark.fault(23)
async def test_a_hole_swallows_one_way_and_the_other_goes_on(broker: Broker, proxy: ChaosProxy) -> None:
    async with client(broker.port, UP) as far, client(proxy.port, DOWN) as ours:
        proxy.hold(Way.UP)
        sending = asyncio.create_task(ours.publish(UP, b"held", qos=1))
        await far.publish(DOWN, b"through", qos=1)
        assert await heard(ours, 1) == [b"through"]
        assert await silent(far, 0.5)
        proxy.clear()
        assert await heard(far, 1) == [b"held"]
        await sending


@pytest.mark.fault(23)
async def test_the_end_of_a_connection_does_not_get_through_a_hole(broker: Broker, proxy: ChaosProxy) -> None:
    """The broker keeps a client that died behind the hole, until another of its name comes or its keepalive is over."""
    async with client(broker.port, UP) as far, client(broker.port, "will") as watcher:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        # CONNECT as "dead" with keepalive 2 s and a will on "will".
        writer.write(bytes.fromhex("10 1c 0004 4d515454 04 06 0002 0004 64656164 0004 77696c6c 0004 676f6e65"))
        assert await reader.readexactly(4) == bytes.fromhex("20020000")
        proxy.hold(Way.UP)
        writer.close()
        await writer.wait_closed()
        assert await silent(watcher, 1.0)
        assert await heard(watcher, 1) == [b"gone"]
        await far.publish(DOWN, b"", qos=1)


@pytest.mark.fault(25)
async def test_messages_of_an_earlier_connection_are_heard_in_a_later_one(broker: Broker, proxy: ChaosProxy) -> None:
    async with client(broker.port, UP) as listener:
        async with client(proxy.port) as ours:
            said = await say(ours, 3)
        assert await heard(listener, 3) == said
        proxy.weather[Way.UP] = Weather(stale=2)
        async with client(proxy.port):
            again = await heard(listener, 2)
    assert set(again) <= set(said)
    assert proxy.counts["stale"] == 2


@pytest.mark.fault(25)
async def test_a_will_as_old_as_the_connection_before_is_heard_when_the_next_ends(
    broker: Broker, proxy: ChaosProxy
) -> None:
    async with client(broker.port, UP) as listener:
        async with client(proxy.port) as ours:
            await say(ours, 2)
        assert await heard(listener, 2) == [b"0", b"1"]
        proxy.has_late_will = True
        with pytest.raises(aiomqtt.MqttError):
            await be_cut(proxy)
        assert await heard(listener, 1) == [b"0"]
    assert proxy.counts["late wills"] == 1


async def test_a_line_that_is_gone_refuses_at_once_and_comes_back_at_its_port(proxy: ChaosProxy) -> None:
    proxy.be_gone()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", proxy.port)
    await proxy.listen()
    async with client(proxy.port):
        pass


async def test_without_a_broker_the_client_is_hung_up_on(broker: Broker, proxy: ChaosProxy) -> None:
    await broker.kill()
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"\x10")
    with suppress(ConnectionError):  # reset or ended, by the moment
        async with asyncio.timeout(PATIENCE_S):
            assert await reader.read(1) == b""
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
