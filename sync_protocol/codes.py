"""One scan to one code. Everything else is refused with a named reason: never two codes as one, never a guess."""

import datetime as dt
import re
from typing import NoReturn

import msgspec

from sync_protocol.codeform import Code, CodeForm, CodeWarning, Entry, shown
from sync_protocol.epc import opens_with_piece, parse_epc, refuse_key_clash
from sync_protocol.errors import CodeFlaw, CodeRefused
from sync_protocol.gs1 import GS, has_check_digit, parse_digital_link, parse_gs1, parse_human_readable
from sync_protocol.hibc import parse_hibc
from sync_protocol.idcode import parse_idcode
from sync_protocol.scantext import glued, read_text
from sync_protocol.subcode import MARK, split_sub_code

__all__ = ["Code", "CodeFlaw", "CodeForm", "CodeRefused", "CodeWarning", "Entry", "parse_scan"]

_NATIONAL = re.compile(rb"8[0-9]{19}")
_PLAIN_AIMS = frozenset({None, "]C0", "]d0", "]d1", "]Q0", "]Q1"})
_GS1_AIMS = frozenset({"]C1", "]d2", "]Q3", "]e0"})
_AIM = re.compile(r"\][A-Za-z][0-9A-Za-z]")
_DIGITS = re.compile(r"[0-9]+")
_TRACE_LENGTH = 20
_PIECE_LENGTH = 24
_GTIN_LENGTH = 14
_PIECES = re.compile(r"(?:01[0-9A-F]{22})+")
# GTIN, SSCC and EAN as bare digits: what people scan by mistake.
_PRODUCT_NAMES = {8: "EAN-8", 12: "UPC-A", 13: "EAN-13", 14: "GTIN-14", 18: "SSCC"}
# Fields that a label may open with: GTIN, or a date before it.
_GS1_START = re.compile(r"01[0-9]|1[1-7][0-9]{2}(?:0[1-9]|1[0-2])")
_DIGITAL_LINK = re.compile(r"/(?:01|gtin)/([0-9]{14})(?:[/?#]|$)")
_NEAR_TRACE = re.compile(r" *8[0-9A-Za-z .-]{17,27}")
_NATIONAL_RUN = re.compile(r"(?<![0-9])8[0-9]{19}(?![0-9])")


def parse_scan(data: bytes, *, aim: str | None = None, entry: Entry = Entry.SCANNER, today: dt.date) -> Code:
    """The one code in a frame. ``today`` serves only to complete two-digit years. Raises CodeRefused."""
    if _NATIONAL.fullmatch(data) and aim in _PLAIN_AIMS:
        key = data.decode("ascii")
        return Code(key=key, form=CodeForm.TRACE20, drug_id=key[:7])
    text = read_text(data, entry)
    aim, text = _split_aim(aim, text)
    if aim is not None and aim.startswith("]E"):
        _refuse_product(text, "EAN/UPC")
    # Packers print trace codes in GS1 symbols too; 8004 alone also opens a GS1 number, that of an asset.
    is_gs1 = aim in _GS1_AIMS and (text.startswith("8004") or not _NATIONAL_RUN.fullmatch(text))
    code = parse_gs1(text, today=today) if is_gs1 else _by_content(text, entry, today)
    if code.form is CodeForm.GS1:
        refuse_key_clash(code)
    return code


def _split_aim(aim: str | None, text: str) -> tuple[str | None, str]:
    """Take the AIM symbology identifier from the front, where the driver has not done it."""
    if aim is None and text.startswith("]"):
        aim, text = text[:3], text[3:]
    if aim is not None and not _AIM.fullmatch(aim):
        raise CodeRefused(
            CodeFlaw.BAD_AIM,
            found=f"AIM identifier {shown(aim)}",
            expected="] with a letter and a digit",
            advice="scan again; if it returns, set the scanner to send AIM identifiers or none",
        )
    if not text:
        raise CodeRefused(CodeFlaw.EMPTY, found="no data", expected="a code", advice="scan again")
    if _AIM.search(text):
        raise glued(text)
    return aim, text


def _by_content(text: str, entry: Entry, today: dt.date) -> Code:
    if _DIGITS.fullmatch(text):
        return _from_digits(text, today)
    if text.lower().startswith(("http://", "https://")):
        return _from_url(text, today)
    if len(_NATIONAL_RUN.findall(text)) > 1:
        raise glued(text)
    if text.startswith(("+", "*+")):
        return parse_hibc(text, today=today)
    if text.startswith("MA."):
        return parse_idcode(text, today=today)
    if MARK in text:
        return _from_sub_code(text, today)
    if text.startswith("("):
        return _from_human_readable(text, entry, today)
    piece = text.upper() if entry is Entry.KEYBOARD else text
    if opens_with_piece(piece) or (_PIECES.fullmatch(piece) and not _opens_with_gtin(piece)):
        return _from_piece(piece)
    return _from_gs1_or_nothing(text, today)


def _opens_with_gtin(text: str) -> bool:
    place = text[2:16]
    return _DIGITS.fullmatch(place) is not None and has_check_digit(place)


def _from_digits(text: str, today: dt.date) -> Code:
    length = len(text)
    if length == _TRACE_LENGTH:
        return _from_20_digits(text, today)
    if opens_with_piece(text):
        return _from_piece(text)
    if length in _PRODUCT_NAMES and has_check_digit(text):
        _refuse_product(text, _PRODUCT_NAMES[length])
    if length > _GTIN_LENGTH and _GS1_START.match(text):
        try:
            return parse_gs1(text, today=today)
        except CodeRefused as refusal:
            if length % _TRACE_LENGTH == 0:
                raise glued(text) from refusal
            raise
    if length % _TRACE_LENGTH == 0:
        raise glued(text)
    raise CodeRefused(
        CodeFlaw.BAD_LENGTH,
        found=f"{length} digits",
        expected=f"{_TRACE_LENGTH} digits",
        advice="scan again, or type the digits below the symbol",
    )


def _from_20_digits(text: str, today: dt.date) -> Code:
    if text.startswith("8"):
        return Code(key=text, form=CodeForm.TRACE20, drug_id=text[:7])
    if text.startswith("00") and has_check_digit(text[2:]):
        _refuse_product(text, "SSCC")
    if text.startswith("01") and has_check_digit(text[2:16]):
        # A GTIN with a two-digit serial, or one in a thousand codes of another platform that look like it.
        try:
            return parse_gs1(text, today=today)
        except CodeRefused:
            pass  # no GS1 fields behind the GTIN: then the digits are no GTIN
    return Code(
        key=text,
        form=CodeForm.TRACE20,
        drug_id=text[:7],
        issuer_verified=False,
        warnings=(CodeWarning.UNVERIFIED_ISSUER,),
    )


def _refuse_product(text: str, name: str) -> NoReturn:
    raise CodeRefused(
        CodeFlaw.NOT_A_TRACE_CODE,
        found=f"{name} {shown(text)}",
        expected="the trace code of a package",
        advice="scan the trace code: 20 digits, or the square symbol",
    )


def _from_url(text: str, today: dt.date) -> Code:
    if " " in text or GS in text:
        raise CodeRefused(
            CodeFlaw.BAD_CHARACTER, found=f"a blank in {shown(text)}", expected="one address", advice="scan again"
        )
    link = _DIGITAL_LINK.search(text)
    if link is not None and has_check_digit(link[1]):
        return parse_digital_link(text, today=today)
    runs = _DIGITS.findall(text)
    codes = [run for run in runs if len(run) == _TRACE_LENGTH]
    if len(codes) > 1 or any(len(run) >= 2 * _TRACE_LENGTH for run in runs):
        raise glued(text)
    if not codes:
        raise CodeRefused(
            CodeFlaw.NO_CODE_IN_URL,
            found=shown(text),
            expected=f"one run of {_TRACE_LENGTH} digits in the address",
            advice="scan the trace code of the package, not its advertisement",
        )
    return _from_20_digits(codes[0], today)


def _from_sub_code(text: str, today: dt.date) -> Code:
    box_key, _ = split_sub_code(text)
    box = _by_content(box_key, Entry.SCANNER, today)
    if box.key != box_key or box.is_class or box.form not in {CodeForm.TRACE20, CodeForm.GS1}:
        raise CodeRefused(
            CodeFlaw.UNKNOWN_FORM,
            found=f"unit of {shown(box_key)}",
            expected="a unit of a box with a trace code of its own",
            advice="scan the sub-code as the hospital printed it",
        )
    return msgspec.structs.replace(box, key=text, form=CodeForm.SUB_CODE)


def _from_human_readable(text: str, entry: Entry, today: dt.date) -> Code:
    if entry is not Entry.KEYBOARD:
        raise CodeRefused(
            CodeFlaw.HUMAN_READABLE,
            found=shown(text),
            expected="the data of the symbol, without brackets",
            advice="set the scanner to send raw data, or type the text",
        )
    return parse_human_readable(text, today=today)


def _from_piece(text: str) -> Code:
    if len(text) > _PIECE_LENGTH:
        raise glued(text)
    return parse_epc(text)


def _from_gs1_or_nothing(text: str, today: dt.date) -> Code:
    if _NEAR_TRACE.fullmatch(text) and GS not in text:
        foreign = next(char for char in text if not char.isdigit())
        raise CodeRefused(
            CodeFlaw.BAD_CHARACTER,
            found=f"{shown(foreign)} in {shown(text)}",
            expected=f"{_TRACE_LENGTH} digits and nothing else",
            advice="scan again, or type the digits below the symbol",
        )
    if text[0] in "0123456789" + GS:
        return parse_gs1(text, today=today)
    raise CodeRefused(
        CodeFlaw.UNKNOWN_FORM,
        found=shown(text),
        expected="a trace code, GS1, HIBC or MA code, sub-code or piece code",
        advice="scan the trace code of the package",
    )
