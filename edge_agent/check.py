"""What this agent believes right now: its own facts first (overlay), then central's state (replica)."""

from collections.abc import Callable, Collection, Iterable

import msgspec

from edge_agent.store.overlay import Overlay, as_json
from edge_agent.store.replica import Replica
from sync_protocol.codeform import Code
from sync_protocol.documents import (
    OPEN_ORDERS,
    CountSheet,
    DeliveryNote,
    NoteState,
    Order,
    OrderState,
    Person,
    Product,
    Route,
    Transfer,
    TransferState,
)
from sync_protocol.items import Item, Kind, State

_ITEM = "SELECT body FROM item WHERE code = ?"
_ITEMS = "SELECT code, body FROM item WHERE code IN (SELECT value FROM json_each(?))"
_AT = (
    "SELECT code, body FROM item WHERE place IN (SELECT id FROM place WHERE location = ?"
    " AND state IN (SELECT value FROM json_each(?)) AND (? = '' OR product = ?) AND (? = '' OR kind = ?))"
    " AND code > ? ORDER BY code LIMIT ?"
)
_ENDING = (
    "SELECT code, body FROM item WHERE place IN (SELECT id FROM place WHERE location = ?"
    " AND state IN (SELECT value FROM json_each(?))) AND code LIKE '%' || ? ORDER BY code"
)
_PLACES = "SELECT DISTINCT location FROM place WHERE location <> '' ORDER BY location"
_SHEETS = "SELECT body FROM count_sheet WHERE is_open ORDER BY id"
_KEPT_AT = (
    "SELECT DISTINCT product, kind FROM place WHERE location = ? AND state IN (SELECT value FROM json_each(?))"
    " AND EXISTS (SELECT 1 FROM item WHERE item.place = place.id)"
)
_OF_ORDER = "SELECT code, body FROM item WHERE order_id = ? AND order_id <> '' ORDER BY code"
_ORDER = "SELECT body FROM orders WHERE id = ?"
_ORDERS = (
    "SELECT body FROM orders WHERE location = ? AND route = ? AND state IN (SELECT value FROM json_each(?))"
    " ORDER BY ordered_us, id LIMIT ?"
)
_RECENT = (
    "SELECT body FROM orders WHERE location = ? AND route = ? AND state IN (SELECT value FROM json_each(?))"
    " ORDER BY ordered_us DESC, id LIMIT ?"
)
_NOTE = "SELECT body FROM note WHERE id = ?"
_NOTES = "SELECT body FROM note WHERE location = ? AND state = ? ORDER BY id"
_TRANSFER = "SELECT body FROM transfer WHERE id = ?"
_TRANSFERS = (
    "SELECT body FROM transfer WHERE state IN (SELECT value FROM json_each(?)) AND ? IN (source, target)"
    " ORDER BY asked_us, id LIMIT ?"
)
_PRODUCT = "SELECT body FROM product WHERE id = ?"
_PRODUCT_OF = (
    "SELECT body FROM product JOIN product_code ON product.id = product_code.product WHERE product_code.code = ?"
)
_PERSON = "SELECT body FROM person WHERE id = ?"
_BADGE = "SELECT body FROM person WHERE badge = ? AND badge <> ''"
_PAGE = 256
MOST_ORDERS = 500
MOST_TRANSFERS = 200

_item = msgspec.msgpack.Decoder(Item).decode
_order = msgspec.msgpack.Decoder(Order).decode
_note = msgspec.msgpack.Decoder(DeliveryNote).decode
_transfer = msgspec.msgpack.Decoder(Transfer).decode
_sheet = msgspec.msgpack.Decoder(CountSheet).decode
_product = msgspec.msgpack.Decoder(Product).decode
_person = msgspec.msgpack.Decoder(Person).decode


class Stock:
    """Reads only. Every method raises StoreError if a disk fails."""

    def __init__(self, overlay: Overlay, replica: Replica, now_us: Callable[[], int]) -> None:
        self._overlay = overlay
        self._replica = replica
        self._now_us = now_us

    @property
    def version(self) -> int:
        """Ledger version of the replica that answers are read from."""
        return self._replica.version

    @property
    def shows_own_facts(self) -> bool:
        """Of some items the replica does not show yet what was done here."""
        return not self._overlay.is_empty

    @property
    def age_s(self) -> float | None:
        """Seconds since central last said that the replica is up to date; None: it never did."""
        as_of_us = self._replica.as_of_us
        return max(0.0, (self._now_us() - as_of_us) / 1e6) if as_of_us else None

    def item(self, code: str) -> Item | None:
        touched = self._overlay.item(code)
        if touched is not None:
            return touched
        rows = self._replica.query(_ITEM, code)
        return _item(rows[0][0]) if rows else None

    def items(self, codes: Collection[str]) -> dict[str, Item]:
        """Those of many items that are known, by code: two statements for all of them."""
        if len(codes) == 1:
            (code,) = codes
            item = self.item(code)
            return {code: item} if item else {}
        found = self._overlay.items(codes)
        wanted = as_json(code for code in codes if code not in found)
        found.update((code, _item(body)) for code, body in self._replica.query(_ITEMS, wanted))
        return found

    def items_at(
        self, location: str, *, states: Collection[State], product: str = "", kind: Kind | None = None, limit: int
    ) -> list[Item]:
        """Items of a place by code, at most ``limit``."""
        own = self._overlay.at(location, states=states, product=product, kind=kind, limit=limit)
        found: list[Item] = []
        after = ""
        kind_name = kind or ""
        # Each statement sorts the whole place. A second one only makes up for rows that the overlay hides.
        page = max(limit, _PAGE)
        while len(found) < limit:
            rows = self._replica.query(
                _AT, location, as_json(states), product, product, kind_name, kind_name, after, page
            )
            found += self._untouched(rows)
            if len(rows) < page:
                break
            after = rows[-1][0]
        return sorted(own + found, key=lambda item: item.code)[:limit]

    def items_ending(self, location: str, ending: str, *, states: Collection[State], limit: int) -> list[Item]:
        """Items of a place whose codes end like this, by code, at most ``limit``. ``ending``: letters and digits."""
        own = self._overlay.ending(location, ending, states=states, limit=limit)
        found = self._untouched(self._replica.query(_ENDING, location, as_json(states), ending))
        return sorted(own + found, key=lambda item: item.code)[:limit]

    def own_items_at(self, location: str, *, states: Collection[State], limit: int) -> list[Item]:
        """Only those that this place's own facts brought there, as long as central has not said so."""
        return self._overlay.at(location, states=states, limit=limit)

    def items_of_order(self, order_id: str) -> list[Item]:
        """Items locked to an order or dispensed for it, by code."""
        own = self._overlay.of_order(order_id)
        return sorted(own + self._untouched(self._replica.query(_OF_ORDER, order_id)), key=lambda item: item.code)

    def order(self, order_id: str) -> Order | None:
        rows = self._replica.query(_ORDER, order_id)
        return self._believed_order(_order(rows[0][0])) if rows else None

    def orders(
        self, *, location: str, route: Route, states: Collection[OrderState], limit: int = MOST_ORDERS
    ) -> list[Order]:
        """Oldest first. An order that was dispensed here counts as dispensed before central has said so."""
        live = set(states) | (set(OPEN_ORDERS) if states else set())
        rows = self._replica.query(_ORDERS, location, route, as_json(live), limit)
        believed = (self._believed_order(_order(body)) for (body,) in rows)
        return [order for order in believed if order.state in states]

    def recent_orders(self, *, location: str, limit: int) -> list[Order]:
        """Orders of this place that were not cancelled, open or done, by whatever machine: the newest first."""
        states = as_json(state for state in OrderState if state is not OrderState.CANCELLED)
        rows = [row for route in Route for row in self._replica.query(_RECENT, location, route, states, limit)]
        orders = sorted((_order(body) for (body,) in rows), key=lambda order: order.ordered_us, reverse=True)
        return orders[:limit]

    def wards(self, *, location: str) -> list[str]:
        """Wards of the orders of late, by name."""
        orders = self.recent_orders(location=location, limit=MOST_ORDERS)
        return sorted({order.ward for order in orders if order.ward})

    def places(self) -> list[str]:
        """Every place that something is or was booked at, by name."""
        return [place for (place,) in self._replica.query(_PLACES)]

    def sheets(self) -> list[CountSheet]:
        """Open stocktakes, the oldest first."""
        return [_sheet(body) for (body,) in self._replica.query(_SHEETS)]

    def kept_at(self, location: str, *, states: Collection[State]) -> set[tuple[str, Kind]]:
        """Products and kinds of what is booked at a place; also one that has just been booked away here."""
        rows = self._replica.query(_KEPT_AT, location, as_json(states))
        return {(product, Kind(kind)) for product, kind in rows} | self._overlay.kept_at(location, states=states)

    def note(self, note_id: str) -> DeliveryNote | None:
        rows = self._replica.query(_NOTE, note_id)
        return self._believed_note(_note(rows[0][0])) if rows else None

    def notes(self, *, location: str, state: NoteState) -> list[DeliveryNote]:
        """A note that was received here counts as received before central has said so."""
        stored = [state] if state is NoteState.EXPECTED else list(NoteState)
        rows = [row for each in stored for row in self._replica.query(_NOTES, location, each)]
        return [note for note in (self._believed_note(_note(body)) for (body,) in rows) if note.state is state]

    def transfer(self, transfer_id: str) -> Transfer | None:
        """A requisition or transfer as central said it last: what was issued here since then is not in it."""
        rows = self._replica.query(_TRANSFER, transfer_id)
        return _transfer(rows[0][0]) if rows else None

    def transfers(self, *, location: str, states: Collection[TransferState]) -> list[Transfer]:
        """Those to and from a place, oldest first."""
        rows = self._replica.query(_TRANSFERS, as_json(states), location, MOST_TRANSFERS)
        return [_transfer(body) for (body,) in rows]

    def product(self, product_id: str) -> Product | None:
        rows = self._replica.query(_PRODUCT, product_id)
        return _product(rows[0][0]) if rows else None

    def product_of(self, code: Code) -> Product | None:
        """The catalogue entry that a code's own data names."""
        for key in (code.drug_id, code.gtin, code.di):
            rows = self._replica.query(_PRODUCT_OF, key) if key else []
            if rows:
                return _product(rows[0][0])
        return None

    def person(self, person_id: str) -> Person | None:
        rows = self._replica.query(_PERSON, person_id)
        return _person(rows[0][0]) if rows else None

    def person_of_badge(self, badge: str) -> Person | None:
        rows = self._replica.query(_BADGE, badge)
        return _person(rows[0][0]) if rows else None

    def _untouched(self, rows: Iterable[tuple[str, bytes]]) -> list[Item]:
        """Replica rows that no overlay row hides."""
        bodies = dict(rows)
        hidden = self._overlay.known(bodies) if bodies else set()
        return [_item(body) for code, body in bodies.items() if code not in hidden]

    def _believed_order(self, order: Order) -> Order:
        if order.state in {OrderState.DISPENSED, OrderState.CANCELLED}:
            return order
        issued = sum(item.state is State.DISPENSED for item in self._overlay.of_order(order.id))
        if issued == 0:
            return order
        issued = sum(item.state is State.DISPENSED for item in self.items_of_order(order.id))
        is_done = issued >= order.quantity
        return msgspec.structs.replace(order, state=OrderState.DISPENSED) if is_done else order

    def _believed_note(self, note: DeliveryNote) -> DeliveryNote:
        """A note is received once none of its codes is expected, by what this place did and by what central said."""
        if note.state is NoteState.RECEIVED or not self._overlay.known(note.codes):
            return note
        is_open = any(item.state is State.EXPECTED for item in self.items(note.codes).values())
        return note if is_open else msgspec.structs.replace(note, state=NoteState.RECEIVED)
