"""An agent's stores and recorder in a folder, with some stock, and the facts that tests record on it."""

import datetime as dt
import os
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from edge_agent.check import Stock
from edge_agent.clock import Clock, Watch
from edge_agent.recorder import Recorder
from edge_agent.store.folder import JOURNAL, REPLICA, DataFolder
from edge_agent.store.identity import open_identity
from edge_agent.store.journal import Journal
from edge_agent.store.overlay import Overlay
from edge_agent.store.replica import Replica
from sync_protocol.codec import decode_fact
from sync_protocol.documents import DeliveryNote, NoteLine, NoteState, Order, OrderKind, OrderState, Route
from sync_protocol.facts import Fact, How, Moment, What
from sync_protocol.items import Item, Kind, State
from sync_protocol.messages import Delta, Rows
from tests.unit.edge_core.granting import Hand

DEVICE, PLACE = "cabinet-1", "ward-3"
EXPIRY = dt.date(2028, 12, 31)
NOON_US = 1_772_424_000_000_000


class HandClock:
    """Stands still until told."""

    def __init__(self) -> None:
        self.now_us = NOON_US

    def wall_us(self) -> int:
        return self.now_us

    def mono_us(self) -> int:
        return self.now_us - NOON_US


def code(number: int) -> str:
    return f"81000420000000{number:06d}"


def piece(number: int, **changes: Any) -> Item:
    values: dict[str, Any] = {
        "code": code(number),
        "kind": Kind.PIECE,
        "product": "stent",
        "lot": "L1",
        "expiry": EXPIRY,
        "state": State.IN_STOCK,
        "location": PLACE,
    }
    return Item(**(values | changes))


def box(number: int, **changes: Any) -> Item:
    return piece(number, **({"kind": Kind.BOX, "product": "aspirin"} | changes))


def order(order_id: str, **changes: Any) -> Order:
    values: dict[str, Any] = {
        "id": order_id,
        "kind": OrderKind.STAT,
        "product": "aspirin",
        "quantity": 2,
        "patient": "p1",
        "visit": "v1",
        "ward": "w1",
        "location": PLACE,
        "route": Route.STATION,
        "state": OrderState.LOCKED,
        "ordered_us": 1,
    }
    return Order(**(values | changes))


def note(note_id: str, *codes: str, state: NoteState = NoteState.EXPECTED) -> DeliveryNote:
    line = NoteLine(product="stent", lot="L1", expiry=EXPIRY, made=None, codes=codes)
    return DeliveryNote(id=note_id, supplier="s1", location=PLACE, kind=Kind.PIECE, state=state, lines=(line,))


def fact(what: What, *codes: str, **changes: Any) -> Fact:
    values: dict[str, Any] = {
        "what": what,
        "codes": codes,
        "at": Moment(wall_us=NOON_US, mono_us=0),
        "operator": "n1",
        "location": PLACE,
        "source": "reader-1",
        "how": How.RFID,
    }
    return Fact(**(values | changes))


def taken(*numbers: int, **changes: Any) -> Fact:
    return fact(What.TAKEN, *map(code, numbers), **changes)


def put_back(*numbers: int) -> Fact:
    return fact(What.PUT_BACK, *map(code, numbers))


class Shelf:
    """Opened twice on one folder it is a restart: a new session on the same files."""

    def __init__(self, path: Path, *, device: str = DEVICE, reserve_bytes: int = 0, clock: Clock | None = None) -> None:
        self.path = path
        self.clock = HandClock()
        self.watch = Watch(clock or self.clock, ZoneInfo("Asia/Shanghai"))
        self.data = DataFolder.hold(path, reserve_bytes=reserve_bytes)
        self.identity = open_identity(path)
        self.journal = Journal.open(path / JOURNAL, device=device, session=os.urandom(16), started_us=NOON_US)
        self.replica = Replica(path / REPLICA)
        self.overlay = Overlay(self.journal)
        self.stock = Stock(self.overlay, self.replica, self.clock.wall_us)
        self.hand = Hand(self.journal, clock or self.clock)
        self.recorder = Recorder(
            journal=self.journal,
            stock=self.stock,
            watch=self.watch,
            data=self.data,
            rights=self.hand.rights,
            location=PLACE,
            device=device,
        )

    async def load(self, *items: Item, **rows: Any) -> None:
        """Take rows in as the next delta of central's, which grants the items too."""
        self.hand.grant(item.code for item in items)
        version = self.replica.version
        delta = Delta(after=version, to=version + 1, rows=Rows(items=items, **rows), latest=version + 1)
        await self.replica.apply(delta, as_of_us=self.clock.wall_us())

    def facts(self) -> list[Fact]:
        """Everything in the journal that is for central, in the order of the file."""
        rows = self.journal.query("SELECT body FROM written WHERE NOT is_again ORDER BY session_number, seq")
        return [decode_fact(body) for (body,) in rows]

    def close(self) -> None:
        self.replica.close()
        self.journal.close()
        self.data.release()
