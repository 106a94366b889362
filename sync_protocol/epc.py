"""EPC of RFID tags, 96 bit: SGTIN, GIAI and GID of the GS1 EPC Tag Data Standard, and the hospital's own pieces.

The hospital's own layout, 12 bytes::

    01 | site u16 | type u8 | serial u48 | CRC-16 u16
    version          1 drug, 2 consumable, 3 person, 4 location
                                           CRC-16/CCITT-FALSE over the ten bytes before it

The EPC of an SGTIN tag has the key of the barcode with the same GTIN and serial, whatever length of company prefix
it was written with. Tags heard from beside the cabinet carry anything: all but these four forms is refused by name.
"""

import re
import struct
from binascii import crc_hqx
from enum import IntEnum
from typing import NoReturn

import msgspec

from sync_protocol.codeform import Code, CodeForm, shown
from sync_protocol.errors import CodeFlaw, CodeRefused

VERSION = 0x01
EPC_BYTES = 12
MAX_SITE = 2**16 - 1
MAX_SERIAL = 2**48 - 1

_HEX = re.compile(r"[0-9A-Fa-f]*")
_PIECE_KEY = re.compile(r"01[0-9A-F]{22}")
_LAYOUT = struct.Struct(">BHB6s")
_WITH_CRC = struct.Struct(">BHB6sH")
_CRC_START = 0xFFFF
_BLANK = (bytes(EPC_BYTES), b"\xff" * EPC_BYTES)
_SGTIN_96, _GIAI_96, _GID_96, _FACTORY = 0x30, 0x34, 0x35, 0xE2
_NO_PARTITION = 7


class ItemType(IntEnum):
    """What the tag of the hospital's own layout is on."""

    DRUG = 1
    CONSUMABLE = 2
    PERSON = 3
    LOCATION = 4


_ITEMS = frozenset({ItemType.DRUG, ItemType.CONSUMABLE})
_TYPES = {int(item_type): item_type for item_type in ItemType}
_FIRST_TYPE, _LAST_TYPE = min(_TYPES), max(_TYPES)


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """Content of a tag of the hospital's own layout."""

    site: int
    item_type: ItemType
    serial: int


def encode_piece(site: int, serial: int, item_type: int = ItemType.CONSUMABLE) -> str:
    """EPC of a new tag as 24 upper-case hex digits. Raises CodeRefused."""
    for field, value, least, most in (
        ("site", site, 0, MAX_SITE),
        ("serial", serial, 0, MAX_SERIAL),
        ("item_type", item_type, _FIRST_TYPE, _LAST_TYPE),
    ):
        if not least <= value <= most:
            _refuse(CodeFlaw.OUT_OF_RANGE, f"{field} {value}", f"{least} to {most}", "check the number range of labels")
    data = _LAYOUT.pack(VERSION, site, item_type, serial.to_bytes(6, "big"))
    return (data + crc_hqx(data, _CRC_START).to_bytes(2, "big")).hex().upper()


def decode_piece(epc: str | bytes) -> Piece:
    """Content of a tag of the hospital's own layout. Raises CodeRefused."""
    site, item_type, serial = _fields(_raw(epc))
    return Piece(site=site, item_type=item_type, serial=serial)


def piece_mask(site: int) -> str:
    """Gen2 Select mask of a site's tags: hex of 24 bits, to compare from bit 0x20 of bank 1."""
    return f"{VERSION:02X}{site:04X}"


def opens_with_piece(text: str) -> bool:
    """Whether the first 24 characters are a code of the hospital's own layout: version, type and CRC hold."""
    if not _PIECE_KEY.match(text):
        return False
    raw = bytes.fromhex(text[: 2 * EPC_BYTES])
    return raw[3] in _TYPES and crc_hqx(raw[:10], _CRC_START) == int.from_bytes(raw[10:], "big")


def parse_epc(epc: str | bytes) -> Code:
    """Code of a tag's EPC bank: 24 hex digits, or the 12 bytes themselves. Raises CodeRefused."""
    raw = _raw(epc)
    header = raw[0]
    if header == _FACTORY or raw in _BLANK:
        _refuse(
            CodeFlaw.UNTAGGED, f"EPC {_hex(raw)}", "an EPC that was written to the tag", "write and print the label"
        )
    if header == VERSION:
        return _piece(raw)
    if header not in {_SGTIN_96, _GIAI_96, _GID_96}:
        _refuse(CodeFlaw.UNKNOWN_FORM, f"EPC {_hex(raw)}", "header 01, 30, 34 or 35", "a foreign tag: leave it out")
    code = _standard(raw)
    refuse_key_clash(code)
    return code


def refuse_key_clash(code: Code) -> None:
    """Refuse a GS1 key that a scanner would take for another form: one text must never name two items."""
    is_giai_clash = re.fullmatch(r"8[0-9]{19}", code.key) is not None
    if is_giai_clash or opens_with_piece(code.key):
        _refuse(
            CodeFlaw.KEY_CLASH,
            f"{code.form} with key {code.key}",
            "a key that reads as one form only",
            "give the item a number of another length",
        )


def _fields(raw: bytes) -> tuple[int, ItemType, int]:
    """Site, type and serial of the hospital's own layout. Raises CodeRefused."""
    version, site, item_type, serial, crc = _WITH_CRC.unpack(raw)
    if version != VERSION:
        _refuse(CodeFlaw.UNKNOWN_FORM, f"EPC {_hex(raw)}", "layout version 01", "the tag belongs to another system")
    expected = crc_hqx(raw[:10], _CRC_START)
    if crc != expected:
        _refuse(CodeFlaw.BAD_CHECK_DIGIT, f"EPC {_hex(raw)}", f"CRC {expected:04X}", "read again, or print a new label")
    known_type = _TYPES.get(item_type)
    if known_type is None:
        _refuse(CodeFlaw.NOT_AN_ITEM, f"item type {item_type}", "1 to 4", "the tag was written by a newer system")
    return site, known_type, int.from_bytes(serial, "big")


def _piece(raw: bytes) -> Code:
    _, item_type, serial = _fields(raw)
    if item_type not in _ITEMS:
        _refuse(
            CodeFlaw.NOT_AN_ITEM,
            f"the tag of a {item_type.name.lower()}",
            "the tag of a drug or consumable",
            "take the badge or location tag out of the read field",
        )
    return Code(key=_hex(raw), form=CodeForm.PIECE, serial=str(serial))


def _standard(raw: bytes) -> Code:
    """Code of a tag of the EPC Tag Data Standard."""
    # Imported at the first tag of that kind: an agent whose tags are the hospital's own starts without it.
    from epcpy.epc_schemes.giai import GIAI  # noqa: PLC0415
    from epcpy.epc_schemes.gid import GID  # noqa: PLC0415
    from epcpy.epc_schemes.sgtin import SGTIN  # noqa: PLC0415
    from epcpy.utils.common import ConvertException  # noqa: PLC0415

    hexadecimal = _hex(raw)
    if raw[0] != _GID_96 and (raw[1] >> 2) & 0b111 == _NO_PARTITION:
        _refuse(CodeFlaw.BAD_PARTITION, f"EPC {hexadecimal}", "partition 0 to 6", "the tag is wrong: print a new label")
    try:
        if raw[0] == _GID_96:
            serial = GID.from_hex(hexadecimal).epc_uri.rpartition(":")[2]
            return Code(key=hexadecimal, form=CodeForm.EPC_GID, serial=serial)
        if raw[0] == _GIAI_96:
            giai = GIAI.from_hex(hexadecimal).gs1_key()
            return Code(key=f"8004{giai}", form=CodeForm.EPC_GIAI, serial=giai)
        gtin = SGTIN.from_hex(hexadecimal).gtin()
    except ConvertException as error:
        raise CodeRefused(
            CodeFlaw.OUT_OF_RANGE,
            found=f"EPC {hexadecimal}",
            expected="numbers that fit their fields",
            advice="the tag was written wrongly: print a new label",
        ) from error
    serial = str(int.from_bytes(raw, "big") & (2**38 - 1))
    return Code(key=f"01{gtin}21{serial}", form=CodeForm.EPC_SGTIN, gtin=gtin, serial=serial)


def _raw(epc: str | bytes) -> bytes:
    if isinstance(epc, str):
        if not _HEX.fullmatch(epc):
            _refuse(CodeFlaw.BAD_CHARACTER, f"EPC {shown(epc)}", "hex digits", "check the reader's driver")
        if len(epc) != 2 * EPC_BYTES:
            _refuse(
                CodeFlaw.BAD_LENGTH,
                f"{len(epc)} hex digits",
                f"{2 * EPC_BYTES} hex digits (96 bit)",
                "read again; a tag of another length is foreign",
            )
        return bytes.fromhex(epc)
    if len(epc) != EPC_BYTES:
        _refuse(CodeFlaw.BAD_LENGTH, f"{len(epc)} bytes", f"{EPC_BYTES} bytes (96 bit)", "read again")
    return epc


def _hex(raw: bytes) -> str:
    return raw.hex().upper()


def _refuse(reason: CodeFlaw, found: str, expected: str, advice: str) -> NoReturn:
    raise CodeRefused(reason, found=found, expected=expected, advice=advice)
