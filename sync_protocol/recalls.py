"""Recalls (召回): a small set with a version, signed, complete in itself.

The highest version wins, never the latest to arrive. A recall is never removed from the set, only lifted: its last word
stays in every later version.
"""

from collections.abc import Iterable
from typing import Protocol

import msgspec

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
        for recall in self.recalls:
            if recall.covers(item):
                return recall
        return None


NO_RECALLS = RecallSet(version=0, recalls=())


class Recalled(Protocol):
    """What says whether an item is recalled."""

    def of(self, item: Item) -> Recall | None: ...


class InForce:
    """The active recalls of one or several sets, found by code and by product: a check must not grow with their number.

    Several sets are held where a restored central went on without some of its recalls: what any of them recalls stays
    recalled until a set comes that has all of it.
    """

    def __init__(self, *sets: RecallSet) -> None:
        self.recalls = tuple(recall for recall in merged(*sets) if recall.is_active)
        self._by_code: dict[str, Recall] = {}
        self._by_product: dict[str, list[Recall]] = {}
        for recall in self.recalls:
            self._by_code |= dict.fromkeys(recall.codes, recall)
            if not recall.codes:
                self._by_product.setdefault(recall.product, []).append(recall)

    def __bool__(self) -> bool:
        return bool(self.recalls)

    def of(self, item: Item) -> Recall | None:
        return self.covering(product=item.product, lot=item.lot, code=item.code, box=item.box)

    def covering(self, *, product: str, lot: str, code: str, box: str) -> Recall | None:
        """An active recall of this code, of the box it came from, or of its lot."""
        if self._by_code and (found := self._by_code.get(code) or self._by_code.get(box)):
            return found
        of_product = self._by_product.get(product, ())
        return next((recall for recall in of_product if recall.lot in {"", lot}), None)


def merged(*sets: RecallSet) -> tuple[Recall, ...]:
    """The last word on every recall, by id: the highest version counts, between equals the one that recalls."""
    last: dict[str, Recall] = {}
    for recall in (recall for each in sets for recall in each.recalls):
        known = last.get(recall.id)
        if known is None or (recall.version, recall.is_active) > (known.version, known.is_active):
            last[recall.id] = recall
    return tuple(last[recall_id] for recall_id in sorted(last))


def lacks(newer: RecallSet, older: RecallSet) -> bool:
    """Whether ``older`` says something that ``newer`` does not know: then the two are of different histories."""
    return merged(newer, older) != merged(newer)


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
    return read_recalls(signed)


def read_recalls(signed: SignedRecalls) -> RecallSet:
    """The set, whoever signed it. Raises WireError."""
    try:
        opened = _decoder.decode(signed.body)
    except msgspec.MsgspecError as error:
        raise WireError(f"recall set {signed.version}: {error}") from error
    if opened.version != signed.version:
        raise WireError(f"recall set: found version {opened.version} inside version {signed.version}")
    return opened


def _is_signed_by(signed: SignedRecalls, key: bytes) -> bool:
    # Imported when there is a signature to check: 6 MB that everyone who folds facts would carry otherwise.
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415

    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signed.signature, signed_bytes(signed.body))
    except InvalidSignature:
        return False
    return True
