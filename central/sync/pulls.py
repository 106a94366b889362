"""Pulls wait apart from facts, one of each agent, the newest: acks go before deltas, and rows before nobody's facts.

Rows are read when the link has room for them, and for at most half of the time, so that a hospital that comes back at
once gets its facts in first and its replicas forward as far as there is time. Who waits too long here asks again, which
changes nothing: its place is that of its first question.
"""

import asyncio
import time
from collections.abc import Callable

from central.sync.publish import Publisher
from sync_protocol.messages import Pull

LOOK_AGAIN_S = 0.005


class Pulls:
    def __init__(self, publisher: Publisher, *, has_room: Callable[[], bool]) -> None:
        """``has_room``: whether what is answered now would leave soon."""
        self._publisher = publisher
        self._has_room = has_room
        self._waiting: dict[str, Pull] = {}
        self._has_any = asyncio.Event()

    @property
    def has_any(self) -> bool:
        return self._has_any.is_set()

    def ask(self, device: str, pull: Pull) -> None:
        """Of one agent's questions the one that is furthest stays, so that an old one said again replaces none."""
        known = self._waiting.get(device)
        if known is None or (pull.incarnation, pull.after) >= (known.incarnation, known.after):
            self._waiting[device] = pull
        self._has_any.set()

    async def run(self) -> None:
        """Answer in the order of first questions, until cancelled."""
        while True:
            await self._has_any.wait()
            while not self._has_room():  # noqa: ASYNC110 - the link is looked at, it calls nobody
                await asyncio.sleep(LOOK_AGAIN_S)
            began_s = time.perf_counter()
            self.answer_one()
            await asyncio.sleep(time.perf_counter() - began_s)

    def answer_one(self) -> None:
        device = next(iter(self._waiting))
        self._publisher.answer(device, self._waiting.pop(device))
        if not self._waiting:
            self._has_any.clear()
