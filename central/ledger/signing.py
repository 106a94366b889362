"""The key that signs what the ledger was: made in the data folder, readable by central alone, never in a backup.

``signing.pub`` lists every public key that signed this ledger, the present one last: a ledger that was restored on
another machine is signed by another key from then on, and what the one before signed still counts.
"""

import os
import pathlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from central.errors import DiskError
from central.ledger import durable

KEY = "signing.key"
PUBLIC = "signing.pub"
_KEY_BYTES = 32


def load(folder: pathlib.Path) -> Ed25519PrivateKey:
    """The key of this data folder, made if there is none. Raises DiskError."""
    path = folder / KEY
    try:
        if not path.exists():
            _make(path)
        raw = path.read_bytes()
        if len(raw) != _KEY_BYTES:
            raise DiskError(
                f"{path}: found {len(raw)} bytes, expected a key of {_KEY_BYTES}.\nMove it away; a new one is made."
            )
        key = Ed25519PrivateKey.from_private_bytes(raw)
        trust(folder, public_of(key))
    except OSError as error:
        raise DiskError(f"{path}: {error.strerror}\nExpected a file that only central's user may read.") from error
    return key


def public_of(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes_raw().hex()


def trusted(folder: pathlib.Path) -> tuple[str, ...]:
    """Every key whose signature counts for the ledger of this folder."""
    path = folder / PUBLIC
    return tuple(path.read_text("ascii").split()) if path.exists() else ()


def trust(folder: pathlib.Path, public: str) -> None:
    """What this key has signed counts from now on. Raises OSError."""
    known = trusted(folder)
    if public not in known:
        durable.write(folder / PUBLIC, "".join(f"{key}\n" for key in (*known, public)).encode("ascii"))


def is_signed_by(keys: tuple[str, ...], signature: bytes, content: bytes) -> bool:
    return any(_fits(key, signature, content) for key in keys)


def _fits(key: str, signature: bytes, content: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(signature, content)
    except (InvalidSignature, ValueError):
        return False
    return True


def _make(path: pathlib.Path) -> None:
    """Whole or not at all: half a key would be refused at every start."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, Ed25519PrivateKey.generate().private_bytes_raw())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    durable.rename(fresh, path)
