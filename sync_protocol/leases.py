"""The right to issue an item: which facts need it, and which end it (REQ-08).

Exactly one agent may issue an item without asking. The right is about what consumes or allocates; what was seen to
happen is recorded whoever saw it. Both sides follow the same facts, so that both know what is left of a lease.
"""

import msgspec

from sync_protocol.facts import Fact, What, is_coded
from sync_protocol.items import Item, Kind, State
from sync_protocol.subcode import sub_codes

MOST_HELD = 4_000
"""Codes that one agent is given beforehand, most of them for orders."""
SHARED = MOST_HELD // 2
"""How many of these may be for no order: the rest is room for orders."""
MOST_CLAIMED = 2 * MOST_HELD
"""With units of boxes that were opened and what a person asks for at the moment; all of it fits one message.

What is more is not claimed, and central has it for others.
"""

LEASABLE = frozenset({State.IN_STOCK, State.LOCKED})
OUT = frozenset({State.TAKEN, State.LENT, State.DISPENSED, State.RETURNED_TO_SUPPLIER, State.ABNORMAL})
NEEDS_RIGHT = frozenset({What.LOCKED, What.UNLOCKED, What.DISPENSED, What.LENT})
MAY_NEED_RIGHT = NEEDS_RIGHT | {What.TRANSFERRED_OUT}
_ENDS = frozenset({What.DISPENSED, What.LENT, What.TAKEN, What.TRANSFERRED_OUT, What.SENT_BACK, What.WRITTEN_OFF})


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """What a fact of the holder does to its lease. Units of a box that was held are held."""

    ended: tuple[str, ...] = ()
    opened: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Boxes, each with the units that it became."""


NOTHING = Spent()


def needs_right(fact: Fact, item: Item | None) -> bool:
    """Whether only the item's holder may say this. What already left the stock was somebody's right before.

    A box that is sent to another place is in the hands of whoever says so. Units have no label: which of them went is
    decided by the books.
    """
    if item is None or item.state not in LEASABLE:
        return False
    return fact.what in NEEDS_RIGHT or (fact.what is What.TRANSFERRED_OUT and item.kind is Kind.UNIT)


def spent(fact: Fact) -> Spent:
    if fact.what is What.PRESCANNED:
        return Spent(opened=tuple((code, sub_codes(code, fact.units)) for code in fact.codes))
    if fact.what not in _ENDS:
        return NOTHING
    codes = fact.codes
    # Marks stand behind the codes.
    return Spent(ended=codes if is_coded(codes[-1]) else tuple(filter(is_coded, codes)))
