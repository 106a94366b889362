"""Carries out what the comparing machine decides: sums up the replica step by step, and puts right what drifted."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterable

import msgspec
import structlog

from edge_agent.clock import Watch
from edge_agent.errors import LinkDownError
from edge_agent.store.replica import Replica
from edge_agent.store.scan import Scan
from edge_agent.sync.state import Drift, SyncState
from sync_protocol.machines import comparing
from sync_protocol.messages import Bucket, Compare, Differ, Rows, Up

PAUSE_S = 0.001
_log: structlog.stdlib.BoundLogger = structlog.get_logger("edge_agent.comparing")


class Computed(msgspec.Struct, frozen=True, kw_only=True):
    """What the replica held when it was there."""

    place: comparing.Place
    sums: bytes


class Comparing:
    """``copy_anew``: too much differs. ``tell``: rows of the replica were put right.

    ``is_whole``: whether the replica is one state of the ledger; between two pages of a pull it differs by design.
    """

    def __init__(
        self,
        replica: Replica,
        *,
        is_whole: Callable[[], bool],
        watch: Watch,
        state: SyncState,
        send: Callable[[Up], None],
        copy_anew: Callable[[int], Awaitable[None]],
        tell: Callable[[Rows], None],
    ) -> None:
        self._replica = replica
        self._is_whole = is_whole
        self._watch = watch
        self._state = state
        self._send = send
        self._copy_anew = copy_anew
        self._tell = tell
        self._machine = comparing.Comparing(self._place)
        self._scans: asyncio.Queue[Scan] = asyncio.Queue(1)

    @property
    def wake_us(self) -> int | None:
        return self._machine.wake_us

    def disconnected(self) -> None:
        self._machine.disconnected()

    async def moved(self) -> None:
        """The replica may be somewhere else. Raises StoreError."""
        await self._do(self._machine.moved(self._place))

    async def tick(self) -> None:
        await self._do(self._machine.tick(self._now_us()))

    async def take(self, message: Compare | Differ | Bucket) -> None:
        """Raises StoreError."""
        match message:
            case Compare():
                await self._do(self._machine.asked(message))
            case Differ():
                if message.incarnation == self._replica.incarnation:
                    _log.error("replica_drifted", version=message.version, buckets=message.buckets)
                await self._do(self._machine.differ(message, self._now_us()))
            case Bucket():
                await self._do(self._machine.came(message, self._now_us()))

    async def computed(self, event: Computed) -> None:
        await self._do(self._machine.computed(event.place, event.sums))

    async def run(self, hear: Callable[[Computed], Awaitable[None]]) -> None:
        """Sum up what is asked for, until cancelled."""
        while True:
            scan = await self._scans.get()
            sums = await self._sum_up(scan)
            if sums is not None:
                place = comparing.Place(version=scan.version, incarnation=scan.incarnation)
                await hear(Computed(place=place, sums=sums))

    async def _sum_up(self, scan: Scan) -> bytes | None:
        """None: the replica was swapped, or its disk fails, which whoever reads it next will say."""
        try:
            while not scan.is_closed:
                sums = scan.step()
                if sums is not None:
                    return sums
                await asyncio.sleep(PAUSE_S)
        except sqlite3.Error as error:
            _log.warning("replica_not_compared", cause=str(error))
        finally:
            scan.close()
        return None

    async def _do(self, effects: Iterable[comparing.Effect]) -> None:
        for effect in effects:
            match effect:
                case comparing.Compute():
                    self._begin(effect)
                case comparing.Send():
                    self._say(effect)
                case comparing.Repair():
                    await self._repair(effect.bucket)
                case comparing.CopyAnew():
                    await self._copy_anew(effect.place.incarnation)

    def _begin(self, effect: comparing.Compute) -> None:
        if self._is_whole() and not self._scans.full():
            scan = self._replica.scan()
            assert scan.version == effect.place.version, "nobody else moves the replica"
            self._scans.put_nowait(scan)

    async def _repair(self, bucket: Bucket) -> None:
        items = await self._replica.repair(bucket)
        if items:
            _log.error("replica_mended", bucket=bucket.bucket, items=items, version=bucket.version)
            before = self._state.drift
            self._state.drift = Drift(items=items + (before.items if before else 0), at_us=self._watch.clock.wall_us())
            self._tell(Rows(items=bucket.items))
        await self._do(self._machine.repaired(bucket, items, self._now_us()))

    def _say(self, effect: comparing.Send) -> None:
        try:
            self._send(effect.message)
        except LinkDownError as error:
            _log.info("not_sent", effect=type(effect.message).__name__, cause=str(error))

    @property
    def _place(self) -> comparing.Place:
        return comparing.Place(version=self._replica.version, incarnation=self._replica.incarnation)

    def _now_us(self) -> int:
        return self._watch.clock.mono_us()
