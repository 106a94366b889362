import asyncio
from contextlib import suppress
from random import Random

import pytest

from drivers.errors import DeviceGoneError, DriverConfigError
from drivers.readings import DeviceHealth, LinkState
from drivers.reconnect import Reconnect


class Away:
    """A device that never answers, and when it was asked."""

    def __init__(self) -> None:
        self.asked_at_s: list[float] = []

    async def session(self) -> None:
        self.asked_at_s.append(asyncio.get_running_loop().time())
        raise DeviceGoneError("no answer")

    def waits_s(self) -> list[float]:
        return [after - before for before, after in zip(self.asked_at_s, self.asked_at_s[1:], strict=False)]


async def run_for(link: Reconnect, session: object, seconds: float) -> None:
    assert callable(session)
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await link.run(session)


async def test_waits_grow_to_their_bound_and_no_further() -> None:
    device = Away()
    link = Reconnect(name="d", driver="t", first_wait_s=0.02, longest_wait_s=0.08, random=Random(1))
    await run_for(link, device.session, 1.0)
    waits_s = device.waits_s()
    assert 0.01 <= waits_s[0] <= 0.1
    assert len(waits_s) >= 8
    assert all(0.04 <= wait_s <= 0.2 for wait_s in waits_s[3:])
    assert len({round(wait_s, 4) for wait_s in waits_s[3:]}) > 1, "waits must differ, or cabinets ask in step"


async def test_the_first_wait_is_short_and_the_longest_leaves_a_device_away_less_than_three_seconds() -> None:
    link = Reconnect(name="d", driver="t")
    assert link._first_wait_s <= 0.5
    assert link._longest_wait_s < 3.0


@pytest.mark.parametrize(("first_wait_s", "longest_wait_s"), [(0.0, 1.0), (2.0, 1.0), (0.1, 5.1)])
def test_waits_without_bounds_are_refused(first_wait_s: float, longest_wait_s: float) -> None:
    with pytest.raises(ValueError, match="waits of 'd': expected 0 < first_wait_s <= longest_wait_s"):
        Reconnect(name="d", driver="t", first_wait_s=first_wait_s, longest_wait_s=longest_wait_s)


async def test_health_shows_state_cause_and_attempts() -> None:
    link = Reconnect(name="d", driver="t", first_wait_s=0.001, longest_wait_s=0.001)
    seen: list[DeviceHealth] = [link.health]
    attempts = 0

    async def session() -> None:
        nonlocal attempts
        attempts += 1
        if attempts <= 2:
            raise OSError(5, f"fault {attempts}")
        link.ready()
        seen.append(link.health)
        if attempts == 3:
            return
        await asyncio.Event().wait()

    async def watch() -> None:
        while attempts < 4:
            if link.health != seen[-1]:
                seen.append(link.health)
            await asyncio.sleep(0)

    watching = asyncio.create_task(watch())
    await run_for(link, session, 0.3)
    await watching
    assert [(health.state, health.cause, health.attempts) for health in seen] == [
        (LinkState.CONNECTING, "", 0),
        (LinkState.FAULTED, "[Errno 5] fault 1", 1),
        (LinkState.FAULTED, "[Errno 5] fault 2", 2),
        (LinkState.READY, "", 0),
        (LinkState.FAULTED, "the session ended", 1),
        (LinkState.READY, "", 0),
    ]
    assert link.health.cause == "the driver was stopped"
    with pytest.raises(DeviceGoneError, match="d: not connected: the driver was stopped"):
        link.require_ready()


async def test_a_settled_device_is_asked_again_at_once_and_one_that_hangs_up_is_not_asked_in_a_tight_loop() -> None:
    started_at_s: list[float] = []
    link = Reconnect(name="d", driver="t", first_wait_s=0.1, longest_wait_s=0.1, settled_s=0.05)

    async def session() -> None:
        started_at_s.append(asyncio.get_running_loop().time())
        link.ready()
        if len(started_at_s) == 1:
            await asyncio.sleep(0.06)
        raise DeviceGoneError("hung up")

    await run_for(link, session, 0.4)
    assert started_at_s[1] - started_at_s[0] < 0.1
    assert started_at_s[2] - started_at_s[1] >= 0.05
    assert len(started_at_s) <= 9


async def test_a_loss_inside_a_task_group_is_a_loss() -> None:
    link = Reconnect(name="d", driver="t", first_wait_s=0.01, longest_wait_s=0.01)

    async def session() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(Away().session())
            await asyncio.Event().wait()

    await run_for(link, session, 0.1)
    assert link.health.attempts >= 2


async def test_what_a_person_must_change_is_not_retried() -> None:
    link = Reconnect(name="d", driver="t")

    async def session() -> None:
        raise DriverConfigError("no such antenna")

    with pytest.raises(DriverConfigError, match="no such antenna"):
        await link.run(session)


@pytest.mark.parametrize("steps", range(5))
async def test_a_session_that_fails_while_it_is_cancelled_still_ends(steps: int) -> None:
    """A TaskGroup of Python 3.11 raises only its child's failure then, and the cancellation would be lost."""
    cut = asyncio.Event()
    link = Reconnect(name="d", driver="t")

    async def child() -> None:
        await cut.wait()
        raise DeviceGoneError("cut")

    async def session() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(child())
            link.ready()
            await asyncio.sleep(100)

    running = asyncio.create_task(link.run(session))
    await asyncio.sleep(0.02)
    cut.set()
    for _ in range(steps):
        await asyncio.sleep(0)
    running.cancel()
    ended, _ = await asyncio.wait([running], timeout=0.5)
    assert ended == {running}


async def test_a_session_of_several_tasks_is_begun_again_after_one_of_them_fails() -> None:
    """A TaskGroup of Python 3.11 leaves its task marked as being cancelled then: that is not a stop."""
    begun = 0
    link = Reconnect(name="d", driver="t", first_wait_s=0.01, longest_wait_s=0.02)

    async def child() -> None:
        await asyncio.sleep(0)
        raise DeviceGoneError("cut")

    async def session() -> None:
        nonlocal begun
        begun += 1
        async with asyncio.TaskGroup() as group:
            group.create_task(child())

    await run_for(link, session, 0.5)
    assert begun > 3
