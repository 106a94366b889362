"""How a goal is measured: its raw loop and the shipping code in turn, three rounds, and the middle one counts.

Machines are noisy and differ, so that a ratio to a raw loop of the same minute says more than any number of seconds.
"""

import gc
import math
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from sync_protocol import garbage

ROUNDS = 3
UNSTEADY = 3.0
"""The raw disk may vary by so much between rounds; past that a figure says more of the disk than of the program."""
_PROBES = 60
Figures = Sequence[float]
Loop = Callable[[int], Awaitable[Figures]]
"""Measures one round, given its number: one figure or several."""


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """What a figure, or its ratio to the raw one, is held against."""

    number: float
    of: Literal["ratio", "value"] = "ratio"
    is_ceiling: bool

    def holds(self, *, value: float, ratio: float | None) -> bool | None:
        found = value if self.of == "value" else ratio
        if found is None:
            return None
        return found <= self.number if self.is_ceiling else found >= self.number

    def __str__(self) -> str:
        return f"{self.of} {'≤' if self.is_ceiling else '≥'} {self.number:g}"


def at_most(number: float, of: Literal["ratio", "value"] = "ratio") -> Limit:
    return Limit(number=number, of=of, is_ceiling=True)


def at_least(number: float, of: Literal["ratio", "value"] = "ratio") -> Limit:
    return Limit(number=number, of=of, is_ceiling=False)


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table. ``ratio`` is value / raw; None where it was not measured, and ``note`` says why."""

    goal: int
    name: str
    value: float | None
    raw: float | None
    ratio: float | None
    floor: str
    aim: str
    floor_met: bool | None
    aim_met: bool | None
    note: str


class Rounds(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of the raw loop and of the shipping code, round by round, and the disk's pace before each."""

    raw: list[Figures]
    own: list[Figures]
    fsync_ms: list[float]

    def result(self, *, goal: int, name: str, figure: int = 0, floor: Limit, aim: Limit | None, note: str) -> Result:
        """The line of one figure: that of the round whose ratio is the median."""
        pairs = [(own[figure], raw[figure]) for own, raw in zip(self.own, self.raw, strict=True)]
        value, raw = sorted(pairs, key=lambda pair: pair[0] / pair[1])[len(pairs) // 2]
        if self.fsync_ms and max(self.fsync_ms) > UNSTEADY * min(self.fsync_ms):
            spread = f"{min(self.fsync_ms):.2f} to {max(self.fsync_ms):.2f} ms"
            cause = f"skipped, ratio was {value / raw:.2g}: raw fsync p50 went from {spread} between rounds"
            return skipped(goal=goal, name=name, floor=floor, aim=aim, note=cause)
        return line(goal=goal, name=name, value=value, raw=raw, floor=floor, aim=aim, note=note)


class Bench(msgspec.Struct, frozen=True, kw_only=True):
    """What a goal is given: a folder on a real disk, and how much of the usual work to do."""

    folder: Path
    scale: float = 1.0

    def count(self, usual: int, *, least: int = 1) -> int:
        return max(least, round(usual * self.scale))

    def place(self, name: str) -> Path:
        """A folder of that name, made if need be."""
        path = self.folder / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def say(self, text: str) -> None:
        """Progress, for the person who waits."""
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\033[K{text}")
            sys.stderr.flush()

    async def alternate(self, *, raw: Loop, own: Loop, is_on_disk: bool) -> Rounds:
        rounds = Rounds(raw=[], own=[], fsync_ms=[])
        for number in range(ROUNDS):
            gc.collect()
            garbage.seldom()  # as the programs do at their start: what the bench itself holds is in nobody's way
            if is_on_disk:
                rounds.fsync_ms.append(self._fsync_ms())
            rounds.raw.append(await raw(number))
            rounds.own.append(await own(number))
        return rounds

    def _fsync_ms(self) -> float:
        probe = self.folder / "fsync"
        spent = []
        descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            for _ in range(_PROBES):
                began = time.perf_counter_ns()
                os.write(descriptor, bytes(4096))
                os.fsync(descriptor)
                spent.append((time.perf_counter_ns() - began) / 1e6)
        finally:
            os.close(descriptor)
            probe.unlink()
        return statistics.median(spent)


def line(
    *, goal: int, name: str, value: float, raw: float | None, floor: Limit, aim: Limit | None, note: str
) -> Result:
    ratio = value / raw if raw else None
    return Result(
        goal=goal,
        name=name,
        value=_rounded(value),
        raw=None if raw is None else _rounded(raw),
        ratio=None if ratio is None else _rounded(ratio),
        floor=str(floor),
        aim=str(aim) if aim else "",
        floor_met=floor.holds(value=value, ratio=ratio),
        aim_met=aim.holds(value=value, ratio=ratio) if aim else None,
        note=note,
    )


def skipped(*, goal: int, name: str, floor: Limit, aim: Limit | None, note: str) -> Result:
    return Result(
        goal=goal,
        name=name,
        value=None,
        raw=None,
        ratio=None,
        floor=str(floor),
        aim=str(aim) if aim else "",
        floor_met=None,
        aim_met=None,
        note=note,
    )


def percentile(samples: Sequence[float], percent: float) -> float:
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, math.ceil(len(ordered) * percent / 100) - 1)]


def since_us(began_ns: int) -> float:
    return (time.perf_counter_ns() - began_ns) / 1e3


def _rounded(number: float) -> float:
    """Four significant digits: no figure here is worth more."""
    return float(f"{number:.4g}")
