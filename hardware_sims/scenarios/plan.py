"""What one morning needs, drawn from a seed: packages with their labels, delivery notes, orders, staff.

The seed decides lots, serials, patients and quantities. Which steps are played is the scenario's and always the same.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from itertools import cycle
from random import Random

import msgspec

from hardware_sims.catalogue import CATALOGUE, Good, Role, Symbol, gs1_label, national_label, of_role, piece_epc
from hardware_sims.truth import Box, OrderLine, Piece, Truth

PHARMACY = "pharmacy"
CATH_LAB = "cath-lab"
DRUG_NOTE = "SN-YP-0001"
PIECE_NOTES = ("SN-HC-0001", "SN-HC-0002")
PIECES_IN_NOTES = (24, 16)

_BOXES = {Role.STATION: 5, Role.LATE: 1, Role.PACKAGER: 4, Role.WHOLE: 4}
_BOXES_OF_A_LOT = 3
_WARDS = ("心内科一病区", "呼吸内科病区", "普外科二病区", "神经内科病区", "急诊观察室")
_DOCTORS = ("周文斌", "陈立新", "许佳宁", "郑海波")


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One of the staff. The PINs are for the demo only."""

    id: str
    name: str
    badge: str
    pin: str
    role: str


STAFF = (
    Member(id="YP01", name="李晓燕", badge="0006120001", pin="2468", role="药师 pharmacist, station"),
    Member(id="YP02", name="王志强", badge="0006120002", pin="1357", role="药师 pharmacist, console"),
    Member(id="HS01", name="张敏", badge="0006120003", pin="8642", role="护士 nurse, cabinet"),
    Member(id="HS02", name="刘洋", badge="0006120004", pin="7531", role="护士 nurse, cabinet"),
)


class Waves(msgspec.Struct, frozen=True, kw_only=True):
    """Order lines by when they come and what becomes of them."""

    early: tuple[OrderLine, ...]
    during_outage: tuple[OrderLine, ...]
    after: tuple[OrderLine, ...]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The morning before it begins; ``truth`` is what then changes."""

    seed: int
    truth: Truth
    expired: str
    """Code of a box in the delivery that was expired on arrival."""
    notes: tuple[dict[str, object], ...]
    waves: Waves

    @property
    def products(self) -> list[dict[str, object]]:
        return [good.entry() for good in CATALOGUE]

    @property
    def people(self) -> list[dict[str, object]]:
        return [
            {"id": one.id, "name": one.name, "badge": one.badge, "pin": one.pin, "is_active": True} for one in STAFF
        ]

    def boxes_of(self, roles: Iterable[Role]) -> list[Box]:
        """Boxes that can be used, in the order of their products."""
        wanted = {good.id for role in roles for good in of_role(role)}
        return [box for box in self.truth.boxes.values() if box.product in wanted and box.code != self.expired]

    def pieces_of_note(self, number: int) -> list[Piece]:
        pieces = list(self.truth.pieces.values())
        start = sum(PIECES_IN_NOTES[:number])
        return pieces[start : start + PIECES_IN_NOTES[number]]


def draw(seed: int, *, today: dt.date) -> Plan:
    random = Random(f"morning {seed}")
    truth = Truth()
    boxes = [
        box
        for role, count in _BOXES.items()
        for good in of_role(role)
        for box in boxes_of_good(good, count, today, random)
    ]
    station = of_role(Role.STATION)[0]
    (expired,) = boxes_of_good(station, 1, today, random, is_expired=True)
    truth.boxes = {box.code: box for box in [*boxes, expired]}
    pieces = [_piece(number, today, random) for number in range(sum(PIECES_IN_NOTES))]
    truth.pieces = {piece.code: piece for piece in pieces}
    waves = _orders(random)
    truth.orders = {line.id: line for wave in (waves.early, waves.during_outage, waves.after) for line in wave}
    first, second = pieces[: PIECES_IN_NOTES[0]], pieces[PIECES_IN_NOTES[0] :]
    notes = (
        delivery_note(DRUG_NOTE, "国药控股股份有限公司", PHARMACY, "box", list(truth.boxes.values())),
        delivery_note(PIECE_NOTES[0], "华润医疗器械有限公司", CATH_LAB, "piece", first),
        delivery_note(PIECE_NOTES[1], "华润医疗器械有限公司", CATH_LAB, "piece", second),
    )
    return Plan(seed=seed, truth=truth, expired=expired.code, notes=notes, waves=waves)


class _Lot(msgspec.Struct, frozen=True, kw_only=True):
    number: str
    made: dt.date
    expiry: dt.date


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """A small delivery later in the day, and orders that it is enough for."""

    note: dict[str, object]
    boxes: tuple[Box, ...]
    orders: tuple[OrderLine, ...]


def draw_delivery(seed: int, number: int, *, today: dt.date) -> Delivery:
    """The ``number``-th delivery (from 1) after the morning of a seed."""
    random = Random(f"delivery {seed} {number}")
    goods = random.sample(of_role(Role.STATION), k=2)
    boxes = tuple(box for good in goods for box in boxes_of_good(good, 2, today, random))
    desk = Desk(random, series=f"YZ{number:04d}-")
    orders = tuple(desk.line(good, random.randint(1, 3)) for good in goods for _ in range(2))
    note = delivery_note(f"SN-YP-{number + 1:04d}", "国药控股股份有限公司", PHARMACY, "box", boxes)
    return Delivery(note=note, boxes=boxes, orders=orders)


def boxes_of_good(
    good: Good, count: int, today: dt.date, random: Random, *, location: str = PHARMACY, is_expired: bool = False
) -> list[Box]:
    """Boxes of one product, three of a lot."""
    lots = [_lot(today, random, is_expired=is_expired) for _ in range(0, count, _BOXES_OF_A_LOT)]
    return [_box(good, lots[number // _BOXES_OF_A_LOT], random, location) for number in range(count)]


def _lot(today: dt.date, random: Random, *, is_expired: bool) -> _Lot:
    made = today - dt.timedelta(days=random.randrange(120, 360))
    number = f"{made:%y%m}{random.randrange(1000):03d}{random.choice('ABCDEF')}"
    expiry = today - dt.timedelta(days=1) if is_expired else made + dt.timedelta(days=random.randrange(900, 1100))
    return _Lot(number=number, made=made, expiry=expiry)


def _box(good: Good, lot: _Lot, random: Random, location: str) -> Box:
    is_gs1 = good.symbol is Symbol.GS1
    label = gs1_label(good, lot.number, lot.expiry, random) if is_gs1 else national_label(good, random)
    return Box(
        code=label.code,
        symbol=label.symbol,
        product=good.id,
        lot=lot.number,
        expiry=lot.expiry,
        made=lot.made,
        content=good.units,
        location=location,
    )


def _piece(number: int, today: dt.date, random: Random) -> Piece:
    goods = of_role(Role.CABINET)
    made = today - dt.timedelta(days=random.randrange(60, 300))
    return Piece(
        code=piece_epc(1_000_000 + random.randrange(1000) * 1000 + number),
        product=goods[number % len(goods)].id,
        lot=f"HC{made:%y%m%d}",
        expiry=made + dt.timedelta(days=730),
        made=made,
        location=CATH_LAB,
    )


def delivery_note(
    note_id: str, supplier: str, location: str, kind: str, things: Sequence[Box] | Sequence[Piece]
) -> dict[str, object]:
    lines: dict[tuple[str, str, dt.date, dt.date], list[str]] = {}
    for thing in things:
        lines.setdefault((thing.product, thing.lot, thing.expiry, thing.made), []).append(thing.code)
    return {
        "id": note_id,
        "supplier": supplier,
        "location": location,
        "kind": kind,
        "lines": [
            {
                "product": product,
                "lot": lot,
                "expiry": expiry.isoformat(),
                "made": made.isoformat(),
                "codes": codes,
            }
            for (product, lot, expiry, made), codes in lines.items()
        ],
    }


class Desk:
    """Writes order lines with running numbers."""

    def __init__(self, random: Random, *, series: str = "YZ", location: str = PHARMACY) -> None:
        self._random = random
        self._series = series
        self._location = location
        self._kinds = cycle(("long_term", "long_term", "stat", "discharge"))
        self._written = 0

    def line(self, good: Good, quantity: int) -> OrderLine:
        self._written += 1
        patient = self._random.randrange(100_000)
        return OrderLine(
            id=f"{self._series}{self._written:06d}",
            kind=next(self._kinds),
            product=good.id,
            quantity=quantity,
            patient=f"p{patient:05d}",
            visit=f"ZY{patient:05d}01",
            ward=self._random.choice(_WARDS),
            location=self._location,
            prescriber=self._random.choice(_DOCTORS),
        )

    def lines(self, role: Role, count: int, *, most: int) -> list[OrderLine]:
        goods = cycle(of_role(role))
        return [self.line(next(goods), self._random.randint(1, most)) for _ in range(count)]


def _orders(random: Random) -> Waves:
    """84 lines: 55 before the outage, 20 while it lasts, 9 when all is well again."""
    desk = Desk(random)
    early = [
        *desk.lines(Role.STATION, 25, most=3),
        *desk.lines(Role.PACKAGER, 18, most=3),
        *desk.lines(Role.WHOLE, 8, most=1),
        *(desk.line(good, 2) for good in of_role(Role.LATE)),
        desk.line(of_role(Role.STATION)[0], 4),
    ]
    during_outage = [
        *desk.lines(Role.STATION, 10, most=2),
        *desk.lines(Role.PACKAGER, 6, most=2),
        *desk.lines(Role.WHOLE, 4, most=1),
    ]
    after = [*desk.lines(Role.STATION, 5, most=2), *desk.lines(Role.WHOLE, 4, most=1)]
    return Waves(early=tuple(early), during_outage=tuple(during_outage), after=tuple(after))
