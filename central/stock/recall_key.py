"""The recall key of the hospital: it signs recall sets, so that a broker, or whoever holds it, cannot make one up.

Made in the data folder at first use. Its public half stands in the configuration of every agent.
"""

import base64
import os
import pathlib
import secrets

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from central.errors import DiskError, StartError
from sync_protocol.recalls import SignedRecalls, signed_bytes

FILE = "recall.key"
_BYTES = 32
_OTHERS = 0o077


class RecallKey:
    def __init__(self, secret: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(secret)
        self.public = self._key.public_key().public_bytes_raw()

    def __repr__(self) -> str:
        return f"RecallKey({self.text})"

    @property
    def text(self) -> str:
        """The public key as it stands in ``recall_keys`` of an agent's configuration."""
        return base64.b64encode(self.public).decode()

    def sign(self, version: int, body: bytes) -> SignedRecalls:
        return SignedRecalls(version=version, body=body, signature=self._key.sign(signed_bytes(body)))


def open_key(folder: pathlib.Path) -> RecallKey:
    """The key of the data folder, made if there is none. Raises StartError for one that others can read or is none."""
    path = folder / FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _make(path)
        secret, mode = path.read_bytes(), path.stat().st_mode
    except OSError as error:
        raise DiskError(
            f"recall key {path}: {error.strerror}\nMake the folder writable for central, then start."
        ) from error
    if mode & _OTHERS:
        raise StartError(
            f"recall key {path}: found mode {mode & 0o777:03o}, expected 600: others could read it and sign recalls.\n"
            "If they may have, delete it and give every agent the new public key; else chmod 600 and start again."
        )
    if len(secret) != _BYTES:
        raise StartError(
            f"recall key {path}: found {len(secret)} bytes, expected {_BYTES}.\nPut the backup of it back."
        )
    return RecallKey(secret)


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
