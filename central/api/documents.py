"""The documents as callers write and read them: JSON objects with the field names of ``sync_protocol.documents``."""

import datetime as dt
from typing import Annotated

import msgspec

from central.ledger.read_rows import AgentRow, Event, ExceptionRow, InsurerRow
from central.stock.places import Level
from central.stock.places import Place as HousePlace
from sync_protocol.documents import (
    DeliveryNote,
    NoteLine,
    NoteState,
    Order,
    OrderKind,
    OrderState,
    Person,
    Product,
    Route,
)
from sync_protocol.facts import MAX_CODES, MAX_UNITS
from sync_protocol.items import Item, Kind, State

_PRINTABLE = r"^[^\u0000-\u001f\u007f]*$"
Key = Annotated[str, msgspec.Meta(min_length=1, max_length=128, pattern=_PRINTABLE)]
"""An identifier: 1 to 128 characters, none of them a control character."""
Text = Annotated[str, msgspec.Meta(max_length=256, pattern=_PRINTABLE)]
Price = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,9}(\.[0-9]{1,4})?$")]
DrugId = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{7}$")]
Gtin = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{14}$")]
Place = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
"""A place in a list that is numbered."""
Microseconds = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
"""UTC microseconds since 1970."""
CodeText = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
"""A code as read or canonical. GS1 data holds separators, so control characters are judged by the code's parser."""
Codes = Annotated[tuple[CodeText, ...], msgspec.Meta(min_length=1, max_length=MAX_CODES)]


class ProductDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A catalogue entry. ``units`` above 1 makes a drug a split drug (匹配药): units of a box."""

    id: Key
    name: Key
    name_en: Text = ""
    spec: Text = ""
    kind: Kind
    units: Annotated[int, msgspec.Meta(ge=1, le=MAX_UNITS)] = 1
    unit_name: Text = "盒"
    route: Route = Route.STATION
    is_controlled: bool = False
    is_prescription: bool = True
    drug_ids: tuple[DrugId, ...] = ()
    gtins: tuple[Gtin, ...] = ()
    insurance_code: Text = ""
    hospital_code: Text = ""
    box_price: Price = "0"
    maker: Text = ""

    def to_product(self) -> Product:
        return Product(**msgspec.structs.asdict(self))


class PersonDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A member of staff. ``pin`` is the PIN itself, kept only as its argon2 verifier; empty: no sign-in by PIN."""

    id: Key
    name: Key
    badge: Text = ""
    pin: Annotated[str, msgspec.Meta(pattern=r"^([0-9]{4,12})?$")] = ""
    is_active: bool = True

    def to_person(self) -> Person:
        return Person(**msgspec.structs.asdict(self))


class Products(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    products: Annotated[tuple[ProductDocument, ...], msgspec.Meta(min_length=1, max_length=5_000)]


class People(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    people: Annotated[tuple[PersonDocument, ...], msgspec.Meta(min_length=1, max_length=500)]


class PlaceDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where stock lies. ``level`` 1: drug store, 2: pharmacy, 3: bin area or cabinet; ``parent``: one level up."""

    id: Key
    name: Key
    name_en: Text = ""
    level: Level
    parent: Text = ""

    def to_place(self) -> HousePlace:
        return HousePlace(**msgspec.structs.asdict(self))


class Places(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    places: Annotated[tuple[PlaceDocument, ...], msgspec.Meta(min_length=1, max_length=1_000)]


class Changed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many entries were new or other than before."""

    changed: int


class NoteLineDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    product: Key
    lot: Key
    expiry: dt.date
    made: dt.date | None = None
    codes: Codes

    def to_line(self) -> NoteLine:
        return NoteLine(**msgspec.structs.asdict(self))


class NoteDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a supplier says is on its way to one location. ``state`` is central's: it may be left out."""

    id: Key
    supplier: Key
    location: Key
    kind: Kind
    state: NoteState = NoteState.EXPECTED
    lines: Annotated[tuple[NoteLineDocument, ...], msgspec.Meta(min_length=1, max_length=500)]

    def to_note(self) -> DeliveryNote:
        fields = msgspec.structs.asdict(self)
        return DeliveryNote(**fields | {"state": NoteState.EXPECTED, "lines": tuple(x.to_line() for x in self.lines)})

    @classmethod
    def of(cls, note: DeliveryNote) -> "NoteDocument":
        lines = tuple(NoteLineDocument(**msgspec.structs.asdict(line)) for line in note.lines)
        return cls(
            id=note.id, supplier=note.supplier, location=note.location, kind=note.kind, state=note.state, lines=lines
        )


class UsageDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Taken pieces were used for a patient: the hospital's issue message."""

    id: Key
    codes: Codes
    order: Text = ""
    patient: Key
    operator: Text = ""
    wall_us: Microseconds


class OrderDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One order line: one product for one patient. ``codes`` are locked to it or dispensed for it."""

    id: str
    kind: OrderKind
    product: str
    quantity: int
    patient: str
    visit: str
    ward: str
    location: str
    route: Route
    state: OrderState
    ordered_us: int
    prescriber: str
    codes: tuple[str, ...]
    is_self_pay: bool
    version: int
    """Ledger version of its last change."""

    @classmethod
    def of(cls, order: Order, version: int) -> "OrderDocument":
        return cls(**msgspec.structs.asdict(order), version=version)


class ItemDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A box, a unit or a piece as the ledger has it."""

    code: str
    kind: Kind
    product: str
    lot: str
    expiry: dt.date
    state: State
    location: str
    document: str
    order: str
    holder: str
    box: str
    units: int
    pouch: str
    before: State | None
    tag: str
    made: dt.date | None
    is_controlled: bool
    version: int

    @classmethod
    def of(cls, item: Item, version: int) -> "ItemDocument":
        return cls(**msgspec.structs.asdict(item), version=version)


class Timeline(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The life of one code, oldest first. A unit's begins with the life of its box."""

    item: ItemDocument
    events: tuple[Event, ...]
    next: int | None
    """``after`` of the next page; null: this was the last."""


class Items(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    items: tuple[ItemDocument, ...]
    next: str | None
    """``after`` of the next page; null: this was the last."""


class Orders(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    orders: tuple[OrderDocument, ...]
    next: str | None


class Exceptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    exceptions: tuple[ExceptionRow, ...]
    next: int | None


class Agents(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    agents: tuple[AgentRow, ...]
    version: int


class InsurerRows(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    rows: tuple[InsurerRow, ...]
    next: int | None
