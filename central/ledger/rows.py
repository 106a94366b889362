"""Rows of the ledger's tables as records of the shared language, and back. By hand: this is the hot path."""

import datetime as dt
import functools
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from sync_protocol.documents import (
    CountSheet,
    DeliveryNote,
    NoteLine,
    NoteState,
    Order,
    OrderKind,
    OrderState,
    Pack,
    Person,
    Product,
    Route,
    Transfer,
    TransferKind,
    TransferLine,
    TransferState,
)
from sync_protocol.items import Item, Kind, State

Row = tuple[Any, ...]

_PLAIN: dict[State | None, str] = {None: "", **{state: str(state) for state in State}}
_encoder = msgspec.msgpack.Encoder()
_lines_decoder = msgspec.msgpack.Decoder(tuple[NoteLine, ...])
_packs_decoder = msgspec.msgpack.Decoder(tuple[Pack, ...])
_transfer_lines_decoder = msgspec.msgpack.Decoder(tuple[TransferLine, ...])
_items_decoder = msgspec.json.Decoder(list[tuple[Item, int, int]], strict=False)
_sheet_decoder = msgspec.msgpack.Decoder(CountSheet)
_product_decoder = msgspec.msgpack.Decoder(Product)


@functools.lru_cache(maxsize=4_096)
def date_of(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


@functools.lru_cache(maxsize=4_096)
def _text(date: dt.date) -> str:
    return date.isoformat()


def versioned_items_of(found: Iterable[Row]) -> Iterator[tuple[Item, int, int]]:
    """Item, version and last position, of what ``statements.READ_ITEMS`` and those like it find."""
    return itertools.chain.from_iterable(_items_decoder.decode(row[0]) for row in found)


def items_of(found: Iterable[Row]) -> list[Item]:
    """The items alone."""
    return [item for item, _, _ in versioned_items_of(found)]


# An enum is a text of its own class, which SQLite's driver binds at twice the cost: its rows get the plain one.
def new_item_row(item: Item, version: int, last_position: int) -> Row:
    return (
        item.code,
        str(item.kind),
        item.product,
        item.lot,
        _text(item.expiry),
        _PLAIN[item.state],
        item.location,
        item.document,
        item.order,
        item.holder,
        item.box,
        item.units,
        item.pouch,
        _PLAIN[item.before],
        item.tag,
        _text(item.made) if item.made else "",
        int(item.is_controlled),
        version,
        last_position,
    )


def stepped_item_row(item: Item, version: int, last_position: int) -> Row:
    """What ``statements.STEP_ITEM`` changes."""
    return (_PLAIN[item.state], item.holder, version, last_position, item.code)


def moved_item_row(item: Item, version: int, last_position: int) -> Row:
    """What ``statements.MOVE_ITEM`` changes."""
    state, before = _PLAIN[item.state], _PLAIN[item.before]
    return (state, item.order, item.holder, item.pouch, before, version, last_position, item.code)


def changed_item_row(item: Item, version: int, last_position: int) -> Row:
    """What ``statements.CHANGE_ITEM`` changes: all that may change in an item's life."""
    return (
        _PLAIN[item.state],
        item.order,
        item.holder,
        item.pouch,
        _PLAIN[item.before],
        item.location,
        item.document,
        item.units,
        item.tag,
        version,
        last_position,
        item.code,
    )


def order_of(row: Row, codes: tuple[str, ...]) -> Order:
    """The order of a row of ``statements.ORDER_COLUMNS``."""
    return Order(
        id=row[0],
        kind=OrderKind(row[1]),
        product=row[2],
        quantity=row[3],
        patient=row[4],
        visit=row[5],
        ward=row[6],
        location=row[7],
        route=Route(row[8]),
        state=OrderState(row[9]),
        ordered_us=row[10],
        prescriber=row[11],
        codes=codes,
        is_self_pay=bool(row[12]),
    )


def new_order_row(order: Order, placed_us: int, version: int) -> Row:
    return (
        order.id,
        order.kind,
        order.product,
        order.quantity,
        order.patient,
        order.visit,
        order.ward,
        order.location,
        order.route,
        order.state,
        order.ordered_us,
        order.prescriber,
        order.is_self_pay,
        placed_us,
        version,
    )


def note_of(row: Row) -> DeliveryNote:
    """The delivery note of a row of ``statements.NOTE_COLUMNS``."""
    return DeliveryNote(
        id=row[0],
        supplier=row[1],
        location=row[2],
        kind=Kind(row[3]),
        state=NoteState(row[4]),
        lines=_lines_decoder.decode(row[5]),
        packs=_packs_decoder.decode(row[6]),
    )


def note_row(note: DeliveryNote, version: int) -> Row:
    lines, packs = _encoder.encode(note.lines), _encoder.encode(note.packs)
    return (note.id, note.supplier, note.location, note.kind, note.state, lines, packs, version)


def transfer_of(row: Row) -> Transfer:
    """The transfer of a row of ``statements.TRANSFER_COLUMNS``."""
    return Transfer(
        id=row[0],
        kind=TransferKind(row[1]),
        source=row[2],
        target=row[3],
        state=TransferState(row[4]),
        lines=_transfer_lines_decoder.decode(row[5]),
        asked_us=row[6],
        asked_by=row[7],
        is_closed=bool(row[8]),
    )


def transfer_row(transfer: Transfer, version: int) -> Row:
    where = (transfer.id, transfer.kind, transfer.source, transfer.target, transfer.state)
    lines = _encoder.encode(transfer.lines)
    return (*where, lines, transfer.asked_us, transfer.asked_by, transfer.is_closed, version)


def count_sheet_of(body: bytes) -> CountSheet:
    return _sheet_decoder.decode(body)


def count_sheet_row(sheet: CountSheet, version: int) -> Row:
    return (sheet.id, _encoder.encode(sheet), version)


def product_of(body: bytes) -> Product:
    return _product_decoder.decode(body)


def product_row(product: Product, version: int) -> Row:
    return (
        product.id,
        _encoder.encode(product),
        product.name,
        product.name_en,
        product.spec,
        product.kind,
        product.route,
        product.units,
        product.insurance_code,
        product.hospital_code,
        product.is_controlled,
        version,
    )


def person_of(row: Row) -> Person:
    """The person of a row of ``statements.PERSON_COLUMNS``."""
    return Person(id=row[0], name=row[1], badge=row[2], pin=row[3], is_active=bool(row[4]))


def person_row(person: Person, version: int) -> Row:
    return (person.id, person.name, person.badge, person.pin, person.is_active, version)
