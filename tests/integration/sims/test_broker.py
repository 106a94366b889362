"""Brokers as real processes: they come back on the same port with nothing in memory, and say why when they cannot."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiomqtt
import pytest

from hardware_sims.broker import Brand, Broker, BrokerMissingError
from hardware_sims.process import ManagedProcess, ProcessDiedError

BIG = bytes(range(256)) * 2048


@pytest.fixture(params=[Brand.AMQTT, pytest.param(Brand.MOSQUITTO, marks=pytest.mark.mosquitto)])
async def broker(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Broker]:
    broker = Broker(request.param, tmp_path)
    await broker.start()
    yield broker
    await broker.stop()


async def echo(broker: Broker, payload: bytes) -> bytes:
    """The payload through the broker and back, QoS 1."""
    async with (
        asyncio.timeout(20),
        aiomqtt.Client("127.0.0.1", broker.port, protocol=aiomqtt.ProtocolVersion.V311) as client,
    ):
        await client.subscribe("test/echo", qos=1)
        await client.publish("test/echo", payload, qos=1)
        async for message in client.messages:
            assert isinstance(message.payload, bytes)
            return message.payload
    raise AssertionError("the connection ended before the message came back")


async def test_carries_a_batch_of_the_largest_size(broker: Broker) -> None:
    assert await echo(broker, BIG) == BIG


async def test_comes_back_on_its_port_after_being_killed(broker: Broker) -> None:
    port = broker.port
    await broker.kill()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    await broker.start()
    assert broker.port == port
    assert await echo(broker, b"again") == b"again"


async def test_says_why_it_does_not_start(tmp_path: Path) -> None:
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    process = ManagedProcess(
        "broker", [sys.executable, "-m", "hardware_sims.amqtt_process", str(port)], tmp_path / "broker.log"
    )
    await process.start()
    async with asyncio.timeout(20):
        assert await process.ended() != 0
    assert "address already in use" in str(ProcessDiedError(process, "ended while starting"))
    server.close()
    await server.wait_closed()


def test_a_missing_mosquitto_names_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("hardware_sims.broker._MOSQUITTO_PLACES", str(tmp_path))
    with pytest.raises(BrokerMissingError, match="--broker amqtt"):
        Broker(Brand.MOSQUITTO, tmp_path)


async def test_a_process_does_not_outlive_its_starter(tmp_path: Path) -> None:
    script = tmp_path / "starter.py"
    script.write_text(STARTER, encoding="ascii")
    starter = await asyncio.create_subprocess_exec(
        sys.executable, str(script), str(tmp_path / "log"), stdout=asyncio.subprocess.PIPE
    )
    assert starter.stdout is not None
    async with asyncio.timeout(20):
        pid = int(await starter.stdout.readline())
        starter.kill()
        await starter.wait()
        while Path(f"/proc/{pid}").exists():  # noqa: ASYNC110, ASYNC240 - nobody's child any more: there is no event
            await asyncio.sleep(0.05)


STARTER = """
import asyncio, sys
from pathlib import Path
from hardware_sims.process import ManagedProcess

async def main():
    process = ManagedProcess("sleep", ["/bin/sleep", "60"], Path(sys.argv[1]))
    await process.start()
    print(process.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""
