"""Conservation: the units of an opened box are all somewhere. Checked at every commit, on both sides (design.md §4)."""

from collections.abc import Iterable

import msgspec

from sync_protocol.items import Item, State

# A unit cannot be announced or opened: in those states it would be counted nowhere.
PLACES = frozenset(State) - {State.EXPECTED, State.OPENED}


class Imbalance(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A box whose units do not add up."""

    box: str
    expected: int
    found: int


def imbalance(box: Item, units: Iterable[Item]) -> Imbalance | None:
    """None if every unit that a box became is in exactly one place; ``units`` are all units known of any box.

    A box that was opened keeps its units whatever becomes of the empty carton: it may be frozen or written off.
    """
    found = len({unit.code for unit in units if unit.box == box.code and unit.state in PLACES})
    return None if found == box.units else Imbalance(box=box.code, expected=box.units, found=found)
