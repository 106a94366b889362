"""Every disk that a power failure may leave behind a list of operations, as far as anybody promises.

What a file holds is sure from its last sync on; of what was written since, any part may be there, in any order, a
write in single sectors. Names are kept in a log of the file system's own, so that they are lost from the end only, and
a full sync (``fsync``) of a file, or any sync of a folder, makes all names before it sure.
"""

import hashlib
import itertools
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

import msgspec

from tests.sweeps.disk_log import Operation, name_in

SECTOR = 512
Write = tuple[int, bytes | None]
"""Offset and bytes; None: the file was cut, or grew, to this size."""


class State(msgspec.Struct, frozen=True, kw_only=True):
    """``files``: what each holds. ``after``: how many operations had been called when the power failed."""

    after: int
    files: dict[str, bytes]
    folders: frozenset[str]
    said: tuple[str, ...]

    @property
    def identity(self) -> bytes:
        digest = hashlib.sha256(repr(self.said).encode())
        for name, content in sorted(self.files.items()):
            digest.update(f"{name} {len(content)} ".encode() + content)
        return digest.digest()

    def put(self, folder: Path) -> None:
        """Into a folder that is emptied before."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in sorted(self.folders):
            (folder / name).mkdir(parents=True, exist_ok=True)
        for name, content in self.files.items():
            (folder / name).write_bytes(content)
            (folder / name).chmod(0o600)  # as keys must be


class _Names(msgspec.Struct):
    """Files by name; ``folders`` have no content."""

    files: dict[str, int]
    folders: set[str]

    def apply(self, operation: Operation, fresh: int) -> None:
        match operation.kind:
            case "made":
                self.files[operation.path] = fresh
            case "folder":
                self.folders.add(operation.path)
            case "removed":
                self.files.pop(operation.path, None)
            case "renamed":
                self.files[operation.data.decode()] = self.files.pop(operation.path)


class Disk:
    def __init__(self, folder: Path) -> None:
        """As it is now, all of it durable."""
        found = [path for path in sorted(folder.rglob("*")) if not path.name.endswith(("-shm", "lock"))]
        files = [path for path in found if path.is_file()]
        self._contents = dict(enumerate(path.read_bytes() for path in files))
        names = {name_in(folder, path): number for number, path in enumerate(files)}
        self._sure = _Names(names, {name_in(folder, path) for path in found if path.is_dir()})
        self._seen = _Names(dict(names), set(self._sure.folders))
        self._unsure_names: list[tuple[Operation, int]] = []
        self._unsure: dict[int, list[Write]] = {}
        self.said: list[str] = []

    def do(self, operation: Operation) -> None:
        match operation.kind:
            case "said":
                self.said.append(operation.data.decode())
            case "write" | "size":
                write = (operation.at, operation.data if operation.kind == "write" else None)
                self._unsure.setdefault(self._seen.files[operation.path], []).append(write)
            case "sync" | "sync_names":
                self._sync(operation)
            case _:
                fresh = len(self._contents)
                if operation.kind == "made":
                    self._contents[fresh] = b""
                self._unsure_names.append((operation, fresh))
                self._seen.apply(operation, fresh)

    def _sync(self, operation: Operation) -> None:
        number = self._seen.files.get(operation.path)  # None: a folder
        if number is not None:
            self._contents[number] = _applied(self._contents[number], self._unsure.pop(number, []))
        if operation.kind == "sync_names" or number is None:
            for change, fresh in self._unsure_names:
                self._sure.apply(change, fresh)
            self._unsure_names.clear()

    def left(self, random: Random, after: int, chance: float | None) -> State:
        """A disk as the failure may leave it; ``chance`` of each write to be there: 0, 1 or None for anything goes."""
        names = _Names(dict(self._sure.files), set(self._sure.folders))
        most = len(self._unsure_names)
        kept = random.randint(0, most) if chance is None else round(most * chance)
        for operation, fresh in self._unsure_names[:kept]:
            names.apply(operation, fresh)
        files = {name: self._content(number, random, chance) for name, number in names.files.items()}
        return State(after=after, files=files, folders=frozenset(names.folders), said=tuple(self.said))

    def _content(self, number: int, random: Random, chance: float | None) -> bytes:
        writes = self._unsure.get(number, [])
        if chance is None:
            writes = _some(writes, random)
        elif not chance:
            writes = []
        return _applied(self._contents[number], writes)


def states(folder: Path, operations: Sequence[Operation], *, seed: str, each: int) -> Iterator[State]:
    """Distinct ones, after every operation: nothing of what was not synced, all of it, and ``each`` by chance."""
    random, disk, known = Random(seed), Disk(folder), set[bytes]()
    for after, operation in enumerate(operations):
        disk.do(operation)
        for chance in (0.0, 1.0, *(None for _ in range(each))):
            state = disk.left(random, after, chance)
            if state.identity not in known:
                known.add(state.identity)
                yield state


def _some(writes: list[Write], random: Random) -> list[Write]:
    """Any of them, some in part, in any order."""
    share = random.choice((0.1, 0.5, 0.9))
    chosen = [write for write in writes if random.random() < share]
    chosen = [part for write in chosen for part in (_torn(write, random) if random.random() < 0.3 else (write,))]
    if random.random() < 0.3:
        random.shuffle(chosen)
    return chosen


def _torn(write: Write, random: Random) -> Iterator[Write]:
    offset, data = write
    if data is None:
        yield write
        return
    first = -offset % SECTOR or SECTOR
    edges = [0, *range(first, len(data), SECTOR), len(data)]
    for begin, end in itertools.pairwise(edges):
        if random.random() < 0.5:
            yield offset + begin, data[begin:end]


def _applied(content: bytes, writes: Sequence[Write]) -> bytes:
    grown = bytearray(content)
    for offset, data in writes:
        if data is None:
            del grown[offset:]
            grown.extend(bytes(offset - len(grown)))
            continue
        grown.extend(bytes(max(0, offset - len(grown))))
        grown[offset : offset + len(data)] = data
    return bytes(grown)
