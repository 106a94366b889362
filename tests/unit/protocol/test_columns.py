"""A batch in columns is the batch: each fact comes out as the bytes that it was written in."""

from typing import Any

import msgspec
import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st

from sync_protocol import codec
from sync_protocol.chain import SessionStart
from sync_protocol.columns import from_columns, to_columns
from sync_protocol.errors import ProtocolError, WireError
from sync_protocol.facts import Fact, How, Moment, What
from sync_protocol.messages import Batch

START = SessionStart(device="station-1", session=b"s" * 16)
HEAD = bytes((codec.VERSION, codec.COLUMNS))
TIMES = st.integers(min_value=-(2**63), max_value=2**64 - 1)


def taken(number: int, **fields: Any) -> Fact:
    at = Moment(wall_us=1_795_233_600_000_000 + number * 1_000_003, mono_us=number * 1_000_000, offset_us=-3)
    return Fact(what=What.TAKEN, codes=(f"c{number}",), at=at, operator="n1", how=How.RFID, checked_at=7, **fields)


def batch(*bodies: bytes) -> Batch:
    return Batch(start=START, first_seq=1, previous_hash=START.hash, bodies=bodies)


def early(*bodies: bytes) -> Batch:
    return msgspec.structs.replace(batch(*bodies), is_early=True)


def test_a_batch_of_facts_is_sent_in_columns_and_comes_back_whole() -> None:
    sent = early(*(codec.encode_fact(taken(number, document="N" * (number % 3))) for number in range(50)))
    data = codec.encode(sent)
    assert data.startswith(HEAD)
    assert codec.decode_up(data) == sent
    assert len(data) < len(b"".join(sent.bodies)) / 6


def test_a_batch_of_schema_1_is_still_read() -> None:
    sent = batch(*(codec.encode_fact(taken(number)) for number in range(20)))
    plain = msgspec.msgpack.encode(sent)
    assert codec.decode_up(b"\x01\x00" + plain) == sent
    assert codec.decode_up(b"\x01\x01" + zstandard.ZstdCompressor().compress(plain)) == sent


def test_columns_are_the_published_ones() -> None:
    """Golden value: what an agent of schema 2 sends is read by every central after it."""
    columns = to_columns([codec.encode_fact(taken(1)), codec.encode_fact(taken(2, order="O"))])
    assert columns is not None
    assert columns[:2] == [["taken", "taken"], [["c1"], ["c2"]]]
    late, mono, *others = columns[2]
    assert late.hex(" ", 2) == "0303 5000 0400 6500 c100 6000 0600 0000"
    assert mono.hex(" ", 2) == "4040 4242 0f0f 0000 0000 0000 0000 0000"
    assert others == [(-3, -3), (True, True), (480, 480)]
    assert columns[19].hex(" ", 2) == "0700 0000 0000 0000 0000 0000 0000 0000"


@given(st.lists(st.binary(max_size=40), max_size=4))
@example([msgspec.msgpack.encode([None] * 23)])
@example([codec.encode_fact(taken(1)), codec.encode_fact(taken(2)) + b"\x00"])
@example([codec.encode_fact(taken(1)), codec.encode_fact(taken(2))[:-1]])
@example([b"\x91" * 5_000])
def test_any_bytes_come_back_as_they_went(bodies: list[bytes]) -> None:
    sent = batch(*bodies, b"x" * 600)
    assert codec.decode_up(codec.encode(sent)) == sent
    columns = to_columns(bodies)
    assert columns is None or from_columns(columns) == tuple(bodies)


@given(st.lists(st.tuples(TIMES, TIMES, TIMES), min_size=1, max_size=5))
def test_numbers_of_any_size_come_back(numbers: list[tuple[int, int, int]]) -> None:
    bodies = []
    for wall, mono, checked_at in numbers:
        fields = list(msgspec.msgpack.decode(codec.encode_fact(taken(1))))
        fields[2], fields[19] = [wall, mono, None, True, 480], checked_at
        bodies.append(msgspec.msgpack.encode(fields))
    sent = batch(*bodies, bodies[0])
    assert codec.decode_up(codec.encode(sent)) == sent


def test_an_older_fact_with_fewer_fields_is_sent_as_it_is() -> None:
    older = msgspec.msgpack.encode(msgspec.msgpack.decode(codec.encode_fact(taken(1)))[:20])
    sent = batch(*[codec.encode_fact(taken(2)), older] * 10)
    assert codec.decode_up(codec.encode(sent)) == sent
    assert not codec.encode(sent).startswith(HEAD)


@pytest.mark.parametrize(
    "columns",
    [[], [[]] * 3, [["taken"]] * 23, [["a"], ["b"], [bytes(8), bytes(16)]] + [[0]] * 20, [0] * 23, [b"x" * 8] * 23],
    ids=repr,
)
def test_columns_that_are_none_are_refused(columns: list[Any]) -> None:
    content = msgspec.msgpack.encode([batch(), columns])
    with pytest.raises(WireError):
        codec.decode_up(HEAD + zstandard.ZstdCompressor().compress(content))


@given(st.binary(max_size=200))
@example(b"\x91" * 100_000)
def test_no_content_breaks_the_decoder(content: bytes) -> None:
    for decode in (codec.decode_up, codec.decode_down):
        with pytest.raises(ProtocolError):
            decode(HEAD + zstandard.ZstdCompressor().compress(content))
