"""The facts of a batch in columns: what repeats from fact to fact stands side by side, and numbers as differences.

::

    columns  = [field 0 of every fact, field 1 of every fact, …]
    moments  = in the place of the moments: [wall - mono, mono, offset, is_trusted, zone] of every fact
    numbers  = wall - mono, mono and checked_at: differences to the fact before, 8 bytes each, little endian,
               byte 0 of all of them, then byte 1 of all of them, …

Packed so, a fact takes two thirds of the bytes. It stays the bytes that it was written in: facts that would not come
out of their columns as they went in are not sent in columns.
"""

import struct
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any

import msgspec

from sync_protocol.errors import WireError
from sync_protocol.facts import Fact

_AT = Fact.__struct_fields__.index("at")
_CHECKED_AT = Fact.__struct_fields__.index("checked_at")
_BYTES = 8
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Any]).decode


def to_columns(bodies: Sequence[bytes]) -> list[Any] | None:
    """None: these bytes have to be sent as they are."""
    try:
        columns: list[Any] = [list(column) for column in zip(*map(_decode, bodies), strict=True)]
        wall, mono, *others = zip(*columns[_AT], strict=True)
        late = [one - other for one, other in zip(wall, mono, strict=True)]
        columns[_AT] = [_differences(late), _differences(mono), *others]
        columns[_CHECKED_AT] = _differences(columns[_CHECKED_AT])
        is_same = from_columns(columns) == tuple(bodies)
    except (WireError, msgspec.MsgspecError, ValueError, TypeError, IndexError, RecursionError, struct.error):
        return None
    return columns if is_same else None


def from_columns(columns: list[Any]) -> tuple[bytes, ...]:
    """The bytes of each fact. Raises WireError."""
    try:
        late, mono, *others = columns[_AT]
        mono = _numbers(mono)
        wall = [one + other for one, other in zip(_numbers(late), mono, strict=True)]
        facts = list(columns)
        facts[_AT] = zip(wall, mono, *others, strict=True)
        facts[_CHECKED_AT] = _numbers(columns[_CHECKED_AT])
        return tuple(map(_encode, zip(*facts, strict=True)))
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        raise WireError(f"columns of facts: {error}") from error


def _differences(numbers: Iterable[int]) -> bytes:
    before = 0
    differences = []
    for number in numbers:
        differences.append(number - before)
        before = number
    packed = struct.pack(f"<{len(differences)}q", *differences)
    return b"".join(packed[place::_BYTES] for place in range(_BYTES))


def _numbers(planes: bytes) -> list[int]:
    count = len(planes) // _BYTES
    packed = bytearray(count * _BYTES)
    for place in range(_BYTES):
        packed[place::_BYTES] = planes[place * count : (place + 1) * count]
    return list(accumulate(struct.unpack(f"<{count}q", packed)))
