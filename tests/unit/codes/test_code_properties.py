"""What holds for all readings: a code or a named refusal, one key for one item, never two codes as one."""

import datetime as dt
import string
import unicodedata

# The codes import these two when they first need them; no example should be the one that waits for that.
import biip.gs1_application_identifiers  # noqa: F401
import epcpy.epc_schemes.sgtin  # noqa: F401
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_protocol.codes import Code, CodeFlaw, CodeForm, CodeRefused, Entry, parse_scan
from sync_protocol.epc import encode_piece, parse_epc
from sync_protocol.gs1 import check_digit
from sync_protocol.hibc import ALPHABET, check_character
from sync_protocol.subcode import sub_code

TODAY = dt.date(2026, 3, 1)
AIMS = st.sampled_from([None, "]C0", "]C1", "]d1", "]d2", "]Q1", "]Q3", "]e0", "]E0", "]I0", "]", "C1", "]C11", "]C\n"])
ENTRIES = st.sampled_from(list(Entry))
CHARSET_82 = string.digits + string.ascii_letters + "!\"%&'()*+,-./:;<=>?_"

trace20 = st.from_regex(r"8[0-9]{19}", fullmatch=True)
any20 = st.from_regex(r"[0-9]{20}", fullmatch=True).filter(str.isascii)
gtins = st.from_regex(r"[0-9]{13}", fullmatch=True).filter(str.isascii).map(lambda body: body + check_digit(body))
texts = st.text(CHARSET_82, min_size=1, max_size=20)
dates = st.dates(dt.date(1980, 1, 1), dt.date(2075, 12, 31)).map(lambda day: f"{day:%y%m%d}")
gs1_messages = st.builds(
    lambda gtin, expiry, lot, serial: f"01{gtin}17{expiry}10{lot}\x1d21{serial}", gtins, dates, texts, texts
)
pieces = st.builds(encode_piece, st.integers(0, 2**16 - 1), st.integers(0, 2**48 - 1), st.sampled_from([1, 2]))
hibcs = st.builds(
    lambda primary, lot: (data := f"+{primary}/$${lot}") + check_character(data),
    st.from_regex(r"[A-Z][A-Z0-9]{4,21}[0-9]", fullmatch=True).filter(str.isascii),
    st.from_regex(r"7[A-Z0-9]{1,18}", fullmatch=True).filter(str.isascii),
)
mas = st.builds(
    lambda product, serial: f"MA.156.M0.100024.{product}.S{serial}",
    st.text(string.digits, min_size=1, max_size=12),
    st.text(string.digits + string.ascii_letters, min_size=1, max_size=12),
)
good = st.one_of(trace20, any20, gs1_messages, pieces, hibcs, mas, st.builds(sub_code, trace20, st.integers(1, 9_999)))
near_codes = st.text(st.sampled_from(string.digits + ALPHABET + "\x1d]#*()aMX１٣²"), max_size=60)
noise = st.one_of(st.binary(max_size=80), st.text(max_size=60).map(str.encode), near_codes.map(str.encode))


def read(data: bytes, aim: str | None = None, entry: Entry = Entry.SCANNER) -> Code | CodeRefused:
    try:
        return parse_scan(data, aim=aim, entry=entry, today=TODAY)
    except CodeRefused as refusal:
        return refusal


def heard(epc: bytes) -> Code | CodeRefused:
    try:
        return parse_epc(epc)
    except CodeRefused as refusal:
        return refusal


@given(data=noise, aim=AIMS, entry=ENTRIES)
def test_noise_is_a_code_or_a_named_refusal(data: bytes, aim: str | None, entry: Entry) -> None:
    found = read(data, aim, entry)
    if isinstance(found, CodeRefused):
        assert found.reason in CodeFlaw
        assert str(found).isascii()
    else:
        assert found.key.isascii()


@given(code=good, cut=st.integers(0, 120), put=st.binary(max_size=3), aim=AIMS, entry=ENTRIES)
def test_damaged_codes_raise_nothing_else(code: str, cut: int, put: bytes, aim: str | None, entry: Entry) -> None:
    data = code.encode()
    read(data[:cut] + put + data[cut:], aim, entry)
    read(data[:cut] + put + data[cut + 1 :], aim, entry)
    read(data[:cut], aim, entry)


@given(data=st.one_of(noise, good.map(str.encode)), aim=AIMS, entry=ENTRIES)
def test_the_key_of_an_accepted_code_reads_as_itself(data: bytes, aim: str | None, entry: Entry) -> None:
    found = read(data, aim, entry)
    if isinstance(found, CodeRefused) or found.is_class:
        return
    is_asset = found.form is CodeForm.GS1 and found.gtin is None
    again = read(found.key.encode(), "]C1" if is_asset else None)
    assert isinstance(again, Code)
    assert (again.key, again.form) == (found.key, found.form)


@given(code=good)
def test_good_codes_are_read(code: str) -> None:
    found = read(code.encode())
    if isinstance(found, CodeRefused):
        # Only what looks like two codes in one or like a label of something else may be turned away.
        assert found.reason in {CodeFlaw.GLUED, CodeFlaw.NOT_A_TRACE_CODE, CodeFlaw.KEY_CLASH}


@given(code=trace20, entry=ENTRIES)
def test_a_trace_code_is_its_own_key(code: str, entry: Entry) -> None:
    found = read(code.encode(), entry=entry)
    assert isinstance(found, Code)
    assert (found.key, found.form, found.drug_id, found.issuer_verified) == (code, CodeForm.TRACE20, code[:7], True)


@given(code=trace20, place=st.integers(0, 19), start=st.sampled_from([0xFF10, 0x660, 0x6F0, 0x966, 0x1D7CE]))
def test_unicode_digits_are_never_read_from_a_scanner(code: str, place: int, start: int) -> None:
    foreign = chr(start + int(code[place]))
    assert unicodedata.digit(foreign) == int(code[place])
    found = read((code[:place] + foreign + code[place + 1 :]).encode())
    assert isinstance(found, CodeRefused)
    assert found.reason in {CodeFlaw.FULL_WIDTH, CodeFlaw.FOREIGN_DIGITS}


@given(code=trace20, gaps=st.lists(st.integers(0, 20), max_size=6))
def test_typed_blanks_and_width_do_not_matter(code: str, gaps: list[int]) -> None:
    typed = "".join(chr(ord(digit) + 0xFEE0) if i in gaps else digit for i, digit in enumerate(code))
    for gap in sorted(gaps, reverse=True):
        typed = typed[:gap] + "\u3000" + typed[gap:]
    found = read(typed.encode(), entry=Entry.KEYBOARD)
    assert isinstance(found, Code)
    assert found.key == code


@given(first=trace20, second=any20, third=st.none() | any20)
def test_trace_codes_in_one_frame_are_glued(first: str, second: str, third: str | None) -> None:
    for data in (first + second, first + second + (third or "")):
        found = read(data.encode())
        assert isinstance(found, CodeRefused)
        assert found.reason is CodeFlaw.GLUED


@given(first=good, second=good, gap=st.sampled_from(["", "\r", "\n", "\r\n", "\t", " ", "]C0"]), entry=ENTRIES)
def test_no_two_codes_are_read_as_one(first: str, second: str, gap: str, entry: Entry) -> None:
    found = read((first + gap + second).encode(), entry=entry)
    assert isinstance(found, CodeRefused), found


@given(code=good, tail=st.sampled_from(["\n", "\r", "\r\n", "\t", "\x00", "\ufeff", "\x7f", "\x1e"]))
def test_an_unstripped_tail_is_never_read_as_part_of_a_code(code: str, tail: str) -> None:
    found = read((code + tail).encode())
    assert isinstance(found, CodeRefused)
    assert found.reason in {CodeFlaw.CONTROL_CHARACTER, CodeFlaw.NUL, CodeFlaw.BYTE_ORDER_MARK}


@given(message=gs1_messages, serial=texts)
def test_every_digit_of_a_gtin_counts(message: str, serial: str) -> None:
    gtin = message[2:16]
    for place in range(14):
        wrong = gtin[:place] + str((int(gtin[place]) + 1) % 10) + gtin[place + 1 :]
        found = read(f"01{wrong}21{serial}".encode(), "]C1")
        assert isinstance(found, CodeRefused)
        assert found.reason is CodeFlaw.BAD_CHECK_DIGIT


@given(epc=st.one_of(st.binary(max_size=14), st.binary(min_size=12, max_size=12)))
def test_any_tag_is_a_code_or_a_named_refusal(epc: bytes) -> None:
    code = heard(epc)
    if isinstance(code, Code):
        assert parse_epc(epc.hex()) == code


@given(header=st.sampled_from([0x30, 0x34, 0x35]), rest=st.binary(min_size=11, max_size=11))
def test_a_standard_tag_has_the_key_of_its_barcode(header: int, rest: bytes) -> None:
    tag = heard(bytes([header]) + rest)
    if isinstance(tag, CodeRefused):
        assert tag.reason in {CodeFlaw.BAD_PARTITION, CodeFlaw.OUT_OF_RANGE, CodeFlaw.KEY_CLASH}
    elif tag.form is not CodeForm.EPC_GID:
        barcode = read(tag.key.encode(), "]C1")
        assert isinstance(barcode, Code)
        assert (barcode.key, barcode.serial) == (tag.key, tag.serial)


@given(hibc=hibcs, place=st.integers(0, 40), char=st.sampled_from(ALPHABET))
def test_one_wrong_character_breaks_a_hibc(hibc: str, place: int, char: str) -> None:
    place %= len(hibc)
    if hibc[place] == char or place == 0:
        return
    assert isinstance(read((hibc[:place] + char + hibc[place + 1 :]).encode()), CodeRefused)


@pytest.mark.parametrize("aim", ["]C1", "]d2", "]Q3", "]e0"])
def test_an_asset_number_that_reads_as_a_trace_code_is_refused(aim: str) -> None:
    found = read(b"80046901234100042000", aim)
    assert isinstance(found, CodeRefused)
    assert found.reason is CodeFlaw.KEY_CLASH
