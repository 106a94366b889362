"""Lines of sheets of paper, in the journal: a line is taken in by the transaction of the fact that it became (A22)."""

from collections.abc import Sequence
from typing import Any

from sync_protocol.facts import Paper

_TAKE_IN = "INSERT OR IGNORE INTO sheet_line(sheet, line, position) VALUES (?, ?, ?)"
MOVE = "UPDATE sheet_line SET position = position + ? WHERE position BETWEEN ? AND ?"
Statement = tuple[str, Sequence[tuple[Any, ...]]]


def taking_in(papers: Sequence[tuple[int, Paper]], first: int) -> list[Statement]:
    """What is written with facts: each line with the index of its fact, of which the first has this position."""
    rows = [(paper.sheet, paper.line, first + index) for index, paper in papers]
    return [(_TAKE_IN, rows)] if rows else []
