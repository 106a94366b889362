"""When Python looks for cycles: not while a commit is made, which is thousands of records and not one cycle."""

import contextlib
import gc
from collections.abc import Iterator

_YOUNG = 50_000
"""Records made and not let go of, after which it looks: more than a commit and what follows from it leave lying."""


def seldom() -> None:
    """For a process whose records are in no cycles: what was there at the start is never looked at again."""
    gc.freeze()
    gc.set_threshold(_YOUNG, *gc.get_threshold()[1:])


@contextlib.contextmanager
def not_now() -> Iterator[None]:
    """What is in the way is let go of by its last reference, as ever; the search for the rest waits."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
