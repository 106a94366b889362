"""Unit-dose packagers that speak the records of ``drivers.wire.packager`` over TCP."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated

import msgspec
from msgspec import Meta

from drivers.errors import DeviceGoneError, DeviceRefusedError
from drivers.readings import DeviceHealth, PackagerJob, PouchOutcome, PouchResult
from drivers.reconnect import Reconnect
from drivers.streams import open_stream, parse_url, read_some
from drivers.wire import packager as wire

_Answer = wire.Taken | wire.Refused | wire.SendAgain


class TcpPackager:
    """One machine. A job is sent up to ``tries`` times until it is acknowledged; the machine knows it by its key.

    A result is acknowledged to the machine when the consumer asks for the next one. Beyond ``queue_size`` waiting
    results, further ones are left unacknowledged: the machine keeps and repeats them.
    """

    def __init__(
        self,
        *,
        name: str,
        url: str,
        answer_timeout_s: Annotated[float, Meta(gt=0.0, le=30.0)] = 2.0,
        tries: Annotated[int, Meta(ge=1, le=10)] = 3,
        queue_size: Annotated[int, Meta(ge=1, le=1000)] = 64,
    ) -> None:
        self.name = name
        self._line = parse_url(url)
        self._answer_timeout_s = answer_timeout_s
        self._tries = tries
        self._link = Reconnect(name=name, driver="packager-tcp")
        self._results: asyncio.Queue[tuple[str, PouchResult]] = asyncio.Queue(queue_size)
        self._unacknowledged: set[str] = set()
        self._submitting = asyncio.Lock()
        self._writer: asyncio.StreamWriter | None = None
        self._awaited: tuple[str, asyncio.Future[_Answer]] | None = None

    @property
    def health(self) -> DeviceHealth:
        return self._link.health

    async def run(self) -> None:
        await self._link.run(self._session)

    async def submit(self, job: PackagerJob) -> None:
        try:
            record = wire.encode(msgspec.convert(job, wire.Job, from_attributes=True))
        except ValueError as error:
            raise DeviceRefusedError(f"{self.name}: job {job.job!r} cannot be sent: {error}") from error
        async with self._submitting:
            for _ in range(self._tries):
                match await self._exchange(record):
                    case wire.Taken():
                        return
                    case wire.Refused(reason=reason):
                        raise DeviceRefusedError(f"{self.name}: job {job.job!r} was refused: {reason}")
                    case _:
                        continue
        raise DeviceGoneError(
            f"{self.name}: job {job.job!r} was sent {self._tries} times and not acknowledged; submit it again"
        )

    async def results(self) -> AsyncIterator[PouchResult]:
        while True:
            crc, result = await self._results.get()
            try:
                yield result
                with suppress(DeviceGoneError):  # the machine will repeat it, which it may
                    await self._send(wire.Taken(crc=crc))
            finally:
                self._unacknowledged.discard(crc)

    async def _session(self) -> None:
        async with open_stream(self._line) as (reader, writer):
            self._writer = writer
            self._link.ready()
            splitter = wire.Splitter()
            try:
                while True:
                    for record in splitter.feed(await read_some(reader)):
                        await self._handle(record)
            except DeviceGoneError as loss:
                if self._awaited is not None and not self._awaited[1].done():
                    self._awaited[1].set_exception(DeviceGoneError(f"{self.name}: {loss}"))
                raise
            finally:
                self._writer = None

    async def _handle(self, record: wire.Received | wire.Unreadable) -> None:
        if isinstance(record, wire.Unreadable):
            await self._send(record.answer)
            return
        match record.message:
            case wire.Taken() | wire.Refused() | wire.SendAgain() as answer:
                self._resolve(answer)
            case wire.Result() as result:
                await self._take_over(result, record.crc)
            case wire.Job():
                await self._send(wire.Refused(crc=record.crc, reason="jobs go to the machine, not from it"))

    def _resolve(self, answer: _Answer) -> None:
        if self._awaited is None or self._awaited[1].done():
            return
        crc, waiting = self._awaited
        # A late answer to an earlier record must not acknowledge this one.
        if isinstance(answer, wire.SendAgain) or answer.crc == crc:
            waiting.set_result(answer)

    async def _take_over(self, result: wire.Result, crc: str) -> None:
        if crc in self._unacknowledged or self._results.full():
            return
        try:
            outcome = PouchOutcome(result.outcome)
        except ValueError as error:
            await self._send(wire.Refused(crc=crc, reason=str(error)))
            return
        self._unacknowledged.add(crc)
        report = PouchResult(
            source=self.name, job=result.job, outcome=outcome, pouch=result.pouch, message=result.message
        )
        self._results.put_nowait((crc, report))

    async def _exchange(self, record: bytes) -> _Answer | None:
        """Send a job's record and await its answer; None if none comes. Raises DeviceGoneError."""
        self._link.require_ready()
        waiting: asyncio.Future[_Answer] = asyncio.get_running_loop().create_future()
        self._awaited = wire.crc_of(record), waiting
        try:
            async with asyncio.timeout(self._answer_timeout_s):
                await self._write(record)
                return await waiting
        except TimeoutError:
            return None
        finally:
            self._awaited = None

    async def _send(self, message: wire.Message) -> None:
        """Send an answer if the machine is there: else it repeats what the answer was for."""
        if self._writer is not None:
            await self._write(wire.encode(message))

    async def _write(self, record: bytes) -> None:
        if self._writer is None:
            raise DeviceGoneError(f"{self.name}: the line was cut")
        self._writer.write(record)
        try:
            await self._writer.drain()
        except OSError as error:
            raise DeviceGoneError(f"{self.name}: the line was cut") from error
