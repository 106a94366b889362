"""Sheets of paper for a long outage (A22): what is printed on them, and what their 2-D symbols say.

::

    CPF-K7QF2M9X-14             a sheet, which has 14 lines
    CPF-K7QF2M9X-14-3-RX00001   its line 3, which is for that order; a blank line ends with its number

A symbol says all that is needed to take its line back in: a sheet that another computer has printed is scanned like one
of this place. Upper case, digits and hyphens, so that a scanner that acts as a keyboard can type it.
"""

import base64
import hashlib
import re
from collections.abc import Iterator, Sequence

import msgspec

from sync_protocol.documents import Order, Product
from sync_protocol.items import Item, Kind

MAX_LINES = 200
BLANK_LINES = 14
MAX_BOXES = 24
"""Boxes of one order that are printed with a symbol; the codes of more are written by hand."""
_MARK = re.compile(r"CPF-([0-9A-Z]{8})-([1-9][0-9]{0,2})(?:-([1-9][0-9]{0,2})(?:-([!-~]{1,64}))?)?")
_ID_BYTES = 5
# Millimetres of an A4 page that its lines may fill, and what a line of it takes.
_PAGE_MM = 226
_BLANK_MM, _LINE_MM, _BOXES_MM, _BOXES_A_ROW, _LOOSE_MM = 32, 38, 13, 2, 5


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """What a symbol on paper says. ``line`` 0: the sheet; ``order`` empty: it was left blank."""

    sheet: str
    lines: int
    line: int = 0
    order: str = ""

    @property
    def text(self) -> str:
        parts = ["CPF", self.sheet, str(self.lines), *([str(self.line)] if self.line else [])]
        text = "-".join(parts)
        ordered = f"{text}-{self.order}"
        # An order that no symbol of this kind can name is known by the line alone, where the sheet was printed.
        return ordered if self.line and self.order and _MARK.fullmatch(ordered) else text


def read_mark(text: str) -> Mark | None:
    """None: it is no symbol of such a sheet."""
    found = _MARK.fullmatch(text)
    if found is None:
        return None
    mark = Mark(sheet=found[1], lines=int(found[2]), line=int(found[3] or 0), order=found[4] or "")
    return mark if mark.line <= mark.lines <= MAX_LINES else None


def sheet_id(*seed: object) -> str:
    """Eight letters and digits, as good as never the same for two seeds."""
    digest = hashlib.blake2b(repr(seed).encode(), digest_size=_ID_BYTES).digest()
    return base64.b32encode(digest).decode()


class SheetLine(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """``items``: locked to the order when it was printed. A line without an order is blank."""

    number: int
    order: Order | None = None
    product: Product | None = None
    items: tuple[Item, ...] = ()

    @property
    def boxes(self) -> tuple[Item, ...]:
        """Those that are printed with a symbol each."""
        return tuple(item for item in self.items if item.kind is not Kind.UNIT)[:MAX_BOXES]

    @property
    def unprinted(self) -> int:
        return sum(item.kind is not Kind.UNIT for item in self.items) - len(self.boxes)

    @property
    def loose(self) -> list[tuple[Item, int]]:
        """Units by their box: the first of them, and how many."""
        units: dict[str, list[Item]] = {}
        for item in self.items:
            if item.kind is Kind.UNIT:
                units.setdefault(item.box, []).append(item)
        return [(each[0], len(each)) for each in units.values()]

    @property
    def height_mm(self) -> int:
        if self.order is None:
            return _BLANK_MM
        return _LINE_MM + _BOXES_MM * -(-len(self.boxes) // _BOXES_A_ROW) + _LOOSE_MM * len(self.loose)


class Sheet(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What was printed. A sheet that this computer knows from its symbols only has no ``place`` and no orders."""

    id: str
    lines: tuple[SheetLine, ...]
    place: str = ""
    device: str = ""
    printed_us: int = 0
    printed_by: str = ""
    version: int = 0
    """Of the ledger, by the copy that it was printed from; ``as_of_us``: when that was up to date, 0: it never was."""
    as_of_us: int = 0

    @classmethod
    def known_by(cls, mark: Mark) -> "Sheet":
        return cls(id=mark.sheet, lines=blank_lines(mark.lines))

    @property
    def is_blank(self) -> bool:
        return not any(line.order for line in self.lines)

    def mark(self, line: SheetLine | None = None) -> Mark:
        """Of a line, or of the sheet itself."""
        order = line.order.id if line is not None and line.order is not None else ""
        return Mark(sheet=self.id, lines=len(self.lines), line=line.number if line is not None else 0, order=order)

    @property
    def pages(self) -> list[Sequence[SheetLine]]:
        return list(_pages(self.lines))


def blank_lines(count: int) -> tuple[SheetLine, ...]:
    return tuple(SheetLine(number=number) for number in range(1, count + 1))


def _pages(lines: Sequence[SheetLine]) -> Iterator[Sequence[SheetLine]]:
    page: list[SheetLine] = []
    for line in lines:
        if page and sum(each.height_mm for each in page) + line.height_mm > _PAGE_MM:
            yield page
            page = []
        page.append(line)
    yield page
