"""Envelopes: who said it, on which topic, and what comes of one that was changed, moved or made up (REQ-09)."""

import hashlib

import pytest
import zstandard

from sync_protocol import codec, envelope, topics
from sync_protocol.envelope import ED25519, Secret, Voice, fingerprint
from sync_protocol.errors import WireError
from sync_protocol.machines.freshness import Freshness
from sync_protocol.messages import Ack, Pull

ONE, OTHER = Secret(bytes(32)), Secret(bytes(31) + b"\x01")
UP = topics.up("station-1")


def said(number: int = 1, secret: Secret = ONE, topic: str = UP) -> bytes:
    voice = Voice(b"s" * 16, secret.sign)
    for _ in range(number - 1):
        voice.say(Pull(after=0), topic)
    return voice.say(Pull(after=7), topic)


def test_the_bytes_of_an_envelope_are_as_drawn() -> None:
    data = said()
    message = codec.encode(Pull(after=7))
    assert data[0] == ED25519
    assert data[1:17] == b"s" * 16
    assert data[17:25] == b"\0" * 7 + b"\x01"
    assert data[89:] == message
    signed = b"codepool envelope 1" + data[:25] + bytes((len(UP),)) + UP.encode() + message
    assert ONE.sign(signed) == data[25:89]


def test_only_the_key_of_the_sender_and_the_topic_it_was_said_on_fit() -> None:
    opened = envelope.read(said())
    assert opened.is_from(ONE.public, UP)
    assert not opened.is_from(OTHER.public, UP)
    assert not opened.is_from(ONE.public, topics.up("station-2"))
    assert not opened.is_from(ONE.public, topics.down("station-1"))
    assert not opened.is_from(b"no key", UP)


@pytest.mark.fault(24)
def test_every_byte_is_covered() -> None:
    data = said()
    for at in range(1, len(data)):
        changed = data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]
        assert not envelope.read(changed).is_from(ONE.public, UP), f"byte {at}"


@pytest.mark.parametrize("data", [b"", b"\x01" * 80, b"\x07" + bytes(200), b"\x01" + bytes(envelope.MAX_ENVELOPE)])
def test_what_is_no_envelope_is_named(data: bytes) -> None:
    with pytest.raises(WireError, match="envelope: found"):
        envelope.read(data)


def test_a_fingerprint_is_short_and_differs() -> None:
    assert fingerprint(ONE.public) == "-".join(
        hashlib.sha256(ONE.public).hexdigest()[at : at + 4] for at in range(0, 16, 4)
    )
    assert fingerprint(ONE.public) != fingerprint(OTHER.public)
    assert repr(ONE) == f"Secret({fingerprint(ONE.public)})"


def test_an_old_message_that_is_said_again_is_no_news() -> None:
    heard = Freshness()
    assert heard.is_news("a", b"1", 5)
    assert not heard.is_news("a", b"1", 5)
    assert not heard.is_news("a", b"1", 4)
    assert heard.is_news("a", b"1", 6)
    assert not heard.is_news("a", b"2", 9), "another stream, and nobody said that it begins"
    assert heard.is_other("a", b"2")
    assert heard.is_news("a", b"2", 1, begins=True)
    assert not heard.is_news("a", b"1", 99), "the stream before is over"
    assert heard.is_news("b", b"1", 1)
    assert (heard.heard("a", b"2"), heard.heard("a", b"1"), heard.heard("c", b"1")) == (1, 0, 0)


def test_a_voice_goes_on_above_what_its_copy_has_said_and_never_below_itself() -> None:
    voice = Voice(b"s" * 16, ONE.sign)
    voice.go_on(7)
    assert envelope.read(voice.say(Pull(after=0), "t")).number == 8
    voice.go_on(3)
    assert envelope.read(voice.say(Pull(after=0), "t")).number == 9


@pytest.mark.fault(60)
@pytest.mark.parametrize(
    "content",
    [
        b"\x01\x00\x94\xa4pull\x01\x00" + b"\x91" * 100_000 + b"\x00",
        b"\x01\x00\x93\xa4pull\xcf" + b"\xff" * 8,
        b"\x01\x00\x93\xa4pull\xcb\x7f\xf8\0\0\0\0\0\0",
        b"\x01\x01" + zstandard.ZstdCompressor().compress(bytes(100 * 1_048_576)),
        b"\x01\x01" + zstandard.ZstdCompressor(write_content_size=False).compress(bytes(3 * 1_048_576)),
        b"\x01\x00" + bytes(codec.MAX_UP),
        b"\x01\x00\xdd\xff\xff\xff\xff",
        codec.encode(Ack(session=bytes(16), through=1, version=1)),
    ],
    ids=["deep", "64 bits", "not a number", "bomb", "bomb of unknown size", "too long", "4e9 fields", "of central"],
)
def test_malicious_content_is_refused_before_it_costs_anything(content: bytes) -> None:
    try:
        message = codec.decode_up(content)
    except WireError:
        return
    assert message == Pull(after=2**64 - 1), "numbers that no ledger has are central's gate's to refuse"
