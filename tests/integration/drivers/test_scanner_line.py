import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from drivers.readings import LinkState, Scan, ScanFlaw
from drivers.scanner_serial import SerialScanner
from drivers.wire.scanner import Profile, Suffix
from hardware_sims import faults
from hardware_sims.devices.scanner import SimScanner
from hardware_sims.faults import Line
from hardware_sims.serve import PtyPort

CODE = b"81002345678901234567"
PAGE = os.sysconf("SC_PAGE_SIZE")


@asynccontextmanager
async def running(scanner: SerialScanner) -> AsyncIterator[AsyncIterator[Scan]]:
    task = asyncio.create_task(scanner.run())
    try:
        await until(lambda: scanner.health.state is LinkState.READY)
        yield scanner.scans()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(3):
        while not condition():  # noqa: ASYNC110 - health is seen from outside only
            await asyncio.sleep(0.005)


async def hear(scans: AsyncIterator[Scan]) -> Scan:
    async with asyncio.timeout(10):
        return await anext(scans)


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


async def test_ten_megabytes_without_an_end_cost_no_memory_and_hide_no_scan(tmp_path: Path) -> None:
    sim = SimScanner()
    chunk = b"7" * 4096
    async with PtyPort(tmp_path / "tty", sim.talk) as port, running(SerialScanner(name="s", url=port.url)) as scans:
        for _ in range(64):  # buffers of the line itself come first
            await sim.send(chunk)
        assert (await hear(scans)).flaw is ScanFlaw.TOO_LONG
        before = resident_bytes()
        highest = before
        for number in range(10_000_000 // len(chunk)):
            await sim.send(chunk)
            if number % 50 == 0:
                highest = max(highest, resident_bytes())
        await sim.send(b"\r")
        await sim.scan(CODE)
        scan = await hear(scans)
        assert (scan.data, scan.flaw) == (CODE, None)
        assert max(highest, resident_bytes()) - before <= 1_000_000


async def test_a_scanner_that_comes_back_as_another_tty_is_used_within_three_seconds(tmp_path: Path) -> None:
    sim = SimScanner()
    port = PtyPort(tmp_path / "by-id-scanner", sim.talk)
    scanner = SerialScanner(name="s", url=port.url)
    async with port, running(scanner) as scans:
        await sim.scan(CODE)
        assert (await hear(scans)).data == CODE
        first_tty = (tmp_path / "by-id-scanner").readlink()
        await sim.scan_partly(CODE, length=9)
        await asyncio.sleep(0.05)
        await port.unplug()
        assert await hear(scans) == Scan(source="s", data=CODE[:9], flaw=ScanFlaw.PARTIAL)
        await asyncio.sleep(1.0)
        taken = os.openpty()  # somebody else gets the old number
        try:
            await port.plug()
            assert (tmp_path / "by-id-scanner").readlink() != first_tty
            async with asyncio.timeout(3):
                await until(lambda: scanner.health.state is LinkState.READY)
                await sim.scan(CODE)
                assert await anext(scans) == Scan(source="s", data=CODE)
        finally:
            for end in taken:
                os.close(end)


async def test_a_scanner_without_suffix_ends_its_codes_by_silence(tmp_path: Path) -> None:
    sim = SimScanner(profile=Profile(suffix=Suffix.NONE))
    async with (
        PtyPort(tmp_path / "tty", sim.talk, line=Line(faults.split(wait_s=0.005), seed=2)) as port,
        running(SerialScanner(name="s", url=port.url, suffix=Suffix.NONE, gap_s=0.1)) as scans,
    ):
        for _ in range(5):
            await sim.scan(CODE)
            assert (await hear(scans)).data == CODE


async def test_a_busy_program_does_not_take_its_own_delay_for_silence(tmp_path: Path) -> None:
    sim = SimScanner(profile=Profile(suffix=Suffix.NONE))
    async with (
        PtyPort(tmp_path / "tty", sim.talk) as port,
        running(SerialScanner(name="s", url=port.url, suffix=Suffix.NONE, gap_s=0.05)) as scans,
    ):
        await sim.scan_partly(CODE, length=9)
        await asyncio.sleep(0.02)
        await sim.send(CODE[9:])
        stalled_until_s = asyncio.get_running_loop().time() + 0.2
        while asyncio.get_running_loop().time() < stalled_until_s:
            pass
        assert (await hear(scans)).data == CODE


async def test_noise_on_the_line_is_survived_scan_by_scan(tmp_path: Path) -> None:
    sim = SimScanner()
    noisy = Line(faults.drop(chance=0.005), faults.garble(chance=0.005), faults.split(wait_s=0.0), seed=9)
    codes = [b"8%019d" % number for number in range(300)]
    read = []
    async with (
        PtyPort(tmp_path / "tty", sim.talk, line=noisy) as port,
        running(SerialScanner(name="s", url=port.url, queue_size=1000)) as scans,
    ):
        for code in codes:
            await sim.scan(code)
        await sim.send(b"\r")
        for _ in range(3):  # one of them will come through
            await sim.scan("end")
        while (scan := await hear(scans)).data != b"end":
            read.append(scan.data)
    whole = [data for data in read if data in codes]
    assert whole == sorted(whole)
    assert len(whole) > 200, "one spoilt byte costs one scan, or two if it was the suffix"


async def test_a_line_that_hangs_up_in_the_middle_of_codes_never_gives_half_a_code(tmp_path: Path) -> None:
    sim = SimScanner()
    codes = [b"8%019d" % number for number in range(12)]
    heard: list[Scan] = []
    scanner = SerialScanner(name="s", url=str(tmp_path / "tty"))

    async def listen(scans: AsyncIterator[Scan]) -> None:
        async for scan in scans:
            heard.append(scan)  # noqa: PERF401 - the list grows while the test looks

    port = PtyPort(tmp_path / "tty", sim.talk, line=Line(faults.hang_up(chance=0.3), seed=4))
    async with port, running(scanner) as scans:
        listening = asyncio.create_task(listen(scans))
        for code in codes:
            with suppress(TimeoutError):  # the line went while the scanner's port still seemed well
                async with asyncio.timeout(1):
                    await sim.scan(code)
            await asyncio.sleep(0.02)
            if scanner.health.state is not LinkState.READY:
                await port.unplug()
                await port.plug()
                await until(lambda: scanner.health.state is LinkState.READY)
        listening.cancel()
    whole = [scan.data for scan in heard if scan.flaw is None]
    assert set(whole) < set(codes), "the line did hang up, and gave codes in between"
    assert len(whole) >= 6
    assert {scan.flaw for scan in heard} <= {None, ScanFlaw.PARTIAL}


async def test_one_scanner_is_never_read_by_two_programs(tmp_path: Path) -> None:
    sim = SimScanner()
    async with PtyPort(tmp_path / "tty", sim.talk) as port, running(SerialScanner(name="s", url=port.url)):
        second = SerialScanner(name="t", url=port.url)
        task = asyncio.create_task(second.run())
        await until(lambda: second.health.state is LinkState.FAULTED)
        task.cancel()
        assert "in use by another program" in second.health.cause


async def test_a_full_queue_holds_the_line_back_instead_of_dropping(tmp_path: Path) -> None:
    sim = SimScanner()
    sent = 0

    async def scan_for_ever() -> None:
        nonlocal sent
        while True:
            await sim.scan(b"8%019d" % sent)
            sent += 1

    async with (
        PtyPort(tmp_path / "tty", sim.talk) as port,
        running(SerialScanner(name="s", url=port.url, queue_size=4)) as scans,
    ):
        scanning = asyncio.create_task(scan_for_ever())
        await asyncio.sleep(0.5)
        held_at = sent
        await asyncio.sleep(0.3)
        assert sent == held_at, "the scanner is held back"
        for number in range(held_at):
            assert (await hear(scans)).data == b"8%019d" % number
        scanning.cancel()


@pytest.mark.parametrize("name", ["nothing-here", "."])
async def test_a_port_that_cannot_be_opened_says_why(tmp_path: Path, name: str) -> None:
    scanner = SerialScanner(name="s", url=str(tmp_path / name))
    task = asyncio.create_task(scanner.run())
    await until(lambda: scanner.health.attempts >= 2)
    task.cancel()
    assert str(tmp_path) in scanner.health.cause
