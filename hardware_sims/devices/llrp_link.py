"""The one connection of the simulated reader: its numbering, its keepalives, the round that runs on it."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Protocol

from drivers.wire.llrp import MessageType
from hardware_sims.devices import llrp_frames as frames
from hardware_sims.devices.llrp_frames import Status
from hardware_sims.serve import Cable

MOST_UNANSWERED = 2


class Faults(Protocol):
    is_mute: bool
    is_hung: bool


class Link:
    def __init__(self, cable: Cable, tasks: asyncio.TaskGroup, faults: Faults) -> None:
        self.cable = cable
        self.unanswered = 0
        self.is_stopped = asyncio.Event()
        self._tasks = tasks
        self._faults = faults
        self._last_id = 0
        self._keeper: asyncio.Task[None] | None = None
        self._round: asyncio.Task[None] | None = None

    def next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    async def say(self, frame: bytes) -> None:
        if not self._faults.is_hung:
            await self.cable.write(frame)

    async def tell(self, said: bytes) -> None:
        """Send one event."""
        await self.say(frames.event(self.next_id(), now_us(), said))

    async def complain(self, message_id: int, status: Status, text: str) -> None:
        await self.say(frames.message(MessageType.ERROR_MESSAGE, message_id, frames.status(status, text)))

    def keep_alive(self, every_ms: int) -> None:
        """From now on at this pace; 0 is never. Hangs up on a client that leaves two unanswered."""
        if self._keeper is not None:
            self._keeper.cancel()
        self._keeper = self._tasks.create_task(self._keep_alive(every_ms / 1000)) if every_ms else None

    @property
    def is_in_round(self) -> bool:
        return self._round is not None and not self._round.done()

    def begin(self, one_round: Coroutine[None, None, None]) -> None:
        self.is_stopped = asyncio.Event()
        self._round = self._tasks.create_task(one_round)

    def cancel_round(self) -> None:
        if self._round is not None:
            self._round.cancel()

    def end(self) -> None:
        self.cancel_round()
        if self._keeper is not None:
            self._keeper.cancel()

    async def _keep_alive(self, every_s: float) -> None:
        self.unanswered = 0
        while self.unanswered < MOST_UNANSWERED:
            await asyncio.sleep(every_s)
            if not (self._faults.is_mute or self._faults.is_hung):
                self.unanswered += 1
                await self.say(frames.keepalive(self.next_id()))
        await asyncio.sleep(every_s)
        self.cable.hang_up()


def now_us() -> int:
    return time.time_ns() // 1000
