"""What every TagReader must do, whatever its make.

A real reader joins with CODEPOOL_TAG_READER="rfid-llrp host=10.1.2.3": at least one tag must lie in its field.
"""

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

import pytest

from drivers import registry
from drivers.abilities import Device, TagReader
from drivers.errors import DeviceGoneError
from drivers.readings import LinkState
from drivers.rfid_llrp import LlrpReader
from hardware_sims.devices.llrp_reader import LlrpReader as SimulatedReader
from hardware_sims.radio import Place, RadioField

ROUND_S = 0.1
_Maker = Callable[[], AbstractAsyncContextManager[TagReader]]


@asynccontextmanager
async def llrp_on_the_simulator() -> AsyncIterator[TagReader]:
    field = RadioField(seed=5)
    for number in range(12):
        field.place(f"E2801160{number:016X}", Place(cabinet=1))
    async with SimulatedReader(field) as reader:
        yield LlrpReader(name="under-test", host="127.0.0.1", port=reader.port)


@asynccontextmanager
async def real_reader() -> AsyncIterator[TagReader]:
    driver, *options = os.environ["CODEPOOL_TAG_READER"].split()
    device = registry.create(driver, name="under-test", options=dict(one.split("=", 1) for one in options))
    assert isinstance(device, TagReader)
    yield device


MAKERS: dict[str, _Maker] = {"llrp": llrp_on_the_simulator}
if "CODEPOOL_TAG_READER" in os.environ:
    MAKERS["real"] = real_reader


@pytest.fixture(params=MAKERS)
async def reader(request: pytest.FixtureRequest) -> AsyncIterator[TagReader]:
    async with MAKERS[request.param]() as device:
        yield device


@asynccontextmanager
async def running(reader: TagReader) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(reader.run())
    try:
        async with asyncio.timeout(10):
            while reader.health.state is not LinkState.READY:  # noqa: ASYNC110 - a device has no event for it
                await asyncio.sleep(0.01)
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_it_is_a_device_and_a_tag_reader(reader: TagReader) -> None:
    assert isinstance(reader, Device)
    assert isinstance(reader, TagReader)
    assert reader.health.name == reader.name == "under-test"
    assert reader.health.state is not LinkState.READY


async def test_without_a_connection_a_round_fails_at_once(reader: TagReader) -> None:
    async with asyncio.timeout(1):
        with pytest.raises(DeviceGoneError, match="under-test"):
            await reader.read_round(duration_s=ROUND_S)


async def test_a_round_has_each_tag_once_as_upper_case_hex(reader: TagReader) -> None:
    async with running(reader):
        found = await reader.read_round(duration_s=ROUND_S)
    epcs = [tag.epc for tag in found.tags]
    assert found.source == "under-test"
    assert found.duration_s == ROUND_S
    assert epcs
    assert len(set(epcs)) == len(epcs)
    assert all(re.fullmatch("(?:[0-9A-F]{4})+", epc) for epc in epcs)
    assert all(tag.hits >= 1 and tag.antenna >= 1 and -128 <= tag.rssi_dbm < 20 for tag in found.tags)


async def test_the_power_used_is_said_and_not_above_the_asked(reader: TagReader) -> None:
    async with running(reader):
        full = await reader.read_round(duration_s=ROUND_S)
        asked = await reader.read_round(duration_s=ROUND_S, power_dbm=20.3)
    assert full.power_dbm is not None
    assert asked.power_dbm is not None
    assert asked.power_dbm <= 20.3
    assert asked.power_dbm < full.power_dbm


async def test_two_rounds_at_once_take_turns(reader: TagReader) -> None:
    async with running(reader):
        began_s = time.monotonic()
        one, other = await asyncio.gather(reader.read_round(duration_s=ROUND_S), reader.read_round(duration_s=ROUND_S))
        assert time.monotonic() - began_s >= 1.9 * ROUND_S
    assert one.tags
    assert other.tags


async def test_a_cancelled_round_leaves_the_reader_free(reader: TagReader) -> None:
    async with running(reader):
        round_task = asyncio.create_task(reader.read_round(duration_s=30))
        await asyncio.sleep(ROUND_S)
        round_task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await round_task
        assert (await reader.read_round(duration_s=ROUND_S)).tags
        assert reader.health.state is LinkState.READY


async def test_after_run_is_cancelled_nothing_is_read(reader: TagReader) -> None:
    async with running(reader) as task:
        round_task = asyncio.create_task(reader.read_round(duration_s=30))
        await asyncio.sleep(ROUND_S)
        task.cancel()
        with pytest.raises(DeviceGoneError):
            await round_task
        await asyncio.wait([task], timeout=2)
        assert reader.health.state is not LinkState.READY
        with pytest.raises(DeviceGoneError):
            await reader.read_round(duration_s=ROUND_S)
