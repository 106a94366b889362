"""The recall key of the hospital: it signs recall sets, so that a broker, or whoever holds it, cannot make one up.

Made in the data folder at first use. Its public half stands in the configuration of every agent.
"""

import base64
import pathlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from central.keyfile import read_or_make
from sync_protocol.recalls import SignedRecalls, signed_bytes

FILE = "recall.key"


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
    return RecallKey(read_or_make(folder / FILE, "recall key"))
