"""Digests: 256 numbers that say whether two copies of the items are the same (REQ-06).

A code's bucket is fixed by the code; a bucket's digest is the sum of the hashes of its rows, so that it can be kept up
to date row by row and compared without sorting. Only what every schema version knows of an item is hashed.
"""

import hashlib
import struct
import zlib
from collections.abc import Iterable

from sync_protocol.items import Item

BUCKETS = 256
_MODULUS = 1 << 64
_WIRE = struct.Struct(f">{BUCKETS}Q")
DIGEST_BYTES = _WIRE.size
"""Of packed digests."""

Digests = tuple[int, ...]


def bucket_of(code: str) -> int:
    """Which of the 256 buckets a code lies in, for ever."""
    return zlib.crc32(code.encode()) & 0xFF


def row_digest(item: Item) -> int:
    """64 bits of one row. Fields of later schema versions are left out: an older replica does not have them."""
    fields = (
        item.code,
        item.kind,
        item.product,
        item.lot,
        item.expiry.isoformat(),
        item.state,
        item.location,
        item.document,
        item.order,
        item.holder,
        item.box,
        str(item.units),
        item.pouch,
        item.before or "",
        item.tag,
    )
    return int.from_bytes(hashlib.blake2b("\0".join(fields).encode(), digest_size=8).digest())


def empty() -> list[int]:
    """Digests of no items."""
    return [0] * BUCKETS


def pack(digests: Iterable[int]) -> bytes:
    """For the wire: 64 bits each, in order."""
    return _WIRE.pack(*digests)


def unpack(data: bytes) -> Digests:
    """Raises ValueError for bytes that are no digests."""
    if len(data) != DIGEST_BYTES:
        raise ValueError(f"digests: found {len(data)} bytes, expected {DIGEST_BYTES}")
    return _WIRE.unpack(data)


def spoil(digests: list[int], code: str) -> None:
    """Count a row that cannot be read, or contradicts itself: no row of a ledger adds to the sum what this does."""
    bucket = bucket_of(code)
    digests[bucket] = (digests[bucket] + int.from_bytes(hashlib.blake2b(code.encode(), digest_size=8).digest())) % (
        _MODULUS
    )


def add(digests: list[int], item: Item) -> None:
    bucket = bucket_of(item.code)
    digests[bucket] = (digests[bucket] + row_digest(item)) % _MODULUS


def remove(digests: list[int], item: Item) -> None:
    bucket = bucket_of(item.code)
    digests[bucket] = (digests[bucket] - row_digest(item)) % _MODULUS


def digests_of(items: Iterable[Item]) -> Digests:
    """Digests of a whole stock."""
    digests = empty()
    for item in items:
        add(digests, item)
    return tuple(digests)


def differing(mine: Digests, theirs: Digests) -> tuple[int, ...]:
    """Buckets in which two copies differ. Raises ValueError unless both have 256."""
    return tuple(bucket for bucket, (a, b) in enumerate(zip(mine, theirs, strict=True)) if a != b)
