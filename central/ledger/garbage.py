"""When Python looks for cycles: not while a commit is made, which is thousands of records and not one cycle."""

import contextlib
import gc
from collections.abc import Iterator


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
