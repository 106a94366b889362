"""The shipping driver on unmodified sllurp, over TCP, against the simulated reader and its faults."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from drivers import registry
from drivers.errors import DeviceGoneError, DeviceRefusedError, DriverConfigError
from drivers.readings import LinkState
from drivers.rfid_llrp import LlrpReader
from hardware_sims import faults
from hardware_sims.devices import llrp_frames as frames
from hardware_sims.devices.llrp_capabilities import Make
from hardware_sims.devices.llrp_reader import LlrpReader as SimulatedReader
from hardware_sims.radio import Place, RadioField

INSIDE = [f"E2801160600002{one:010X}" for one in range(40)]
OUTSIDE = [f"E2801160700002{one:010X}" for one in range(10)]


def cabinet(*, seed: int = 7) -> RadioField:
    field = RadioField(seed=seed)
    for epc in INSIDE:
        field.place(epc, Place(cabinet=1))
    for epc in OUTSIDE:
        field.place(epc, Place(cabinet=1, is_inside=False))
    return field


async def until(is_so: Callable[[], bool], *, within_s: float = 5.0) -> None:
    async with asyncio.timeout(within_s):
        while not is_so():  # noqa: ASYNC110 - a device has no event to wait for
            await asyncio.sleep(0.005)


def is_ready(driver: LlrpReader) -> bool:
    return driver.health.state is LinkState.READY


async def round_after_loss(driver: LlrpReader) -> set[str]:
    """What a caller does about DeviceGoneError: try again."""
    async with asyncio.timeout(5):
        while True:
            with suppress(DeviceGoneError):
                return {tag.epc for tag in (await driver.read_round(duration_s=0.1, power_dbm=20)).tags}
            await asyncio.sleep(0.02)


@asynccontextmanager
async def driven(
    reader: SimulatedReader, *, must_be_ready: bool = True, **options: object
) -> AsyncIterator[LlrpReader]:
    driver = registry.create(
        "rfid-llrp", name="cabinet-1", options={"host": "127.0.0.1", "port": reader.port, "keepalive_s": 0.5, **options}
    )
    assert isinstance(driver, LlrpReader)
    task = asyncio.create_task(driver.run())
    try:
        if must_be_ready:
            await until(lambda: is_ready(driver))
        yield driver
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_rounds_of_forty_tags_find_them_all() -> None:
    field = cabinet()
    async with SimulatedReader(field) as reader, driven(reader) as driver:
        found: set[str] = set()
        for _ in range(3):
            found |= {tag.epc for tag in (await driver.read_round(duration_s=0.1, power_dbm=20)).tags}
        assert found == field.inside(1) == set(INSIDE)
        assert reader.rounds == 3


async def test_the_same_seed_reads_the_same_over_the_wire() -> None:
    rounds = []
    for _ in range(2):
        async with SimulatedReader(cabinet()) as reader, driven(reader) as driver:
            rounds.append(await driver.read_round(duration_s=0.1))
    assert rounds[0] == rounds[1]


async def test_power_is_set_by_the_readers_own_table() -> None:
    make = Make(powers_dbm=(30.0, 10.0, 20.25, 23.5))
    async with SimulatedReader(cabinet(), make=make) as reader, driven(reader) as driver:
        used = [(await driver.read_round(duration_s=0.05, power_dbm=dbm)).power_dbm for dbm in (None, 29, 20.25, 20.2)]
        assert used == [30.0, 23.5, 20.25, 10.0]
        with pytest.raises(DeviceRefusedError, match=r"cabinet-1: power_dbm: found 9.9, the reader's lowest is 10.0"):
            await driver.read_round(duration_s=0.05, power_dbm=9.9)


async def test_a_stray_outside_is_heard_at_high_power_only() -> None:
    async with SimulatedReader(cabinet()) as reader, driven(reader) as driver:
        low = await driver.read_round(duration_s=0.1, power_dbm=20)
        high = await driver.read_round(duration_s=0.1)
    assert not {tag.epc for tag in low.tags} & set(OUTSIDE)
    assert {tag.epc for tag in high.tags} & set(OUTSIDE)


async def test_configured_power_antennas_and_mode_reach_the_reader() -> None:
    async with (
        SimulatedReader(cabinet()) as reader,
        driven(reader, power_dbm=20.0, antennas=[2], mode=2, tari_ns=12_500, session=2) as driver,
    ):
        found = await driver.read_round(duration_s=0.1)
    assert found.power_dbm == 20.0
    assert {tag.antenna for tag in found.tags} == {2}


async def test_an_empty_cabinet_is_a_whole_round() -> None:
    async with SimulatedReader(RadioField(seed=1)) as reader, driven(reader) as driver:
        assert (await driver.read_round(duration_s=0.05)).tags == ()


async def test_epcs_of_other_lengths_come_through() -> None:
    field = RadioField(seed=1)
    epcs = {"3034", "E280116060000204", "AB" * 16, "CD" * 62}
    for epc in epcs:
        field.place(epc, Place(cabinet=1))
    async with SimulatedReader(field) as reader, driven(reader) as driver:
        assert {tag.epc for tag in (await driver.read_round(duration_s=0.1)).tags} == epcs


async def test_repeated_reports_do_not_add_hits() -> None:
    async with SimulatedReader(cabinet(), tags_per_report=7) as reader, driven(reader) as driver:
        reader.does_repeat_reports = True
        repeated = await driver.read_round(duration_s=0.1)
    async with SimulatedReader(cabinet(), tags_per_report=7) as reader, driven(reader) as driver:
        assert (await driver.read_round(duration_s=0.1)).tags == repeated.tags


async def test_bytes_that_arrive_in_pieces_make_the_same_round() -> None:
    line = faults.Line(faults.split(most_parts=9), seed=3)
    async with SimulatedReader(cabinet(), line=line) as reader, driven(reader) as driver:
        pieces = await driver.read_round(duration_s=0.1)
    async with SimulatedReader(cabinet()) as reader, driven(reader) as driver:
        assert (await driver.read_round(duration_s=0.1)).tags == pieces.tags


@pytest.mark.parametrize("reports", [0, 1, 4])
async def test_a_reader_that_reboots_during_a_round_gives_no_part_of_it(reports: int) -> None:
    async with SimulatedReader(cabinet(), tags_per_report=10) as reader, driven(reader) as driver:
        reader.reboots_after_reports = reports
        with pytest.raises(DeviceGoneError, match=r"cabinet-1: .*no tag of this round counts"):
            await driver.read_round(duration_s=0.1)
        assert await round_after_loss(driver) == set(INSIDE)


async def test_a_reader_that_comes_back_after_a_while_is_used_again() -> None:
    async with SimulatedReader(cabinet()) as reader, driven(reader) as driver:
        await reader.reboot(down_s=0.3)
        assert await round_after_loss(driver) == set(INSIDE)


async def test_silence_of_three_keepalives_closes_the_link_and_opens_a_new_one() -> None:
    async with SimulatedReader(cabinet()) as reader, driven(reader, keepalive_s=0.2) as driver:
        reader.is_mute = True
        await until(lambda: not is_ready(driver))
        assert driver.health.cause == "silent for 0.6 s, in which 3 keepalives were due"
        reader.is_mute = False
        await until(lambda: is_ready(driver) and reader.is_held)
        await asyncio.sleep(0.8)
        assert is_ready(driver)


async def test_keepalives_are_answered_so_that_the_reader_keeps_the_link() -> None:
    async with SimulatedReader(cabinet()) as reader, driven(reader, keepalive_s=0.2) as driver:
        await asyncio.sleep(1)
        assert is_ready(driver)
        assert reader.is_held


async def test_a_reader_that_hangs_during_a_round_ends_it_by_an_error() -> None:
    async with SimulatedReader(cabinet()) as reader, driven(reader, keepalive_s=0.1) as driver:
        round_task = asyncio.create_task(driver.read_round(duration_s=30))
        await until(lambda: reader.rounds == 1)
        reader.is_hung = True
        with pytest.raises(DeviceGoneError, match="silent"):
            await asyncio.wait_for(round_task, 2)


async def test_a_second_client_is_refused_with_a_clear_cause_and_the_first_goes_on() -> None:
    async with SimulatedReader(cabinet()) as reader, driven(reader) as first:
        round_task = asyncio.create_task(first.read_round(duration_s=0.3))
        async with driven(reader, must_be_ready=False) as second:
            await until(lambda: "another client holds the reader" in second.health.cause)
            assert second.health.state is LinkState.FAULTED
            with pytest.raises(DeviceGoneError, match="another client holds the reader"):
                await second.read_round(duration_s=0.1)
            assert (await round_task).tags


async def test_the_second_client_takes_over_once_the_first_has_gone() -> None:
    async with SimulatedReader(cabinet()) as reader:
        async with driven(reader) as first:
            assert is_ready(first)
        async with driven(reader) as second:
            assert (await second.read_round(duration_s=0.05)).tags


@pytest.mark.parametrize("steps", range(6))
async def test_a_driver_cancelled_in_the_moment_of_a_loss_ends(steps: int) -> None:
    async with SimulatedReader(cabinet()) as reader:
        driver = LlrpReader(name="cabinet-1", host="127.0.0.1", port=reader.port)
        task = asyncio.create_task(driver.run())
        await until(lambda: is_ready(driver))
        round_task = asyncio.create_task(driver.read_round(duration_s=30))
        await until(lambda: reader.rounds == 1)
        await reader.send(bytes(64))
        with pytest.raises(DeviceGoneError):
            await round_task
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=2)
        assert done == {task}
        assert task.cancelled()


GARBAGE = {
    "no header": b"\x00" * 64,
    "text": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "too long": bytes.fromhex("043D FFFFFFFF 00000001"),
    "broken inside": frames.message(61, 1, frames.tlv(240, b"\x00\xf1\x00\x40")),
    "no reading": frames.report(1, [frames.tag_report(frames.Seen(epc="ABCD"), frames.Content.ANTENNA)]),
    "unknown type": frames.message(999, 1, b"what"),
}


@pytest.mark.parametrize("kind", GARBAGE)
async def test_garbage_in_a_round_is_never_a_shorter_list(kind: str) -> None:
    async with SimulatedReader(cabinet()) as reader, driven(reader) as driver:
        round_task = asyncio.create_task(driver.read_round(duration_s=0.2))
        await until(lambda: reader.rounds == 1)
        await reader.send(GARBAGE[kind])
        with pytest.raises(DeviceGoneError, match="garbled"):
            await round_task
        assert await round_after_loss(driver) == set(INSIDE)


async def test_an_antenna_that_comes_off_spoils_the_round_but_not_the_link() -> None:
    async with SimulatedReader(cabinet()) as reader, driven(reader) as driver:
        round_task = asyncio.create_task(driver.read_round(duration_s=0.3))
        await until(lambda: reader.rounds == 1)
        await reader.plug_antenna(2, is_connected=False)
        with pytest.raises(DeviceGoneError, match="antenna 2 came off"):
            await round_task
        await reader.plug_antenna(2, is_connected=True)
        assert (await driver.read_round(duration_s=0.1)).tags
        assert is_ready(driver)


async def test_a_door_that_opens_does_not_disturb_a_round() -> None:
    async with SimulatedReader(cabinet()) as reader, driven(reader) as driver:
        round_task = asyncio.create_task(driver.read_round(duration_s=0.1, power_dbm=20))
        await until(lambda: reader.rounds == 1)
        await reader.send(frames.event(77, 0, frames.gpi_event(1, is_high=True)))
        assert len((await round_task).tags) == len(INSIDE)


async def test_a_round_that_the_reader_ends_early_does_not_count() -> None:
    async with SimulatedReader(cabinet()) as reader, driven(reader) as driver:
        round_task = asyncio.create_task(driver.read_round(duration_s=5))
        await until(lambda: reader.rounds == 1)
        await reader.send(frames.event(77, 0, frames.rospec_event(frames.RoSpecChange.ENDED, 1)))
        with pytest.raises(DeviceGoneError, match="ended a round of 5 s early"):
            await round_task


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        ({"antennas": [7]}, "antennas: found 7, the reader has 4"),
        ({"mode": 9}, r"mode: found 9, the reader has [0, 2, 3]"),
        ({"power_dbm": 5.0}, "power_dbm: found 5.0, the reader's lowest is 10.0"),
    ],
)
async def test_what_the_reader_does_not_have_is_said_in_health(options: dict[str, Any], cause: str) -> None:
    async with SimulatedReader(cabinet()) as reader, driven(reader, must_be_ready=False, **options) as driver:
        await until(lambda: driver.health.state is LinkState.FAULTED)
        assert driver.health.cause == cause


async def test_nobody_at_the_port_is_said_in_health() -> None:
    async with SimulatedReader(cabinet()) as reader:
        port = reader.port
    driver = LlrpReader(name="cabinet-1", host="127.0.0.1", port=port)
    task = asyncio.create_task(driver.run())
    await until(lambda: driver.health.state is LinkState.FAULTED)
    assert f"127.0.0.1:{port}: connection refused" in driver.health.cause
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_device_that_never_speaks_llrp_is_given_up_in_time() -> None:
    async with SimulatedReader(cabinet()) as reader:
        reader.is_hung = True
        async with driven(reader, must_be_ready=False, connect_timeout_s=0.2, keepalive_s=5) as driver:
            await until(lambda: driver.health.state is LinkState.FAULTED)
            assert driver.health.cause == "not ready within 0.2 s of the connection"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "option 'host' is missing"),
        ({"host": "h", "antennas": [0, 1]}, "expected each once, or 0 alone"),
        ({"host": "h", "antennas": [1, 1]}, "expected each once, or 0 alone"),
        ({"host": "h", "tari_ns": 6250}, "without mode"),
        ({"host": "h", "session": 4}, "session"),
        ({"host": "h", "port": 0}, "port"),
        ({"host": "h", "power_dbm": 99}, "power_dbm"),
        ({"host": "h", "keepalive": 3}, "did you mean 'keepalive_s'"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, object], says: str) -> None:
    with pytest.raises(DriverConfigError, match=says):
        registry.create("rfid-llrp", name="cabinet-1", options=options)


def test_without_sllurp_the_extra_to_install_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for ours in ("drivers.rfid_llrp", "drivers.wire.llrp_messages"):
        monkeypatch.delitem(sys.modules, ours)
    monkeypatch.delattr("drivers.wire.llrp_messages")
    monkeypatch.setitem(sys.modules, "sllurp.llrp", None)
    with pytest.raises(DriverConfigError, match=r"'sllurp' is missing; pip install 'codepool\[rfid\]'"):
        registry.create("rfid-llrp", name="cabinet-1", options={"host": "h"})


@pytest.mark.parametrize("duration_s", [0, -1, 601])
async def test_a_round_has_a_sensible_length(duration_s: float) -> None:
    with pytest.raises(ValueError, match="duration_s"):
        await LlrpReader(name="cabinet-1", host="127.0.0.1").read_round(duration_s=duration_s)
