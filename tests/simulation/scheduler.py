"""One heap of what happens next. No thread, no clock, no chance but the seed's: a seed is a run, on any machine."""

import hashlib
import heapq
from collections.abc import Callable
from random import Random
from typing import Any, Protocol

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
_HASH_BYTES = 16


class Node(Protocol):
    """Whatever things happen to."""

    name: str

    def on(self, kind: str, arg: Any) -> None: ...


def stream(seed: int, name: str) -> Random:
    """Chance for one concern: another draw in one does not shuffle the others."""
    return Random(f"{seed}/{name}")


class Scheduler:
    """``events``: how many have happened. ``trace``: told of each, for a person to read."""

    def __init__(self, seed: int, trace: Callable[[str], None] | None = None) -> None:
        self.now_us = 0
        self.events = 0
        self._heap: list[tuple[int, float, int, Node, str, Any]] = []
        self._tie = stream(seed, "ties").random
        self._count = 0
        self._digest = hashlib.blake2b(digest_size=_HASH_BYTES)
        self._trace = trace

    @property
    def trace_hash(self) -> str:
        """Of everything that happened so far."""
        return self._digest.hexdigest()

    def at(self, when_us: int, node: Node, kind: str, arg: Any = None) -> None:
        self._count += 1
        heapq.heappush(self._heap, (max(when_us, self.now_us), self._tie(), self._count, node, kind, arg))

    def after(self, delay_us: float, node: Node, kind: str, arg: Any = None) -> None:
        self.at(self.now_us + int(delay_us), node, kind, arg)

    @property
    def is_traced(self) -> bool:
        """Whether anybody reads the trace."""
        return self._trace is not None

    def tell(self, text: str) -> None:
        """Something for the reader alone."""
        if self._trace is not None:
            self._trace(f"{self.now_us / SECOND_US:12.6f}                {text}")

    def note(self, text: str) -> None:
        """Something that a step did belongs to the trace."""
        self._digest.update(text.encode())
        if self._trace is not None:
            self._trace(f"{self.now_us / SECOND_US:12.6f}              {text}")

    def run(self, until_us: int, *, most: int, each: Callable[[], bool]) -> None:
        """Until ``until_us``, ``most`` events more, or ``each``, asked after every event, says that it is enough."""
        heap, digest, trace = self._heap, self._digest, self._trace
        last = self.events + most
        while heap and heap[0][0] <= until_us and self.events < last:
            self.now_us, _, _, node, kind, arg = heapq.heappop(heap)
            self.events += 1
            digest.update(f"{self.now_us} {node.name} {kind}\n".encode())
            if trace is not None:
                trace(f"{self.now_us / SECOND_US:12.6f} {node.name:12} {kind}")
            node.on(kind, arg)
            if each():
                return
        if not heap or heap[0][0] > until_us:
            self.now_us = max(self.now_us, until_us)
