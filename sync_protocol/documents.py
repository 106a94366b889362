"""Documents and master data that central keeps and agents copy: orders, notes, transfers, count sheets, people."""

import datetime as dt
from enum import StrEnum

import msgspec

from sync_protocol.items import Item, Kind


class Route(StrEnum):
    """Which workplace hands a product out."""

    STATION = "station"
    PACKAGER = "packager"
    CABINET = "cabinet"


class Product(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A catalogue entry. ``units`` is 1 for a whole-box drug (采集药) and a piece, more for a split drug (匹配药)."""

    id: str
    name: str
    """Name in Chinese, as printed on the box."""
    name_en: str
    spec: str
    kind: Kind
    units: int = 1
    unit_name: str = "盒"
    route: Route = Route.STATION
    is_controlled: bool = False
    is_prescription: bool = True
    drug_ids: tuple[str, ...] = ()
    """Drug identification codes: the first seven digits of its trace codes."""
    gtins: tuple[str, ...] = ()
    insurance_code: str = ""
    """医保目录编码, med_list_codg."""
    hospital_code: str = ""
    """定点医药机构目录编号, fixmedins_hilist_id."""
    box_price: str = "0"
    """Yuan, a decimal number as text."""
    maker: str = ""

    @property
    def is_split(self) -> bool:
        return self.kind is Kind.BOX and self.units > 1


class OrderKind(StrEnum):
    LONG_TERM = "long_term"
    STAT = "stat"
    DISCHARGE = "discharge"


BY_URGENCY = (OrderKind.STAT, OrderKind.DISCHARGE, OrderKind.LONG_TERM)


class OrderState(StrEnum):
    WAITING = "waiting"
    PART_LOCKED = "part_locked"
    LOCKED = "locked"
    DISPENSED = "dispensed"
    CANCELLED = "cancelled"


OPEN_ORDERS = (OrderState.WAITING, OrderState.PART_LOCKED, OrderState.LOCKED)


class Order(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One order line: one product for one patient. ``codes`` are the items locked to it or dispensed for it."""

    id: str
    kind: OrderKind
    product: str
    quantity: int
    """Units of a split drug, boxes of a whole-box drug."""
    patient: str
    """Pseudonym; names stay in the hospital system."""
    visit: str
    ward: str
    location: str
    route: Route
    state: OrderState
    ordered_us: int
    prescriber: str = ""
    codes: tuple[str, ...] = ()
    is_self_pay: bool = False
    """No insurer pays for it, so none is told of what it got."""


class NoteState(StrEnum):
    EXPECTED = "expected"
    RECEIVED = "received"


class NoteLine(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    product: str
    lot: str
    expiry: dt.date
    made: dt.date | None
    codes: tuple[str, ...]


class Pack(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """An outer pack, a case or a bundle, and every box in it: ``boxes`` by their places in ``DeliveryNote.codes``.

    ``extra``: boxes that are in it and not on the note.
    """

    code: str
    boxes: tuple[int, ...]
    extra: tuple[str, ...] = ()


class DeliveryNote(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What a supplier says is on its way to one location."""

    id: str
    supplier: str
    location: str
    kind: Kind
    state: NoteState
    lines: tuple[NoteLine, ...]
    packs: tuple[Pack, ...] = ()
    """As the supplier or the code platform said; none: each box is scanned."""

    @property
    def codes(self) -> tuple[str, ...]:
        return tuple(code for line in self.lines for code in line.codes)


class TransferKind(StrEnum):
    REQUISITION = "requisition"
    """请领: a place asks the store one level up."""
    TRANSFER = "transfer"
    """调拨: between places of one level."""


class TransferState(StrEnum):
    ASKED = "asked"
    PART_ISSUED = "part_issued"
    ISSUED = "issued"
    """Nothing more is to be issued, and not all has arrived."""
    DONE = "done"
    CANCELLED = "cancelled"


OPEN_TRANSFERS = (TransferState.ASKED, TransferState.PART_ISSUED)
"""Something is still to be issued."""


class TransferLine(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """``quantity`` items of ``kind`` were asked for; 0: nobody asked. ``codes``: issued so far, by the ledger."""

    product: str
    kind: Kind
    quantity: int
    codes: tuple[str, ...] = ()

    @property
    def open(self) -> int:
        """How many are still to be issued."""
        return max(0, self.quantity - len(self.codes))


class Transfer(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A requisition or a transfer: what ``source`` is to issue to ``target``. ``is_closed``: nothing more of it."""

    id: str
    kind: TransferKind
    source: str
    target: str
    state: TransferState
    lines: tuple[TransferLine, ...]
    asked_us: int
    asked_by: str
    is_closed: bool = False

    @property
    def codes(self) -> tuple[str, ...]:
        return tuple(code for line in self.lines for code in line.codes)

    @property
    def is_full(self) -> bool:
        return self.is_closed or not any(line.open for line in self.lines)

    def has_on_the_way(self, item: Item) -> bool:
        return item.document == self.id and item.is_on_the_way

    def follow(self, *, on_the_way: int) -> "Transfer":
        """With the state that its codes make it, ``on_the_way`` of which have not arrived."""
        if not self.is_full:
            state = TransferState.PART_ISSUED if self.codes else TransferState.ASKED
        elif on_the_way:
            state = TransferState.ISSUED
        else:
            state = TransferState.DONE if self.codes else TransferState.CANCELLED
        return msgspec.structs.replace(self, state=state)


class CountLine(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One product in one form at one place that is still to be counted. ``counted_by``: who must not count it again."""

    location: str
    product: str
    kind: Kind
    counted_by: tuple[str, ...] = ()


class CountSheet(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A stocktake as workplaces know it: blind, without any figure. ``lines``: those that are still to be counted."""

    id: str
    is_open: bool
    lines: tuple[CountLine, ...] = ()


class Person(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A member of staff. ``pin`` is an argon2 verifier; a person without one cannot sign in with a PIN."""

    id: str
    name: str
    badge: str = ""
    pin: str = ""
    is_active: bool = True
