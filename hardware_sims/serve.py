"""The cable of a simulated device: a pty under a stable name, or a TCP port. It can be pulled and plugged in again.

Faults sit on its two lines, by direction, and outlive a replug: a bad cable stays one.

A simulated device is one coroutine function that talks through a ``Cable`` until it reads ``b""``, the end of the line.
"""

import asyncio
import os
import tty
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from hardware_sims.faults import Line


class Cable:
    """One plugged connection as the device sees it."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        lines: tuple[Line, Line],
        hang_up: Callable[[], None],
    ) -> None:
        self.reader = reader
        self.hang_up = hang_up
        self._writer = writer
        self._from_device, self._to_device = lines

    async def read(self, limit: int = 4096) -> bytes:
        """The next bytes, after the faults on their way here; ``b""`` once the line is cut."""
        with suppress(OSError):
            while data := await self.reader.read(limit):
                if heard := b"".join(step.data for step in self._to_device.send(data)):
                    return heard
        return b""

    async def write(self, data: bytes) -> None:
        """Send through the line's faults. Raises ConnectionResetError once the line is cut."""
        for step in self._from_device.send(data):
            if step.wait_s:
                await asyncio.sleep(step.wait_s)
            if self._writer.is_closing():
                raise ConnectionResetError("the line is cut")
            self._writer.write(step.data)
            await self._writer.drain()
            if step.hangs_up:
                self.hang_up()


_END_AGAIN_S = 0.5
_CLOSED_WITHIN_S = 1.0
Talk = Callable[[Cable], Awaitable[None]]


class PtyPort:
    """A serial line. Each plug-in is a new tty; ``path`` always leads to the present one, as udev's by-id links do."""

    def __init__(self, path: Path, talk: Talk, *, line: Line | None = None, line_to_device: Line | None = None) -> None:
        self._path = path
        self._talks = _Talks(talk)
        self._lines = line or Line(), line_to_device or Line()
        self._plugged: _Pty | None = None

    @property
    def url(self) -> str:
        return str(self._path)

    async def plug(self) -> None:
        """Does nothing if it is plugged in."""
        if self._plugged is None:
            self._plugged = pty = await _Pty.open()
            self._talks.start(Cable(pty.reader, pty.writer, self._lines, pty.hang_up))
            fresh = self._path.with_name(f"{self._path.name}.new")
            fresh.symlink_to(pty.tty_name)
            fresh.replace(self._path)

    async def unplug(self) -> None:
        """Does nothing if it is unplugged."""
        if self._plugged is not None:
            pty, self._plugged = self._plugged, None
            self._path.unlink(missing_ok=True)
            pty.hang_up()
            await self._talks.end()
            await pty.closed()

    async def __aenter__(self) -> Self:
        await self.plug()
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> None:
        await self.unplug()
        self._talks.raise_failure(unless=error)


class TcpPort:
    """A TCP server on 127.0.0.1. A port of 0 is chosen once and kept from then on."""

    def __init__(
        self, talk: Talk, *, port: int = 0, line: Line | None = None, line_to_device: Line | None = None
    ) -> None:
        self.port = port
        self._talks = _Talks(talk)
        self._lines = line or Line(), line_to_device or Line()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Known once it is plugged in."""
        return f"socket://127.0.0.1:{self.port}"

    async def plug(self) -> None:
        """Does nothing if it is plugged in."""
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def unplug(self) -> None:
        """Does nothing if it is unplugged."""
        if self._server is not None:
            server, self._server = self._server, None
            server.close()
            await self._talks.end()

    async def __aenter__(self) -> Self:
        await self.plug()
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> None:
        await self.unplug()
        self._talks.raise_failure(unless=error)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._talks.start(Cable(reader, writer, self._lines, writer.transport.abort))


class _Talks:
    """The talks that run on one port, and how they failed."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self._running: dict[asyncio.Task[None], Cable] = {}
        self._failures: list[Exception] = []

    def start(self, cable: Cable) -> None:
        task = asyncio.create_task(self._run(cable), name="simulated device")
        self._running[task] = cable
        task.add_done_callback(self._running.pop)

    async def end(self) -> None:
        running = dict(self._running)
        for cable in running.values():
            cable.hang_up()
        while left := [task for task in running if not task.done()]:
            for task in left:  # one that was about to end may lose the wish to end it
                task.cancel()
            await asyncio.wait(left, timeout=_END_AGAIN_S)

    def raise_failure(self, *, unless: BaseException | None) -> None:
        if self._failures and unless is None:
            raise ExceptionGroup("the simulated device failed", self._failures)

    async def _run(self, cable: Cable) -> None:
        try:
            await self._talk(cable)
        except* (ConnectionError, asyncio.IncompleteReadError):
            pass  # the other side hung up, or the cable was pulled: a device lives with that
        except* Exception as failures:  # noqa: BLE001 - task boundary: raised again when the port is left
            self._failures += failures.exceptions
        finally:
            cable.hang_up()


class _Pty:
    """Both ends of one pty. The tty is kept open, so that it outlives each reader, as a plugged cable does."""

    def __init__(
        self, slave: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, incoming: asyncio.ReadTransport
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.tty_name = os.ttyname(slave)
        self._slave = slave
        self._incoming = incoming

    @classmethod
    async def open(cls) -> Self:
        master, slave = os.openpty()
        tty.setraw(slave)
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        incoming, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(os.dup(master), "rb", buffering=0)
        )
        outgoing, protocol = await loop.connect_write_pipe(
            lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), os.fdopen(master, "wb", buffering=0)
        )
        return cls(slave, reader, asyncio.StreamWriter(outgoing, protocol, reader, loop), incoming)

    def hang_up(self) -> None:
        if not self.writer.is_closing():
            self._incoming.close()
            self.writer.transport.abort()

    async def closed(self) -> None:
        with suppress(OSError, TimeoutError):  # a cable that is pulled is out, whatever its transport says
            async with asyncio.timeout(_CLOSED_WITHIN_S):
                await self.writer.wait_closed()
        os.close(self._slave)
