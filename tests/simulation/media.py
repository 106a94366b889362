"""The port behind which an agent's two stores are: what outlives the process, and what is open while it runs.

Two sets of stores fit it: dictionaries that can lose power (``dict_stores``), and the shipped SQLite files (``files``).
"""

from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Protocol

from edge_agent.store.journal import Journal
from edge_agent.store.replica import Replica
from sync_protocol.items import Item
from tests.simulation.perils import Perils


class Stores(Protocol):
    """Open for one process. Journal and replica are the shipped ones, or stand in for all that the shell asks them."""

    journal: Journal
    replica: Replica

    @property
    def partings(self) -> int:
        """How often facts were written again since it was opened."""

    def item(self, code: str) -> Item | None:
        """What the agent believes: overlay, then replica."""

    def overlay(self) -> dict[str, int]:
        """Items touched and not shown by the replica yet, with the position of the fact that touched them last."""

    def touched_at(self, code: str) -> int | None:
        """The position in the overlay, if there is one."""

    def shown(self) -> Mapping[str, Item]:
        """The items of the replica."""

    def drift(self, code: str, item: Item | None) -> None:
        """Change a row of the replica behind everybody's back; None: it is gone."""

    def close(self) -> None: ...


class Medium(Protocol):
    """The disk of one agent."""

    def open(self, *, device: str, session: bytes, started_us: int, perils: Perils, is_resumed: bool) -> Stores:
        """``is_resumed``: go on in the session written last, as a machine woken from a snapshot does."""

    def crashed(self, random: Random, *, is_power: bool) -> None:
        """The process is gone; with the power, if ``is_power``, also what was not synced."""

    def image(self, folder: Path) -> "Medium":
        """A copy as it is on the disk now; ``folder``: a free place for it."""

    def fresh(self, folder: Path) -> "Medium":
        """An empty one of the same kind."""
