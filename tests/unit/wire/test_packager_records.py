import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.wire.packager import (
    LONGEST_RECORD,
    Dose,
    Job,
    Message,
    Received,
    Refused,
    Result,
    SendAgain,
    Splitter,
    Taken,
    Unreadable,
    crc_of,
    encode,
)

JOB = Job(
    job="J-1",
    order="O-7",
    patient="张三",
    take_at="0800",
    doses=(Dose(product="P1", quantity=2, codes=("A1", "A2")), Dose(product="P2", quantity=1, codes=())),
)

# Written out by hand from the layout at the top of the codec; the CRCs were taken from the trailer that gzip(1) writes.
GOLDEN: list[tuple[str, Message]] = [
    ("02 06 1E 30 41 31 42 32 43 33 44 1E 32 37 41 30 33 44 34 41 03", Taken(crc="0A1B2C3D")),
    ("02 15 1E 38 43 36 33 43 39 38 38 03", SendAgain()),
    (
        "02 15 1E 30 41 31 42 32 43 33 44 1E 6E 6F 10 5E 1E 39 44 32 34 33 32 35 30 03",
        Refused(crc="0A1B2C3D", reason="no\x1e"),
    ),
    (
        (
            "02 4A 31 1E 4A 2D 31 1E 4F 2D 37 1E E5 BC A0 E4 B8 89 1E 30 38 30 30 1E"
            " 50 31 1F 32 1F 41 31 1F 41 32 1E 50 32 1F 31 1E 31 34 44 33 45 39 37 36 03"
        ),
        JOB,
    ),
    (
        "02 52 31 1E 4A 2D 31 1E 64 6F 6E 65 1E 50 30 30 31 1E 10 42 6F 6B 10 50 1E 36 39 41 38 43 39 46 39 03",
        Result(job="J-1", outcome="done", pouch="P001", message="\x02ok\x10"),
    ),
]

TEXT = st.text(alphabet=st.characters(blacklist_categories=["Cs"]), max_size=12) | st.text(
    alphabet=[chr(code) for code in range(0x20)], max_size=4
)
JOBS = st.builds(
    Job,
    job=TEXT,
    order=TEXT,
    patient=TEXT,
    take_at=TEXT,
    doses=st.lists(
        st.builds(Dose, product=TEXT, quantity=st.integers(0, 10_000), codes=st.lists(TEXT, max_size=3).map(tuple)),
        max_size=3,
    ).map(tuple),
)
RESULTS = st.builds(Result, job=TEXT, outcome=TEXT, pouch=TEXT, message=TEXT)
MESSAGES = (
    JOBS | RESULTS | st.builds(Taken, crc=TEXT) | st.builds(Refused, crc=TEXT, reason=TEXT) | st.just(SendAgain())
)


def read(line: bytes) -> list[Message | str]:
    return [record.message if isinstance(record, Received) else record.reason for record in Splitter().feed(line)]


@pytest.mark.parametrize(("line", "message"), GOLDEN)
def test_golden_records(line: str, message: Message) -> None:
    assert encode(message).hex(" ").upper() == line
    assert read(bytes.fromhex(line)) == [message]


@given(messages=st.lists(MESSAGES, max_size=5), cuts=st.lists(st.integers(0, 400), max_size=10))
def test_any_message_in_any_chunks_survives(messages: list[Message], cuts: list[int]) -> None:
    line = b"".join(map(encode, messages))
    edges = [0, *sorted(cuts), len(line)]
    splitter = Splitter()
    records = [record for start, end in itertools.pairwise(edges) for record in splitter.feed(line[start:end])]
    assert [record.message for record in records if isinstance(record, Received)] == messages
    assert [record.crc for record in records if isinstance(record, Received)] == [crc_of(encode(m)) for m in messages]


@given(message=MESSAGES, garbage=st.binary(max_size=30).filter(lambda garbage: b"\x02" not in garbage))
def test_garbage_between_records_is_passed_over(message: Message, garbage: bytes) -> None:
    assert read(garbage + encode(message) + garbage + encode(message)) == [message, message]


@given(message=MESSAGES, place=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_one_damaged_byte_never_gives_another_message_and_the_next_record_is_read(
    message: Message, place: int, flip: int
) -> None:
    line = bytearray(encode(message))
    line[place % len(line)] ^= flip
    splitter = Splitter()
    got = [record.message for record in splitter.feed(bytes(line)) if isinstance(record, Received)]
    after = [record.message for record in splitter.feed(encode(JOB)) if isinstance(record, Received)]
    assert got == []
    assert after == [JOB]


def test_a_record_that_lost_its_end_is_reported_and_does_not_spoil_the_next() -> None:
    assert read(encode(JOB)[:-4] + encode(JOB)) == ["the record has no end", JOB]


def test_a_repeated_record_is_the_same_record() -> None:
    first, second = Splitter().feed(encode(JOB) * 2)
    assert first == second


def test_a_damaged_record_is_asked_for_again_and_an_unknown_one_refused() -> None:
    (damaged,) = Splitter().feed(encode(JOB).replace(b"0800", b"0900"))
    assert damaged == Unreadable(reason="the CRC does not fit")
    assert isinstance(damaged, Unreadable)
    assert damaged.answer == SendAgain()
    # "J2" with one field; CRC as gzip(1) writes it.
    (unknown,) = Splitter().feed(b"\x02J2\x1eX\x1e1096E39A\x03")
    assert isinstance(unknown, Unreadable)
    assert unknown.answer == Refused(crc="1096E39A", reason=unknown.reason)
    assert unknown.reason == "kind b'J2' with 1 fields is none of this layout's records"


def test_an_endless_record_is_given_up_once_and_memory_stays_bounded() -> None:
    splitter = Splitter()
    records = splitter.feed(b"\x02")
    for _ in range(100):
        records += splitter.feed(b"x" * 10_000)
    assert records == [Unreadable(reason=f"the record is longer than {LONGEST_RECORD} bytes")]
    assert splitter.feed(encode(JOB)) == [Received(message=JOB, crc=crc_of(encode(JOB)))]


def test_a_message_too_long_for_a_record_is_refused_before_it_is_sent() -> None:
    with pytest.raises(ValueError, match=f"bytes, at most {LONGEST_RECORD} are allowed"):
        encode(Result(job="J", outcome="done", pouch="", message="x" * LONGEST_RECORD))


def test_ten_million_bytes_of_noise_forge_no_record() -> None:
    noise = random.Random(52)
    splitter = Splitter()
    read_back = 0
    for _ in range(250):
        for record in splitter.feed(noise.randbytes(40_000)):
            assert isinstance(record, Unreadable)
        read_back += sum(isinstance(record, Received) for record in splitter.feed(encode(JOB)))
    assert read_back == 250
