"""Central's ledger and ingest, put together as its composition root does, with a stock of pieces and no wire."""

import asyncio
import hashlib
import os
import shutil
from contextlib import closing
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from central.changes import Changes
from central.clock import HospitalTime, SystemClock
from central.consequences import establish
from central.ledger import store
from central.ledger.transaction import Transaction
from central.ledger.write import Ledger
from central.stock.device_keys import DeviceKeys, Enrolment
from central.stock.recall_key import open_key
from central.stock.recalls import Recalls
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
from edge_agent.store.replica import Replica
from sync_protocol import topics
from sync_protocol.chain import SessionStart, link
from sync_protocol.codec import encode_fact
from sync_protocol.documents import Product, Route
from sync_protocol.envelope import Secret, Voice
from sync_protocol.facts import Fact, Moment, What
from sync_protocol.items import Kind
from sync_protocol.messages import Batch
from tests.benchmarks import pool
from tests.benchmarks.measuring import Bench

BATCH = 500
STOCK = 60_000


def secret_of(name: str) -> Secret:
    """The key of a device, or of central."""
    return Secret(hashlib.sha256(name.encode()).digest())


class Post:
    """Where letters to agents leave from: they are counted and gone."""

    is_up = True

    def __init__(self) -> None:
        self.letters = 0

    def send(self, _topic: str, _data: bytes) -> None:
        self.letters += 1


class Office:
    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.time = HospitalTime(SystemClock(), ZoneInfo("Asia/Shanghai"))
        path = store.prepare(folder, now_us=self.time.now_us())
        self.ledger = Ledger(path, self.time, Changes(), lambda: os.urandom(16))
        establish(self.ledger)
        self.recalls = Recalls(self.ledger, open_key(folder))
        self.ledger.listen(self.recalls.committed)
        self.post = Post()
        self.secret = secret_of("central")
        self.publisher = Publisher(
            self.ledger, self.post, Voice(os.urandom(16), self.secret.sign), key=self.secret.public
        )
        self.ledger.listen(self.publisher.broadcast)
        self.agents = Agents(self.ledger)
        inbox, early = Inbox(), Early(self.ledger)
        recall_lane = RecallLane(self.ledger, self.recalls, self.agents, self.publisher)
        refill = Refill(self.ledger, self.agents, limit_s=600.0, on_end=self.publisher.ring)
        greeting = Greeting(self.ledger, self.publisher, self.agents, refill, recall_lane, early=early, inbox=inbox)
        self.keys = DeviceKeys(self.ledger, Enrolment.OPEN)
        gate = Gate(self.ledger, self.keys, self.agents, self.publisher.refuse)
        leases = Leases(self.ledger, self.publisher, self.agents, early, term_s=600.0, margin_s=10.0)
        self.ingest = Ingest(
            self.ledger,
            inbox,
            self.publisher,
            self.agents,
            greeting,
            recalls=recall_lane,
            gate=gate,
            early=early,
            leases=leases,
        )

    def close(self) -> None:
        self.ledger.close()

    async def take(self, letters: list[Letter]) -> None:
        """Letters of devices that central knows, or meets now."""
        for device in {letter.device for letter in letters}:
            if self.keys.of(device) is None:
                self.keys.meet(device, secret_of(device).public)
        await self.ingest.take(letters)

    def facts_of(self, device: str) -> int:
        """Facts of a device in the ledger. Raises AssertionError if one is missing or there twice."""
        statement = "SELECT count(*), count(DISTINCT seq), max(seq) FROM fact WHERE device = ? GROUP BY session"
        sessions = self.ledger.connection.execute(statement, (device,)).fetchall()
        for count, different, last in sessions:
            assert count == different == last, f"{device}: {count} facts, {different} different, the last is {last}"
        return sum(count for count, _, _ in sessions)

    def receive(self, first: int, last: int) -> None:
        """Announce and receive the pieces of one note."""

        def work(transaction: Transaction) -> None:
            known, moment = pool.item(first), self.time.moment()
            announced = Fact(
                what=What.ANNOUNCED,
                codes=tuple(pool.code(number) for number in range(first, last)),
                at=moment,
                location=known.location,
                document=known.document,
                product=known.product,
                lot=known.lot,
                expiry=known.expiry,
                made=known.made,
                kind=known.kind,
            )
            transaction.record(announced)
            transaction.record(
                Fact(
                    what=What.RECEIVED,
                    codes=announced.codes,
                    at=moment,
                    location=known.location,
                    document=known.document,
                )
            )

        self.ledger.commit(work)


class Chain:
    """An agent's facts as batches in letters, as its journal would give them."""

    def __init__(self, device: str) -> None:
        self.device = device
        self._start = SessionStart(device=device, session=os.urandom(16))
        self._seq, self._head = 0, self._start.hash
        self.secret = secret_of(device)
        self._voice = Voice(self._start.session, self.secret.sign)

    def letter(self, facts: list[Fact]) -> Letter:
        bodies = tuple(encode_fact(fact) for fact in facts)
        batch = Batch(start=self._start, first_seq=self._seq + 1, previous_hash=self._head, bodies=bodies)
        for body in bodies:
            self._head = link(self._head, body)
        self._seq += len(bodies)
        return Letter(device=self.device, data=self._voice.say(batch, topics.up(self.device)))


async def stocked(bench: Bench, name: str, *, stock: int = STOCK) -> Path:
    """A folder with a ledger that holds ``stock`` pieces, and beside it the replica of an agent that is up to date."""
    model = bench.place("pools") / f"ledger-{stock}"
    if not model.exists():
        bench.say(f"filling a ledger with {stock:,} pieces …")
        await _fill(model, stock)
    return Path(shutil.copytree(model, bench.folder / name))


def moves(what: What, first: int, count: int, at: Moment, *, seen: int = 0) -> list[Fact]:
    """``seen``: the ledger version that the device knew, where it does not stamp its facts itself."""
    move = pool.taken if what is What.TAKEN else pool.put_back
    return [msgspec.structs.replace(move(number, at), checked_at=seen) for number in range(first, first + count)]


async def _fill(folder: Path, stock: int) -> None:
    with closing(Office(folder)) as office, closing(Replica(folder / "replica.db")) as replica:
        products = [
            Product(id=f"P{n:03d}", name="支架", name_en="Stent", spec="3.0 mm", kind=Kind.PIECE, route=Route.CABINET)
            for n in range(pool.PRODUCTS)
        ]

        def catalogue(transaction: Transaction) -> None:
            for product in products:
                transaction.put(product)

        office.ledger.commit(catalogue)
        for first in range(0, stock, pool.NOTE):
            office.receive(first, min(stock, first + pool.NOTE))
            await asyncio.sleep(0)
        while replica.version < office.ledger.version:
            await replica.apply(office.publisher.delta(replica.version), as_of_us=office.time.now_us())
