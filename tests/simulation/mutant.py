"""A protocol that is wrong in one named way. One that the simulator does not find shows a missing fault or check."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import msgspec

from tests.simulation.simulation import Simulation

Patch = tuple[Any, Any, Any]
"""Where, name, what to put there."""


def _leave(_simulation: Simulation) -> None:
    """Nothing to change in the simulation itself."""


class Mutant(msgspec.Struct, frozen=True, kw_only=True):
    """``wrong``: what it does, in words. ``arm``: changes a simulation before it runs."""

    name: str
    wrong: str
    patches: tuple[Patch, ...] = ()
    arm: Callable[[Simulation], None] = _leave

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for where, name, what in self.patches:
                if isinstance(where, dict):
                    stack.enter_context(mock.patch.dict(where, {name: what}))
                else:
                    stack.enter_context(mock.patch.object(where, name, what))
            yield
