from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.wire.llrp import LONGEST_FRAME, FrameError, Framer, parameters
from drivers.wire.llrp_reports import read_entries
from hardware_sims.devices import llrp_frames as frames

STREAM = [
    frames.keepalive(1),
    frames.message(61, 2, bytes(range(200))),
    frames.event(3, 0, frames.close_event()),
    frames.keepalive(4),
]


@given(st.lists(st.integers(0, sum(map(len, STREAM))), max_size=8))
def test_messages_come_whole_however_the_bytes_are_cut(cuts: list[int]) -> None:
    data = b"".join(STREAM)
    edges = [0, *sorted(cuts), len(data)]
    framer = Framer()
    found = [frame for start, end in pairwise(edges) for frame in framer.feed(data[start:end])]
    assert found == STREAM


@pytest.mark.parametrize(
    ("head", "says"),
    [
        (b"HTTP/1.1 400", "no LLRP"),
        (bytes(10), "no LLRP"),
        (b"\xff" * 10, "no LLRP"),
        (bytes.fromhex("043E 00000009 00000007"), "9 bytes long"),
        (bytes.fromhex("043E") + (LONGEST_FRAME + 1).to_bytes(4) + bytes(4), "bytes long"),
    ],
)
def test_what_is_no_header_ends_the_line(head: bytes, says: str) -> None:
    with pytest.raises(FrameError, match=says):
        Framer().feed(frames.keepalive(1) + head)


def test_a_header_alone_costs_no_memory() -> None:
    framer = Framer()
    assert framer.feed(bytes.fromhex("043D 00100000 00000001")) == []
    assert framer.feed(b"x" * 4096) == []


LIES = {
    "an EPC cut short": frames.tlv(240, frames.tlv(241, bytes.fromhex("0060 E280"))),
    "an EPC too long": frames.tlv(240, frames.tlv(241, bytes.fromhex("0008 E280"))),
    "an EPC without a length": frames.tlv(240, frames.tlv(241, b"\x00")),
    "a part beyond its entry": frames.tlv(240, bytes.fromhex("00F1 0040")),
    "a part of no length": frames.tlv(240, bytes.fromhex("00F1 0000")),
    "half a header": frames.tlv(240, bytes.fromhex("00F1 00")),
    "an unknown short part": frames.tlv(240, b"\xff\x00"),
    "half a short part": frames.tlv(240, b"\x81\x00"),
    "an entry beyond the report": bytes.fromhex("00F0 0009 0000"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_report_that_lies_about_its_lengths_is_no_report(lie: str) -> None:
    with pytest.raises(FrameError):
        read_entries(LIES[lie])


def test_parameters_come_in_order_and_whole() -> None:
    data = frames.tv(6, b"\xc9") + frames.tlv(1023, b"custom") + frames.tv(1, b"\x00\x02")
    assert list(parameters(data)) == [(6, b"\xc9"), (1023, b"custom"), (1, b"\x00\x02")]
    assert list(parameters(b"")) == []
