"""MA codes (IDcode) on consumables: dotted text, product first, then segments that each open with a letter.

``MA.156.M0.100024.12345678.LLOT7.M260115.E281231.SSN42``: scheme, China, industry, issuer, product; lot, made, expiry,
serial. Built from a description and not from the issuer's document: the check segment ``C`` is kept and not computed.
"""

import datetime as dt
import re
from typing import NoReturn

from sync_protocol.codeform import Code, CodeForm, shown
from sync_protocol.errors import CodeFlaw, CodeRefused
from sync_protocol.gs1 import read_date
from sync_protocol.scantext import glued

_ROOT = ["MA", "156", "M0"]
_NODES = 5
_ISSUER = re.compile(r"[0-9]{1,12}")
_PRODUCT = re.compile(r"[0-9A-Za-z]{1,20}")
_SEGMENT = re.compile(r"([SLMDEVC])([0-9A-Za-z/_-]{1,20})")
_DATES = "MDEV"


def parse_idcode(text: str, *, today: dt.date) -> Code:
    """Code of an MA text. Raises CodeRefused."""
    if text.count("MA.") > 1:
        raise glued(text)
    nodes = text.split(".")
    if nodes[:3] != _ROOT[: len(nodes)]:
        _refuse(CodeFlaw.WRONG_COUNTRY, text, "MA.156.M0 at the start", "scan another symbol of the package")
    if len(nodes) < _NODES:
        _refuse(CodeFlaw.INCOMPLETE, text, "issuer and product after MA.156.M0", "scan again")
    if not _ISSUER.fullmatch(nodes[3]) or not _PRODUCT.fullmatch(nodes[4]):
        _refuse(CodeFlaw.BAD_CHARACTER, text, "a numeric issuer, and letters or digits as product", "scan again")
    found: dict[str, str] = {}
    for segment in nodes[_NODES:]:
        match = _SEGMENT.fullmatch(segment)
        if match is None:
            _refuse(CodeFlaw.UNKNOWN_FORM, text, "segments S, L, M, D, E, V or C, each with a value", "scan again")
        if match[1] in found:
            raise glued(text)
        found[match[1]] = match[2]
    dates = {letter: read_date(found[letter], field=letter, today=today) for letter in _DATES if letter in found}
    return Code(
        key=text,
        form=CodeForm.IDCODE,
        di=".".join(nodes[:_NODES]),
        serial=found.get("S"),
        lot=found.get("L"),
        expiry=dates.get("E", dates.get("V")),
        made=dates.get("M"),
    )


def _refuse(reason: CodeFlaw, text: str, expected: str, advice: str) -> NoReturn:
    raise CodeRefused(reason, found=f"MA code {shown(text)}", expected=expected, advice=advice)
