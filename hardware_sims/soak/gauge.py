"""How far journals and ledger are, read from their files while the programs write them."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

_SEQ_MASK = 2**32 - 1
_WRITTEN = """
    SELECT session, coalesce((SELECT position FROM fact WHERE position < (number + 1) << 32
                              ORDER BY position DESC LIMIT 1), 0), number
    FROM session
"""
_IN_LEDGER = "SELECT session, through FROM session"
_VERSION = "SELECT value FROM meta WHERE key = 'version'"
_REPLICA = "SELECT version FROM cursor"
_RECALLS = "SELECT max(version) FROM recall_set"


class Gauge:
    def __init__(self, *, ledger: Path, journals: Mapping[str, Path], replicas: Mapping[str, Path]) -> None:
        self._ledger = ledger
        self._journals = journals
        self._replicas = replicas

    def written(self, agent: str) -> dict[bytes, int]:
        """The last seq of each session in an agent's journal."""
        rows = _rows(self._journals[agent], _WRITTEN)
        return {session: at & _SEQ_MASK for session, at, number in rows if at >> 32 == number}

    def in_ledger(self) -> dict[bytes, int]:
        """The last committed seq of each session."""
        return dict(_rows(self._ledger, _IN_LEDGER))

    def missing(self, written: Mapping[bytes, int]) -> int:
        """How many of these facts the ledger lacks."""
        arrived = self.in_ledger()
        return sum(max(0, seq - arrived.get(session, 0)) for session, seq in written.items())

    def waiting(self) -> int:
        """Facts in journals that are not in the ledger."""
        return sum(self.missing(self.written(agent)) for agent in self._journals)

    def behind(self) -> list[str]:
        """Agents whose replica does not show the ledger as it is."""
        version = int(_rows(self._ledger, _VERSION)[0][0])
        return [agent for agent, path in self._replicas.items() if _rows(path, _REPLICA)[0][0] != version]

    def recalls(self) -> tuple[int, dict[str, int]]:
        """The version of central's recall set, and of each agent's; 0 where there is none."""
        return _recall_version(self._ledger), {agent: _recall_version(path) for agent, path in self._journals.items()}


def _recall_version(path: Path) -> int:
    try:
        return int(_rows(path, _RECALLS)[0][0] or 0)
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return 0
        raise


def _rows(path: Path, statement: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=2.0)) as connection:
        return connection.execute(statement).fetchall()
