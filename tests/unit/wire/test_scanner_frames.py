import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.readings import ScanFlaw
from drivers.wire.scanner import LONGEST_FRAME, Flaw, Frame, Profile, Splitter, Suffix, encode

CR = Profile(suffix=Suffix.CR)

# Bytes as the field's documents print them, spelt out here so that a mistake shared by codec and simulator shows.
GOLDEN = [
    pytest.param(
        CR,
        "5D 64 32 30 31 30 36 39 30 31 32 33 34 35 36 37 38 39 32 32 31 58 0D",
        Frame(data=b"010690123456789221X", aim="]d2"),
        id="GS1 DataMatrix, AIM identifier, CR",
    ),
    pytest.param(
        Profile(suffix=Suffix.CRLF),
        "38 31 30 30 32 33 34 35 36 37 38 39 30 31 32 33 34 35 36 37 0D 0A",
        Frame(data=b"81002345678901234567"),
        id="national code, CR LF",
    ),
    pytest.param(
        Profile(suffix=Suffix.TAB),
        "5D 43 31 31 30 4C 1D 32 31 58 09",
        Frame(data=b"10L\x1d21X", aim="]C1"),
        id="GS1-128, GS kept, TAB",
    ),
    pytest.param(
        Profile(suffix=Suffix.LF, prefix=b"\x02"),
        "02 5D 45 30 36 39 30 31 0A",
        Frame(data=b"6901", aim="]E0"),
        id="STX prefix, EAN-13, LF",
    ),
    pytest.param(CR, "36 39 C4 E3 FF 0D", Frame(data=b"69\xc4\xe3\xff"), id="bytes that are no UTF-8"),
    pytest.param(CR, "0D", Frame(data=b"", flaw=Flaw.EMPTY), id="empty"),
    pytest.param(CR, "5D 64 32 0D", Frame(data=b"", aim="]d2", flaw=Flaw.EMPTY), id="an AIM identifier and no code"),
    pytest.param(CR, "36 00 39 0D", Frame(data=b"6\x009", flaw=Flaw.NUL), id="NUL"),
    pytest.param(
        Profile(prefix=b"\x02"), "36 39 30 31 0D", Frame(data=b"6901", flaw=Flaw.PARTIAL), id="its head was lost"
    ),
]


@pytest.mark.parametrize(("profile", "line", "frame"), GOLDEN)
def test_golden_bytes_give_the_frame(profile: Profile, line: str, frame: Frame) -> None:
    assert Splitter(profile).feed(bytes.fromhex(line)) == [frame]


@pytest.mark.parametrize("substitute", [b"~", b"|", b"{GS}", b"^]"])
def test_what_a_scanner_sends_for_gs_is_read_back(substitute: bytes) -> None:
    line = b"10LOT" + substitute + b"21X\r"
    assert Splitter(Profile(gs_substitute=substitute)).feed(line) == [Frame(data=b"10LOT\x1d21X")]
    assert Splitter(CR).feed(line) == [Frame(data=b"10LOT" + substitute + b"21X")]


def test_two_glued_codes_stay_one_frame_and_the_next_is_whole() -> None:
    frames = Splitter(CR).feed(b"8100234567890123456781002345678901234568\r81002345678901234569\r")
    assert [frame.data for frame in frames] == [
        b"8100234567890123456781002345678901234568",
        b"81002345678901234569",
    ]


def test_with_crlf_one_lost_half_of_the_suffix_glues_nothing() -> None:
    frames = Splitter(Profile(suffix=Suffix.CRLF)).feed(b"A\r\nB\nC\rD\r\n")
    assert [(frame.data, frame.flaw) for frame in frames] == [(b"A", None), (b"B", None), (b"C", None), (b"D", None)]


def test_a_frame_of_the_longest_length_is_good_and_one_byte_more_is_cut_off_and_said_at_once() -> None:
    splitter = Splitter(CR)
    assert splitter.feed(b"7" * LONGEST_FRAME + b"\r") == [Frame(data=b"7" * LONGEST_FRAME)]
    assert splitter.feed(b"7" * (LONGEST_FRAME + 1)) == [Frame(data=b"7" * LONGEST_FRAME, flaw=Flaw.TOO_LONG)]
    assert splitter.feed(b"tail of it") == []
    assert splitter.feed(b"\rgood\r") == [Frame(data=b"good")]


def test_without_suffix_silence_ends_a_frame() -> None:
    splitter = Splitter(Profile(suffix=Suffix.NONE))
    assert splitter.feed(b"]C0690") == []
    was_inside = [splitter.is_inside_frame]
    assert splitter.feed(b"1\r\n") == []
    assert splitter.silence() == [Frame(data=b"6901\r\n", aim="]C0")]
    was_inside.append(splitter.is_inside_frame)
    assert splitter.silence() == []
    assert was_inside == [True, False]


def test_without_suffix_silence_also_ends_what_was_too_long() -> None:
    splitter = Splitter(Profile(suffix=Suffix.NONE))
    assert [frame.flaw for frame in splitter.feed(b"7" * 5000)] == [Flaw.TOO_LONG]
    assert splitter.silence() == []
    splitter.feed(b"good")
    assert splitter.silence() == [Frame(data=b"good")]


def test_silence_inside_a_frame_that_has_a_suffix_makes_it_partial() -> None:
    splitter = Splitter(CR)
    splitter.feed(b"010690")
    assert splitter.silence() == [Frame(data=b"010690", flaw=Flaw.PARTIAL)]
    assert splitter.feed(b"good\r") == [Frame(data=b"good")]


@pytest.mark.parametrize("suffix", Suffix)
def test_a_line_cut_inside_a_frame_never_gives_half_a_code(suffix: Suffix) -> None:
    splitter = Splitter(Profile(suffix=suffix))
    splitter.feed(b"010690")
    assert splitter.cut() == [Frame(data=b"010690", flaw=Flaw.PARTIAL)]
    assert splitter.cut() == []


def test_every_flaw_of_the_wire_is_one_of_a_scan() -> None:
    assert {flaw.value for flaw in Flaw} == {flaw.value for flaw in ScanFlaw}


@given(
    suffix=st.sampled_from([Suffix.CR, Suffix.LF, Suffix.CRLF, Suffix.TAB]),
    prefix=st.sampled_from([b"", b"\x02"]),
    line=st.lists(
        st.sampled_from([b"69", b"]d2", b"\r", b"\n", b"\t", b"\0", b"\x1d", b"\x02", b"\xff", b"7" * 3000])
    ).map(b"".join),
    data=st.data(),
)
def test_chunks_make_no_difference(suffix: Suffix, prefix: bytes, line: bytes, data: st.DataObject) -> None:
    profile = Profile(suffix=suffix, prefix=prefix)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(line)), max_size=12)))
    splitter = Splitter(profile)
    frames = [
        frame
        for start, end in zip([0, *cuts], [*cuts, len(line)], strict=True)
        for frame in splitter.feed(line[start:end])
    ]
    assert frames == Splitter(profile).feed(line)


@given(
    data=st.binary(min_size=1, max_size=64).filter(lambda data: not set(data) & set(b"\r\n\t\0]~")),
    suffix=st.sampled_from([Suffix.CR, Suffix.LF, Suffix.CRLF, Suffix.TAB]),
    aim=st.sampled_from(["", "]d2", "]C1"]),
)
def test_what_a_scanner_encodes_is_read(data: bytes, suffix: Suffix, aim: str) -> None:
    profile = Profile(suffix=suffix, prefix=b"\x02", gs_substitute=b"~")
    assert Splitter(profile).feed(encode(data, profile, aim=aim)) == [Frame(data=data, aim=aim or None)]


def test_ten_million_bytes_of_noise_hide_no_code_and_forge_none() -> None:
    noise = random.Random(52)
    splitter = Splitter(CR)
    codes: list[bytes] = []
    read: list[bytes] = []
    fed = 0
    while fed < 10_000_000:
        code = b"8%019d" % len(codes)
        codes.append(code)
        line = noise.randbytes(noise.randrange(60_000)) + b"\r" + code + b"\r"
        fed += len(line)
        while line:
            size = noise.randrange(1, 9000)
            read += [frame.data for frame in splitter.feed(line[:size]) if frame.flaw is None]
            line = line[size:]
    assert [data for data in read if len(data) == 20 and data.isdigit()] == codes
