"""In-process news that the ledger changed. Latest wins: a slow listener skips, it never piles up."""

import asyncio


class Changes:
    """``version`` is the ledger's; ``tick`` also grows with changes that have no version (agents, insurer rows)."""

    def __init__(self, version: int = 0) -> None:
        self.version = version
        self.tick = 0
        self._changed = asyncio.Event()

    def announce(self, version: int | None = None) -> None:
        """Something is committed; ``version`` if the ledger's version moved."""
        self.version = max(self.version, version or 0)
        self.tick += 1
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def after(self, tick: int) -> int:
        """The present tick, once it is above ``tick``."""
        while self.tick <= tick:
            await self._changed.wait()
        return self.tick
