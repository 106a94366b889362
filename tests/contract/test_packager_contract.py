import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from drivers.abilities import Device, Packager
from drivers.errors import DeviceGoneError, DeviceRefusedError
from drivers.readings import PackagerDose, PackagerJob, PouchOutcome, PouchResult
from hardware_sims.devices.packager import SimPackager
from hardware_sims.serve import PtyPort, TcpPort

Bench = tuple[Packager, SimPackager, PtyPort | TcpPort]
UntilReady = Callable[[Device], Awaitable[None]]
Until = Callable[[Callable[[], bool]], Awaitable[None]]


def job(key: str, *, product: str = "P1", quantity: int = 1) -> PackagerJob:
    dose = PackagerDose(product=product, quantity=quantity, codes=(f"{key}-A",))
    return PackagerJob(job=key, order="O-1", patient="张三\x02\x1e", take_at="0800", doses=(dose,))


async def told(results: AsyncIterator[PouchResult], count: int) -> list[PouchResult]:
    """The first results of so many jobs; the machine may repeat one."""
    firsts: dict[str, PouchResult] = {}
    async with asyncio.timeout(10):
        while len(firsts) < count:
            result = await anext(results)
            assert firsts.setdefault(result.job, result) == result
    return list(firsts.values())


async def test_it_is_a_packager(packager_bench: Bench) -> None:
    assert isinstance(packager_bench[0], Packager)


async def test_each_job_becomes_one_pouch_and_one_result_in_order(packager_bench: Bench) -> None:
    packager, sim, _ = packager_bench
    for number in range(20):
        await packager.submit(job(f"J{number}"))
    results = await told(packager.results(), 20)
    assert [result.job for result in results] == [f"J{number}" for number in range(20)]
    assert {result.outcome for result in results} == {PouchOutcome.DONE}
    assert {result.source for result in results} == {"bench"}
    assert len({result.pouch for result in results}) == len(sim.pouches) == 20
    assert sim.stock("P1") == 80
    assert sim.pouches["J7"].patient == "张三\x02\x1e"
    assert sim.pouches["J7"].doses[0].codes == ("J7-A",)


async def test_a_job_sent_twice_makes_one_pouch(packager_bench: Bench) -> None:
    packager, sim, _ = packager_bench
    await packager.submit(job("J1"))
    await packager.submit(job("J1"))
    assert sim.received["J1"] >= 2
    await told(packager.results(), 1)
    assert list(sim.pouches) == ["J1"]
    assert sim.stock("P1") == 99


async def test_a_job_whose_acknowledgement_was_lost_is_sent_again_and_makes_one_pouch(packager_bench: Bench) -> None:
    packager, sim, _ = packager_bench
    sim.ignore_next_job()
    await packager.submit(job("J1"))
    assert sim.received["J1"] >= 2
    await told(packager.results(), 1)
    assert sim.stock("P1") == 99


async def test_one_key_for_two_different_jobs_is_refused(packager_bench: Bench) -> None:
    packager, _, _ = packager_bench
    await packager.submit(job("J1"))
    with pytest.raises(DeviceRefusedError, match="bench: job 'J1' was refused: job J1 was already another one"):
        await packager.submit(job("J1", quantity=2))


async def test_a_job_too_long_for_the_line_is_refused_before_it_is_sent(packager_bench: Bench) -> None:
    packager, sim, _ = packager_bench
    with pytest.raises(DeviceRefusedError, match="cannot be sent: the record has"):
        await packager.submit(job("J" * 70_000))
    assert not sim.received


async def test_every_outcome_is_told(packager_bench: Bench) -> None:
    packager, sim, _ = packager_bench
    results = packager.results()

    async def outcome_of(key: str, product: str) -> tuple[PouchOutcome, bool]:
        await packager.submit(job(key, product=product))
        (result,) = [result for result in [await anext(results)] if result.job == key] or await told(results, 1)
        return result.outcome, bool(result.pouch)

    async with asyncio.timeout(10):
        assert await outcome_of("J1", "P9") == (PouchOutcome.UNKNOWN_PRODUCT, False)
        assert await outcome_of("J2", "P3") == (PouchOutcome.EMPTY_CANISTER, False)
        sim.fill("P3", 5)
        sim.waste_next()
        assert await outcome_of("J3", "P3") == (PouchOutcome.WASTED, True)
        sim.jam()
        assert await outcome_of("J4", "P3") == (PouchOutcome.JAMMED, False)
        await packager.submit(job("J5", product="P3"))
        await asyncio.sleep(0.1)
        assert "J5" not in sim.pouches, "a jammed machine stands still"
        sim.clear_jam()
        assert [result.outcome for result in await told(results, 1)] == [PouchOutcome.DONE]


async def test_a_result_that_was_not_dealt_with_is_told_again(packager_bench: Bench) -> None:
    packager, _, _ = packager_bench
    await packager.submit(job("J1"))
    interrupted = packager.results()
    first = await told(interrupted, 1)
    await interrupted.aclose()  # type: ignore[attr-defined] # the consumer died while it dealt with it
    assert await told(packager.results(), 1) == first


async def test_a_result_that_the_machine_repeats_comes_twice(packager_bench: Bench, until: Until) -> None:
    packager, sim, _ = packager_bench
    heard: list[PouchResult] = []

    async def listen() -> None:
        async for result in packager.results():
            heard.append(result)  # noqa: PERF401 - the list grows while the test looks

    listening = asyncio.create_task(listen())
    await packager.submit(job("J1"))
    await until(lambda: bool(sim.told))
    before = len(heard)
    await sim.repeat_result()
    await until(lambda: len(heard) > before)
    listening.cancel()
    assert {result.job for result in heard} == {"J1"}


async def test_results_of_a_lost_connection_come_on_the_next_one(
    packager_bench: Bench, until_ready: UntilReady
) -> None:
    packager, sim, port = packager_bench
    for number in range(3):
        await packager.submit(job(f"J{number}"))
    await port.unplug()
    with pytest.raises(DeviceGoneError, match="bench: "):
        await packager.submit(job("J9"))
    await port.plug()
    await until_ready(packager)
    await packager.submit(job("J3"))
    results = await told(packager.results(), 4)
    assert sorted(result.job for result in results) == ["J0", "J1", "J2", "J3"]
    assert sim.stock("P1") == 96
