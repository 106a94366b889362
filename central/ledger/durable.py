"""Small files beside the ledger that are whole or not there, whatever moment the power fails at."""

import os
import pathlib


def write(path: pathlib.Path, content: bytes) -> None:
    """In the place of what is there. Raises OSError."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_bytes(content)
    sync(fresh)
    rename(fresh, path)


def rename(fresh: pathlib.Path, path: pathlib.Path) -> None:
    """``fresh`` is synced and lies beside ``path``. Raises OSError."""
    fresh.replace(path)
    sync(path.parent)


def sync(path: pathlib.Path) -> None:
    """What a file holds, or which names a folder has, onto the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
