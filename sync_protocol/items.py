"""An item is anything with a code of its own and a lifecycle: a box, a unit of an opened box, a piece."""

import datetime as dt
from enum import StrEnum

import msgspec


class Kind(StrEnum):
    BOX = "box"
    UNIT = "unit"
    PIECE = "piece"


class State(StrEnum):
    EXPECTED = "expected"
    IN_STOCK = "in_stock"
    OPENED = "opened"
    LOCKED = "locked"
    TAKEN = "taken"
    LENT = "lent"
    DISPENSED = "dispensed"
    AWAITING_PUT_BACK = "awaiting_put_back"
    IN_TRANSIT = "in_transit"
    FROZEN = "frozen"
    ABNORMAL = "abnormal"
    RETURNED_TO_SUPPLIER = "returned_to_supplier"


FINAL = frozenset({State.ABNORMAL, State.RETURNED_TO_SUPPLIER})

# An item keeps the name of its order when it is frozen or written off; its order has it in these states only.
OF_ITS_ORDER = frozenset({State.LOCKED, State.TAKEN, State.LENT, State.DISPENSED})

# In the hospital's hands or on the way to them. A dispensed item is with its patient: a recall lists the patient.
LIVE = frozenset(State) - FINAL - {State.DISPENSED}


class Item(msgspec.Struct, frozen=True, kw_only=True, gc=False, array_like=True):
    """One item as folded from its facts. ``code`` is the canonical key of ``sync_protocol.codes``.

    New fields are appended and have defaults, so that older agents read newer rows.
    """

    code: str
    kind: Kind
    product: str
    lot: str
    expiry: dt.date
    state: State
    location: str = ""
    document: str = ""
    order: str = ""
    """The order line that it is locked to, bound to or was dispensed for."""
    holder: str = ""
    """Who has it in hand: the operator who took it, the ward it was lent to."""
    box: str = ""
    """The opened box that a unit came from."""
    units: int = 0
    """How many units an opened box became."""
    pouch: str = ""
    before: State | None = None
    """The state to go back to when a frozen item is released."""
    tag: str = ""
    """The EPC that the piece answers to since it was relabelled; empty: its code."""
    made: dt.date | None = None
    is_controlled: bool = False

    @property
    def is_final(self) -> bool:
        return self.state in FINAL

    @property
    def is_on_the_way(self) -> bool:
        """Issued by one place and not received by the other, even if it was frozen meanwhile."""
        return (self.before if self.state is State.FROZEN else self.state) is State.IN_TRANSIT
