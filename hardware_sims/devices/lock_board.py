"""A simulated cabinet with 8A lock boards: doors that a command opens and only a hand shuts."""

import asyncio

from drivers.wire import lock_board as wire
from hardware_sims.serve import Cable


class SimLockBoard:
    """Plug it in as ``PtyPort(path, board.talk)``. Locks are counted through all boards, from 1.

    ``spring_s`` is how long a door takes to spring open; ``echoes`` is the habit of cheap RS-485 adapters to send
    back what they were sent; some boards are ``is_silent_on_open``.
    """

    def __init__(
        self,
        *,
        boards: int = 1,
        first_board: int = 1,
        polarity: wire.Polarity | None = None,
        spring_s: float = 0.05,
        echoes: bool = False,
        is_silent_on_open: bool = False,
    ) -> None:
        self._addresses = range(first_board, first_board + boards)
        self._polarity = polarity or wire.Polarity()
        self._spring_s = spring_s
        self._echoes = echoes
        self._is_silent_on_open = is_silent_on_open
        self._open: set[int] = set()
        self._jammed: set[int] = set()
        self._changed = asyncio.Condition()
        self.has_power = True
        self.commands: list[tuple[float, wire.Command]] = []

    @property
    def open_doors(self) -> frozenset[int]:
        return frozenset(self._open)

    async def close(self, lock: int) -> None:
        """A hand shuts the door."""
        await self._move(lock, is_open=False)

    async def open_by_key(self, lock: int) -> None:
        """A hand opens the door without any command."""
        await self._move(lock, is_open=True)

    def jam(self, lock: int) -> None:
        """From now on the lock does not let its door go."""
        self._jammed.add(lock)

    def free(self, lock: int) -> None:
        self._jammed.discard(lock)

    async def wait_until(self, lock: int, *, is_open: bool) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: (lock in self._open) == is_open)

    async def talk(self, cable: Cable) -> None:
        buffer = b""
        async with asyncio.TaskGroup() as doors:
            while data := await cable.read():
                buffer += data
                while True:
                    command, used = wire.decode_command(buffer)
                    buffer = buffer[used:]
                    if command is None:
                        break
                    if self._echoes:
                        await cable.write(wire.encode_command(command))
                    await self._obey(command, cable, doors)

    async def _obey(self, command: wire.Command, cable: Cable, doors: asyncio.TaskGroup) -> None:
        self.commands.append((asyncio.get_running_loop().time(), command))
        if command.board not in self._addresses or not self.has_power:
            return
        if command.code == wire.OPEN:
            for lock in self._locks_of(command):
                doors.create_task(self._spring(lock), name=f"door {lock} springs")
            if self._is_silent_on_open:
                return
        if command.lock == wire.ALL_LOCKS:
            is_open = {place: self._lock(command.board, place) in self._open for place in range(1, 25)}
            await cable.write(wire.encode_all_reply(is_open, board=command.board, polarity=self._polarity))
            return
        is_open_now = self._lock(command.board, command.lock) in self._open
        await cable.write(wire.encode_lock_reply(command, is_open=is_open_now, polarity=self._polarity))

    async def _spring(self, lock: int) -> None:
        await asyncio.sleep(self._spring_s)
        if lock not in self._jammed:
            await self._move(lock, is_open=True)

    async def _move(self, lock: int, *, is_open: bool) -> None:
        async with self._changed:
            if is_open:
                self._open.add(lock)
            else:
                self._open.discard(lock)
            self._changed.notify_all()

    def _locks_of(self, command: wire.Command) -> list[int]:
        places = range(1, wire.LOCKS_OF_A_BOARD + 1) if command.lock == wire.ALL_LOCKS else (command.lock,)
        return [self._lock(command.board, place) for place in places]

    def _lock(self, board: int, place: int) -> int:
        return (board - self._addresses.start) * wire.LOCKS_OF_A_BOARD + place
