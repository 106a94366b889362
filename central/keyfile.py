"""Secret keys of the data folder: made at first use, readable by central's user alone, never in a backup."""

import os
import pathlib
import secrets

from central.errors import DiskError, StartError

_BYTES = 32
_OTHERS = 0o077


def read_or_make(path: pathlib.Path, name: str) -> bytes:
    """The key, made if there is none. Raises StartError for one that others can read or is none.

    ``name``: what people call it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _make(path)
        secret, mode = path.read_bytes(), path.stat().st_mode
    except OSError as error:
        raise DiskError(
            f"{name} {path}: {error.strerror}\nMake the folder writable for central, then start."
        ) from error
    if mode & _OTHERS:
        raise StartError(
            f"{name} {path}: found mode {mode & 0o777:03o}, expected 600: others could read it and sign with it.\n"
            "If they may have, delete it and give every agent the new public key; else chmod 600 and start again."
        )
    if len(secret) != _BYTES:
        raise StartError(f"{name} {path}: found {len(secret)} bytes, expected {_BYTES}.\nPut the backup of it back.")
    return secret


def _make(path: pathlib.Path) -> None:
    """Whole or not at all; of two programs that make it at once, one wins and both read the same."""
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(fresh, path)
        except FileExistsError:
            return
    finally:
        fresh.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
