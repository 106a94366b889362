"""A disk of tables as dictionaries: what is synced stays, what is written and not synced may go with the power."""

from collections.abc import Iterable
from random import Random
from typing import Any, Self

Write = tuple[str, Any, Any]
"""Table, key, value. ``GONE`` in the place of the value deletes."""
GONE = object()
_MISSING = object()


class Disk:
    """One file. A transaction is whole or absent; those not synced are lost from the end."""

    def __init__(self, *tables: str) -> None:
        self.tables: dict[str, dict[Any, Any]] = {table: {} for table in tables}
        self._unsynced: list[list[Write]] = []

    def write(self, writes: Iterable[Write]) -> None:
        """One transaction, visible at once to whoever reads, and not yet durable."""
        undo: list[Write] = []
        for table, key, value in writes:
            rows = self.tables[table]
            undo.append((table, key, rows.get(key, _MISSING)))
            if value is GONE:
                rows.pop(key, None)
            else:
                rows[key] = value
        self._unsynced.append(undo)

    def sync(self) -> None:
        self._unsynced.clear()

    def lose_power(self, random: Random) -> None:
        """Any number of the last transactions that were not synced is gone, in whole transactions."""
        kept = random.randint(0, len(self._unsynced))
        for undo in reversed(self._unsynced[kept:]):
            for table, key, before in reversed(undo):
                if before is _MISSING:
                    self.tables[table].pop(key, None)
                else:
                    self.tables[table][key] = before
        self._unsynced.clear()

    def image(self) -> Self:
        """A copy as another disk."""
        copy = type(self)()
        copy.tables = {table: dict(rows) for table, rows in self.tables.items()}
        return copy
