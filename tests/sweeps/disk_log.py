"""What a real process did to its files, in order, as strace saw it: the operations that a power failure may undo.

The shipping code runs as it is, on the SQLite that it ships with, and everything is seen: databases and their logs, but
also the witness, the mark, manifests, renames and the syncs of folders, which a VFS of SQLite's never hears of. What is
written through shared memory is not: that is the index of a log (``-shm``), which a restart makes anew.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

OPTIONS = (
    *("-y", "-xx", "-s", "4194304", "-e"),
    "trace=pwrite64,write,writev,ftruncate,fallocate,fdatasync,fsync,unlink,rename,mkdir,openat,sendfile",
)
_CALL = re.compile(r"^(?P<pid>\d+)\s+(?P<call>\w+)\((?P<arguments>.*)\)\s+= (?P<result>\d+)", re.DOTALL)
_UNFINISHED = " <unfinished ...>"
_RESUMED = re.compile(r"^(?P<pid>\d+)\s+<\.\.\. \w+ resumed>(?P<rest>.*)$", re.DOTALL)
_FILE = re.compile(r"^(\d+|AT_FDCWD)<(?P<path>[^>]*)>")
_TEXT = re.compile(r'"(?P<text>(?:\\x[0-9a-f]{2})*)"')

Kind = Literal["write", "size", "sync", "sync_names", "made", "folder", "removed", "renamed", "said"]


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """``path``: within the folder that was watched. ``at``: offset, or the size. ``data``: bytes, or the new name."""

    kind: Kind
    path: str = ""
    at: int = 0
    data: bytes = b""


def read(trace: Path, folder: Path, before: Path) -> list[Operation]:
    """The operations in ``folder``; ``before``: a copy of it from before them."""
    sizes = {name_in(before, path): path.stat().st_size for path in before.rglob("*") if path.is_file()}
    return list(_operations(trace, folder, sizes))


def name_in(folder: Path, path: Path) -> str:
    return str(path.relative_to(folder))


def _operations(trace: Path, folder: Path, sizes: dict[str, int]) -> Iterator[Operation]:
    for call, arguments, result in _calls(trace):
        for operation in _read_call(call, arguments, result, folder, sizes):
            _follow(operation, sizes)
            yield operation


def _calls(trace: Path) -> Iterator[tuple[str, str, int]]:
    """Whole calls, in the order in which they ended."""
    begun: dict[str, str] = {}
    for line in trace.read_text("ascii").splitlines():
        if line.endswith(_UNFINISHED):
            begun[line.partition(" ")[0]] = line.removesuffix(_UNFINISHED)
            continue
        resumed = _RESUMED.match(line)
        whole = begun.pop(resumed["pid"]) + resumed["rest"] if resumed else line
        found = _CALL.match(whole)
        if found:  # one that failed did nothing
            yield found["call"], found["arguments"], int(found["result"])


def _read_call(call: str, arguments: str, result: int, folder: Path, sizes: dict[str, int]) -> Iterator[Operation]:
    texts = [_bytes(match["text"]) for match in _TEXT.finditer(arguments)]
    handle = _FILE.match(arguments)
    held = _inside(folder, _bytes(handle["path"]).decode()) if handle else None
    assert call != "sendfile", "what it copies is not in the trace"
    if call == "writev":
        yield from (Operation(kind="said", data=line[3:]) for line in texts[0].splitlines() if line[:3] == b"OK ")
    elif call in {"unlink", "mkdir", "rename", "openat"}:
        names = [_inside(folder, text.decode("utf-8", "replace")) for text in texts]
        yield from _of_names(call, names, arguments, sizes)
    elif held is not None:
        yield from _of_content(call, held, arguments, texts[0][:result] if texts else b"", sizes)


def _of_names(call: str, names: list[str | None], arguments: str, sizes: dict[str, int]) -> Iterator[Operation]:
    name = names[0]
    if not name:
        return
    match call:
        case "unlink":
            yield Operation(kind="removed", path=name)
        case "mkdir":
            yield Operation(kind="folder", path=name)
        case "rename" if names[1]:
            yield Operation(kind="renamed", path=name, data=names[1].encode())
        case "openat" if "O_CREAT" in arguments and name not in sizes:
            yield Operation(kind="made", path=name)
        case "openat" if "O_TRUNC" in arguments:
            yield Operation(kind="size", path=name, at=0)


def _of_content(call: str, name: str, arguments: str, data: bytes, sizes: dict[str, int]) -> Iterator[Operation]:
    match call:
        case "pwrite64":
            yield Operation(kind="write", path=name, at=int(arguments.rpartition(",")[2]), data=data)
        case "write":  # the shipping code writes such files from their beginning or at their end
            yield Operation(kind="write", path=name, at=sizes.get(name, 0), data=data)
        case "ftruncate":
            yield Operation(kind="size", path=name, at=int(arguments.rpartition(",")[2]))
        case "fallocate":
            first, length = map(int, arguments.split(",")[-2:])
            yield Operation(kind="size", path=name, at=max(sizes.get(name, 0), first + length))
        case "fdatasync":
            yield Operation(kind="sync", path=name)
        case "fsync":
            yield Operation(kind="sync_names", path=name)


def _follow(operation: Operation, sizes: dict[str, int]) -> None:
    path = operation.path
    match operation.kind:
        case "write":
            sizes[path] = max(sizes.get(path, 0), operation.at + len(operation.data))
        case "size":
            sizes[path] = operation.at
        case "made":
            sizes[path] = 0
        case "removed":
            sizes.pop(path, None)
        case "renamed":
            sizes[operation.data.decode()] = sizes.pop(path, 0)


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", "")) if "\\x" in text else text.encode()


def _inside(folder: Path, path: str) -> str | None:
    """None: elsewhere. The index of a log counts as elsewhere, and so do files that have no name any more."""
    if not path.startswith(f"{folder}/") and path != str(folder):
        return None
    name = name_in(folder, Path(path))
    return None if name.endswith(("-shm", "(deleted)", "lock")) else name
