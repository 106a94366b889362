"""Stores that are wrong in one named way: what does not survive a power failure, and must be found not to."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from central.ledger import durable, store
from edge_agent.store import sqlite
from edge_agent.store.replica import Replica
from tests.sweeps import central_cases, edge_cases
from tests.sweeps.cases import Case, Say


class Mutant(msgspec.Struct, frozen=True, kw_only=True):
    """``break_it`` is called in the process that does the case, and in no other."""

    name: str
    case: Case
    break_it: Callable[[], None]

    def broken(self) -> Case:
        async def act(folder: Path, ready: Callable[[], None], say: Say) -> None:
            self.break_it()
            await self.case.act(folder, ready, say)

        return msgspec.structs.replace(self.case, act=act)


def _replaced(owner: Any, name: str, value: Any) -> None:
    """In this process, for the rest of its short life."""
    setattr(owner, name, value)


def _journal_normal() -> None:
    real = sqlite.connect
    _replaced(sqlite, "connect", lambda path, **options: real(path, **options | {"is_durable": False}))


def _ledger_normal() -> None:
    _replaced(store, "_PRAGMAS", [pragma.replace("FULL", "NORMAL") for pragma in store._PRAGMAS])


def _replica_trusted() -> None:
    async def nothing(_replica: Replica) -> None:
        """Synced when nobody looks."""

    _replaced(Replica, "make_durable", nothing)


def _files_unsynced() -> None:
    _replaced(os, "fsync", lambda _descriptor: None)


def _ledger_files_unsynced() -> None:
    _replaced(durable, "sync", lambda _path: None)


MUTANTS = tuple(
    Mutant(name=name, case=case, break_it=break_it)
    for name, case, break_it in (
        ("journal NORMAL", edge_cases.CASES["scan"], _journal_normal),
        ("journal NORMAL, together", edge_cases.CASES["group"], _journal_normal),
        ("ledger NORMAL", central_cases.CASES["acts"], _ledger_normal),
        ("ledger NORMAL, facts", central_cases.CASES["ingest"], _ledger_normal),
        ("overlay gone before the replica is sure", edge_cases.CASES["settle"], _replica_trusted),
        ("salvage without a sync", edge_cases.CASES["salvage"], _files_unsynced),
        ("backup without a sync", central_cases.CASES["backup"], _ledger_files_unsynced),
        ("head without a sync", central_cases.CASES["witnesses"], _ledger_files_unsynced),
    )
)
