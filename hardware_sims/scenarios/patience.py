"""Waiting for a condition, never for a time: bounded, and an error that says what was waited for and what was found."""

import asyncio
from collections.abc import Awaitable, Callable

from hardware_sims.scenarios.errors import WaitedInVainError

_POLL_S = 0.1


async def until(what: str, look: Callable[[], Awaitable[str]], *, within_s: float) -> None:
    """Return once ``look`` finds nothing amiss; what it finds (empty: nothing) is told when time is up.

    Raises WaitedInVainError.
    """
    deadline = asyncio.get_running_loop().time() + within_s
    while amiss := await look():
        if asyncio.get_running_loop().time() > deadline:
            raise WaitedInVainError(f"waited {within_s:.0f} s until {what}; found: {amiss}")
        await asyncio.sleep(_POLL_S)
