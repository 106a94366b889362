import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest

from drivers.abilities import Device, LockBoard
from drivers.errors import DeviceGoneError, DeviceRefusedError, DriverConfigError
from drivers.readings import DoorState, LinkState
from drivers.wire.lock_board import OPEN
from hardware_sims.devices.lock_board import SimLockBoard
from hardware_sims.serve import PtyPort, TcpPort

Bench = tuple[LockBoard, SimLockBoard, PtyPort | TcpPort]
UntilReady = Callable[[Device], Awaitable[None]]
Until = Callable[[Callable[[], bool]], Awaitable[None]]


async def open_doors(board: LockBoard) -> set[int]:
    return {lock for lock, state in (await board.doors()).items() if state is DoorState.OPEN}


async def test_it_is_a_lock_board(lock_board_bench: Bench) -> None:
    assert isinstance(lock_board_bench[0], LockBoard)


async def test_it_opens_the_door_that_was_meant_and_no_other(lock_board_bench: Bench) -> None:
    board, sim, _ = lock_board_bench
    assert await open_doors(board) == set()
    last = max(await board.doors())
    for lock in (1, 9, last):
        await board.open(lock)
    assert sim.open_doors == {1, 9, last}
    assert await open_doors(board) == {1, 9, last}


async def test_doors_follow_the_hands_that_move_them(lock_board_bench: Bench) -> None:
    board, sim, _ = lock_board_bench
    await board.open(3)
    await sim.open_by_key(5)
    assert await open_doors(board) == {3, 5}
    await sim.close(3)
    assert await open_doors(board) == {5}


async def test_a_lock_that_stays_shut_is_said_to_and_works_once_it_is_freed(lock_board_bench: Bench) -> None:
    board, sim, _ = lock_board_bench
    sim.jam(2)
    with pytest.raises(DeviceRefusedError, match="bench: lock 2 stayed shut for 1"):
        await board.open(2)
    assert await open_doors(board) == set()
    sim.free(2)
    await board.open(2)
    assert await open_doors(board) == {2}


async def test_many_callers_are_served_one_after_the_other_with_the_line_at_rest_between(
    lock_board_bench: Bench,
) -> None:
    board, sim, _ = lock_board_bench
    async with asyncio.TaskGroup() as nurses:
        for lock in (4, 5, 6, 7):
            nurses.create_task(board.open(lock))
        nurses.create_task(board.doors())
    assert {4, 5, 6, 7} <= await open_doors(board)
    at_s = [moment for moment, _ in sim.commands]
    assert min(after - before for before, after in pairwise(at_s)) >= 0.045
    opened = [command.lock for _, command in sim.commands if command.code == OPEN]
    assert opened == [4, 5, 6, 7]


async def test_a_lock_that_does_not_exist_is_refused_before_the_board_hears_of_it(lock_board_bench: Bench) -> None:
    board, sim, _ = lock_board_bench
    locks = len(await board.doors())
    for lock in (0, -1, locks + 1):
        with pytest.raises(DriverConfigError, match=f"lock {lock} does not exist, expected 1 to {locks}"):
            await board.open(lock)
    assert not [command for _, command in sim.commands if command.code == OPEN]


async def test_an_unplugged_board_is_gone_and_back_within_three_seconds(
    lock_board_bench: Bench, until_ready: UntilReady, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    board, sim, port = lock_board_bench
    heard = asyncio.Event()

    async def hear(*_: object) -> None:
        """And be gone before it answers."""
        heard.set()

    with monkeypatch.context() as patched:
        patched.setattr(sim, "_obey", hear)
        opening = asyncio.create_task(board.open(1))
        async with asyncio.timeout(60):
            await heard.wait()
        await port.unplug()
        with pytest.raises(DeviceGoneError):
            await opening
    await until(lambda: board.health.state is LinkState.FAULTED)
    with pytest.raises(DeviceGoneError, match="bench: not connected: "):
        await board.doors()
    with pytest.raises(DeviceGoneError, match="bench: not connected: "):
        await board.open(1)
    await port.plug()
    await until_ready(board)
    await board.open(8)
    assert 8 in sim.open_doors
