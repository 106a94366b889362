"""What really is where: the simulated hospital's shelves, hands and patients. No program of codepool sees it.

It only obeys physics: a box opens once, a box that holds three units gives three. What staff do goes in here first.
"""

import datetime as dt
from collections import Counter
from enum import StrEnum
from pathlib import Path

import msgspec


class Spot(StrEnum):
    """Where a package or a piece lies."""

    SUPPLIER = "supplier"
    STOCK = "stock"
    OPEN = "open"
    HAND = "hand"
    PATIENT = "patient"


class PhysicsError(Exception):
    """Staff or a machine were told to do what cannot be done."""


class Box(msgspec.Struct, kw_only=True):
    """One box. ``left`` units are in it once it is open; ``given`` says how many went to which order line."""

    code: str
    symbol: bytes
    product: str
    lot: str
    expiry: dt.date
    made: dt.date
    content: int
    location: str
    spot: Spot = Spot.SUPPLIER
    left: int = 0
    order: str = ""
    given: dict[str, int] = {}


class Piece(msgspec.Struct, kw_only=True):
    code: str
    product: str
    lot: str
    expiry: dt.date
    made: dt.date
    location: str
    spot: Spot = Spot.SUPPLIER
    holder: str = ""


class OrderLine(msgspec.Struct, frozen=True, kw_only=True):
    """What a doctor ordered."""

    id: str
    kind: str
    product: str
    quantity: int
    patient: str
    visit: str
    ward: str
    location: str
    prescriber: str


class Truth(msgspec.Struct, kw_only=True):
    """Boxes and pieces by code, orders by id."""

    boxes: dict[str, Box] = {}
    pieces: dict[str, Piece] = {}
    orders: dict[str, OrderLine] = {}

    def deliver(self, code: str) -> None:
        """The box stands on its shelf, or the piece lies in its cabinet."""
        thing = self._thing(code)
        self._must(code, thing.spot, Spot.SUPPLIER)
        thing.spot = Spot.STOCK

    def open_box(self, code: str) -> None:
        box = self._box(code)
        self._must(code, box.spot, Spot.STOCK)
        box.spot, box.left = Spot.OPEN, box.content

    def give_units(self, code: str, order: str, quantity: int) -> None:
        box = self._box(code)
        self._must(code, box.spot, Spot.OPEN)
        if quantity > box.left:
            raise PhysicsError(f"box {code}: {quantity} units were to be taken out, only {box.left} are left")
        box.left -= quantity
        box.given[order] = box.given.get(order, 0) + quantity

    def give_box(self, code: str, order: str) -> None:
        box = self._box(code)
        self._must(code, box.spot, Spot.STOCK)
        box.spot, box.order = Spot.PATIENT, order

    def take_piece(self, code: str, person: str) -> None:
        piece = self._piece(code)
        self._must(code, piece.spot, Spot.STOCK)
        piece.spot, piece.holder = Spot.HAND, person

    def put_back_piece(self, code: str) -> None:
        piece = self._piece(code)
        self._must(code, piece.spot, Spot.HAND)
        piece.spot, piece.holder = Spot.STOCK, ""

    def use_piece(self, code: str) -> None:
        piece = self._piece(code)
        self._must(code, piece.spot, Spot.HAND)
        piece.spot, piece.holder = Spot.PATIENT, ""

    def handed_out(self, order: str) -> int:
        """Units, or boxes of a whole-box drug, that the patient of an order line got."""
        units = sum(box.given.get(order, 0) for box in self.boxes.values())
        return units + sum(1 for box in self.boxes.values() if box.order == order)

    def pieces_at(self, spot: Spot) -> list[str]:
        return sorted(code for code, piece in self.pieces.items() if piece.spot is spot)

    def given_units(self) -> Counter[str]:
        """Units that left each box."""
        return Counter({code: sum(box.given.values()) for code, box in self.boxes.items() if box.given})

    def save(self, path: Path) -> None:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self)))

    @classmethod
    def load(cls, path: Path) -> "Truth":
        return msgspec.json.decode(path.read_bytes(), type=cls)

    def _thing(self, code: str) -> Box | Piece:
        return self.boxes[code] if code in self.boxes else self._piece(code)

    def _box(self, code: str) -> Box:
        if code not in self.boxes:
            raise PhysicsError(f"there is no box {code}")
        return self.boxes[code]

    def _piece(self, code: str) -> Piece:
        if code not in self.pieces:
            raise PhysicsError(f"there is no piece {code}")
        return self.pieces[code]

    @staticmethod
    def _must(code: str, found: Spot, expected: Spot) -> None:
        if found is not expected:
            raise PhysicsError(f"{code} is at {found}, and was to be found at {expected}")
