"""A hospital on a real ledger and a real server: what the tests of the faces stand on."""

import atexit
import contextlib
import datetime as dt
import functools
import pathlib
import shutil
import tempfile
import zoneinfo
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import argon2
from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncEngine

from central.auth import Client, Scope
from central.changes import Changes
from central.clock import Clock, HospitalTime, SystemClock
from central.connectors.queue import SalesQueue
from central.consequences import establish
from central.errors import StartError
from central.indicators.scans import Shifts
from central.ledger import store
from central.ledger.pool_counts import PoolCounts
from central.ledger.read import open_reader
from central.ledger.read_base_stock import Uses
from central.ledger.write import Ledger
from central.site import SiteSettings, build_site
from central.stock.base_stock import BaseStock
from central.stock.device_keys import DeviceKeys, Enrolment
from central.stock.exceptions import Exceptions
from central.stock.loans import Loans
from central.stock.masterdata import MasterData
from central.stock.orders import Orders
from central.stock.people import People
from central.stock.places import Places
from central.stock.quarantine import Quarantine
from central.stock.recall_key import open_key
from central.stock.recalls import Recalls
from central.stock.receiving import Receiving
from central.stock.requisitions import Requisitions
from central.stock.roles import Roles
from central.stock.services import Condition, Life, Services
from central.stock.stocktake import Stocktakes
from central.stock.usage import Usages
from central.sync.agents import Agents
from central.sync.early import Early
from central.sync.lease_desk import LeaseDesk
from central.sync.leases import Leases
from central.sync.publish import Publisher
from sync_protocol.chain import SessionStart, stretch
from sync_protocol.codec import encode_fact
from sync_protocol.documents import DeliveryNote, NoteLine, NoteState, Person, Product, Route
from sync_protocol.envelope import Voice
from sync_protocol.facts import Fact, How, What
from sync_protocol.items import Kind
from sync_protocol.machines.ingest import begin

HIS, READER, NOBODY = "his-token-0123456789abcdef", "reader-token-0123456789abc", "nobody-token-0123456789abc"
CLIENTS = (
    Client(name="his", token=HIS, scopes=frozenset(Scope)),
    Client(name="reader", token=READER, scopes=frozenset({Scope.READ})),
    Client(name="nobody", token=NOBODY, scopes=frozenset()),
)
CHEAP = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
PIN = "2468"
SPLIT = Product(
    id="P-AMLO",
    name="苯磺酸氨氯地平片",
    name_en="Amlodipine besylate tablets",
    spec="5mg×7片",
    kind=Kind.BOX,
    units=7,
    unit_name="片",
    drug_ids=("8100001",),
)
WHOLE = Product(id="P-INS", name="甘精胰岛素注射液", name_en="Insulin glargine", spec="3ml:300IU", kind=Kind.BOX)
PIECE = Product(
    id="C-STENT", name="冠脉支架", name_en="Coronary stent", spec="3.0×18mm", kind=Kind.PIECE, route=Route.CABINET
)
PEOPLE = [
    Person(id="n01", name="李敏", badge="b-1", pin=PIN),
    Person(id="n02", name="王强", badge="b-2", pin="1357"),
    Person(id="gone", name="离职", pin=PIN, is_active=False),
]
_YEAR = 2027


def box(n: int, product: int = 1) -> str:
    return f"810000{product}{n:013d}"


@functools.cache
def _new_ledger() -> pathlib.Path:
    """A ledger as the migrations make it, made once."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="codepool-test-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return store.prepare(folder, now_us=0)


def _unsigned(_data: bytes) -> bytes:
    return b""


class NoPost:
    """No agent is to be reached."""

    is_up = False

    def send(self, topic: str, data: bytes) -> None:
        raise AssertionError(f"{len(data)} bytes for {topic}")


class Hospital:
    """The services over one ledger; ``conditions`` is what /healthz tells."""

    def __init__(self, folder: pathlib.Path, clock: Clock | None = None) -> None:
        self.time = HospitalTime(clock or SystemClock(), zoneinfo.ZoneInfo("Asia/Shanghai"))
        self.path = folder / store.FILE
        shutil.copyfile(_new_ledger(), self.path)
        self.changes = Changes()
        self._sessions = 0
        self.ledger = Ledger(self.path, self.time, self.changes, self._new_session)
        establish(self.ledger)
        self.recalls = Recalls(self.ledger, open_key(folder))
        self.ledger.listen(self.recalls.committed)
        self.read: AsyncEngine = open_reader(self.path)
        self.conditions: tuple[Condition, ...] = (Condition(part="ledger"), Condition(part="broker"))
        self.life = Life(incarnation=self.ledger.incarnation)
        self.ended_by = ""
        people = People(self.ledger, CHEAP)
        publisher = Publisher(self.ledger, NoPost(), Voice(bytes(16), _unsigned), key=b"")
        agents = Agents(self.ledger)
        self.leases = Leases(self.ledger, publisher, agents, Early(self.ledger), term_s=600.0, margin_s=10.0)
        desk = LeaseDesk(self.ledger, self.leases)
        self.device_keys = DeviceKeys(self.ledger, Enrolment.LISTED)
        self.services = Services(
            ledger=self.ledger,
            receiving=Receiving(self.ledger),
            orders=Orders(self.ledger),
            usage=Usages(self.ledger),
            masterdata=MasterData(self.ledger, people),
            people=people,
            roles=Roles(self.ledger, people),
            exceptions=Exceptions(self.ledger),
            recalls=self.recalls,
            places=Places(self.ledger),
            requisitions=Requisitions(self.ledger),
            quarantine=Quarantine(self.ledger),
            loans=Loans(self.ledger),
            stocktakes=Stocktakes(self.ledger),
            base_stock=BaseStock(self.ledger),
            uses=Uses(self.read),
            device_keys=self.device_keys,
            sales=SalesQueue(self.ledger),
            changes=self.changes,
            time=self.time,
            read=self.read,
            pool_counts=PoolCounts(self.ledger, self.read),
            conditions=lambda: self.conditions,
            life=lambda: self.life,
            end_refill=self._end_refill,
            leases=desk.views,
            deciding_leases=desk.deciding,
            end_lease=desk.end,
            shifts=Shifts(),
        )

    def _end_refill(self, person: str) -> None:
        self.ended_by, self.life = person, Life(incarnation=self.ledger.incarnation)

    def _new_session(self) -> bytes:
        self._sessions += 1
        return self._sessions.to_bytes(16, "big")

    def record(self, device: str, *facts: Fact) -> None:
        """What an agent would send: the facts of one session of the device, committed."""
        state = begin(SessionStart(device=device, session=self._new_session()))
        sealed = stretch(state.start, 1, state.head, map(encode_fact, facts))
        self.ledger.commit(lambda transaction: transaction.append(sealed, budget=100_000))

    def fact(self, what: What, *codes: str, **fields: Any) -> Fact:
        return Fact(what=what, codes=codes, at=self.time.moment(), **fields)

    async def stock(self, *, boxes: int = 3, opened: int = 1) -> None:
        """Catalogue, staff, one note of split boxes received, some of them pre-scanned."""
        await self.services.masterdata.put_products([SPLIT, WHOLE, PIECE])
        await self.services.masterdata.put_people(PEOPLE)
        codes = [box(n) for n in range(boxes)]
        await self.deliver("DN-1", SPLIT, codes, kind=Kind.BOX, location="pharmacy")
        for code in codes[:opened]:
            self.record("station-1", self.fact(What.PRESCANNED, code, units=SPLIT.units, operator="n01"))

    async def deliver(
        self, note: str, product: Product, codes: list[str], *, kind: Kind, location: str, year: int = _YEAR
    ) -> None:
        expiry = dt.date(year, 3, 31)
        line = NoteLine(product=product.id, lot="L2409", expiry=expiry, made=dt.date(2026, 1, 2), codes=tuple(codes))
        await self.services.receiving.announce(
            DeliveryNote(
                id=note, supplier="国药控股", location=location, kind=kind, state=NoteState.EXPECTED, lines=(line,)
            )
        )
        how = How.SCAN if kind is Kind.BOX else How.RFID
        fact = self.fact(What.RECEIVED, *codes, document=note, location=location, operator="n01", how=how)
        self.record("station-1" if kind is Kind.BOX else "cabinet-1", fact)

    async def close(self) -> None:
        await self.read.dispose()
        self.ledger.close()


@contextlib.asynccontextmanager
async def serving(hospital: Hospital, *, on_fatal: Callable[[StartError], None] | None = None) -> AsyncIterator[str]:
    """The address of a server of its site."""
    runner = web.AppRunner(build_site(hospital.services, SiteSettings(clients=CLIENTS), on_fatal=on_fatal))
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


def caller(address: str, token: str = HIS) -> aiohttp.ClientSession:
    """A program with a token."""
    return aiohttp.ClientSession(address, headers={"Authorization": f"Bearer {token}"})


def browser(address: str) -> aiohttp.ClientSession:
    """What a browser on our pages sends."""
    jar = aiohttp.CookieJar(unsafe=True)
    return aiohttp.ClientSession(address, headers={"Sec-Fetch-Site": "same-origin"}, cookie_jar=jar)


async def sign_in(session: aiohttp.ClientSession, person: str = "n01", pin: str = PIN) -> int:
    form = {"person": person, "pin": pin, "next": "/pool"}
    async with session.post("/sign-in", data=form, allow_redirects=False) as response:
        return response.status
