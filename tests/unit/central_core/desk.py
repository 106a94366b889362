"""A ledger in a folder with everything that follows from its commits, and agents made by hand that send it facts."""

import atexit
import datetime as dt
import functools
import hashlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import argon2

from central.changes import Changes
from central.clock import HospitalTime
from central.consequences import establish
from central.ledger import store
from central.ledger.write import Ledger
from central.stock.device_keys import DeviceKeys, Enrolment
from central.stock.masterdata import MasterData
from central.stock.orders import Orders
from central.stock.people import People
from central.stock.recall_key import open_key
from central.stock.recalls import Recalls
from central.stock.receiving import Receiving
from central.stock.usage import Usages
from central.sync.agents import Agents
from central.sync.early import Early
from central.sync.gate import Gate
from central.sync.greeting import Greeting
from central.sync.inbox import Inbox, Letter
from central.sync.ingest import Ingest
from central.sync.leases import Leases
from central.sync.publish import Publisher
from central.sync.recalls import RecallLane
from central.sync.refill import Refill
from sync_protocol import envelope, topics
from sync_protocol.chain import SessionStart, link
from sync_protocol.codec import decode_down, encode_fact
from sync_protocol.documents import (
    DeliveryNote,
    NoteLine,
    NoteState,
    Order,
    OrderKind,
    OrderState,
    Product,
    Route,
)
from sync_protocol.envelope import Secret, Voice
from sync_protocol.epc import encode_piece
from sync_protocol.facts import Fact, How, Moment, What
from sync_protocol.items import Kind, State
from sync_protocol.messages import Ack, Batch, Delta, Down, Up

NOON_US = 1_772_424_000_000_000
EXPIRY = dt.date(2028, 12, 31)
PLACE = "pharmacy"
SPLIT = Product(
    id="SPLIT",
    name="头孢呋辛注射液",
    name_en="Cefuroxime",
    spec="0.75 g × 10",
    kind=Kind.BOX,
    units=10,
    drug_ids=("8100001",),
    insurance_code="XJ01",
    hospital_code="H-1",
    box_price="123.40",
)
WHOLE = Product(
    id="WHOLE",
    name="阿莫西林胶囊",
    name_en="Amoxicillin",
    spec="0.25 g × 24",
    kind=Kind.BOX,
    drug_ids=("8100002",),
    insurance_code="XJ02",
    hospital_code="H-2",
    box_price="15.5",
)
STENT = Product(
    id="STENT", name="支架", name_en="Stent", spec="3.0 mm", kind=Kind.PIECE, route=Route.CABINET, unit_name="个"
)


def box(product: Product, number: int) -> str:
    return f"{product.drug_ids[0]}{number:013d}"


def piece(number: int) -> str:
    return encode_piece(1, number)


def secret_of(name: str) -> Secret:
    """The key of a device, or of central: the same whenever it is asked for."""
    return Secret(hashlib.sha256(name.encode()).digest())


class HandClock:
    """Stands still until told."""

    def __init__(self) -> None:
        self.us = NOON_US

    def wall_us(self) -> int:
        return self.us

    def mono_us(self) -> int:
        return self.us - NOON_US


class Pigeonhole:
    """Where letters to agents would leave from."""

    def __init__(self) -> None:
        self.is_up = True
        self.sent: list[tuple[str, Down]] = []

    def send(self, topic: str, data: bytes) -> None:
        self.sent.append((topic, decode_down(envelope.read(data).message)))

    def to(self, device: str, kind: type[Any]) -> list[Any]:
        return [message for topic, message in self.sent if topic == topics.down(device) and isinstance(message, kind)]

    @property
    def broadcast(self) -> list[Delta]:
        return [m for topic, m in self.sent if topic == topics.BROADCAST and isinstance(m, Delta)]


class HandAgent:
    """Writes a chain of facts as an agent does."""

    def __init__(self, device: str, *, parent: "HandAgent | None" = None, session: bytes = b"") -> None:
        self.device = device
        self.start: SessionStart = SessionStart(
            device=device,
            session=session or os.urandom(16),
            parent_session=parent.start.session if parent else b"",
            parent_seq=parent.seq if parent else 0,
            parent_hash=parent.head if parent else b"",
        )
        self.seq: int = 0
        self.head: bytes = self.start.hash
        self.secret: Secret = secret_of(device)
        self.voice: Voice = Voice(self.start.session, self.secret.sign)

    def batch(self, *facts: Fact | bytes) -> Batch:
        bodies = tuple(fact if isinstance(fact, bytes) else encode_fact(fact) for fact in facts)
        batch = Batch(start=self.start, first_seq=self.seq + 1, previous_hash=self.head, bodies=bodies)
        for body in bodies:
            self.head = link(self.head, body)
        self.seq += len(bodies)
        return batch

    def letter(self, message: Up) -> Letter:
        return Letter(device=self.device, data=self.voice.say(message, topics.up(self.device)))


@functools.cache
def _migrated() -> Path:
    """A ledger as the migrations make it, made once."""
    folder = Path(tempfile.mkdtemp(prefix="codepool-test-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return store.prepare(folder, now_us=NOON_US)


def lay_ledger(folder: Path) -> Path:
    """The folder, with a new ledger in it that has an identity of its own: what the first start of central makes."""
    folder.mkdir(parents=True)
    path = folder / store.FILE
    shutil.copyfile(_migrated(), path)
    store._sign(path, NOON_US)
    return folder


class Desk:
    def __init__(self, folder: Path) -> None:
        self.clock = HandClock()
        self.time = HospitalTime(self.clock, ZoneInfo("Asia/Shanghai"))
        folder.mkdir(parents=True, exist_ok=True)
        self.path = store.prepare(folder, now_us=self.clock.us)
        self.changes = Changes()
        self.ledger = Ledger(self.path, self.time, self.changes, lambda: os.urandom(16))
        establish(self.ledger)
        self.recalls = Recalls(self.ledger, open_key(folder))
        self.ledger.listen(self.recalls.committed)
        self.post = Pigeonhole()
        secret = secret_of("central")
        self.publisher = Publisher(self.ledger, self.post, Voice(os.urandom(16), secret.sign), key=secret.public)
        self.ledger.listen(self.publisher.broadcast)
        self.agents = Agents(self.ledger)
        self.inbox = Inbox()
        self.early = Early(self.ledger)
        self.refill = Refill(self.ledger, self.agents, limit_s=600.0, on_end=self.publisher.ring)
        self.recall_lane = RecallLane(self.ledger, self.recalls, self.agents, self.publisher)
        self.greeting = Greeting(
            self.ledger, self.publisher, self.agents, self.refill, self.recall_lane, early=self.early, inbox=self.inbox
        )
        self.device_keys = DeviceKeys(self.ledger, Enrolment.OPEN)
        self.gate = Gate(self.ledger, self.device_keys, self.agents, self.publisher.refuse)
        self.leases = Leases(self.ledger, self.publisher, self.agents, self.early, term_s=600.0, margin_s=10.0)
        self.ingest = Ingest(
            self.ledger,
            self.inbox,
            self.publisher,
            self.agents,
            self.greeting,
            recalls=self.recall_lane,
            gate=self.gate,
            early=self.early,
            leases=self.leases,
        )
        self.people = People(self.ledger, argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        self.masterdata = MasterData(self.ledger, self.people)
        self.receiving = Receiving(self.ledger)
        self.orders = Orders(self.ledger)
        self.usage = Usages(self.ledger)

    def close(self) -> None:
        self.ledger.close()

    def rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Read with a connection of its own: only what is committed."""
        connection = sqlite3.connect(self.path)
        try:
            return connection.execute(statement, values).fetchall()
        finally:
            connection.close()

    def state(self, code: str) -> State:
        ((state,),) = self.rows("SELECT state FROM item WHERE code = ?", code)
        return State(state)

    def states(self) -> dict[str, int]:
        return dict(self.rows("SELECT state, count(*) FROM item GROUP BY state"))

    def fact(self, what: What, *codes: str, **fields: Any) -> Fact:
        moment = Moment(wall_us=self.clock.us, mono_us=1)
        return Fact(what=what, codes=codes, at=moment, **{"operator": "n1", "location": PLACE} | fields)

    def record(self, what: What, *codes: str, **fields: Any) -> None:
        """As central itself."""
        self.ledger.commit(lambda transaction: transaction.record(self.fact(what, *codes, **fields)))

    async def take(self, letters: Iterable[Letter]) -> None:
        """Letters of devices that said who they are."""
        letters = list(letters)
        for letter in letters:
            if self.device_keys.of(letter.device) is None:
                self.device_keys.meet(letter.device, secret_of(letter.device).public)
        await self.ingest.take(letters)
        while self.early.ready() is not None:
            self.ingest.let_in()

    async def send(self, agent: HandAgent, *messages: Up) -> list[Ack]:
        """All messages taken together; the acks that came."""
        before = len(self.post.to(agent.device, Ack))
        await self.take([agent.letter(message) for message in messages])
        return self.post.to(agent.device, Ack)[before:]

    async def catalogue(self) -> None:
        await self.masterdata.put_products([SPLIT, WHOLE, STENT])

    async def in_stock(
        self, product: Product, codes: Iterable[str], *, note: str, lot: str = "L1", **line: Any
    ) -> None:
        """Announce and receive codes of one lot."""
        codes = tuple(codes)
        await self.receiving.announce(a_note(product, codes, note=note, lot=lot, **line))
        self.record(What.RECEIVED, *codes, document=note)

    async def units(self, *numbers: int, lot: str = "L1", note: str = "", **line: Any) -> None:
        """Boxes of the split drug, opened: ten units each."""
        codes = [box(SPLIT, number) for number in numbers]
        await self.in_stock(SPLIT, codes, note=note or f"N-{numbers[0]}", lot=lot, **line)
        self.record(What.PRESCANNED, *codes, units=10)


def a_note(product: Product, codes: tuple[str, ...], *, note: str, lot: str = "L1", **line: Any) -> DeliveryNote:
    fields = {"expiry": EXPIRY, "made": dt.date(2025, 1, 1)} | line
    return DeliveryNote(
        id=note,
        supplier="supplier",
        location=PLACE,
        kind=product.kind,
        state=NoteState.EXPECTED,
        lines=(NoteLine(product=product.id, lot=lot, codes=codes, **fields),),
    )


def an_order(order_id: str, product: Product = SPLIT, quantity: int = 3, **fields: Any) -> Order:
    known: dict[str, Any] = {
        "kind": OrderKind.LONG_TERM,
        "patient": "P-1",
        "visit": "V-1",
        "ward": "W-1",
        "location": PLACE,
        "route": product.route,
        "state": OrderState.WAITING,
        "ordered_us": NOON_US,
        "prescriber": "王医生",
    }
    return Order(id=order_id, product=product.id, quantity=quantity, **known | fields)


LATE, AUTOMATIC = How.LATE_SCAN, How.AUTOMATIC
