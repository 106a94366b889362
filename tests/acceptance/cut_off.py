"""A hospital of one station, whose line to the broker can be cut; what really lies where is written down by hand."""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

from hardware_sims import settings
from hardware_sims.books.papers import (
    JOURNAL,
    LEDGER,
    REPLICA,
    Journal,
    Ledger,
    Replica,
    read_journal,
    read_ledger,
    read_replica,
)
from hardware_sims.broker import Brand
from hardware_sims.catalogue import Good
from hardware_sims.devices.scanner import SimScanner
from hardware_sims.month.hands import Seat
from hardware_sims.platforms.insurer import Insurer
from hardware_sims.platforms.serving import served
from hardware_sims.scenarios.patience import until
from hardware_sims.scenarios.plan import PHARMACY, STAFF
from hardware_sims.serve import PtyPort
from hardware_sims.settings import INSTITUTION, STATION
from hardware_sims.soak.crew import Crew
from hardware_sims.soak.nemesis import CENTRAL
from hardware_sims.truth import Box, OrderLine

PEOPLE = [{"id": one.id, "name": one.name, "pin": one.pin} for one in STAFF]
_PATIENCE_S = 30.0


class TimedSeat(Seat):
    """Remembers how long it waited for the slowest answer."""

    slowest_s = 0.0

    async def press(self, path: str, **fields: str) -> Any:
        began_s = asyncio.get_running_loop().time()
        answer = await super().press(path, **fields)
        self.slowest_s = max(self.slowest_s, asyncio.get_running_loop().time() - began_s)
        return answer


class Sale(NamedTuple):
    """What the insurer must have: of which box, for which order. ``is_split``: units of it, not the whole."""

    box: str
    order: str
    quantity: int
    is_split: bool
    is_return: bool = False


class Shelves:
    """What really lies where, by box; units of an opened box are alike and are counted, under its code with a #."""

    def __init__(self) -> None:
        self.lies: dict[str, Counter[str]] = {}
        self.sales: list[Sale] = []

    def expect(self, boxes: Iterable[Box]) -> None:
        self.lies.update((box.code, Counter(["expected"])) for box in boxes)

    def move(self, thing: str, before: str, after: str, count: int = 1) -> None:
        assert self.lies[thing][before] >= count, f"{thing}: {count} are not {before}"
        self.lies[thing][before] -= count
        self.lies[thing][after] += count

    def open(self, box: Box) -> None:
        self.move(box.code, "in_stock", "opened")
        self.lies[f"{box.code}#"] = Counter(in_stock=box.content)

    def give(self, thing: str, order: str, count: int = 1) -> None:
        """To a patient."""
        self.move(thing, "in_stock", f"dispensed {order}", count)
        self.sales.append(Sale(thing.removesuffix("#"), order, count, is_split=thing.endswith("#")))

    def take_back(self, thing: str, order: str, count: int = 1) -> None:
        self.move(thing, f"dispensed {order}", "in_stock", count)
        self.sales.append(Sale(thing.removesuffix("#"), order, count, is_split=thing.endswith("#"), is_return=True))


def as_booked(ledger: Ledger) -> dict[str, Counter[str]]:
    """What ``Shelves`` has, as the ledger says it."""
    booked: dict[str, Counter[str]] = {}
    for item in ledger.items.values():
        place = f"{item.state} {item.order or item.holder}".strip()
        booked.setdefault(f"{item.box}#" if item.box else item.code, Counter())[place] += 1
    return booked


def as_insured(insurer: Insurer) -> list[Sale]:
    """The rows that the insurer has, each of one box; a return names its sale and not the order."""
    rows = insurer.counter.accepted
    found = []
    for row in rows.values():
        (box,) = row.codes
        order = rows[row.document].document if row.is_return else row.document
        found.append(Sale(box, order, int(row.quantity), is_split=row.is_split, is_return=row.is_return))
    return found


class Site:
    """Broker, central, station and insurer at work."""

    def __init__(self, crew: Crew, insurer: Insurer, http: aiohttp.ClientSession) -> None:
        self.crew = crew
        self.hospital = crew.hospital
        self.insurer = insurer
        self.shelves = Shelves()
        self._http = http

    @property
    def url(self) -> str:
        """Of the station's pages."""
        return self.crew.agents[STATION].url

    async def health(self) -> dict[str, Any]:
        async with self._http.get(f"{self.url}/healthz") as answer:
            return dict(await answer.json())

    async def says(self) -> str:
        """The top of the station's page, as people read it."""
        async with self._http.get(f"{self.url}/part/status", params={"lang": "en"}) as answer:
            return await answer.text()

    async def cut(self) -> None:
        line = self.crew.proxies[STATION]
        line.be_gone()
        line.cut()

        async def look() -> str:
            return "it is connected" if (await self.health())["is_connected"] else ""

        await until("the station knows that it is alone", look, within_s=_PATIENCE_S)

    async def heal(self) -> None:
        await self.crew.proxies[STATION].listen()
        await self.settled()

    async def lose_power(self) -> None:
        """The station's computer: it starts again by itself."""
        await self.crew.kill(STATION)
        await self.crew.start(STATION)

    async def settled(self) -> None:
        """Return once the ledger has every fact, the station knows the ledger, and nothing is asked back."""

        async def look() -> str:
            self.crew.raise_if_died()
            health, agents = await self.health(), await self.hospital.ask("/api/v1/agents")
            if health["facts_waiting"] or not health["is_connected"] or health["replica_version"] < agents["version"]:
                return f"station: {health}"
            deciding = (await self.hospital.ask("/api/v1/leases"))["deciding"]
            return "" if deciding == "nothing" else f"rights: {deciding}"

        await until("all is known on both sides", look, within_s=_PATIENCE_S)

    async def holds(self, codes: Collection[str]) -> None:
        """Return once the station has the right to all of these."""

        async def look() -> str:
            with closing(sqlite3.connect(f"file:{self._folder / JOURNAL}?mode=ro", uri=True)) as journal:
                held = {code for (code,) in journal.execute("SELECT code FROM leased")}
            return ", ".join(set(codes) - held)

        await until("the station holds the right to issue what is there", look, within_s=_PATIENCE_S)

    async def locked(self, order: OrderLine, seat: Seat) -> list[str]:
        """What the station's queue shows as locked, once it is all and the station may hand it out."""
        found: list[str] = []

        async def look() -> str:
            found[:] = await seat.locked(order.id)
            return "" if len(found) == order.quantity else f"locked: {found}"

        await until(f"the codes of order {order.id} are at the station", look, within_s=_PATIENCE_S)
        await self.holds(found)
        return found

    async def reported(self) -> None:
        """Return once the insurer has accepted every row."""

        async def look() -> str:
            rows = (await self.hospital.ask("/api/v1/insurer-rows?limit=500"))["rows"]
            return ", ".join(f"{row['state']} {row['cause']}" for row in rows if row["state"] != "accepted")

        await until("the insurer accepted every row", look, within_s=_PATIENCE_S)

    def journal(self) -> Journal:
        return read_journal(self._folder / JOURNAL)

    def replica(self) -> Replica:
        return read_replica(STATION, self._folder / REPLICA)

    def ledger(self) -> Ledger:
        return read_ledger(self.crew.directory / CENTRAL / LEDGER)

    @property
    def _folder(self) -> Path:
        return self.crew.directory / STATION


@asynccontextmanager
async def at_work(directory: Path, goods: Sequence[Good]) -> AsyncIterator[Site]:
    """A hospital that knows its products and people."""
    insurer = Insurer(institution=INSTITUTION, contents={good.insurance_code: good.units for good in goods})
    async with (
        aiohttp.ClientSession() as http,
        served(insurer.application()) as insurer_url,
        PtyPort(directory / "scanner-1", SimScanner().talk) as scanner,
    ):
        crew = Crew(directory, Brand.MOSQUITTO, seed=0, http=http, insurer=insurer_url)
        async with crew.working({STATION: settings.station(PHARMACY, scanner=scanner.url)}):
            site = Site(crew, insurer, http)
            await site.hospital.send_products([good.entry() for good in goods])
            await site.hospital.send_people(PEOPLE)
            yield site
