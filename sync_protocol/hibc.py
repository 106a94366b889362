"""HIBC, seen on imported consumables (ANSI/HIBC 2): ``+`` primary [``/`` secondary] check character.

+A123 BJC5D6E7 1 / $$3281231LOT7 /SSN42 X
 |    |        |   |  |     |     |     check: sum of the values of all before it, mod 43
 |    |        |   |  |     lot   serial
 |    |        |   |  date, its layout told by the flag before it (3: YYMMDD)
 |    |        unit of measure
 |    product number, 1 to 18
 labeller, first a letter
"""

import calendar
import datetime as dt
import re
from typing import NoReturn

from sync_protocol.codeform import Code, CodeForm, shown
from sync_protocol.errors import CodeFlaw, CodeRefused
from sync_protocol.gs1 import full_year, read_date
from sync_protocol.scantext import glued

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-. $/+%"

_PRIMARY = re.compile(r"\+[A-Z][A-Z0-9]{3}[A-Z0-9]{1,18}[0-9]")
_SECOND_CODE = re.compile(r"\*\*|(?<=[^$])\+[A-Z][A-Z0-9]{3}")
_QUANTITY = re.compile(r"8([0-9]{2})|9([0-9]{5})")
_DATED = re.compile(
    r"2(?P<mdy>[0-9]{6})|3(?P<ymd>[0-9]{6})|4(?P<ymdh>[0-9]{8})|5(?P<yj>[0-9]{5})|6(?P<yjh>[0-9]{7})|7|(?P<my>[01][0-9]{3})"
)
_VALUE = re.compile(r"[A-Z0-9\-. ]{0,18}")
_HOURS = 24


def check_character(data: str) -> str:
    return ALPHABET[sum(ALPHABET.index(char) for char in data) % len(ALPHABET)]


def parse_hibc(text: str, *, today: dt.date) -> Code:
    """Code of HIBC text, star wrapping or not. Raises CodeRefused."""
    body = text[1:-1] if text.startswith("*") and text.endswith("*") else text
    _check(body, text)
    primary, *segments = body[:-1].split("/")
    if primary.startswith("+$"):
        _refuse(CodeFlaw.INCOMPLETE, text, "a code that starts with labeller and product", "scan the other symbol too")
    if not _PRIMARY.fullmatch(primary):
        _refuse(CodeFlaw.UNKNOWN_FORM, text, "+, labeller (a letter first), product, unit", "scan another symbol")
    found = _Fields(today)
    for segment in segments:
        found.read(segment, text)
    return Code(
        key=body,
        form=CodeForm.HIBC,
        di=primary,
        serial=found.serial,
        lot=found.lot,
        expiry=found.expiry,
        made=found.made,
        count=found.count,
    )


def _check(body: str, text: str) -> None:
    if _SECOND_CODE.search(body):
        raise glued(text)
    foreign = next((char for char in body if char not in ALPHABET), None)
    if foreign is not None:
        _refuse(CodeFlaw.BAD_CHARACTER, text, "digits, capitals and - . blank $ / + %", "scan again")
    if len(body) < 2 or body[-1] != check_character(body[:-1]):  # noqa: PLR2004 -- the plus and a check character
        expected = f"check character {check_character(body[:-1])!r}"
        _refuse(CodeFlaw.BAD_CHECK_DIGIT, text, expected, "scan again; if it returns, set the package aside")


def _refuse(reason: CodeFlaw, text: str, expected: str, advice: str) -> NoReturn:
    raise CodeRefused(reason, found=f"HIBC {shown(text)}", expected=expected, advice=advice)


class _Fields:
    """What the secondary segments of one code say. Each thing is said at most once."""

    def __init__(self, today: dt.date) -> None:
        self._today = today
        self.serial: str | None = None
        self.lot: str | None = None
        self.expiry: dt.date | None = None
        self.made: dt.date | None = None
        self.count: int | None = None

    def read(self, segment: str, text: str) -> None:
        match = re.match(r"\$\$\+?|\$\+?|S|14D|16D", segment)
        if match is None:
            _refuse(CodeFlaw.UNKNOWN_FORM, text, "$$, $, S, 14D or 16D after a slash", "scan another symbol")
        flag, value = match[0], segment[match.end() :]
        if flag in {"14D", "16D"}:
            day = _full_date(value)
            if flag == "14D":
                self._set("expiry", day, text)
            else:
                self._set("made", day, text)
            return
        if flag.startswith("$$"):
            value = self._read_dated(value, text)
        if not _VALUE.fullmatch(value):
            _refuse(CodeFlaw.BAD_LENGTH, text, "a lot or serial of at most 18 characters", "scan again")
        if value:
            self._set("serial" if flag.endswith(("+", "S")) else "lot", value, text)

    def _set(self, name: str, value: object, text: str) -> None:
        if getattr(self, name) is not None:
            raise glued(text)
        setattr(self, name, value)

    def _read_dated(self, value: str, text: str) -> str:
        """Take quantity and expiry off the front; return the lot or serial behind them."""
        quantity = _QUANTITY.match(value)
        if quantity is not None:
            self._set("count", int(quantity[1] or quantity[2]), text)
            value = value[quantity.end() :]
        dated = _DATED.match(value)
        if dated is None:
            _refuse(CodeFlaw.BAD_DATE, text, "a date in one of the layouts 2 to 7 or MMYY", "set the package aside")
        expiry = self._expiry(dated)
        if expiry is not None:
            self._set("expiry", expiry, text)
        return value[dated.end() :]

    def _expiry(self, dated: re.Match[str]) -> dt.date | None:
        layout = dated.lastgroup
        if layout is None:
            return None
        digits = dated[layout]
        if layout in {"ymdh", "yjh"}:
            if int(digits[-2:]) >= _HOURS:
                raise _no_date(digits)
            digits = digits[:-2]
        if layout == "mdy":
            digits = digits[4:] + digits[:4]
        if layout == "my":
            return _month_end(digits, self._today)
        if layout in {"yj", "yjh"}:
            return _day_of_year(digits, self._today)
        return read_date(digits, field="expiry", today=self._today)


def _no_date(digits: str) -> CodeRefused:
    return CodeRefused(
        CodeFlaw.BAD_DATE,
        found=f"HIBC date {digits}",
        expected="a date that exists",
        advice="set the package aside: its label is wrong or misread",
    )


def _month_end(mmyy: str, today: dt.date) -> dt.date:
    year, month = full_year(int(mmyy[2:]), today), int(mmyy[:2])
    try:
        return dt.date(year, month, calendar.monthrange(year, month)[1])
    except ValueError as error:
        raise _no_date(mmyy) from error


def _day_of_year(yyjjj: str, today: dt.date) -> dt.date:
    year, day = full_year(int(yyjjj[:2]), today), int(yyjjj[2:])
    try:
        found = dt.date(year, 1, 1) + dt.timedelta(days=day - 1)
    except (ValueError, OverflowError) as error:
        raise _no_date(yyjjj) from error
    if found.year != year:
        raise _no_date(yyjjj)
    return found


def _full_date(yyyymmdd: str) -> dt.date:
    if not re.fullmatch(r"[0-9]{8}", yyyymmdd):
        raise _no_date(yyyymmdd)
    try:
        return dt.date(int(yyyymmdd[:4]), int(yyyymmdd[4:6]), int(yyyymmdd[6:]))
    except ValueError as error:
        raise _no_date(yyyymmdd) from error
