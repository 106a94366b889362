"""The wire as other versions of this software speak it: older ones lack the newest fields, newer ones have more.

Fields are only ever appended, so another version is made from this one's bytes.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from sync_protocol.codec import PLAIN, VERSION, encode_fact
from sync_protocol.facts import Fact
from sync_protocol.messages import Batch, Hello

OLD_FACT = 11
"""An older fact ends with its ``product``."""
_SCHEMA = 1 + Hello.__struct_fields__.index("schema")
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Any]).decode

Speak = Callable[[msgspec.Struct], bytes]


def older(message: msgspec.Struct) -> bytes:
    """A message of an agent of schema 1: fewer fields, and facts never in columns."""
    fields = _decode(_encode(message))
    if isinstance(message, Hello):  # it shows its key, whatever its version: central would not know it else
        fields[_SCHEMA] = 1
    elif isinstance(message, Batch):
        fields = fields[:-1]
    return bytes((VERSION, PLAIN)) + _encode(fields)


def newer(message: msgspec.Struct) -> bytes:
    """A message with fields that this version does not know, at its end and in what it holds."""
    return bytes((VERSION, PLAIN)) + _encode([*_decode(_encode(message)), "a field of tomorrow", [1, 2, {"x": 3}]])


def old_fact(fact: Fact) -> bytes:
    return _encode(_decode(encode_fact(fact))[:OLD_FACT])


def new_fact(fact: Fact, *, what: str = "") -> bytes:
    """``what``: a kind of fact that this version does not know."""
    fields = _decode(encode_fact(fact))
    return _encode([what or fields[0], *fields[1:], 37.5, "a field of tomorrow"])
