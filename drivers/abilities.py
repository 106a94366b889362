"""What a device can do for a workplace: one small Protocol a role. Drivers satisfy them structurally.

Every driver also is a ``Device``: ``run`` owns the connection and reconnects until cancelled;
the other methods raise ``DeviceGoneError`` while there is no connection.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Protocol, runtime_checkable

from drivers.readings import DeviceHealth, DoorState, PackagerJob, PouchResult, Scan, TagRound


@runtime_checkable
class Device(Protocol):
    name: str

    @property
    def health(self) -> DeviceHealth: ...

    async def run(self) -> None:
        """Connect, serve and reconnect until cancelled. Never returns by itself."""


@runtime_checkable
class Scanner(Device, Protocol):
    def scans(self) -> AsyncIterator[Scan]:
        """Every frame in the order it came, flawed ones included. One consumer at a time."""


@runtime_checkable
class TagReader(Device, Protocol):
    async def read_round(self, *, duration_s: float, power_dbm: float | None = None) -> TagRound:
        """Inventory for ``duration_s``; at the reader's full power unless told. Raises DeviceGoneError."""


@runtime_checkable
class LockBoard(Device, Protocol):
    async def open(self, lock: int) -> None:
        """Open one lock (1-based). Raises DeviceRefusedError if the board says that it stayed shut."""

    async def doors(self) -> Mapping[int, DoorState]:
        """State of every door by lock number."""


@runtime_checkable
class Packager(Device, Protocol):
    async def submit(self, job: PackagerJob) -> None:
        """Hand over a job; returns once the machine acknowledged it. Raises DeviceRefusedError or DeviceGoneError."""

    def results(self) -> AsyncIterator[PouchResult]:
        """Every result in the order it came; the machine may repeat one. One consumer at a time."""
