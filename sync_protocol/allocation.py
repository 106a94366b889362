"""Which items an order line gets, and why: first expiry first, one lot a line where it can, fewest boxes.

Pure. Central allocates with it, and an agent that holds a lease would allocate the same.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from enum import StrEnum
from itertools import groupby
from typing import Self

import msgspec

from sync_protocol.items import Item


class Free(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """An item in stock that an order may get. ``box`` is empty for what is not a unit of an opened box."""

    code: str
    lot: str
    expiry: dt.date
    box: str = ""

    @classmethod
    def of(cls, item: Item) -> Self:
        return cls(code=item.code, lot=item.lot, expiry=item.expiry, box=item.box)


class Rule(StrEnum):
    """Why these items: what the choice of lots followed."""

    LOT_HELD = "lot_held"
    """From the lot that the order already has items of."""
    ONE_LOT = "one_lot"
    """From the first lot to expire that alone covers the line."""
    SEVERAL_LOTS = "several_lots"
    """No lot covers the line: lots in the order of their expiry."""
    NOTHING_FREE = "nothing_free"


class Allocation(msgspec.Struct, frozen=True, kw_only=True):
    """The codes chosen, of which lots and boxes. ``short``: how many the stock lacks."""

    codes: tuple[str, ...]
    rule: Rule
    lots: tuple[str, ...] = ()
    boxes: int = 0
    short: int = 0
    expired: int = 0
    """Items passed over because they are out of date."""

    @property
    def why(self) -> str:
        """For the fact's reason: the rule, the lots, the number of boxes, and what is missing."""
        text = f"{self.rule}: {' '.join(self.lots)}"[:200]
        return f"{text}; boxes {self.boxes}" + (f"; short {self.short}" if self.short else "")


def allocate(quantity: int, free: Iterable[Free], *, today: dt.date, held_lot: str = "") -> Allocation:
    """Choose ``quantity`` of the free items, or all there are. ``held_lot``: the lot of what the order has already."""
    offered = list(free)
    usable = sorted((item for item in offered if item.expiry >= today), key=lambda item: (item.expiry, item.lot))
    expired = len(offered) - len(usable)
    lots = [list(items) for _, items in groupby(usable, key=lambda item: (item.expiry, item.lot))]
    if not lots:
        return Allocation(codes=(), rule=Rule.NOTHING_FREE, short=quantity, expired=expired)
    rule, chosen = _choose_lots(quantity, lots, held_lot)
    taken: list[Free] = []
    for lot in chosen:
        taken += _fewest_boxes(quantity - len(taken), lot)
    return Allocation(
        codes=tuple(item.code for item in taken),
        rule=rule,
        lots=tuple(dict.fromkeys(item.lot for item in taken)),
        boxes=len({item.box or item.code for item in taken}),
        short=quantity - len(taken),
        expired=expired,
    )


def _choose_lots(quantity: int, lots: list[list[Free]], held_lot: str) -> tuple[Rule, list[list[Free]]]:
    covering = [lot for lot in lots if len(lot) >= quantity]
    for lot in covering:
        if held_lot and lot[0].lot == held_lot:
            return Rule.LOT_HELD, [lot]
    if covering:
        return Rule.ONE_LOT, covering[:1]
    return Rule.SEVERAL_LOTS, lots


def _fewest_boxes(quantity: int, lot: Sequence[Free]) -> list[Free]:
    """Fullest boxes first, and for the rest the emptiest box that covers it: no choice touches fewer boxes."""
    boxes: dict[str, list[Free]] = {}
    for item in sorted(lot, key=lambda item: item.code):
        boxes.setdefault(item.box or item.code, []).append(item)
    left = sorted(sorted(boxes, reverse=True), key=lambda box: len(boxes[box]))
    taken: list[Free] = []
    while left and len(taken) < quantity:
        missing = quantity - len(taken)
        covering = (box for box in left if len(boxes[box]) >= missing)
        box = min(covering, key=lambda box: (len(boxes[box]), box), default=left[-1])
        left.remove(box)
        taken += boxes[box][:missing]
    return taken
