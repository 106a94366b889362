"""Barcode scanners on a serial line: RS-232, USB CDC-ACM, Bluetooth SPP, or behind a TCP device server."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Annotated, Literal

from msgspec import Meta

from drivers.errors import DeviceGoneError, DriverConfigError
from drivers.readings import DeviceHealth, Scan, ScanFlaw
from drivers.reconnect import Reconnect
from drivers.streams import open_stream, parse_url, read_some
from drivers.wire.scanner import LONGEST_FRAME, Frame, Profile, Splitter, Suffix


class SerialScanner:
    """Reads frames of one profile (see ``drivers.wire.scanner``).

    ``gap_s`` of silence ends a frame of a scanner without suffix; ``stall_s`` of silence inside a frame makes it a
    partial one. At most ``queue_size`` scans wait for the consumer: then the line is read no further, and the scanner
    or the kernel holds the next ones back. No scan is dropped.
    """

    def __init__(
        self,
        *,
        name: str,
        url: str,
        suffix: Suffix = Suffix.CR,
        prefix: str = "",
        gs_substitute: Literal["", "~", "|", "{GS}", "^]"] = "",
        strips_aim: bool = True,
        gap_s: Annotated[float, Meta(ge=0.01, le=1.0)] = 0.05,
        stall_s: Annotated[float, Meta(ge=0.1, le=10.0)] = 1.0,
        queue_size: Annotated[int, Meta(ge=1, le=1000)] = 64,
    ) -> None:
        self.name = name
        self._line = parse_url(url)
        if not prefix.isascii():
            raise DriverConfigError(f"{name}: option prefix is {prefix!r}, expected ASCII characters")
        self._profile = Profile(
            suffix=suffix, prefix=prefix.encode(), gs_substitute=gs_substitute.encode(), strips_aim=strips_aim
        )
        self._silence_s = gap_s if suffix is Suffix.NONE else stall_s
        self._scans: asyncio.Queue[Scan] = asyncio.Queue(queue_size)
        self._link = Reconnect(name=name, driver="scanner-serial")

    @property
    def health(self) -> DeviceHealth:
        return self._link.health

    async def run(self) -> None:
        await self._link.run(self._session)

    async def scans(self) -> AsyncIterator[Scan]:
        while True:
            yield await self._scans.get()

    async def _session(self) -> None:
        # A small limit makes back-pressure reach the line soon.
        async with open_stream(self._line, limit=LONGEST_FRAME) as (reader, _):
            self._link.ready()
            splitter = Splitter(self._profile)
            try:
                await self._split(reader, splitter)
            except DeviceGoneError:
                await self._hand_over(splitter.cut())
                raise

    async def _split(self, reader: asyncio.StreamReader, splitter: Splitter) -> None:
        """Feed the splitter until the line is cut."""
        reading = asyncio.create_task(read_some(reader), name=f"{self.name} read")
        try:
            while True:
                # One read outlives the waits: cancelling it at a gap could lose bytes, or take a busy loop for silence.
                timeout_s = self._silence_s if splitter.is_inside_frame else None
                done, _ = await asyncio.wait({reading}, timeout=timeout_s)
                if not done:
                    await self._hand_over(splitter.silence())
                    continue
                await self._hand_over(splitter.feed(reading.result()))
                reading = asyncio.create_task(read_some(reader), name=f"{self.name} read")
        finally:
            reading.cancel()

    async def _hand_over(self, frames: Iterable[Frame]) -> None:
        for frame in frames:
            flaw = None if frame.flaw is None else ScanFlaw(frame.flaw.value)
            await self._scans.put(Scan(source=self.name, data=frame.data, aim=frame.aim, flaw=flaw))
