"""Recalls (召回): a small set with a version, signed, complete in itself.

The highest version wins, never the latest to arrive. A recall is never removed from the set, only lifted: its last word
stays in every later version.
"""

from collections.abc import Iterable

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sync_protocol.errors import WireError
from sync_protocol.facts import What
from sync_protocol.items import Item

MAX_RECALLS = 10_000
_DOMAIN = b"codepool recalls 1"

# A recalled item is not planned for a patient, not opened, not issued and not passed on. It may be counted, sent back
# to its supplier, frozen and written off.
REFUSED_WHEN_RECALLED = frozenset(
    {What.PRESCANNED, What.LOCKED, What.DISPENSED, What.LENT, What.TAKEN, What.PACKED, What.TRANSFERRED_OUT}
)


class Recall(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One recall: a lot of a product, all lots of it (empty ``lot``), or single codes."""

    id: str
    version: int
    """Version of the set in which this recall was last changed."""
    product: str
    lot: str = ""
    codes: tuple[str, ...] = ()
    reason: str = ""
    issued_us: int = 0
    is_active: bool = True

    def covers(self, item: Item) -> bool:
        if not self.is_active:
            return False
        if self.codes:
            return item.code in self.codes or item.box in self.codes
        return item.product == self.product and self.lot in {"", item.lot}


class RecallSet(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """All recalls that were ever issued, as of ``version``."""

    version: int
    recalls: tuple[Recall, ...]

    def __post_init__(self) -> None:
        if len(self.recalls) > MAX_RECALLS:
            raise WireError(f"recalls: found {len(self.recalls)}, expected at most {MAX_RECALLS}")

    def of(self, item: Item) -> Recall | None:
        """The first active recall that covers the item."""
        return next((recall for recall in self.recalls if recall.covers(item)), None)


NO_RECALLS = RecallSet(version=0, recalls=())


class SignedRecalls(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="recalls"):
    """A recall set as the bytes that were signed. Whoever holds it may pass it on; nobody can change it."""

    version: int
    body: bytes
    signature: bytes


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(RecallSet)


def signed_bytes(body: bytes) -> bytes:
    """What the recall key signs."""
    return _DOMAIN + body


def encode_recalls(recalls: RecallSet) -> bytes:
    return _encoder.encode(recalls)


def open_recalls(signed: SignedRecalls, keys: Iterable[bytes]) -> RecallSet:
    """The set, if one of the recall keys (raw Ed25519, 32 bytes) signed it. Raises WireError for a forged one."""
    if not any(_is_signed_by(signed, key) for key in keys):
        raise WireError(f"recall set {signed.version}: not signed by a recall key of this hospital")
    try:
        opened = _decoder.decode(signed.body)
    except msgspec.MsgspecError as error:
        raise WireError(f"recall set {signed.version}: {error}") from error
    if opened.version != signed.version:
        raise WireError(f"recall set: found version {opened.version} inside version {signed.version}")
    return opened


def _is_signed_by(signed: SignedRecalls, key: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signed.signature, signed_bytes(signed.body))
    except InvalidSignature:
        return False
    return True
