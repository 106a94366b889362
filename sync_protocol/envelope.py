"""Who said it: every message travels in an envelope that its sender signed for the topic it was sent to (REQ-09).

::

    envelope = suite (1 byte) | stream (16) | number (8, big endian) | signature (64) | message
    signed   = "codepool envelope 1" | suite | stream | number | length of topic (1) | topic | message

A broker can drop what it carries. It cannot make a message up, change one, hand one device's message on as another's,
or an answer to one device to another: the topic is signed too. The signature stands for every fact of a batch at once,
for the batch carries the hash that its first fact follows. ``stream`` is fresh at every start of the sender, ``number``
counts its envelopes: who keeps the highest knows an old message that is said again (``machines.freshness``).

The envelope is read before anything in it is unpacked or decoded: bytes of nobody never reach a decoder.

Suite 1 is Ed25519 (RFC 8032). Another one, as SM2 with SM3, gets a number of its own in ``SUITES``.
"""

import hashlib
from collections.abc import Callable

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from sync_protocol.codec import MAX_MESSAGE, encode
from sync_protocol.errors import WireError
from sync_protocol.facts import SESSION_BYTES
from sync_protocol.messages import Down, Up

ED25519 = 1
KEY_BYTES = 32
SIGNATURE_BYTES = 64
_NUMBER_BYTES = 8
_HEADER = 1 + SESSION_BYTES + _NUMBER_BYTES + SIGNATURE_BYTES
MAX_ENVELOPE = _HEADER + MAX_MESSAGE
_DOMAIN = b"codepool envelope 1"
_SHOWN_BYTES = 8

Verify = Callable[[bytes, bytes, bytes], bool]
"""Whether a public key made a signature over bytes."""


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """As it came; who made it is not known before ``is_from`` said so."""

    suite: int
    stream: bytes
    number: int
    signature: bytes
    message: bytes

    def is_from(self, key: bytes, topic: str) -> bool:
        """Whether the owner of this public key said it on this topic."""
        signed = _signed(self.suite, self.stream, self.number, topic, self.message)
        return SUITES[self.suite](key, self.signature, signed)


class Voice:
    """What one process says, each message signed and numbered."""

    def __init__(self, stream: bytes, sign: Callable[[bytes], bytes], *, suite: int = ED25519) -> None:
        self._stream = stream
        self._sign = sign
        self._suite = suite
        self._number = 0

    def go_on(self, number: int) -> None:
        """Number what follows above this one: a copy of this process has said that much."""
        self._number = max(self._number, number)

    def say(self, message: Up | Down, topic: str) -> bytes:
        """The message in its envelope."""
        return self.seal(encode(message), topic)

    def seal(self, content: bytes, topic: str) -> bytes:
        """An encoded message in its envelope: one that many get is encoded once."""
        self._number += 1
        signature = self._sign(_signed(self._suite, self._stream, self._number, topic, content))
        return _head(self._suite, self._stream, self._number) + signature + content


class Secret:
    """An Ed25519 key that signs. ``public``: what others know it by."""

    suite = ED25519

    def __init__(self, secret: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(secret)
        self.public = self._key.public_key().public_bytes_raw()

    def __repr__(self) -> str:
        return f"Secret({fingerprint(self.public)})"

    def sign(self, content: bytes) -> bytes:
        return self._key.sign(content)


def read(data: bytes) -> Envelope:
    """Raises WireError for bytes that are no envelope of a suite that we know."""
    if not _HEADER < len(data) <= MAX_ENVELOPE:
        raise WireError(f"envelope: found {len(data)} bytes, expected more than {_HEADER} and at most {MAX_ENVELOPE}")
    if data[0] not in SUITES:
        known = ", ".join(map(str, SUITES))
        raise WireError(f"envelope: found suite {data[0]}, expected {known}; update the older side")
    stream_end, number_end = 1 + SESSION_BYTES, _HEADER - SIGNATURE_BYTES
    return Envelope(
        suite=data[0],
        stream=data[1:stream_end],
        number=int.from_bytes(data[stream_end:number_end]),
        signature=data[number_end:_HEADER],
        message=data[_HEADER:],
    )


def fingerprint(key: bytes) -> str:
    """A public key as two people compare it by telephone."""
    digest = hashlib.sha256(key).digest()[:_SHOWN_BYTES].hex()
    return "-".join(digest[at : at + 4] for at in range(0, len(digest), 4))


def _head(suite: int, stream: bytes, number: int) -> bytes:
    return bytes((suite,)) + stream + number.to_bytes(_NUMBER_BYTES)


def _signed(suite: int, stream: bytes, number: int, topic: str, message: bytes) -> bytes:
    name = topic.encode()
    return _DOMAIN + _head(suite, stream, number) + bytes((len(name),)) + name + message


def _is_ed25519(key: bytes, signature: bytes, content: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, content)
    except (InvalidSignature, ValueError):
        return False
    return True


SUITES: dict[int, Verify] = {ED25519: _is_ed25519}
