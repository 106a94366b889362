"""What a VFS of SQLite's (apsw) is asked for by the shipping code: the same list of operations as ``disk_log`` gives.

The shipping code runs unchanged; only ``sqlite3.connect`` gives it a connection of apsw's through this VFS. It is the
weaker witness of the two: apsw brings an SQLite of its own, and files that are not SQLite's pass it by.
"""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import apsw
import msgspec

from tests.sweeps.cases import Case
from tests.sweeps.disk_log import Kind, Operation, name_in

_NAME = "recording"
_FLAGS = apsw.SQLITE_OPEN_URI | apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE


class _Log:
    """``is_on`` from the moment the case begins."""

    def __init__(self, folder: Path) -> None:
        self.operations: list[Operation] = []
        self.is_on = False
        self._folder = folder
        self.fresh: set[str] = set()
        """Logs and journals whose name the unix VFS makes sure with their first sync."""

    def add(self, kind: Kind, path: str, at: int = 0, data: bytes = b"") -> None:
        if self.is_on:
            self.operations.append(Operation(kind=kind, path=name_in(self._folder, Path(path)), at=at, data=data))


class _File(apsw.VFSFile):
    def __init__(self, log: _Log, name: str | apsw.URIFilename, flags: list[int]) -> None:
        self._log = log
        self._path = name.filename() if isinstance(name, apsw.URIFilename) else name
        is_new = not Path(self._path).exists()
        super().__init__("unix", name, flags)
        if is_new:
            log.add("made", self._path)
            if not flags[0] & apsw.SQLITE_OPEN_MAIN_DB:
                log.fresh.add(self._path)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 -- SQLite's name
        super().xWrite(data, offset)
        self._log.add("write", self._path, offset, bytes(data))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        super().xTruncate(newsize)
        self._log.add("size", self._path, newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802
        super().xSync(flags)
        self._log.add("sync_names" if self._path in self._log.fresh else "sync", self._path)
        self._log.fresh.discard(self._path)


class _Vfs(apsw.VFS):
    def __init__(self, log: _Log) -> None:
        self._log = log
        super().__init__(_NAME, "unix")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        assert name is not None, "temporary tables are in memory"
        return _File(self._log, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802, FBT001
        super().xDelete(filename, syncdir)
        self._log.add("removed", filename)


class _Connection:
    """As much of ``sqlite3.Connection`` as the stores ask for."""

    def __init__(self, database: str | Path, **_: object) -> None:
        self._real = apsw.Connection(str(database), flags=_FLAGS, vfs=_NAME)

    @property
    def in_transaction(self) -> bool:
        return self._real.in_transaction

    def execute(self, statement: str, values: Iterable[Any] = ()) -> apsw.Cursor:
        return self._real.execute(statement, tuple(values))

    def executemany(self, statement: str, rows: Iterable[Iterable[Any]]) -> apsw.Cursor:
        return self._real.executemany(statement, [tuple(row) for row in rows])

    def create_function(self, name: str, arguments: int, function: Callable[..., Any]) -> None:
        self._real.create_scalar_function(name, function, arguments)

    def close(self) -> None:
        self._real.close()


def record(case: Case, folder: Path, *, at_ready: Callable[[], object]) -> list[Operation]:
    """Do the case in a process of its own, which uses apsw for every connection."""
    end, other = os.pipe()
    child = os.fork()
    if not child:
        status = 70
        try:
            operations = _lived(case, folder, at_ready)
            with os.fdopen(other, "wb") as file:
                file.write(msgspec.msgpack.encode(operations))
            status = 0
        finally:
            os._exit(status)
    os.close(other)
    with os.fdopen(end, "rb") as file:
        content = file.read()
    _, status = os.waitpid(child, 0)
    assert status == 0, f"{case.name} failed through apsw"
    return msgspec.msgpack.decode(content, type=list[Operation])


def _lived(case: Case, folder: Path, at_ready: Callable[[], object]) -> list[Operation]:
    log = _Log(folder)
    vfs = _Vfs(log)
    sqlite3.connect = _Connection  # type: ignore[assignment]  # this process ends with the case

    def begin() -> None:
        at_ready()
        log.is_on = True

    def say(text: str) -> None:
        if text.startswith("OK "):
            log.operations.append(Operation(kind="said", data=text[3:].encode()))

    asyncio.run(case.act(folder, begin, say))
    vfs.unregister()
    return log.operations
