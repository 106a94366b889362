"""What a reading of a cabinet comes to: the tags heard, held against what should lie there (design.md §9).

A tag of no known piece, or of a piece whose place is elsewhere, is a stray: it is shown with its home, nothing moves.
"""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from edge_agent.check import Stock
from edge_agent.intake import Heard
from sync_protocol.items import Item, Kind, State

PIECES_AT_MOST = 5_000
# A locked or frozen piece lies in its place like any other: whoever takes it is asked about it by the ledger.
LIES_HERE = (State.IN_STOCK, State.LOCKED, State.FROZEN)


_GROUPS = dict.fromkeys(LIES_HERE, "present") | {
    State.TAKEN: "back",
    State.AWAITING_PUT_BACK: "cancelled_back",
}


class StrayKind(StrEnum):
    """Why a heard tag moves nothing."""

    FOREIGN = "foreign"
    """Not the tag of a piece that this hospital wrote."""
    UNKNOWN = "unknown"
    """A well-written tag that the ledger does not know."""
    ELSEWHERE = "elsewhere"
    """Belongs to another place."""
    NOT_RECEIVED = "not_received"
    """Announced by a delivery note that was not received."""
    USED = "used"
    """Recorded as used for a patient, yet it lies here."""
    BLOCKED = "blocked"
    """Out for good, or in a state that lies in no cabinet."""


class Stray(msgspec.Struct, frozen=True, kw_only=True):
    code: str
    kind: StrayKind
    item: Item | None = None
    home: str = ""
    """Its place, or the note or order that it belongs to."""


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """One reading, sorted. Every heard tag and every expected piece is in exactly one of these."""

    present: tuple[Item, ...]
    missing: tuple[Item, ...]
    """Should lie here and was not heard."""
    back: tuple[Item, ...]
    """Taken before, heard again: put back."""
    cancelled_back: tuple[Item, ...]
    """Piece of a cancelled order, back in its place."""
    arrived: tuple[Item, ...]
    """Heard pieces of the note that is being received."""
    strays: tuple[Stray, ...]


def expected_here(stock: Stock, location: str) -> dict[str, Item]:
    """Pieces that should lie at the place, by the code that their tag answers with."""
    items = stock.items_at(location, states=LIES_HERE, kind=Kind.PIECE, limit=PIECES_AT_MOST)
    return {item.tag or item.code: item for item in items}


def sort(
    heard: Mapping[str, Heard], *, stock: Stock, location: str, note: str = "", expected: Mapping[str, Item]
) -> Contents:
    """Hold ``heard`` against ``expected``; ``note`` is the delivery note whose pieces may arrive with this reading."""
    groups: dict[str, list[Item]] = {"present": [], "back": [], "cancelled_back": [], "arrived": []}
    strays = []
    for code, tag in heard.items():
        item = expected.get(code) or (None if tag.flaw else stock.item(code))
        group = _group(item, location, note)
        if group is not None and item is not None:
            groups[group].append(item)
        else:
            strays.append(_stray(tag, item, location))
    missing = tuple(item for code, item in expected.items() if code not in heard)
    return Contents(missing=missing, strays=tuple(strays), **{name: tuple(items) for name, items in groups.items()})


def _group(item: Item | None, location: str, note: str) -> str | None:
    if item is None or item.kind is not Kind.PIECE or item.location != location:
        return None
    if item.state is State.EXPECTED and note and item.document == note:
        return "arrived"
    return _GROUPS.get(item.state)


def _stray(tag: Heard, item: Item | None, location: str) -> Stray:
    if tag.flaw is not None:
        return Stray(code=tag.code, kind=StrayKind.FOREIGN)
    if item is None:
        return Stray(code=tag.code, kind=StrayKind.UNKNOWN)
    if item.location != location:
        return Stray(code=tag.code, kind=StrayKind.ELSEWHERE, item=item, home=item.location)
    if item.state is State.EXPECTED:
        return Stray(code=tag.code, kind=StrayKind.NOT_RECEIVED, item=item, home=item.document)
    if item.state is State.DISPENSED:
        return Stray(code=tag.code, kind=StrayKind.USED, item=item, home=item.order)
    return Stray(code=tag.code, kind=StrayKind.BLOCKED, item=item, home=item.location)
