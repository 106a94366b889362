"""The composition root: the one place that builds drivers, stores, link, workflows and screens, and runs them."""

import asyncio
import errno
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, closing
from importlib.metadata import version
from pathlib import Path
from random import Random

import structlog
from aiohttp import web

from drivers.abilities import LockBoard, Packager, Scanner, TagReader
from edge_agent.check import Stock
from edge_agent.clock import Clock, Watch
from edge_agent.config import CabinetConfig, Config, PackagerConfig, ScreenConfig, StationConfig
from edge_agent.errors import ConfigError, Mistake, PortInUseError, StoreError
from edge_agent.health import Health
from edge_agent.notify import Change, Notifier
from edge_agent.people import People
from edge_agent.recorder import Recorder
from edge_agent.rights import build_rights
from edge_agent.safe_mode import Part, SafeMode, Starts
from edge_agent.screens import routes
from edge_agent.store import folder
from edge_agent.store.folder import DataFolder
from edge_agent.store.identity import Identity, open_identity
from edge_agent.store.journal import Journal
from edge_agent.store.overlay import Overlay
from edge_agent.store.pocket import Pocket, open_pocket
from edge_agent.store.replica import Replica
from edge_agent.sync.fetching import Fetcher
from edge_agent.sync.leasing import Share
from edge_agent.sync.link import MqttLink
from edge_agent.sync.pruning import keep_pruned
from edge_agent.sync.shell import SyncShell
from edge_agent.workflows.bench import Bench
from edge_agent.workflows.cabinet import Cabinet
from edge_agent.workflows.door import Settings
from edge_agent.workflows.orders import Orders
from edge_agent.workflows.packaging import Packaging
from edge_agent.workflows.station import Station
from sync_protocol.documents import Route
from sync_protocol.items import Item
from sync_protocol.messages import Rows

RESERVE_EVERY_S = 60.0
LEAVE_S = 0.2
"""For the last word to central to leave this computer."""
_BACKLOG = 128
_log: structlog.stdlib.BoundLogger = structlog.get_logger("edge_agent.app")


async def run(config: Config, *, clock: Clock, session: bytes, random: Random, stop: asyncio.Event) -> None:
    """Serve until ``stop`` is set. Raises EdgeError, alone or in a group, if the agent cannot start or go on."""
    path = Path(config.agent.data)
    with ExitStack() as stack:
        data = DataFolder.hold(path, reserve_bytes=config.agent.reserve_mb << 20)
        stack.callback(data.release)
        starts = Starts(path / folder.STARTS)
        is_safe = starts.begin(clock.wall_us())
        identity = open_identity(path)
        listening = stack.enter_context(closing(_listen(config.screen)))
        journal = Journal.open(
            path / folder.JOURNAL, device=config.agent.device, session=session, started_us=clock.wall_us()
        )
        stack.callback(journal.close)
        replica = stack.enter_context(closing(Replica(path / folder.REPLICA)))
        pocket = stack.enter_context(closing(open_pocket(path)))
        agent = Agent(
            config,
            clock=clock,
            random=random,
            data=data,
            journal=journal,
            pocket=pocket,
            replica=replica,
            identity=identity,
        )
        async with _serving(agent.application(), listening) as url:
            waiting = agent.health.snapshot().facts_waiting
            _log.info("ready", url=url, device=config.agent.device, waiting=waiting)
            if is_safe:
                _log.warning("safe_mode", cause="several starts ended unasked within ten minutes")
            await _run_until(stop, agent.parts(), agent.leave, agent.safe_mode if is_safe else None)
        starts.ended()
    _log.info("stopped", device=config.agent.device)


class Agent:
    """Every part of one running agent."""

    def __init__(
        self,
        config: Config,
        *,
        clock: Clock,
        random: Random,
        data: DataFolder,
        journal: Journal,
        pocket: Pocket,
        replica: Replica,
        identity: Identity,
    ) -> None:
        self._config = config
        self._data = data
        self._journal = journal
        self._now_us = clock.wall_us
        watch = Watch(clock, config.zone, known_us=replica.as_of_us)
        self.notifier = Notifier()
        self.safe_mode = SafeMode(tell=lambda: self.notifier.publish(Change.SYNC))
        self.stock = Stock(Overlay(journal), replica, clock.wall_us)
        rights = build_rights(journal, pocket, clock)
        self.recorder = Recorder(
            journal=journal,
            stock=self.stock,
            watch=watch,
            data=data,
            rights=rights,
            location=config.agent.location,
            device=config.agent.device,
            policy=config.policy,
        )
        self.people = People(journal=journal, stock=self.stock, now_us=clock.wall_us)
        host, port = config.central.broker
        self._shell = SyncShell(
            link=MqttLink(host=host, port=port, device=config.agent.device, random=random),
            journal=journal,
            replica=replica,
            watch=watch,
            tell=self._tell_of_rows,
            software=f"codepool-edge {version('codepool')}",
            rights=rights,
            stock=self.stock,
            share=_share_of(config),
            recalls=self.recorder.recalls,
            identity=identity,
            recall_keys=config.central.recall_public_keys,
            central_keys=config.central.public_keys,
            fetcher=Fetcher(config.central.url, data.path, watch=watch, random=random) if config.central.url else None,
        )
        self.recorder.listen(self._tell_of_items)
        self.health = Health(
            journal=journal,
            stock=self.stock,
            recorder=self.recorder,
            sync=self._shell.state,
            devices=tuple(config.devices.values()),
            now_us=clock.wall_us,
            safe_mode=self.safe_mode,
        )

        self._bench = Bench(recorder=self.recorder, stock=self.stock, notifier=self.notifier)
        self.workplace = self._workplace()

    def application(self) -> web.Application:
        """The screens of this workplace."""
        parts = routes.Parts(
            bench=self._bench,
            people=self.people,
            health=self.health,
            work=self.workplace,
            language=self._config.screen.language,
            new_key=lambda: secrets.token_urlsafe(24),
        )
        return routes.build(parts)

    def parts(self) -> dict[str, Part]:
        """What runs until the agent is stopped, by name."""
        devices: dict[str, Part] = {f"device {device.name}": device.run for device in self._config.devices.values()}
        own = {"sync": self._shell.run, "journal": self.recorder.watch_journal, "reserve": self._keep_reserve}
        return devices | own | {"workplace": self.workplace.run, "pruning": self._keep_pruned}

    async def leave(self) -> None:
        """Give back what is held, as far as it can be said now."""
        held = self.recorder.rights.holding.count
        try:
            self._shell.leave()
        except StoreError as error:
            _log.warning("lease_not_given_back", cause=str(error))
            return
        await asyncio.sleep(LEAVE_S if held else 0.0)

    async def _keep_pruned(self) -> None:
        await keep_pruned(
            self._journal,
            keep_days=self._config.agent.keep_days,
            now_us=self._now_us,
            may_go_on=lambda: not self._shell.is_refilling,
        )

    def _workplace(self) -> Station | Cabinet | Packaging:
        devices = self._config.devices
        match self._config.workplace:
            case StationConfig() as station:
                scanner = devices[station.scanner]
                assert isinstance(scanner, Scanner), "the configuration was checked"
                return Station(self._bench, people=self.people, scanner=scanner, machines=station.machines)
            case CabinetConfig() as cabinet:
                settings = Settings(
                    quiet_rounds=cabinet.quiet_rounds, max_rounds=cabinet.max_rounds, round_s=cabinet.round_s
                )
                reader, lockboard = devices[cabinet.reader], devices[cabinet.lockboard]
                assert isinstance(reader, TagReader), "the configuration was checked"
                assert isinstance(lockboard, LockBoard), "the configuration was checked"
                return Cabinet(self._bench, reader=reader, lockboard=lockboard, lock=cabinet.lock, settings=settings)
            case PackagerConfig() as packager:
                machine = devices[packager.packager]
                assert isinstance(machine, Packager), "the configuration was checked"
                return Packaging(self._bench, Orders(self._bench, route=Route.PACKAGER), packager=machine)

    def _tell_of_items(self, _items: Sequence[Item]) -> None:
        self._shell.committed()
        self.notifier.publish(Change.STOCK, Change.SYNC)

    def _tell_of_rows(self, rows: Rows | None) -> None:
        changes = [Change.SYNC]
        if rows is not None:
            changes += [Change.STOCK] if rows.items else []
            changes += [Change.ORDERS] if rows.orders or rows.items else []
            changes += [Change.NOTES] if rows.notes or rows.transfers or rows.items else []
            changes += [Change.PEOPLE] if rows.people else []
            changes += [Change.VERDICTS] if rows.sheets else []
            changes += [Change.EVERYTHING] if rows.products else []
        self.notifier.publish(*changes)

    async def _keep_reserve(self) -> None:
        while True:
            await asyncio.sleep(RESERVE_EVERY_S)
            self._data.keep_reserve()


def _listen(screen: ScreenConfig) -> socket.socket:
    """The screen's port, taken before anything is written. Raises PortInUseError or ConfigError."""
    try:
        (family, *_, address), *_ = socket.getaddrinfo(screen.host, screen.port, type=socket.SOCK_STREAM)
        return socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortInUseError(
                f"port {screen.port} of {screen.host} is in use by another program, perhaps another agent."
                " Stop it, or set [screen] port to a free one."
            ) from error
        mistake = Mistake(
            field="screen.host",
            found=f"{screen.host!r} port {screen.port} ({error.strerror or error})",
            expected="an address of this machine and a port that this user may open",
            advice='write for example host = "127.0.0.1"',
        )
        raise ConfigError("screen", (mistake,)) from error


@asynccontextmanager
async def _serving(application: web.Application, listening: socket.socket) -> AsyncIterator[str]:
    """The screens on their port; yields their address."""
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    try:
        await web.SockSite(runner, listening).start()
        host, port = listening.getsockname()[:2]
        yield f"http://{host}:{port}/"
    finally:
        await runner.cleanup()


def _share_of(config: Config) -> Share:
    """Only what a station hands out is handed out without an order that was locked for it."""
    agent = config.agent
    want = agent.lease_items if agent.workplace == "station" else 0
    return Share(location=agent.location, route=Route(agent.workplace), want=want)


async def _run_until(
    stop: asyncio.Event, parts: Mapping[str, Part], leave: Callable[[], Awaitable[None]], safe_mode: SafeMode | None
) -> None:
    """Run parts for ever; the first that fails ends all of them, except in safe mode."""
    async with asyncio.TaskGroup() as group:
        running = [
            group.create_task(safe_mode.keep(name, part) if safe_mode else part(), name=name)
            for name, part in parts.items()
        ]
        await stop.wait()
        await leave()
        for task in running:
            task.cancel()
