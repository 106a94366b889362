"""Statements of many rows: a step of the database's driver costs as much as the row that it writes."""

import functools
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

AT_ONCE = 50
"""Rows of one statement: more save nothing, and whoever works beside waits for the end of a statement."""
Write = tuple[str, Sequence[Any]]
"""A statement and its values."""
_ROW = re.compile(r"\(\?(?:, \?)*\)")
_R = TypeVar("_R")


def many(statement: str, rows: Sequence[_R], row_of: Callable[[_R], Sequence[Any]]) -> Iterator[Write]:
    """``statement``: of one row, its question marks in parentheses once; ``row_of``: the values of a row."""
    for first in range(0, len(rows), AT_ONCE):
        part = rows[first : first + AT_ONCE]
        yield _of_rows(statement, len(part)), list(itertools.chain.from_iterable(map(row_of, part)))


@functools.lru_cache(maxsize=4_096)
def _of_rows(statement: str, count: int) -> str:
    return _ROW.sub(lambda row: ", ".join([row[0]] * count), statement, count=1)
