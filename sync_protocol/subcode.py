"""Sub-codes: the hospital's codes of the units of one opened box, ``<box code>#<number>``.

``#`` is a character of neither a trace code nor GS1 data, so that no sub-code can be taken for a box code with a
longer serial. The box code inside is what the insurer gets.
"""

import re

from sync_protocol.codeform import shown
from sync_protocol.errors import CodeFlaw, CodeRefused

MARK = "#"
MAX_UNITS = 9_999

# At least three digits, and no more than needed: one unit has one spelling.
_NUMBER = re.compile(r"[0-9]{3}|[1-9][0-9]{3}")


def sub_code(box_key: str, n: int) -> str:
    """Code of unit ``n`` (from 1) of a box. Raises CodeRefused."""
    _check_box(box_key)
    _check_number(n)
    return f"{box_key}{MARK}{n:03d}"


def sub_codes(box_key: str, count: int) -> tuple[str, ...]:
    """Codes of the units 1 to ``count`` of a box. Raises CodeRefused."""
    _check_box(box_key)
    _check_number(count)
    return tuple(f"{box_key}{MARK}{n:03d}" for n in range(1, count + 1))


def box_of(code: str) -> str:
    """The box that a unit is of; any other code itself."""
    return code.partition(MARK)[0]


def split_sub_code(code: str) -> tuple[str, int]:
    """Box code and unit number of a sub-code. Raises CodeRefused."""
    box_key, mark, number = code.partition(MARK)
    if not mark or not _NUMBER.fullmatch(number):
        raise CodeRefused(
            CodeFlaw.GLUED if MARK in number else CodeFlaw.UNKNOWN_FORM,
            found=shown(code),
            expected=f"a box code, {MARK} and a number of three or four digits",
            advice="scan the sub-code of one unit",
        )
    _check_box(box_key)
    n = int(number)
    _check_number(n)
    return box_key, n


def _check_box(box_key: str) -> None:
    if not box_key or MARK in box_key:
        raise CodeRefused(
            CodeFlaw.UNKNOWN_FORM,
            found=f"box code {shown(box_key)}",
            expected="the code of a box; units have no units of their own",
            advice="scan the trace code of the box",
        )


def _check_number(n: int) -> None:
    if not 1 <= n <= MAX_UNITS:
        raise CodeRefused(
            CodeFlaw.OUT_OF_RANGE,
            found=f"unit number or count {n}",
            expected=f"1 to {MAX_UNITS}",
            advice="check the units per box in the catalogue",
        )
