"""Line faults as seeded bytes-to-bytes functions: what a device sends goes in, what arrives comes out.

A fault maps one step to the steps that take its place. ``Line`` chains faults and owns the random source, so that a
seed replays the same line, byte for byte.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from random import Random


@dataclass(frozen=True, kw_only=True)
class Step:
    """Bytes that arrive ``wait_s`` after the step before; then, perhaps, the end of the line."""

    data: bytes = b""
    wait_s: float = 0.0
    hangs_up: bool = False


Fault = Callable[[Random, Step], list[Step]]


class Line:
    """A chain of faults. Without any, what goes in comes out."""

    def __init__(self, *faults: Fault, seed: int = 0) -> None:
        self._faults = faults
        self._random = Random(seed)

    def send(self, data: bytes) -> list[Step]:
        steps = [Step(data=data)]
        for fault in self._faults:
            steps = [after for step in steps for after in fault(self._random, step)]
        return steps


def split(*, chance: float = 1.0, most_parts: int = 4, wait_s: float = 0.0) -> Fault:
    """Cut the bytes at random places; the parts arrive ``wait_s`` apart."""

    def fault(random: Random, step: Step) -> list[Step]:
        if len(step.data) < 2 or random.random() >= chance:  # noqa: PLR2004 - one byte has no inside
            return [step]
        cuts = sorted(random.sample(range(1, len(step.data)), k=min(most_parts, len(step.data)) - 1))
        edges = [0, *cuts, len(step.data)]
        parts = [step.data[start:end] for start, end in pairwise(edges)]
        last = Step(data=parts[-1], wait_s=wait_s, hangs_up=step.hangs_up)
        return [
            Step(data=parts[0], wait_s=step.wait_s),
            *(Step(data=part, wait_s=wait_s) for part in parts[1:-1]),
            last,
        ]

    return fault


def glue(*, chance: float = 1.0) -> Fault:
    """Hold the bytes back and let them arrive together with the next ones."""
    held = bytearray()

    def fault(random: Random, step: Step) -> list[Step]:
        if not held and not step.hangs_up and random.random() < chance:
            held.extend(step.data)
            return []
        together = Step(data=bytes(held) + step.data, wait_s=step.wait_s, hangs_up=step.hangs_up)
        held.clear()
        return [together]

    return fault


def drop(*, chance: float) -> Fault:
    """Lose single bytes."""

    def fault(random: Random, step: Step) -> list[Step]:
        kept = bytes(byte for byte in step.data if random.random() >= chance)
        return [Step(data=kept, wait_s=step.wait_s, hangs_up=step.hangs_up)]

    return fault


def garble(*, chance: float) -> Fault:
    """Flip bits of single bytes."""

    def fault(random: Random, step: Step) -> list[Step]:
        spoilt = bytes(byte ^ random.randrange(1, 256) if random.random() < chance else byte for byte in step.data)
        return [Step(data=spoilt, wait_s=step.wait_s, hangs_up=step.hangs_up)]

    return fault


def delay(*, longest_s: float, chance: float = 1.0) -> Fault:
    """Let the bytes arrive late."""

    def fault(random: Random, step: Step) -> list[Step]:
        if random.random() >= chance:
            return [step]
        return [Step(data=step.data, wait_s=step.wait_s + random.uniform(0, longest_s), hangs_up=step.hangs_up)]

    return fault


def duplicate(*, chance: float = 1.0) -> Fault:
    """Let the bytes arrive twice."""

    def fault(random: Random, step: Step) -> list[Step]:
        if random.random() >= chance:
            return [step]
        return [Step(data=step.data, wait_s=step.wait_s), Step(data=step.data, hangs_up=step.hangs_up)]

    return fault


def hang_up(*, chance: float) -> Fault:
    """Cut the line somewhere inside the bytes."""

    def fault(random: Random, step: Step) -> list[Step]:
        if random.random() >= chance:
            return [step]
        return [Step(data=step.data[: random.randrange(len(step.data) + 1)], wait_s=step.wait_s, hangs_up=True)]

    return fault
