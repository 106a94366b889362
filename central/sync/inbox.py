"""Letters that came and were not read yet: few of each device, taken in turn, so that one that floods waits alone."""

import asyncio
from collections import OrderedDict, deque

import msgspec

from sync_protocol.machines.credit import WINDOW, grant

OF_ONE = 2 * WINDOW + 8
"""Letters of one device: what it may have in flight, sent twice, and what it asks meanwhile."""
ALL = 4_096
OF_ONE_BYTES = WINDOW * 256 * 1_024
ALL_BYTES = 64 * 1_048_576
_BYTES_A_FACT = 40
"""Of a packed fact, about; a letter tells no better before it is read."""


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """A message of an agent; ``device`` is the name in its topic."""

    device: str
    data: bytes


class Inbox:
    """``dropped``: letters that found no room, by device; their agents send again."""

    def __init__(self) -> None:
        self.dropped: dict[str, int] = {}
        self._letters: OrderedDict[str, deque[Letter]] = OrderedDict()
        self._sizes: dict[str, int] = {}
        self._count = self._size = 0
        self._has_any = asyncio.Event()

    @property
    def is_full(self) -> bool:
        return self._count >= ALL or self._size >= ALL_BYTES

    @property
    def most_of_one(self) -> int:
        """Letters of the device that has the most."""
        return max(map(len, self._letters.values()), default=0)

    @property
    def has_any(self) -> bool:
        return bool(self._letters)

    @property
    def credit(self) -> int:
        """Facts that an agent may have in flight now (REQ-10)."""
        return grant(self._size // _BYTES_A_FACT, len(self._letters))

    def put(self, letter: Letter) -> bool:
        """False: there is no room for it."""
        device, size = letter.device, len(letter.data)
        waiting = self._letters.get(device, ())
        if self.is_full or len(waiting) >= OF_ONE or self._sizes.get(device, 0) + size > OF_ONE_BYTES:
            if device in self.dropped or len(self.dropped) < ALL:
                self.dropped[device] = self.dropped.get(device, 0) + 1
            return False
        self._letters.setdefault(device, deque()).append(letter)
        self._sizes[device] = self._sizes.get(device, 0) + size
        self._count, self._size = self._count + 1, self._size + size
        self._has_any.set()
        return True

    async def take(self, most: int) -> list[Letter]:
        """Wait for a letter; at most so many, of each device in its turn and in its order."""
        await self._has_any.wait()
        return self.take_now(most)

    def take_now(self, most: int) -> list[Letter]:
        """Without waiting: perhaps none."""
        taken: list[Letter] = []
        while self._letters and len(taken) < most:
            device, letters = self._letters.popitem(last=False)
            letter = letters.popleft()
            taken.append(letter)
            self._count, self._size = self._count - 1, self._size - len(letter.data)
            self._sizes[device] -= len(letter.data)
            if letters:
                self._letters[device] = letters
            else:
                del self._sizes[device]
        if not self._letters:
            self._has_any.clear()
        return taken
