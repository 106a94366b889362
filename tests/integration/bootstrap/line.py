"""The way from agents to central's site: it counts, it can be cut after some bytes, and it can spoil what passes."""

import asyncio
import contextlib
from collections.abc import Callable
from urllib.parse import urlsplit

from tests.integration.central_core.processes import CentralProcess

_READ = 16_384


class Line:
    """``heads``: every request as it was sent. ``bodies``: bytes of every answer that passed, without its head.

    ``cut_after``: how much of each answer's body passes, one number a connection; past the list everything does.
    ``stop_after``: after so much of a body nothing passes any more, and nobody says so.
    """

    def __init__(self, central: CentralProcess) -> None:
        self.heads: list[str] = []
        self.bodies: list[int] = []
        self.cut_after: list[int] = []
        self.stop_after: int | None = None
        self.is_held = asyncio.Event()
        self.is_held.set()
        self.spoil: Callable[[bytes], bytes] = bytes
        self._central = central
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self._serve(reader, writer)
        finally:
            writer.close()
            self._serving.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head.decode())
        number = len(self.bodies)
        self.bodies.append(0)
        parts = urlsplit(self._central.address)
        source, sink = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            sink.write(head)
            writer.write(await source.readuntil(b"\r\n\r\n"))
            stop = self.stop_after
            limit = self.cut_after[number] if number < len(self.cut_after) else stop
            while chunk := await source.read(_READ):
                await self.is_held.wait()
                passed = chunk if limit is None else chunk[: max(0, limit - self.bodies[number])]
                self.bodies[number] += len(passed)
                writer.write(self.spoil(passed))
                await writer.drain()
                if len(passed) < len(chunk) and stop is not None:
                    await self._gone(source)
                elif len(passed) < len(chunk):
                    await asyncio.sleep(0.2)  # what passed is read before the end is seen
                    return
        finally:
            sink.close()

    async def _gone(self, source: asyncio.StreamReader) -> None:
        """Until the other end gives up."""
        while await source.read(_READ):
            pass
