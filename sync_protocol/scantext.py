r"""Bytes of a scan to ASCII text.

The grammar works on bytes because Python's text functions are generous: ``'１２'.isdigit()`` holds,
``re.match('^[0-9]+$', '12\n')`` matches and ``int('١٢٣')`` is 123. After this module text is ASCII and has no
control character but GS.
"""

import re
import unicodedata
from typing import NoReturn

from sync_protocol.codeform import Entry, shown
from sync_protocol.errors import CodeFlaw, CodeRefused

MAX_SCAN_BYTES = 1024

_BYTE_ORDER_MARKS = (b"\xff\xfe", b"\xfe\xff")
_UTF8_MARK = b"\xef\xbb\xbf"
_CONTROL = re.compile(r"[\x00-\x1c\x1e\x1f\x7f]")
_LINE_ENDS = re.compile(r"[\t\r\n]+")
_BLANKS = re.compile(r"[ \t\r\n\v\f]+")
_SHORTEST_CODE = 8


def read_text(data: bytes, entry: Entry) -> str:
    """Return the one line of ASCII text in ``data``. Raises CodeRefused."""
    if not data:
        _refuse_empty()
    if len(data) > MAX_SCAN_BYTES:
        raise CodeRefused(
            CodeFlaw.TOO_LONG,
            found=f"{len(data)} bytes",
            expected=f"at most {MAX_SCAN_BYTES}",
            advice="scan again; if it returns, set the scanner to end each code with CR",
        )
    if b"\0" in data:
        raise CodeRefused(
            CodeFlaw.NUL,
            found=f"a NUL at byte {data.index(0)}",
            expected="printable ASCII",
            advice="scan again; if it returns, check the line speed and the cable",
        )
    if _UTF8_MARK in data or data.startswith(_BYTE_ORDER_MARKS):
        raise CodeRefused(
            CodeFlaw.BYTE_ORDER_MARK,
            found="a byte order mark",
            expected="plain ASCII",
            advice="set the scanner to send no byte order mark, or type the code",
        )
    return _typed(data) if entry is Entry.KEYBOARD else _scanned(data)


def _refuse_empty() -> NoReturn:
    raise CodeRefused(
        CodeFlaw.EMPTY, found="nothing", expected="a code", advice="scan again, or type the code below the symbol"
    )


def _scanned(data: bytes) -> str:
    if not data.isascii():
        _refuse_foreign(_decoded(data))
    return _without_control(data.decode("ascii"))


def _typed(data: bytes) -> str:
    text = unicodedata.normalize("NFKC", _decoded(data))
    # A blank is a character of HIBC, and may even be its check character.
    is_hibc = text.lstrip().startswith(("+", "*+"))
    text = text.lstrip().rstrip("\t\r\n").upper() if is_hibc else _BLANKS.sub("", text)
    if not text:
        _refuse_empty()
    if not text.isascii():
        _refuse_foreign(text)
    return _without_control(text)


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CodeRefused(
            CodeFlaw.NOT_TEXT,
            found=f"byte {data[error.start]:#04x} at {error.start}",
            expected="ASCII",
            advice="scan again; if it returns, set the scanner's data format to ASCII",
        ) from error


def _refuse_foreign(text: str) -> NoReturn:
    """Refuse text that is not ASCII, with the reason that helps to mend it."""
    foreign = next(char for char in text if not char.isascii())
    if any("\uff01" <= char <= "\uff5e" for char in text):
        reason, advice = CodeFlaw.FULL_WIDTH, "switch the input method off or set the scanner to ASCII"
    elif any(char.isdigit() and not char.isascii() for char in text):
        reason, advice = CodeFlaw.FOREIGN_DIGITS, "enter the digits 0 to 9"
    else:
        reason, advice = CodeFlaw.NOT_TEXT, "this symbol is not a trace code; scan the trace code of the package"
    raise CodeRefused(reason, found=f"U+{ord(foreign):04X}", expected="ASCII", advice=advice)


def _without_control(text: str) -> str:
    found = _CONTROL.search(text)
    if found is None:
        return text
    parts = [part for part in _LINE_ENDS.split(text) if part]
    if len(parts) > 1 and all(len(part) >= _SHORTEST_CODE for part in parts):
        raise glued(text)
    raise CodeRefused(
        CodeFlaw.CONTROL_CHARACTER,
        found=f"control character {ord(found[0]):#04x} at {found.start()}",
        expected="printable characters (and GS in GS1 data)",
        advice="scan again; if it returns, set the driver's suffix to what the scanner sends",
    )


def glued(text: str) -> CodeRefused:
    """More than one code in one frame: none of them is taken, because which one was meant is unknown."""
    return CodeRefused(
        CodeFlaw.GLUED,
        found=f"more than one code in {shown(text)}",
        expected="one code in a scan",
        advice="scan the codes one by one; if it returns, set the scanner to end each code with CR",
    )
