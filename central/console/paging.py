"""Pages of a list that is in memory, numbered in the URL."""

from collections.abc import Sequence
from typing import Generic, TypeVar

import msgspec

_T = TypeVar("_T")
PAGE = 100


class Paged(msgspec.Struct, Generic[_T], frozen=True, kw_only=True):
    """``number`` counts from 1; a number beyond the last page is the last page."""

    rows: Sequence[_T]
    number: int
    pages: int
    total: int

    @property
    def before(self) -> int | str:
        """Number of the page before, empty if there is none."""
        return self.number - 1 if self.number > 1 else ""

    @property
    def next(self) -> int | str:
        return self.number + 1 if self.number < self.pages else ""


def paged(rows: Sequence[_T], number: int, *, size: int = PAGE) -> Paged[_T]:
    pages = max(1, -(-len(rows) // size))
    number = min(max(1, number), pages)
    return Paged(rows=rows[(number - 1) * size : number * size], number=number, pages=pages, total=len(rows))
