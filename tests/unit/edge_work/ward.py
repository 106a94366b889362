"""A small hospital for tests of the edge: its catalogue, people and stock, on the real stores of an agent."""

import datetime as dt
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import argon2

from edge_agent.check import Stock
from edge_agent.clock import Watch
from edge_agent.notify import Notifier
from edge_agent.people import People
from edge_agent.recorder import Recorder
from edge_agent.store.folder import DataFolder
from edge_agent.store.journal import Journal
from edge_agent.store.overlay import Overlay
from edge_agent.store.replica import Replica
from edge_agent.workflows.bench import Bench
from edge_agent.workflows.desk import Desk
from edge_agent.workflows.steps import Steps, steps_of
from sync_protocol.codec import decode_fact
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
from sync_protocol.epc import encode_piece
from sync_protocol.facts import Fact
from sync_protocol.items import Item, Kind, State
from sync_protocol.messages import Delta, Rows
from tests.unit.edge_core.granting import Hand

PHARMACY, CABINET = "pharmacy", "endoscopy-cabinet-1"
EXPIRY = dt.date(2028, 12, 31)
# 2026-03-02 09:00 in Shanghai.
NINE_US = 1_772_413_200_000_000
PIN = "2468"
_PIN_HASH = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PIN)

AMOXICILLIN = Product(
    id="amoxicillin",
    name="阿莫西林胶囊",
    name_en="Amoxicillin capsules",
    spec="0.25g×24粒",
    kind=Kind.BOX,
    units=24,
    unit_name="粒",
    drug_ids=("8100042",),
    gtins=("06901234567892",),
    maker="示例制药有限公司",
)
METOPROLOL = Product(
    id="metoprolol",
    name="酒石酸美托洛尔片",
    name_en="Metoprolol tartrate tablets",
    spec="25mg×20片",
    kind=Kind.BOX,
    units=20,
    unit_name="片",
    route=Route.PACKAGER,
    drug_ids=("8100077",),
)
CEFTRIAXONE = Product(
    id="ceftriaxone",
    name="注射用头孢曲松钠",
    name_en="Ceftriaxone sodium for injection",
    spec="1.0g",
    kind=Kind.BOX,
    drug_ids=("8311765",),
)
MORPHINE = Product(
    id="morphine",
    name="盐酸吗啡注射液",
    name_en="Morphine hydrochloride injection",
    spec="1mL:10mg",
    kind=Kind.BOX,
    is_controlled=True,
    drug_ids=("8400123",),
)
STENT = Product(
    id="stent",
    name="冠状动脉药物洗脱支架",
    name_en="Drug-eluting coronary stent",
    spec="3.0×18mm",
    kind=Kind.PIECE,
    unit_name="个",
    route=Route.CABINET,
)
WANG = Person(id="P001", name="王晓梅", badge="B-1001", pin=_PIN_HASH)
LI = Person(id="P002", name="李建国", badge="B-1002", pin=_PIN_HASH)
GONE = Person(id="P003", name="赵离岗", badge="B-1003", pin=_PIN_HASH, is_active=False)


class HandClock:
    """Stands still until told."""

    def __init__(self) -> None:
        self.now_us = NINE_US

    def wall_us(self) -> int:
        return self.now_us

    def mono_us(self) -> int:
        return self.now_us - NINE_US


class Ward:
    def __init__(self, path: Path, *, location: str = PHARMACY, device: str = "station-1") -> None:
        self.clock = HandClock()
        self.watch = Watch(self.clock, ZoneInfo("Asia/Shanghai"))
        self._folder = DataFolder.hold(path)
        self.journal = Journal.open(
            path / "journal.db", device=device, session=bytes(16), started_us=self.clock.wall_us()
        )
        self.replica = Replica(path / "replica.db")
        self.stock = Stock(Overlay(self.journal), self.replica, self.clock.wall_us)
        self.notifier = Notifier()
        self.hand = Hand(self.journal, self.clock)
        self.recorder = Recorder(
            journal=self.journal,
            stock=self.stock,
            watch=self.watch,
            data=self._folder,
            rights=self.hand.rights,
            location=location,
            device=device,
        )
        self.people = People(journal=self.journal, stock=self.stock, now_us=self.clock.wall_us)
        self.bench = Bench(recorder=self.recorder, stock=self.stock, notifier=self.notifier)

    def steps(self) -> Steps:
        return steps_of(self.bench)

    def desk(self, person: Person | None = WANG) -> Desk:
        desk = Desk(self.steps(), people=self.people)
        if person is not None:
            desk.sign_in(person)
        return desk

    @staticmethod
    def catalogue() -> dict[str, Any]:
        return {
            "products": (AMOXICILLIN, METOPROLOL, CEFTRIAXONE, MORPHINE, STENT),
            "people": (WANG, LI, GONE),
        }

    async def load(self, **rows: Any) -> None:
        """Take rows in as a delta of central's, which grants the items too."""
        self.hand.grant(item.code for item in rows.get("items", ()))
        version = self.replica.version
        delta = Delta(after=version, to=version + 1, rows=Rows(**rows), latest=version + 1)
        await self.replica.apply(delta, as_of_us=self.clock.wall_us())

    def facts(self) -> list[Fact]:
        """Everything in the journal, oldest first."""
        return [decode_fact(body) for (body,) in self.journal.query("SELECT body FROM fact ORDER BY position")]

    def close(self) -> None:
        self.replica.close()
        self.journal.close()
        self._folder.release()


def box_code(product: Product, serial: int) -> str:
    return f"{product.drug_ids[0]}{serial:013d}"


def box(product: Product, serial: int, state: State = State.IN_STOCK, **fields: Any) -> Item:
    given: dict[str, Any] = {
        "lot": "A2601",
        "expiry": EXPIRY,
        "location": PHARMACY,
        "document": "DN-1",
        "is_controlled": product.is_controlled,
    }
    return Item(code=box_code(product, serial), kind=Kind.BOX, product=product.id, state=state, **(given | fields))


def units(product: Product, serial: int, *, locked: int = 0, order: str = "") -> list[Item]:
    """An opened box and its units, the first ones locked to an order."""
    opened = box(product, serial, State.OPENED, units=product.units)
    made = [
        Item(
            code=f"{opened.code}#{number:03d}",
            kind=Kind.UNIT,
            product=product.id,
            lot=opened.lot,
            expiry=opened.expiry,
            state=State.LOCKED if number <= locked else State.IN_STOCK,
            location=opened.location,
            order=order if number <= locked else "",
            box=opened.code,
        )
        for number in range(1, product.units + 1)
    ]
    return [opened, *made]


def piece_code(serial: int) -> str:
    return encode_piece(17, serial)


def piece(serial: int, state: State = State.IN_STOCK, **fields: Any) -> Item:
    given: dict[str, Any] = {"location": CABINET, "document": "DN-P1", "lot": "S2601", "expiry": EXPIRY}
    return Item(code=piece_code(serial), kind=Kind.PIECE, product=STENT.id, state=state, **(given | fields))


def order(number: int, product: Product, quantity: int, state: OrderState, **fields: Any) -> Order:
    given: dict[str, Any] = {
        "kind": OrderKind.LONG_TERM,
        "patient": f"患者{number:03d}",
        "visit": f"V{number:03d}",
        "ward": "消化内科",
        "location": PHARMACY,
        "route": product.route,
        "ordered_us": NINE_US + number,
    }
    return Order(id=f"RX{number:05d}", product=product.id, quantity=quantity, state=state, **(given | fields))


def note(number: str, items: list[Item], *, kind: Kind = Kind.BOX, location: str = PHARMACY) -> DeliveryNote:
    products = sorted({item.product for item in items})
    lines = tuple(
        NoteLine(
            product=product,
            lot=next(item.lot for item in items if item.product == product),
            expiry=EXPIRY,
            made=None,
            codes=tuple(item.code for item in items if item.product == product),
        )
        for product in products
    )
    return DeliveryNote(
        id=number, supplier="示例医药有限公司", location=location, kind=kind, state=NoteState.EXPECTED, lines=lines
    )
