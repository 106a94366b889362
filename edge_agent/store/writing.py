"""Rows into a replica on a thread, which gives way to whoever reads the replica meanwhile.

A thread that never rests is in everybody's way: the slowest scans beside it take four times as long as of an agent that
has nothing else to do. Nobody waits for what it writes as somebody waits for a scan.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from typing import TypeVar

from edge_agent.store import sqlite
from sync_protocol import replica_format
from sync_protocol.messages import Delta

PAUSE_S = 0.006
"""Before every slice, while somebody reads: a tenth of the time is the writer's."""
GIVES_WAY = 50
"""Slices after a read, a third of a second: who scans does so again soon."""
_T = TypeVar("_T")


class Writing:
    """To be used on the loop's thread; one piece of work at a time on one connection."""

    def __init__(self) -> None:
        self._reads = 0

    def give_way(self) -> None:
        """Somebody reads."""
        self._reads += 1

    async def take_in(self, writer: sqlite3.Connection, delta: Delta, as_of_us: int) -> None:
        """Rows and cursor together, or neither. Raises sqlite3.Error."""
        await self.on_a_thread(lambda is_unwanted: self._take_in(writer, delta, as_of_us, is_unwanted))

    async def on_a_thread(self, work: Callable[[threading.Event], _T]) -> _T:
        """Work that alone uses the writer meanwhile, and looks at every slice whether it is still wanted."""
        is_unwanted = threading.Event()
        working = asyncio.ensure_future(asyncio.to_thread(work, is_unwanted))
        try:
            return await asyncio.shield(working)
        except asyncio.CancelledError:
            is_unwanted.set()
            await asyncio.wait({working})  # a slice at most: nobody may close the connection under the thread
            working.exception()  # looked at, so that nobody calls it forgotten
            raise

    def _take_in(self, writer: sqlite3.Connection, delta: Delta, as_of_us: int, is_unwanted: threading.Event) -> None:
        seen, ways = self._reads, 0
        try:
            writer.execute("BEGIN IMMEDIATE")
            for statement, values in replica_format.writes(delta.rows):
                if self._reads != seen:
                    seen, ways = self._reads, GIVES_WAY
                if ways:
                    ways -= 1
                    is_unwanted.wait(PAUSE_S)
                if is_unwanted.is_set():
                    writer.execute("ROLLBACK")
                    return
                writer.execute(statement, values)
            writer.execute(replica_format.MOVE, (delta.to, as_of_us, delta.incarnation))
            writer.execute("COMMIT")
            if delta.to >= delta.latest:
                writer.execute("PRAGMA shrink_memory")
        except BaseException:
            sqlite.roll_back(writer)
            raise
