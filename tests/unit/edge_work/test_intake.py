import datetime as dt

import pytest

from drivers.readings import Scan, ScanFlaw, TagRead, TagRound
from edge_agent.intake import Reading, code_of_entry, code_of_scan
from sync_protocol.epc import encode_piece
from sync_protocol.errors import CodeFlaw, CodeRefused

TODAY = dt.date(2026, 3, 2)
BOX = "81000420000000012345"


def scan(data: bytes, flaw: ScanFlaw | None = None) -> Scan:
    return Scan(source="scanner-1", data=data, flaw=flaw)


def test_a_scan_becomes_the_code_of_its_box() -> None:
    code = code_of_scan(scan(BOX.encode()), today=TODAY)
    assert (code.key, code.drug_id) == (BOX, "8100042")


@pytest.mark.parametrize("flaw", list(ScanFlaw))
def test_a_frame_that_the_driver_found_flawed_is_refused_by_name(flaw: ScanFlaw) -> None:
    with pytest.raises(CodeRefused) as refused:
        code_of_scan(scan(b"x" * 4096, flaw), today=TODAY)
    expected = CodeFlaw.INCOMPLETE if flaw is ScanFlaw.PARTIAL else CodeFlaw(flaw.value)
    assert refused.value.reason is expected
    assert "4096 bytes" in str(refused.value)


def test_a_person_may_type_blanks_and_full_width_digits_a_scanner_may_not_send_them() -> None:
    assert code_of_entry(" 8100 0420 0000 0001 2345", today=TODAY).key == BOX
    wide = "８１０００４２０００００００１２３４５".replace("８", "８", 1)
    with pytest.raises(CodeRefused) as refused:
        code_of_scan(scan(wide.encode()), today=TODAY)
    assert refused.value.reason is CodeFlaw.FULL_WIDTH


def test_text_that_is_not_even_unicode_is_refused_not_a_crash() -> None:
    with pytest.raises(CodeRefused) as refused:
        code_of_entry("8\ud800", today=TODAY)
    assert refused.value.reason is CodeFlaw.NOT_TEXT


def rounds(*epcs: str, rssi: int = -55) -> TagRound:
    tags = tuple(TagRead(epc=epc, antenna=1, rssi_dbm=rssi, hits=2) for epc in epcs)
    return TagRound(source="reader-1", tags=tags, duration_s=0.3)


def test_a_reading_counts_rounds_hits_and_the_rounds_since_the_last_new_tag() -> None:
    one, two = encode_piece(17, 1), encode_piece(17, 2)
    reading = Reading()
    assert reading.add(rounds(one)) == 1
    assert reading.add(rounds(one, two, rssi=-40)) == 1
    assert reading.add(rounds(two)) == 0
    certificate = reading.certificate()
    assert (certificate.rounds, certificate.tags, certificate.hits, certificate.quiet_rounds) == (3, 2, 8, 1)
    assert (reading.heard[one].rounds, reading.heard[one].rssi_dbm) == (2, -40)


def test_a_barcode_and_its_tag_are_the_same_code() -> None:
    reading = Reading()
    reading.add(rounds("3035A537C83775400000002A"))
    scanned = code_of_scan(scan(b"01069012345678922142"), today=TODAY)
    assert set(reading.heard) == {scanned.key}


def test_a_foreign_tag_keeps_its_epc_and_says_why_it_is_no_piece() -> None:
    reading = Reading()
    reading.add(rounds("E2801160600002040000002A"))
    (tag,) = reading.heard.values()
    assert (tag.code, tag.flaw) == ("E2801160600002040000002A", CodeFlaw.UNTAGGED)
