"""The replica's side of sync: deltas and snapshots into it, and its comparison with the ledger (REQ-05, REQ-06)."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from edge_agent.clock import Watch
from edge_agent.store.replica import Replica
from edge_agent.sync.comparing import Comparing, Computed
from edge_agent.sync.copying import Copying
from edge_agent.sync.fetching import Fetcher
from edge_agent.sync.state import Download, SyncState
from sync_protocol.machines.bootstrap import Fetched, Missed
from sync_protocol.messages import Bucket, Compare, Delta, Differ, Down, Offer, Rows, Up, Welcome

Ended = Fetched | Missed | Computed
"""What this agent itself has done beside, to be handled in its turn."""
_log: structlog.stdlib.BoundLogger = structlog.get_logger("edge_agent.sync")


class ReplicaLane:
    """``tell`` hears which rows of the replica in use changed; None: all of them may have, or only how sync stands."""

    def __init__(
        self,
        replica: Replica,
        *,
        watch: Watch,
        state: SyncState,
        send: Callable[[Up], None],
        tell: Callable[[Rows | None], None],
        fetcher: Fetcher | None,
    ) -> None:
        self._replica = replica
        self._state = state
        self._tell = tell
        self._fetcher = fetcher
        self._copying = Copying(replica, watch=watch, tell=tell, send=send, fetcher=fetcher)
        self._comparing = Comparing(
            replica,
            is_whole=lambda: self._copying.is_whole,
            watch=watch,
            state=state,
            send=send,
            copy_anew=self._copying.copy_anew,
            tell=tell,
        )

    @property
    def wake_us(self) -> int | None:
        return min((us for us in (self._copying.wake_us, self._comparing.wake_us) if us is not None), default=None)

    def whole_of(self, incarnation: int) -> Replica | None:
        """The replica in use; None while it is of an incarnation before this one, or between two pages of a pull."""
        is_own = self._replica.incarnation == incarnation
        return self._replica if is_own and self._copying.is_whole else None

    async def run(self, hear: Callable[[Ended], Awaitable[None]]) -> None:
        """Do what takes long, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._comparing.run(hear), name="sync: comparing")
            if self._fetcher is not None:
                tasks.create_task(self._fetcher.run(hear, self._show), name="sync: snapshots")

    async def welcomed(self, welcome: Welcome) -> None:
        """Raises StoreError, as every method below may that waits."""
        await self._copying.welcomed(welcome)

    def disconnected(self) -> None:
        self._copying.disconnected()
        self._comparing.disconnected()

    async def tick(self) -> None:
        await self._copying.tick()
        await self._comparing.tick()

    async def take(self, message: Down) -> None:
        """What is not of the replica is passed over."""
        match message:
            case Delta():
                await self._copying.arrived(message)
                self._state.latest = self._copying.latest
                self._state.store_trouble = ""
            case Offer():
                await self._copying.offered(message)
            case Compare() | Differ() | Bucket():
                await self._comparing.take(message)

    async def ended(self, event: Ended) -> None:
        match event:
            case Computed():
                await self._comparing.computed(event)
                return
            case Fetched():
                self._state.snapshot_trouble = ""
            case Missed():
                _log.warning("snapshot_missed", cause=event.cause, version=event.offer.version, fetched=event.fetched)
                self._state.snapshot_trouble = event.cause
        await self._copying.ended(event)
        self._tell(None)

    async def rebuild(self, incarnation: int, version: int) -> None:
        await self._copying.rebuild(incarnation, version)

    async def keep_house(self, incarnation: int, *, is_refilling: bool) -> None:
        """After everything that may have moved the replica, or found it damaged."""
        if self._replica.is_damaged:
            await self._copying.start_anew(incarnation, is_refilling=is_refilling)
        await self._comparing.moved()

    def _show(self, download: Download | None) -> None:
        if download != self._state.snapshot:
            self._state.snapshot = download
            self._tell(None)
