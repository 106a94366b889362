"""Tag reports read by our hand say what sllurp's decoder says, whatever was asked for."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from sllurp.llrp import LLRPMessage

from drivers.wire.llrp import HEADER
from drivers.wire.llrp_reports import read_entries
from hardware_sims.devices import llrp_frames as frames

EPCS = st.binary(min_size=1, max_size=62).map(bytes.hex) | st.binary(min_size=12, max_size=12).map(bytes.hex)
SEEN = st.builds(
    frames.Seen,
    epc=EPCS,
    antenna=st.integers(0, 0xFFFF),
    rssi_dbm=st.integers(-128, 127),
    first_seen_us=st.integers(0, 2**64 - 1),
    last_seen_us=st.integers(0, 2**64 - 1),
    count=st.integers(0, 0xFFFF),
)
ASKED = st.integers(0, 0x3FF).map(lambda bits: frames.Content(bits << 6))


def by_sllurp(frame: bytes) -> list[dict[str, Any]]:
    entries = LLRPMessage(msgbytes=frame).msgdict["RO_ACCESS_REPORT"]["TagReportData"]
    return [{name: value for name, value in entry.items() if name != "EPC-96"} for entry in entries]


@given(st.lists(SEEN, max_size=5), ASKED, st.integers(0, 2**32 - 1))
def test_both_hands_read_the_same(seen: list[frames.Seen], asked: frames.Content, rospec_id: int) -> None:
    frame = frames.report(1, [frames.tag_report(one, asked, rospec_id) for one in seen])
    assert read_entries(frame[HEADER.size :]) == by_sllurp(frame)


def test_what_nobody_asked_for_is_passed_over() -> None:
    asked = frames.Content.ANTENNA | frames.Content.RSSI
    (plain,) = read_entries(frames.tag_report(frames.Seen(epc="3034", antenna=2, rssi_dbm=-55), asked))
    extra = frames.tv(12, b"\x30\x00") + frames.tlv(1023, b"the vendor's own")
    entry = frames.tlv(
        240, frames.tlv(241, bytes.fromhex("0010 3034")), extra, frames.tv(1, b"\0\2"), frames.tv(6, b"\xc9")
    )
    survey = frames.tlv(242, frames.tlv(128, bytes(8)))
    assert read_entries(survey + entry + frames.tv(9, bytes(4))) == [plain]
    assert plain == {"EPC": b"3034", "AntennaID": 2, "PeakRSSI": -55}


def test_an_empty_report_has_no_entries() -> None:
    assert read_entries(b"") == []
