"""The key of this device: made in the data folder at the first start, readable by the agent's user alone (REQ-09).

Central knows the device by the public half, and believes nothing that it did not sign. A wiped or exchanged computer
has another key, and has to be let in again by two people.
"""

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from edge_agent.errors import StoreError
from sync_protocol.envelope import KEY_BYTES, Secret

FILE = "device.key"
_OTHERS = 0o077


class Identity(Protocol):
    """The key of this device."""

    @property
    def public(self) -> bytes: ...

    @property
    def suite(self) -> int: ...

    def sign(self, content: bytes) -> bytes: ...


def open_identity(folder: Path) -> Secret:
    """The key, made if there is none. Raises StoreError for one that others can read or is none."""
    path = folder / FILE
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            _make(path)
        secret, mode = path.read_bytes(), path.stat().st_mode
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}; expected a file that this user may read and write.") from error
    if mode & _OTHERS:
        raise StoreError(
            f"{path}: found mode {mode & 0o777:03o}, expected 600: others could read it and speak for this device."
            " If they may have, delete it and let central accept the new key; else chmod 600 and start again."
        )
    if len(secret) != KEY_BYTES:
        raise StoreError(
            f"{path}: found {len(secret)} bytes, expected {KEY_BYTES}. Delete it and let central accept the new key."
        )
    return Secret(secret)


def _make(path: Path) -> None:
    """Whole or not at all; of two programs that make it at once, one wins and both read the same."""
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(fresh, path)
    finally:
        fresh.unlink()
    folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
