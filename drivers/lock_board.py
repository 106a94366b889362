"""RS-485 lock boards that speak 8A/80 frames."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Annotated, Any, Literal

from msgspec import Meta

from drivers.errors import DeviceGoneError, DeviceRefusedError, DriverConfigError
from drivers.readings import DeviceHealth, DoorState
from drivers.reconnect import Reconnect
from drivers.streams import open_stream, parse_url, read_some
from drivers.wire import lock_board as wire

# Reads the awaited reply from the buffer: (reply or None, bytes to drop).
_Decode = Callable[[bytes], tuple[Any, int]]
_TRIES = 2
_LAST_ADDRESS = 255


class LockBoard8A:
    """The boards of one RS-485 line. Half duplex: one command at a time, ``turnaround_s`` of silence between two.

    Locks are counted through: with 24 a board, lock 25 is the first one of the board with the next address.
    Whether a door opened is asked of the door, never taken from the reply to the command: some adapters echo, and the
    echo looks like a reply. ``check_every_s`` bounds how long a board without power is taken for a living one.
    """

    def __init__(
        self,
        *,
        name: str,
        url: str,
        first_board: Annotated[int, Meta(ge=1, le=255)] = 1,
        locks: Annotated[int, Meta(ge=1, le=1000)] = wire.LOCKS_OF_A_BOARD,
        locks_per_board: Annotated[int, Meta(ge=1, le=wire.LOCKS_OF_A_BOARD)] = wire.LOCKS_OF_A_BOARD,
        open_status: Literal[0x00, 0x11] = 0x00,
        open_bit: Literal[0, 1] = 1,
        turnaround_s: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.05,
        reply_timeout_s: Annotated[float, Meta(gt=0.0, le=5.0)] = 0.3,
        open_timeout_s: Annotated[float, Meta(gt=0.0, le=10.0)] = 1.0,
        check_every_s: Annotated[float, Meta(gt=0.0, le=60.0)] = 2.0,
    ) -> None:
        self.name = name
        self._line = parse_url(url)
        self._first_board = first_board
        self._locks = locks
        self._locks_per_board = locks_per_board
        if (last_board := self._place(locks)[0]) > _LAST_ADDRESS:
            raise DriverConfigError(f"{name}: {locks} locks need board {last_board}, expected at most {_LAST_ADDRESS}")
        self._polarity = wire.Polarity(open_status=open_status, open_bit=open_bit)
        self._turnaround_s = turnaround_s
        self._reply_timeout_s = reply_timeout_s
        self._open_timeout_s = open_timeout_s
        self._check_every_s = check_every_s
        self._link = Reconnect(name=name, driver="lock-board-8a")
        self._opening = asyncio.Lock()
        self._speaking = asyncio.Lock()
        self._writer: asyncio.StreamWriter | None = None
        self._awaited: tuple[_Decode, asyncio.Future[Any]] | None = None
        self._may_speak_at_s = 0.0

    @property
    def health(self) -> DeviceHealth:
        return self._link.health

    async def run(self) -> None:
        await self._link.run(self._session)

    async def open(self, lock: int) -> None:
        if not 1 <= lock <= self._locks:
            raise DriverConfigError(f"{self.name}: lock {lock} does not exist, expected 1 to {self._locks}")
        self._link.require_ready()
        # One solenoid at a time: the supply of a cabinet is made for one.
        async with self._opening:
            board, place = self._place(lock)
            command = wire.Command(code=wire.OPEN, board=board, lock=place)
            for _ in range(_TRIES):
                # Silence: the command was lost on the line, or this make of board answers questions only.
                with suppress(TimeoutError):
                    await self._exchange(command, self._lock_reply_to(command))
                    break
                if await self._is_open(lock):
                    return
            await self._wait_until_open(lock)

    async def doors(self) -> Mapping[int, DoorState]:
        self._link.require_ready()
        return await self._ask_all()

    async def _session(self) -> None:
        async with open_stream(self._line) as (reader, writer), asyncio.TaskGroup() as tasks:
            self._writer = writer
            try:
                tasks.create_task(self._read(reader), name=f"{self.name} read")
                await self._ask_all()
                self._link.ready()
                while True:
                    await asyncio.sleep(self._check_every_s)
                    await self._ask_all()
            finally:
                self._writer = None

    async def _read(self, reader: asyncio.StreamReader) -> None:
        """Give the awaited reply to whoever asked; what nobody awaits is noise."""
        buffer = b""
        try:
            while True:
                buffer += await read_some(reader)
                if self._awaited is None:
                    buffer = b""
                    continue
                decode, answer = self._awaited
                reply, used = decode(buffer)
                buffer = buffer[used:]
                if reply is not None and not answer.done():
                    answer.set_result(reply)
        except DeviceGoneError as loss:
            if self._awaited is not None and not self._awaited[1].done():
                self._awaited[1].set_exception(DeviceGoneError(f"{self.name}: {loss}"))
            raise

    async def _wait_until_open(self, lock: int) -> None:
        loop = asyncio.get_running_loop()
        give_up_at_s = loop.time() + self._open_timeout_s
        while not await self._is_open(lock):
            if loop.time() >= give_up_at_s:
                raise DeviceRefusedError(
                    f"{self.name}: lock {lock} stayed shut for {self._open_timeout_s} s; is the door blocked or jammed?"
                )

    async def _is_open(self, lock: int) -> bool:
        board, place = self._place(lock)
        question = wire.Command(code=wire.QUERY, board=board, lock=place)
        is_open: bool = await self._ask(question, self._lock_reply_to(question))
        return is_open

    async def _ask_all(self) -> Mapping[int, DoorState]:
        doors_of_board: dict[int, Mapping[int, bool]] = {}
        for board in range(self._first_board, self._place(self._locks)[0] + 1):
            question = wire.Command(code=wire.QUERY, board=board, lock=wire.ALL_LOCKS)
            doors_of_board[board] = await self._ask(question, self._all_reply_of(board))
        doors: dict[int, DoorState] = {}
        for lock in range(1, self._locks + 1):
            board, place = self._place(lock)
            doors[lock] = DoorState.OPEN if doors_of_board[board][place] else DoorState.CLOSED
        return doors

    def _place(self, lock: int) -> tuple[int, int]:
        """Board address and number on that board."""
        boards, place = divmod(lock - 1, self._locks_per_board)
        return self._first_board + boards, place + 1

    def _all_reply_of(self, board: int) -> _Decode:
        return lambda buffer: wire.decode_all_reply(buffer, board=board, polarity=self._polarity)

    def _lock_reply_to(self, command: wire.Command) -> _Decode:
        return lambda buffer: wire.decode_lock_reply(buffer, asked=command, polarity=self._polarity)

    async def _ask(self, question: wire.Command, decode: _Decode) -> Any:
        """Ask again once: one garbled reply is noise on the line."""
        for _ in range(_TRIES):
            with suppress(TimeoutError):
                return await self._exchange(question, decode)
        raise DeviceGoneError(
            f"{self.name}: board {question.board} does not answer; check its power, address and wiring"
        )

    async def _exchange(self, command: wire.Command, decode: _Decode) -> Any:
        """Send one command and await its reply. Raises TimeoutError or DeviceGoneError."""
        loop = asyncio.get_running_loop()
        async with self._speaking:
            await asyncio.sleep(self._may_speak_at_s - loop.time())
            if self._writer is None:
                raise DeviceGoneError(f"{self.name}: the line was cut")
            answer: asyncio.Future[Any] = loop.create_future()
            self._awaited = decode, answer
            try:
                async with asyncio.timeout(self._reply_timeout_s):
                    self._writer.write(wire.encode_command(command))
                    return await answer
            finally:
                self._awaited = None
                self._may_speak_at_s = loop.time() + self._turnaround_s
