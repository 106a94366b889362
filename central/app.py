"""The composition root of central: the only place that builds its parts, and the task group they live in."""

import asyncio
import contextlib
import pathlib
import secrets
import signal
from collections.abc import AsyncIterator, Callable
from random import SystemRandom
from typing import IO

import structlog
from aiohttp import web

from central.changes import Changes
from central.clock import Clock, HospitalTime
from central.conditions import Conditions
from central.config import Config
from central.connectors.insurer import Insurer
from central.connectors.msfx import CodePlatform
from central.connectors.platform_queue import PlatformQueue
from central.connectors.queue import SalesQueue
from central.consequences import establish
from central.errors import PortInUseError, StartError
from central.keyfile import read_or_make
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
from central.stock.packs import Packs
from central.stock.people import People
from central.stock.places import Places
from central.stock.quarantine import Quarantine
from central.stock.recall_key import open_key
from central.stock.recalls import Recalls
from central.stock.receiving import Receiving
from central.stock.requisitions import Requisitions
from central.stock.roles import Roles
from central.stock.services import Services
from central.stock.stocktake import Stocktakes
from central.stock.usage import Usages
from central.sync.agents import Agents
from central.sync.comparing import Comparing
from central.sync.early import Early
from central.sync.gate import Gate
from central.sync.greeting import Greeting
from central.sync.inbox import Inbox
from central.sync.ingest import Ingest
from central.sync.lease_desk import LeaseDesk
from central.sync.leases import Leases
from central.sync.link import MqttLink
from central.sync.publish import Publisher
from central.sync.pulls import Pulls
from central.sync.recalls import RecallLane
from central.sync.refill import Refill
from central.sync.safe import Safe
from central.sync.snapshots import Snapshots
from sync_protocol.envelope import Secret, Voice
from sync_protocol.facts import SESSION_BYTES

_log = structlog.get_logger("central")
SHUTDOWN_S = 2.0
KEY = "central.key"
PROBE_EVERY_S = 2.0
PAGES_ON_THE_WAY = 4
"""What else waits to leave, an ack among it, has no more rows than these before it."""


class Central:
    """All parts, built and wired. ``close`` gives the data folder back."""

    def __init__(self, config: Config, *, clock: Clock, new_session: Callable[[], bytes]) -> None:
        self.config = config
        self._lock: IO[str] = store.hold(config.data)
        time = HospitalTime(clock, config.zone)
        path = store.prepare(config.data, now_us=time.now_us())
        changes = Changes()
        self.ledger = Ledger(path, time, changes, new_session)
        establish(self.ledger)
        self.recalls = Recalls(self.ledger, open_key(config.data))
        self.ledger.listen(self.recalls.committed)
        self.inbox = Inbox()
        # Two centrals on one broker must both be heard of, so that agents can tell the older one.
        client = f"codepool-central-{self.ledger.incarnation}"
        self.link = MqttLink(config.broker, self.inbox, client=client, random=SystemRandom(), on_up=self._on_link_up)
        secret = open_secret(config.data)
        voice = Voice(new_session(), secret.sign)
        self.snapshots = Snapshots(self.ledger, config.data, config.snapshots)
        self.publisher = Publisher(self.ledger, self.link, voice, key=secret.public, snapshots=self.snapshots)
        self.ledger.listen(self.publisher.broadcast)
        self.agents = Agents(self.ledger)
        self.recall_lane = RecallLane(self.ledger, self.recalls, self.agents, self.publisher)
        self.refill = Refill(self.ledger, self.agents, limit_s=config.refill_s, on_end=self._on_link_up)
        self.early = Early(self.ledger)
        greeting = Greeting(
            self.ledger,
            self.publisher,
            self.agents,
            self.refill,
            self.recall_lane,
            early=self.early,
            inbox=self.inbox,
        )
        self.device_keys = DeviceKeys(self.ledger, config.enrolment)
        self.gate = Gate(self.ledger, self.device_keys, self.agents, self.publisher.refuse)
        self.leases = Leases(
            self.ledger, self.publisher, self.agents, self.early, term_s=config.lease_s, margin_s=config.lease_margin_s
        )
        self.pulls = Pulls(self.publisher, has_room=lambda: self.link.waiting < PAGES_ON_THE_WAY)
        self.comparing = Comparing(self.ledger, self.publisher, every_s=config.compare_s, random=SystemRandom())
        self.ingest = Ingest(
            self.ledger,
            self.inbox,
            self.publisher,
            self.agents,
            greeting,
            recalls=self.recall_lane,
            gate=self.gate,
            early=self.early,
            leases=self.leases,
            comparing=self.comparing,
            pulled=self.pulls.ask,
        )
        self.safe = Safe(self.ledger, self.ingest.tell, config.data)
        self.insurer = self._insurer(changes, time)
        people, reader = People(self.ledger), open_reader(path)
        desk = LeaseDesk(self.ledger, self.leases)
        self.platform = self._platform(changes, time)
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
            uses=Uses(reader),
            device_keys=self.device_keys,
            sales=SalesQueue(self.ledger),
            changes=changes,
            time=time,
            read=reader,
            pool_counts=PoolCounts(self.ledger, reader),
            conditions=Conditions(
                ledger=self.ledger,
                refill=self.refill,
                link=self.link,
                ingest=self.ingest,
                inbox=self.inbox,
                recalls=self.recalls,
                recall_lane=self.recall_lane,
                snapshots=self.snapshots,
                device_keys=self.device_keys,
                gate=self.gate,
                insurer=self.insurer,
                platform=self.platform,
            ).all,
            life=self.refill.life,
            leases=desk.views,
            deciding_leases=desk.deciding,
            end_lease=desk.end,
            end_refill=lambda person: self.refill.end(f"ended by {person}"),
            shifts=config.shifts,
        )

    async def run(self, stop: asyncio.Event, *, on_ready: Callable[[str], None]) -> None:
        """Serve until ``stop``. ``on_ready`` gets the address of the site."""
        lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        async with self._site(lost) as address, asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(_until_lost(lost), name="lost ledger"),
                tasks.create_task(self.link.run(), name="link"),
                tasks.create_task(self.ingest.run(), name="ingest"),
                tasks.create_task(self.pulls.run(), name="pulls"),
                tasks.create_task(self.agents.run(is_link_up=lambda: self.link.is_up), name="agents"),
                tasks.create_task(self.refill.run(), name="refill"),
                tasks.create_task(self.leases.run(), name="leases"),
                tasks.create_task(self.safe.run(), name="safe"),
                tasks.create_task(self.recalls.run(), name="recalls"),
                tasks.create_task(self.snapshots.run(), name="snapshots"),
                tasks.create_task(self.comparing.run(), name="comparing"),
                tasks.create_task(self._watch_ledger(), name="ledger"),
            ]
            if self.insurer is not None:
                running.append(tasks.create_task(self.insurer.run(), name="insurer"))
            if self.platform is not None:
                running.append(tasks.create_task(self.platform.run(), name="code platform"))
            on_ready(address)
            await stop.wait()
            for task in running:
                task.cancel()

    async def close(self) -> None:
        await self.services.read.dispose()
        self.ledger.close()
        self._lock.close()

    async def _watch_ledger(self) -> None:
        while True:
            await asyncio.sleep(PROBE_EVERY_S)
            self.ledger.probe()

    def _on_link_up(self) -> None:
        self.recall_lane.ring()
        self.publisher.ring()

    def _insurer(self, changes: Changes, time: HospitalTime) -> Insurer | None:
        settings = self.config.insurer
        if settings is None:
            return None
        return Insurer(
            SalesQueue(self.ledger),
            settings.institution,
            url=settings.url,
            time=time,
            changes=changes,
            timeout_s=settings.timeout_s,
            query=settings.query,
        )

    def _platform(self, changes: Changes, time: HospitalTime) -> CodePlatform | None:
        settings = self.config.msfx
        if settings is None:
            return None
        return CodePlatform(
            PlatformQueue(self.ledger),
            Packs(self.ledger),
            settings.caller,
            url=settings.url,
            time=time,
            changes=changes,
            timeout_s=settings.timeout_s,
            per_s=settings.per_s,
        )

    @contextlib.asynccontextmanager
    async def _site(self, lost: asyncio.Future[None]) -> AsyncIterator[str]:
        """Serve the site while open; ``lost`` fails when a request finds the ledger lost. Raises PortInUseError."""

        def on_fatal(error: StartError) -> None:
            if not lost.done():
                lost.set_exception(error)

        settings = SiteSettings(clients=self.config.clients, language=self.config.language)
        site = build_site(self.services, settings, on_fatal=on_fatal, snapshots=self.snapshots)
        runner = web.AppRunner(site, access_log=None, shutdown_timeout=SHUTDOWN_S)
        await runner.setup()
        try:
            await _listen(runner, self.config.host, self.config.port)
            yield f"http://{self.config.host}:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()


async def _until_lost(lost: asyncio.Future[None]) -> None:
    await asyncio.shield(lost)


async def _listen(runner: web.AppRunner, host: str, port: int) -> None:
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        raise PortInUseError(
            f"[central] host, port: cannot listen on {host}:{port}: {error.strerror}\n"
            "Another program listens there, or the address is not one of this machine or not for this user.\n"
            "Stop the other program or give central another port, then start again."
        ) from error


def open_secret(folder: pathlib.Path) -> Secret:
    """The key that signs what central says, made if there is none. Raises StartError."""
    return Secret(read_or_make(folder / KEY, "central key"))


def new_session() -> bytes:
    return secrets.token_bytes(SESSION_BYTES)


async def run(config: Config, *, clock: Clock) -> None:
    """Run central until SIGTERM or SIGINT. Raises StartError."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    central = Central(config, clock=clock, new_session=new_session)
    try:
        await central.run(stop, on_ready=lambda address: _log.info("ready", address=address, data=str(config.data)))
    finally:
        await central.close()


_ENROLMENTS = {
    Enrolment.LISTED: "listed: two people let each device in",
    Enrolment.OPEN: "open: the first key that a device shows is believed; not for a hospital",
}


def check(config: Config) -> str:
    """What a configuration says, for a person to read."""
    insurer = config.insurer.url if config.insurer else "none: rows wait"
    msfx = config.msfx.url if config.msfx else "none: boxes are scanned one by one"
    clients = ", ".join(client.name for client in config.clients) or "none"
    shown = {"data": config.data, "site": f"{config.host}:{config.port}", "language": config.language}
    shown |= {"zone": config.zone.key, "broker": f"{config.broker.host}:{config.broker.port}"}
    shown |= {"insurer": insurer, "msfx": msfx, "clients": clients, "enrolment": _ENROLMENTS[config.enrolment]}
    return "\n".join(f"{name:9} {value}" for name, value in shown.items())
