"""Hands at a workplace that may die under them: what they did is in the physical log, what became of it they find out.

A step whose answer was lost is not assumed: the screen is looked at again, and what it still asks for is done again.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable

import aiohttp

from hardware_sims.scenarios.errors import PlayError
from hardware_sims.scenarios.page import Page
from hardware_sims.scenarios.plan import Member
from hardware_sims.soak.physical import PhysicalLog

_PAUSE_S = 0.3
_TROUBLES = (aiohttp.ClientError, PlayError, TimeoutError, ConnectionError)


class Hands(ABC):
    """``troubles`` counts the times a screen went away or said what nobody expected."""

    def __init__(self, agent: str, page: Page, person: Member, log: PhysicalLog) -> None:
        self.agent = agent
        self.troubles = 0
        self.last_trouble = ""
        self._page = page
        self._person = person
        self._log = log
        self._is_seated = False

    async def work(self, is_over: asyncio.Event) -> None:
        """One thing after the other until it is over; what was begun is not left half done unless the agent is."""
        while not is_over.is_set():
            if not await self._attempt(self.do_one_thing):
                await asyncio.sleep(_PAUSE_S)

    async def finish(self) -> None:
        """With a good line again: find out about everything that was left unsure. To be bounded by who calls it."""
        is_clear = False
        while not is_clear:
            await asyncio.sleep(_PAUSE_S)
            is_clear = await self._attempt(self.clear_up)

    @abstractmethod
    async def sit_down(self) -> None:
        """Make the workplace usable after it was started or left, signed in as this person."""

    @abstractmethod
    async def do_one_thing(self) -> None: ...

    @abstractmethod
    async def clear_up(self) -> None:
        """Return once nothing is unsure."""

    async def _attempt(self, act: Callable[[], Awaitable[None]]) -> bool:
        try:
            if not self._is_seated:
                await self.sit_down()
                self._is_seated = True
            await act()
        except _TROUBLES as trouble:
            self._is_seated = False
            self.troubles += 1
            self.last_trouble = f"{type(trouble).__name__}: {trouble}"
            return False
        return True
