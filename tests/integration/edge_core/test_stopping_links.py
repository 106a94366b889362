"""A program that is asked to stop in the moment in which its broker dies, or answers, still stops. On a real broker."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from central.sync.inbox import Inbox
from central.sync.link import Broker as BrokerAddress
from central.sync.link import MqttLink as CentralLink
from edge_agent.errors import LinkDownError
from edge_agent.sync.link import LinkDown, LinkEvent, LinkUp
from edge_agent.sync.link import MqttLink as EdgeLink
from hardware_sims.broker import Brand, Broker

pytestmark = pytest.mark.mosquitto
Running = Callable[[int, asyncio.Event, asyncio.Event], Awaitable[None]]


Sending = Callable[[], None]


async def edge(port: int, up: asyncio.Event, down: asyncio.Event) -> None:
    await _edge(port, up, down, [])


async def _edge(port: int, up: asyncio.Event, down: asyncio.Event, sending: list[Sending]) -> None:
    async def hear(event: LinkEvent) -> None:
        if isinstance(event, LinkUp):
            up.set()
        elif isinstance(event, LinkDown):
            down.set()

    link = EdgeLink(host="127.0.0.1", port=port, device="station-1", random=Random(1))
    sending.append(lambda: link.send(b"facts"))
    await link.run(hear)


async def central(port: int, up: asyncio.Event, down: asyncio.Event) -> None:
    await _central(port, up, down, [])


async def _central(port: int, up: asyncio.Event, _down: asyncio.Event, sending: list[Sending]) -> None:
    address = BrokerAddress(host="127.0.0.1", port=port)
    link = CentralLink(address, Inbox(), client="central", random=Random(1), on_up=up.set)
    sending.append(lambda: link.send("codepool/somebody", b"ack"))
    await link.run()


@pytest.mark.parametrize("run", [edge, central])
async def test_a_link_that_is_stopped_while_its_broker_dies_ends(tmp_path: Path, run: Running) -> None:
    """The death is noticed some turns of the loop after the kill: every one of them is tried."""
    stubborn = []
    for turns in range(24):
        broker = Broker(Brand.MOSQUITTO, tmp_path)
        await broker.start()
        up = asyncio.Event()
        link = asyncio.create_task(_link(run, broker.port, up))
        async with asyncio.timeout(10):
            await up.wait()
        await broker.kill()
        for _ in range(turns):
            await asyncio.sleep(0)
        link.cancel()
        ended, running = await asyncio.wait([link], timeout=3)
        if running:
            stubborn.append(turns)
            link.cancel()
            await asyncio.wait([link], timeout=3)
        assert all(task.cancelled() for task in ended)
    assert stubborn == []


@pytest.mark.parametrize("run", [_edge, _central])
async def test_a_link_that_is_stopped_in_the_flood_ends(
    tmp_path: Path, run: Callable[[int, asyncio.Event, asyncio.Event, list[Sending]], Awaitable[None]]
) -> None:
    """The broker confirms in the same turn of the loop in which the link is told to end, sooner or later."""
    broker = Broker(Brand.MOSQUITTO, tmp_path)
    await broker.start()
    for turns in range(24):
        up, sending = asyncio.Event(), list[Sending]()
        link = asyncio.ensure_future(run(broker.port, up, asyncio.Event(), sending))
        async with asyncio.timeout(10):
            await up.wait()
        flood = asyncio.create_task(_send_for_ever(sending[0]))
        await asyncio.sleep(0.02)
        for _ in range(turns):
            await asyncio.sleep(0)
        link.cancel()
        _, running = await asyncio.wait([link], timeout=3)
        flood.cancel()
        assert not running
    await broker.stop()


async def _send_for_ever(send: Sending) -> None:
    while True:
        with suppress(LinkDownError):
            send()
        await asyncio.sleep(0)


async def _link(run: Running, port: int, up: asyncio.Event) -> None:
    await run(port, up, asyncio.Event())


@pytest.mark.parametrize("run", [edge, central])
async def test_a_link_outlives_its_broker_many_times(tmp_path: Path, run: Running) -> None:
    broker = Broker(Brand.MOSQUITTO, tmp_path)
    await broker.start()
    up = asyncio.Event()
    link = asyncio.create_task(_link(run, broker.port, up))
    for _ in range(4):
        async with asyncio.timeout(15):
            await up.wait()
        up.clear()
        await broker.kill()
        await asyncio.sleep(0.1)
        await broker.start()
    assert not link.done()
    link.cancel()
    await asyncio.wait([link], timeout=3)
    await broker.kill()
    assert link.cancelled()
