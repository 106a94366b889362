import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from drivers.abilities import Device, Scanner
from drivers.readings import Scan, ScanFlaw
from hardware_sims.devices.scanner import SimScanner
from hardware_sims.serve import PtyPort, TcpPort

Bench = tuple[Scanner, SimScanner, PtyPort | TcpPort]
UntilReady = Callable[[Device], Awaitable[None]]
GS1 = b"010690123456789217281231\x1d21X"


async def heard(scans: AsyncIterator[Scan], count: int) -> list[Scan]:
    async with asyncio.timeout(5):
        return [await anext(scans) for _ in range(count)]


async def good_scan_works(bench: Bench, scans: AsyncIterator[Scan]) -> None:
    _, sim, _ = bench
    await sim.scan("81002345678901234567")
    (scan,) = await heard(scans, 1)
    assert (scan.data, scan.flaw) == (b"81002345678901234567", None)


async def test_it_is_a_scanner(scanner_bench: Bench) -> None:
    assert isinstance(scanner_bench[0], Scanner)


async def test_scans_come_in_order_with_their_source_and_every_byte(scanner_bench: Bench) -> None:
    scanner, sim, _ = scanner_bench
    codes = [GS1, b"81002345678901234567", b"\xc4\xe3\xff", b"81002345678901234567"]
    for code in codes:
        await sim.scan(code)
    scans = await heard(scanner.scans(), 4)
    assert [scan.data for scan in scans] == codes
    assert {scan.source for scan in scans} == {"bench"}
    assert {scan.flaw for scan in scans} == {None}
    assert {scan.aim for scan in scans} in ({None}, {"]d2"})


async def test_a_good_scan_works_after_each_bad_one(scanner_bench: Bench) -> None:
    scanner, sim, _ = scanner_bench
    scans = scanner.scans()
    bad: list[tuple[str | bytes, ScanFlaw]] = [
        ("", ScanFlaw.EMPTY),
        (b"81\x0002345678901234567", ScanFlaw.NUL),
        (b"8" * 5000, ScanFlaw.TOO_LONG),
    ]
    for code, flaw in bad:
        await sim.scan(code, aim="")
        (scan,) = await heard(scans, 1)
        assert scan.flaw is flaw
        assert len(scan.data) <= 4096
        await good_scan_works(scanner_bench, scans)


async def test_two_glued_codes_are_never_taken_for_two_or_for_one_of_them(scanner_bench: Bench) -> None:
    scanner, sim, _ = scanner_bench
    scans = scanner.scans()
    await sim.scan_glued("81002345678901234567", "81002345678901234568")
    (scan,) = await heard(scans, 1)
    assert scan.data == b"8100234567890123456781002345678901234568"
    await good_scan_works(scanner_bench, scans)


async def test_a_code_cut_short_is_told_as_such(scanner_bench: Bench) -> None:
    scanner, sim, _ = scanner_bench
    scans = scanner.scans()
    await sim.scan_partly("81002345678901234567", length=7)
    (scan,) = await heard(scans, 1)
    assert scan.flaw is ScanFlaw.PARTIAL
    assert scan.data.endswith(b"8100234")
    await good_scan_works(scanner_bench, scans)


async def test_half_a_code_is_never_joined_to_what_comes_after_the_cable_was_pulled(
    scanner_bench: Bench, until_ready: UntilReady
) -> None:
    scanner, sim, port = scanner_bench
    scans = scanner.scans()
    await sim.scan_partly("81002345678901234567", length=7)
    await asyncio.sleep(0.1)
    await port.unplug()
    (scan,) = await heard(scans, 1)
    assert scan.flaw is ScanFlaw.PARTIAL
    await port.plug()
    await until_ready(scanner)
    await good_scan_works(scanner_bench, scans)


async def test_no_scan_is_dropped_while_nobody_listens(scanner_bench: Bench) -> None:
    scanner, sim, _ = scanner_bench
    codes = [b"8%019d" % number for number in range(150)]

    async def scan_all() -> None:
        for code in codes:
            await sim.scan(code)

    scanning = asyncio.create_task(scan_all())
    await asyncio.sleep(0.3)
    assert [scan.data for scan in await heard(scanner.scans(), 150)] == codes
    await scanning
