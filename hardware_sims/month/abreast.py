"""Acts that are done at the same time, each after those before it that it depends on.

What depends on what is told by names: a seat, a product. So the order of what matters is that of the starts, however
long each act takes.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Abreast(Generic[T]):
    def __init__(self) -> None:
        self._acts: list[asyncio.Task[T]] = []
        self._last: dict[str, asyncio.Task[T]] = {}

    def start(self, act: Coroutine[Any, Any, T], *names: str) -> None:
        """Begin it once all acts started before under one of these names are over."""
        before = {self._last[name] for name in names if name in self._last}
        task = asyncio.create_task(_after(before, act))
        self._acts.append(task)
        self._last.update(dict.fromkeys(names, task))

    async def over(self) -> list[T]:
        """What each came to, in the order of their starts. Raises what the first that failed raised; none goes on."""
        try:
            return await asyncio.gather(*self._acts)
        finally:
            for act in self._acts:
                act.cancel()
            await asyncio.gather(*self._acts, return_exceptions=True)


async def _after(before: set[asyncio.Task[T]], act: Coroutine[Any, Any, T]) -> T:
    try:
        if before:
            await asyncio.wait(before)
    except BaseException:
        act.close()
        raise
    return await act
