from binascii import crc_hqx

import pytest

from sync_protocol.codes import Code, CodeFlaw, CodeForm, CodeRefused
from sync_protocol.epc import ItemType, Piece, decode_piece, encode_piece, parse_epc, piece_mask, refuse_key_clash


def test_golden_piece() -> None:
    assert encode_piece(17, 1_000_042) == "010011020000000F426A1E8B"
    assert decode_piece("010011020000000F426A1E8B") == Piece(site=17, item_type=ItemType.CONSUMABLE, serial=1_000_042)
    assert piece_mask(17) == "010011"


def test_the_checksum_is_ccitt_false() -> None:
    assert crc_hqx(b"123456789", 0xFFFF) == 0x29B1


@pytest.mark.parametrize("site", [0, 2**16 - 1])
@pytest.mark.parametrize("serial", [0, 2**48 - 1])
@pytest.mark.parametrize("item_type", list(ItemType))
def test_round_trip_at_the_edges(site: int, serial: int, item_type: ItemType) -> None:
    epc = encode_piece(site, serial, item_type)
    assert len(epc) == 24
    assert decode_piece(epc) == Piece(site=site, item_type=item_type, serial=serial)


@pytest.mark.parametrize(
    ("site", "serial", "item_type"), [(-1, 1, 2), (2**16, 1, 2), (1, -1, 2), (1, 2**48, 2), (1, 1, 0), (1, 1, 5)]
)
def test_numbers_that_do_not_fit_are_refused(site: int, serial: int, item_type: int) -> None:
    with pytest.raises(CodeRefused) as caught:
        encode_piece(site, serial, item_type)
    assert caught.value.reason is CodeFlaw.OUT_OF_RANGE


def test_every_flipped_bit_is_noticed() -> None:
    raw = bytearray.fromhex(encode_piece(17, 1_000_042))
    for bit in range(8, 96):
        raw[bit // 8] ^= 0x80 >> bit % 8
        with pytest.raises(CodeRefused) as caught:
            parse_epc(bytes(raw))
        assert caught.value.reason is CodeFlaw.BAD_CHECK_DIGIT
        raw[bit // 8] ^= 0x80 >> bit % 8


@pytest.mark.parametrize("item_type", [ItemType.PERSON, ItemType.LOCATION])
def test_a_badge_in_the_cabinet_is_not_an_item(item_type: ItemType) -> None:
    with pytest.raises(CodeRefused) as caught:
        parse_epc(encode_piece(17, 5, item_type))
    assert caught.value.reason is CodeFlaw.NOT_AN_ITEM


def test_a_type_of_a_newer_system_is_not_an_item() -> None:
    data = bytes.fromhex("01001109000000000001")
    with pytest.raises(CodeRefused) as caught:
        decode_piece(data + crc_hqx(data, 0xFFFF).to_bytes(2, "big"))
    assert caught.value.reason is CodeFlaw.NOT_AN_ITEM


def test_a_piece_of_another_layout_is_not_decoded() -> None:
    with pytest.raises(CodeRefused) as caught:
        decode_piece("3035A537C83775400000002A")
    assert caught.value.reason is CodeFlaw.UNKNOWN_FORM


@pytest.mark.parametrize("key", ["80046901234100042000", "010011020000000F426A1E8B"])
def test_a_gs1_key_that_reads_as_another_form_is_refused(key: str) -> None:
    with pytest.raises(CodeRefused) as caught:
        refuse_key_clash(Code(key=key, form=CodeForm.GS1))
    assert caught.value.reason is CodeFlaw.KEY_CLASH
