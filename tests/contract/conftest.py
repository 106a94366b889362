"""Benches: the shipping driver, made by the registry, on one end of a real wire; a simulated device on the other.

Each contract runs over every bench of its role; the contract of ``Device`` over all of them. A bench of a new driver
is one entry in ``BENCHES``.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from drivers import registry
from drivers.abilities import Device, LockBoard, Packager, Scanner
from drivers.readings import LinkState
from drivers.wire.lock_board import Polarity
from drivers.wire.scanner import Profile, Suffix
from hardware_sims import faults
from hardware_sims.devices.lock_board import SimLockBoard
from hardware_sims.devices.packager import SimPackager
from hardware_sims.devices.scanner import SimScanner
from hardware_sims.faults import Line
from hardware_sims.serve import PtyPort, Talk, TcpPort

Port = PtyPort | TcpPort


class Bench(NamedTuple):
    device: Device
    sim: object
    port: Port


Lines = tuple[Line | None, Line | None]
Open = Callable[[Path], AbstractAsyncContextManager[Bench]]


WITHIN_S, LOOK_EACH_S = 3.0, 0.005


async def wait_until(condition: Callable[[], bool]) -> None:
    """Within three seconds, in turns of the loop: where others have the machine, a turn takes as much longer."""
    for _ in range(round(WITHIN_S / LOOK_EACH_S)):
        if condition():
            return
        await asyncio.sleep(LOOK_EACH_S)
    raise AssertionError(f"it is not so after {WITHIN_S:g} s")


async def wait_until_ready(device: Device) -> None:
    await wait_until(lambda: device.health.state is LinkState.READY)


def bench(
    driver: str,
    sim: Callable[[], tuple[object, Talk]],
    *,
    tcp: bool = False,
    lines: Callable[[], Lines] = lambda: (None, None),
    **options: object,
) -> Open:
    @asynccontextmanager
    async def open_bench(folder: Path) -> AsyncIterator[Bench]:
        simulated, talk = sim()
        from_device, to_device = lines()
        port: Port = (
            TcpPort(talk, line=from_device, line_to_device=to_device)
            if tcp
            else PtyPort(folder / "ttyBench", talk, line=from_device, line_to_device=to_device)
        )
        async with port:
            device = registry.create(driver, name="bench", options={"url": port.url, **options})
            running = asyncio.create_task(device.run(), name="driver under test")
            try:
                await wait_until_ready(device)
                yield Bench(device, simulated, port)
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)

    return open_bench


def sim_scanner(profile: Profile | None = None, *, sends_aim: bool = False) -> Callable[[], tuple[object, Talk]]:
    def made() -> tuple[object, Talk]:
        scanner = SimScanner(profile=profile, sends_aim=sends_aim)
        return scanner, scanner.talk

    return made


def sim_lock_board(
    *, boards: int = 1, polarity: Polarity | None = None, echoes: bool = False, is_silent_on_open: bool = False
) -> Callable[[], tuple[object, Talk]]:
    def made() -> tuple[object, Talk]:
        board = SimLockBoard(boards=boards, polarity=polarity, echoes=echoes, is_silent_on_open=is_silent_on_open)
        return board, board.talk

    return made


def sim_packager() -> tuple[object, Talk]:
    packager = SimPackager(canisters={"P1": 100, "P2": 100, "P3": 0}, pouch_s=0.02, repeat_s=0.2)
    return packager, packager.talk


def noisy() -> Lines:
    """Motors beside the cable: a byte in two hundred comes wrong, in both directions."""
    return (
        Line(faults.garble(chance=0.005), faults.split(chance=0.3), seed=3),
        Line(faults.garble(chance=0.005), seed=4),
    )


SCANNERS: dict[str, Open] = {
    "scanner on a serial line": bench("scanner-serial", sim_scanner()),
    "scanner behind a TCP device server": bench("scanner-serial", sim_scanner(), tcp=True),
    "scanner with prefix, CR LF and AIM": bench(
        "scanner-serial",
        sim_scanner(Profile(suffix=Suffix.CRLF, prefix=b"\x02"), sends_aim=True),
        suffix="crlf",
        prefix="\x02",
    ),
    "scanner whose bytes come in pieces": bench(
        "scanner-serial", sim_scanner(), lines=lambda: (Line(faults.split(wait_s=0.002), seed=1), None)
    ),
}
LOCK_BOARDS: dict[str, Open] = {
    "lock board on RS-485": bench("lock-board-8a", sim_lock_board()),
    "lock board behind a TCP device server": bench("lock-board-8a", sim_lock_board(), tcp=True),
    "lock board with an echoing adapter": bench("lock-board-8a", sim_lock_board(echoes=True)),
    "lock board that does not answer to open": bench("lock-board-8a", sim_lock_board(is_silent_on_open=True)),
    "two lock boards of turned polarity": bench(
        "lock-board-8a",
        sim_lock_board(boards=2, polarity=Polarity(open_status=0x11, open_bit=0)),
        locks=48,
        open_status=0x11,
        open_bit=0,
    ),
    "lock board on a noisy line": bench("lock-board-8a", sim_lock_board(), lines=noisy),
}
PACKAGERS: dict[str, Open] = {
    "packager on TCP": bench("packager-tcp", sim_packager, tcp=True, answer_timeout_s=0.3),
    "packager on a serial line": bench("packager-tcp", sim_packager, answer_timeout_s=0.3),
    "packager on a noisy line": bench(
        "packager-tcp",
        sim_packager,
        tcp=True,
        lines=noisy,
        answer_timeout_s=0.3,
        tries=6,
    ),
}
BENCHES: dict[str, Open] = {**SCANNERS, **LOCK_BOARDS, **PACKAGERS}


@pytest.fixture(params=list(BENCHES.values()), ids=list(BENCHES))
async def device_bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Device, Port]]:
    async with request.param(tmp_path) as opened:
        yield opened.device, opened.port


@pytest.fixture(params=list(SCANNERS.values()), ids=list(SCANNERS))
async def scanner_bench(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[tuple[Scanner, SimScanner, Port]]:
    async with request.param(tmp_path) as opened:
        yield opened


@pytest.fixture(params=list(LOCK_BOARDS.values()), ids=list(LOCK_BOARDS))
async def lock_board_bench(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[tuple[LockBoard, SimLockBoard, Port]]:
    async with request.param(tmp_path) as opened:
        yield opened


@pytest.fixture(params=list(PACKAGERS.values()), ids=list(PACKAGERS))
async def packager_bench(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[tuple[Packager, SimPackager, Port]]:
    async with request.param(tmp_path) as opened:
        yield opened


@pytest.fixture
def until_ready() -> Callable[[Device], Awaitable[None]]:
    """Waits for a device; fails after the three seconds in which one that is back must be usable."""
    return wait_until_ready


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], Awaitable[None]]:
    """Waits three seconds at most for a condition."""
    return wait_until
