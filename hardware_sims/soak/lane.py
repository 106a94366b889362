"""One way of one connection: what waits to leave, each packet at its own time."""

import asyncio
import heapq

WAITING_AT_MOST = 2_000
"""Past this the sender is not read any more, as a full socket buffer has it."""
_MIDWAY_S = 0.5


class Lane:
    def __init__(self, writer: asyncio.StreamWriter, is_open: asyncio.Event) -> None:
        self._writer = writer
        self._is_open = is_open
        self._waiting: list[tuple[float, int, bool, bytes]] = []
        self._number = 0
        self._last_s = 0.0
        self._is_ended = False
        self._cut_at: float | None = None
        self._changed = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()

    def put(self, data: bytes, *, after_s: float = 0.0, is_message: bool = False, is_in_order: bool = False) -> None:
        """One packet; ``is_in_order``: not before the last one put in order."""
        due_s = self._now_s() + after_s
        if is_in_order:
            due_s = self._last_s = max(due_s, self._last_s)
        self._number += 1
        heapq.heappush(self._waiting, (due_s, self._number, is_message, data))
        if len(self._waiting) >= WAITING_AT_MOST:
            self._has_room.clear()
        self._changed.set()

    def end(self) -> None:
        """Nothing comes any more: the lane ends once all has left."""
        self._is_ended = True
        self._changed.set()

    def cut_in_next(self, share: float) -> None:
        """End in the middle of the next message, or soon if none comes."""
        self._cut_at = share
        asyncio.get_running_loop().call_later(_MIDWAY_S, self._writer.transport.abort)

    async def has_room(self) -> None:
        await self._has_room.wait()

    async def send_all(self) -> None:
        """Until it ended and is empty, or was cut."""
        while True:
            await self._is_open.wait()
            if self._is_ended and not self._waiting:
                return
            if not await self._is_due():
                continue
            _, _, is_message, data = heapq.heappop(self._waiting)
            self._has_room.set()
            if is_message and self._cut_at is not None:
                self._writer.write(data[: int(len(data) * self._cut_at)])
                return
            self._writer.write(data)
            try:
                await self._writer.drain()
            except ConnectionError:
                return

    async def _is_due(self) -> bool:
        """Whether the first packet is to leave now; if not, some time has passed or something has changed."""
        wait_s = self._waiting[0][0] - self._now_s() if self._waiting else None
        if wait_s is not None and wait_s <= 0:
            return True
        self._changed.clear()
        try:
            async with asyncio.timeout(wait_s):
                await self._changed.wait()
        except TimeoutError:
            return self._is_open.is_set()
        return False

    def _now_s(self) -> float:
        return asyncio.get_running_loop().time()
