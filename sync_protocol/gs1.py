"""GS1 element strings: ``01`` GTIN, ``17`` expiry, ``10`` lot, ``21`` serial and the rest of the table that biip holds.

Source: GS1 General Specifications, sections 3 (application identifiers), 7.8 (separators), 7.9 (check digit) and
7.12 (century). biip gives the table of application identifiers; the walk is ours, because biip accepts a bad GTIN
check digit, a variable field that runs into the next one, and reads the clock for the century.
"""

import calendar
import datetime as dt
import re
from functools import cache
from typing import TYPE_CHECKING

from sync_protocol.codeform import Code, CodeForm, CodeWarning, shown
from sync_protocol.errors import CodeFlaw, CodeRefused
from sync_protocol.scantext import glued

if TYPE_CHECKING:
    from biip.gs1_application_identifiers import GS1ApplicationIdentifier

# biip is imported at the first GS1 code: it brings 16 MB of tables and a tenth of a second, which neither the start of
# an agent nor one that reads no such code should pay for.

GS = "\x1d"

_DATES = frozenset({"11", "12", "13", "15", "16", "17"})
_VALUE = re.compile(r"[!-\"%-?A-Z_a-z]*")  # GS1 character set 82
_TRACE20 = re.compile(r"8[0-9]{19}")
_GS_SUBSTITUTE = re.compile(r"[~|^{\\]|<GS>|<gs>")
_HUMAN = re.compile(r"\(([0-9]{2,4})\)([^()]+)")
_INNER_GTIN = re.compile(r"(?=01([0-9]69[0-9]{11}))")
_INNER_CODE = re.compile(r"MA\.156\.|\+[A-Z][A-Z0-9]{5,}$")
_SUSPECT_LOT = 12
_YYMMDD = 6

Elements = list[tuple[str, str]]
"""Pairs of application identifier and value, in the order of the label."""


def check_digit(digits: str) -> str:
    """Mod 10 check digit over ``digits``, which come without it: weights 3, 1, 3 ... from the right."""
    total = sum(int(digit) * (1 if place % 2 else 3) for place, digit in enumerate(reversed(digits)))
    return str(-total % 10)


def has_check_digit(digits: str) -> bool:
    return check_digit(digits[:-1]) == digits[-1]


def full_year(yy: int, today: dt.date) -> int:
    """The year nearest to today that ends in ``yy``: 49 back to 50 ahead."""
    now = today.year % 100
    century = today.year - now
    if yy - now > 50:  # noqa: PLR2004 -- the rule's own numbers
        century -= 100
    elif yy - now <= -50:  # noqa: PLR2004
        century += 100
    return century + yy


def read_date(yymmdd: str, *, field: str, today: dt.date, zero_is_month_end: bool = False) -> dt.date:
    """Date of six digits. Raises CodeRefused."""
    try:
        if len(yymmdd) != _YYMMDD or not (yymmdd.isascii() and yymmdd.isdigit()):
            raise ValueError(yymmdd)  # noqa: TRY301 -- one refusal for all that is no date
        year, month, day = full_year(int(yymmdd[:2]), today), int(yymmdd[2:4]), int(yymmdd[4:])
        if day == 0 and zero_is_month_end:
            day = calendar.monthrange(year, month)[1]
        return dt.date(year, month, day)
    except ValueError as error:
        raise CodeRefused(
            CodeFlaw.BAD_DATE,
            found=f"{field} {shown(yymmdd)}",
            expected="a date YYMMDD that exists",
            advice="set the package aside: its label is wrong or misread",
        ) from error


def parse_gs1(text: str, *, today: dt.date) -> Code:
    """Code of an element string as a scanner sends it, GS (0x1D) between fields. Raises CodeRefused."""
    return _code(_elements(text), is_separated=GS in text, shown_text=text, today=today)


def parse_human_readable(text: str, *, today: dt.date) -> Code:
    """Code of the text below a symbol, ``(01)06901234567892(10)LOT1``. Raises CodeRefused."""
    pairs = _HUMAN.findall(text)
    if "".join(f"({name}){value}" for name, value in pairs) != text:
        raise CodeRefused(
            CodeFlaw.UNKNOWN_FORM,
            found=shown(text),
            expected="(01) and 14 digits, then further fields in the same manner",
            advice="type the text below the symbol with its brackets",
        )
    elements = []
    for name, value in pairs:
        known = _identifier(name + value)
        if known.ai != name:
            raise _unknown_identifier(name + value)
        if not _field(known.pattern).fullmatch(name + value):
            raise _bad_value(name, value)
        elements.append((name, value))
    return _code(elements, is_separated=True, shown_text=text, today=today)


def parse_digital_link(url: str, *, today: dt.date) -> Code:
    """Code of a GS1 Digital Link, ``https://id.gs1.org/01/06901234567892/21/SN1``. Raises CodeRefused."""
    from biip import ParseError  # noqa: PLC0415 - see above
    from biip.gs1_digital_link_uris import GS1DigitalLinkURI  # noqa: PLC0415

    try:
        elements = [(element.ai.ai, element.value) for element in GS1DigitalLinkURI.parse(url).element_strings]
    except (ParseError, ValueError) as error:
        raise CodeRefused(
            CodeFlaw.UNKNOWN_FORM,
            found=shown(url),
            expected="a GS1 Digital Link",
            advice="scan another symbol of the package",
        ) from error
    for name, value in elements:
        # Percent escapes decode to any character, and biip's digits are those of all alphabets.
        if not _VALUE.fullmatch(value):
            raise _bad_value(name, value)
    return _code(elements, is_separated=True, shown_text=url, today=today)


def _elements(text: str) -> Elements:
    elements: Elements = []
    rest = text.removeprefix(GS)
    while rest:
        if elements and _TRACE20.fullmatch(rest):
            raise glued(text)
        known = _identifier(rest)
        segment = rest.partition(GS)[0]
        match = _field(known.pattern).match(segment)
        name = known.ai
        if match is None:
            raise _bad_value(name, segment[len(name) :])
        if known.separator_required and match.end() < len(segment):
            raise _overrun(name, segment[len(name) :], text)
        elements.append((name, match[0][len(name) :]))
        rest = rest[match.end() :].removeprefix(GS)
    return elements


@cache
def _field(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern.removesuffix("$"), re.ASCII)


def _identifier(text: str) -> "GS1ApplicationIdentifier":
    from biip import ParseError  # noqa: PLC0415 - see above
    from biip.gs1_application_identifiers import GS1ApplicationIdentifier  # noqa: PLC0415

    try:
        return GS1ApplicationIdentifier.extract(text)
    except ParseError as error:
        raise _unknown_identifier(text) from error


def _unknown_identifier(text: str) -> CodeRefused:
    if _GS_SUBSTITUTE.match(text):
        return _lost_gs(text)
    return CodeRefused(
        CodeFlaw.UNKNOWN_FORM,
        found=f"no GS1 field in {shown(text)}",
        expected="a GS1 application identifier such as 01, 10, 17 or 21",
        advice="scan the trace code of the package",
    )


def _lost_gs(text: str) -> CodeRefused:
    return CodeRefused(
        CodeFlaw.AMBIGUOUS_GS,
        found=f"no GS between the fields of {shown(text)}",
        expected="GS (0x1D) after each field of variable length",
        advice="set the scanner to send GS, then scan again",
    )


def _bad_value(name: str, value: str) -> CodeRefused:
    layout = _identifier(name).format
    if name in _DATES and len(value) >= _YYMMDD and value[:_YYMMDD].isdigit():
        reason, expected = CodeFlaw.BAD_DATE, "a date YYMMDD that exists"
        value = value[:_YYMMDD]
    elif not _VALUE.fullmatch(value) or ("X" not in layout and not value.isdigit() and value):
        reason, expected = CodeFlaw.BAD_CHARACTER, f"characters of the format {layout}"
    else:
        reason, expected = CodeFlaw.BAD_LENGTH, f"the format {layout}"
    return CodeRefused(
        reason, found=f"({name}) {shown(value)}", expected=expected, advice="scan again, or set the package aside"
    )


def _overrun(name: str, value: str, text: str) -> CodeRefused:
    """Say why a field does not end where the next begins: too long, or its GS was lost or replaced."""
    if not _VALUE.fullmatch(value) and not _GS_SUBSTITUTE.search(value):
        return _bad_value(name, value)
    is_text = name in {"10", "21"}
    if is_text and _VALUE.fullmatch(value) and (GS in text or not re.search("10|17|21", value[1:])):
        return CodeRefused(
            CodeFlaw.BAD_LENGTH,
            found=f"({name}) {shown(value)}, {len(value)} characters",
            expected="at most 20 characters",
            advice="scan again, or set the package aside",
        )
    return _lost_gs(text)


def _code(elements: Elements, *, is_separated: bool, shown_text: str, today: dt.date) -> Code:
    fields = dict(elements)
    if len(fields) != len(elements):
        raise glued(shown_text)
    dates = {
        name: read_date(value, field=f"({name})", today=today, zero_is_month_end=True)
        for name, value in elements
        if name in _DATES
    }
    if "01" not in fields and "8004" in fields:
        return Code(key=f"8004{fields['8004']}", form=CodeForm.GS1, serial=fields["8004"])
    gtin = _checked_gtin(fields)
    lot, serial = fields.get("10"), fields.get("21")
    for value in (lot, serial):
        if value is not None and _holds_code(value, gtin):
            raise glued(shown_text)
    return Code(
        key=_key(gtin, serial, lot),
        form=CodeForm.GS1,
        gtin=gtin,
        serial=serial,
        lot=lot,
        expiry=dates.get("17"),
        made=dates.get("11"),
        count=_count(fields.get("30")),
        warnings=() if is_separated else _suspect(lot, serial, shown_text),
    )


def _key(gtin: str, serial: str | None, lot: str | None) -> str:
    if serial is not None:
        return f"01{gtin}21{serial}"
    return f"01{gtin}" if lot is None else f"01{gtin}10{lot}"


def _checked_gtin(fields: dict[str, str]) -> str:
    gtin = fields.get("01")
    if "00" in fields or (gtin is None and "02" in fields):
        raise CodeRefused(
            CodeFlaw.NOT_A_TRACE_CODE,
            found="the label of a pallet or transport unit (SSCC)",
            expected="the trace code of a package",
            advice="scan the trace code on the package",
        )
    if gtin is None:
        raise CodeRefused(
            CodeFlaw.NO_GTIN,
            found=f"only {', '.join(f'({name})' for name in fields) or 'a separator'}",
            expected="(01) GTIN",
            advice="scan the symbol that holds the product number",
        )
    if not has_check_digit(gtin):
        raise CodeRefused(
            CodeFlaw.BAD_CHECK_DIGIT,
            found=f"(01) {gtin}",
            expected=f"check digit {check_digit(gtin[:-1])}",
            advice="scan again; if it returns, the label is wrong: set the package aside",
        )
    return gtin


def _count(digits: str | None) -> int | None:
    if digits is None:
        return None
    if not digits:
        raise _bad_value("30", digits)
    return int(digits)


def _holds_code(value: str, gtin: str) -> bool:
    """Whether a lot or serial has swallowed the next code of a merged frame.

    A GTIN of the same product always counts. Of other products only those with a Chinese prefix do: fewer than one
    in ten thousand 20-digit serials look like that by chance, and such a box could never be scanned.
    """
    if gtin[1:] in value or _INNER_CODE.search(value):
        return True
    return any(has_check_digit(match[1]) for match in _INNER_GTIN.finditer(value))


def _suspect(lot: str | None, serial: str | None, text: str) -> tuple[CodeWarning, ...]:
    """Judge a reading without any GS, where a lot may have swallowed the serial, or a serial the lot."""
    if serial is None and lot is not None and "21" in lot[1:-1]:
        if len(lot) > _SUSPECT_LOT:
            raise _lost_gs(text)
        return (CodeWarning.GS_MAYBE_LOST,)
    if lot is None and serial is not None and len(serial) > _SUSPECT_LOT and "10" in serial[1:-1]:
        return (CodeWarning.GS_MAYBE_LOST,)
    return ()
