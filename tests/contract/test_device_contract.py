import asyncio
from collections.abc import Awaitable, Callable

from drivers.abilities import Device
from drivers.readings import LinkState
from hardware_sims.serve import PtyPort, TcpPort

Bench = tuple[Device, PtyPort | TcpPort]
UntilReady = Callable[[Device], Awaitable[None]]
Until = Callable[[Callable[[], bool]], Awaitable[None]]


async def test_a_driver_is_a_device_with_a_name(device_bench: Bench) -> None:
    device, _ = device_bench
    assert isinstance(device, Device)
    assert device.health.name == device.name == "bench"
    assert device.health.driver


async def test_an_unplugged_device_is_faulted_with_its_cause_and_used_again_within_three_seconds(
    device_bench: Bench, until_ready: UntilReady, until: Until
) -> None:
    device, port = device_bench
    await port.unplug()
    await until(lambda: device.health.attempts >= 2)
    assert device.health.state is LinkState.FAULTED
    assert "is the device" in device.health.cause
    await port.plug()
    await until_ready(device)
    assert (device.health.cause, device.health.attempts) == ("", 0)


async def test_a_device_survives_being_pulled_again_and_again(device_bench: Bench, until_ready: UntilReady) -> None:
    device, port = device_bench
    for _ in range(3):
        await port.unplug()
        await asyncio.sleep(0.05)
        await port.plug()
        await until_ready(device)


async def test_a_stopped_driver_lets_go_of_its_device(device_bench: Bench) -> None:
    device, _ = device_bench
    running = [task for task in asyncio.all_tasks() if task.get_name() == "driver under test"]
    async with asyncio.timeout(30):
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    assert device.health.state is LinkState.FAULTED
    assert device.health.cause == "the driver was stopped"
    left = {task.get_name() for task in asyncio.all_tasks()}
    assert not {name for name in left if name.startswith("bench ")}
