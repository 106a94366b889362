"""Clocks of simulated machines: one that may jump and drift, one that only drifts."""

from typing import Protocol

SUMMER_2026_US = 1_782_000_000_000_000
"""Where virtual time 0 is in UTC."""


class Now(Protocol):
    """Whoever knows the virtual time."""

    now_us: int


class SimClock:
    """``skew_us`` is how wrong the wall clock is, ``drift`` how fast both run wrong."""

    def __init__(self, virtual: Now, *, skew_us: int = 0, drift: float = 0.0, boot_us: int = 0) -> None:
        self._virtual = virtual
        self._rate = 1.0 + drift
        self._boot_us = boot_us
        self.skew_us = skew_us

    def wall_us(self) -> int:
        return max(0, SUMMER_2026_US + self.skew_us + int(self._virtual.now_us * self._rate))

    def mono_us(self) -> int:
        return int((self._virtual.now_us - self._boot_us) * self._rate)

    def virtual_us(self, mono_us: int) -> int:
        """When, in virtual time, the clock that never jumps is past ``mono_us``."""
        return self._boot_us + int(mono_us / self._rate) + 2
