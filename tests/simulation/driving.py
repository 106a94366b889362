"""Runs the coroutines of the shells to their end, with no event loop: in the simulation nothing is ever waited for."""

from collections.abc import Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")


def drive(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """A bare yield (``asyncio.sleep(0)``) is passed over; anything that waits for a loop is a mistake."""
    try:
        while True:
            awaited = coroutine.send(None)
            assert awaited is None, f"a shell waits for {awaited!r}: in the simulation nobody would ever wake it"
    except StopIteration as stop:
        result: _T = stop.value
        return result
