"""One transaction type of an agent or of central: how to get ready for it, how to do it, what must hold afterwards."""

import sqlite3
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec

Say = Callable[[str], None]


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What the process said before it ended. ``said``: what it called done, in its order.

    ``refused``: what it said was not done. ``has_lost_power``: what was not synced may be gone; without it the process
    alone died, or the disk failed it. ``is_disk_dead``: the disk failed for good, so that nobody can know whether what
    was being written is there: it may be, but never twice and never in part. ``is_unreadable``: the disk did not give
    back what was on it; SQLite calls that page damaged, as it would be on a real disk.
    """

    said: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    has_lost_power: bool = False
    is_disk_dead: bool = False
    is_unreadable: bool = False


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """``act`` calls ``ready`` once, where the transaction begins, and ``say``: "OK …" or "REFUSED …".

    ``check`` opens what is left with the shipping code, asserts all that must hold, and returns the seconds that the
    opening took. ``refused``: errors by which the shipping code says that it cannot, in words for a person;
    ``unreadable``: that a file is damaged.
    """

    name: str
    prepare: Callable[[Path], Coroutine[Any, Any, None]]
    act: Callable[[Path, Callable[[], None], Say], Coroutine[Any, Any, None]]
    check: Callable[[Path, Told], Coroutine[Any, Any, float]]
    refused: tuple[type[Exception], ...]
    unreadable: tuple[type[Exception], ...] = ()


def require_whole(*paths: Path) -> None:
    """SQLite finds nothing wrong in any of the files."""
    for path in paths:
        connection = sqlite3.connect(path)
        try:
            verdict = connection.execute("PRAGMA integrity_check").fetchall()
        finally:
            connection.close()
        assert verdict == [("ok",)], (path.name, verdict)
