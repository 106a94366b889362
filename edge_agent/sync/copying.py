"""Carries out what the downlink machine decides: deltas into the replica, pulls, and a new replica after a restore."""

from collections.abc import Callable, Iterable

import structlog

from edge_agent.clock import Watch
from edge_agent.errors import LinkDownError, StoreError
from edge_agent.store.replica import Replica
from edge_agent.sync.fetching import Fetcher
from sync_protocol.machines import bootstrap, downlink
from sync_protocol.messages import Delta, Offer, Pull, Rows, Welcome

_NOBODY = -1
"""The incarnation of no central: nothing that is heard is taken."""
_log: structlog.stdlib.BoundLogger = structlog.get_logger("edge_agent.sync")


class Copying:
    """``tell`` hears which rows of the replica in use changed; None: all of them may have."""

    def __init__(
        self,
        replica: Replica,
        *,
        watch: Watch,
        tell: Callable[[Rows | None], None],
        send: Callable[[Pull], None],
        fetcher: Fetcher | None = None,
    ) -> None:
        self._replica = replica
        self._watch = watch
        self._tell = tell
        self._send = send
        self._fetcher = fetcher
        self._downlink = self._new_downlink(replica.version, replica.incarnation)

    @property
    def wake_us(self) -> int | None:
        return self._downlink.wake_us

    @property
    def latest(self) -> int:
        """The highest ledger version heard of."""
        return self._downlink.latest

    @property
    def is_whole(self) -> bool:
        """Whether the replica in use is one state of the ledger, and not between two pages of a pull."""
        return self._downlink.is_whole

    async def welcomed(self, welcome: Welcome) -> None:
        if welcome.incarnation == self._downlink.incarnation:
            await self._handle(downlink.Connected(version=welcome.version, now_us=self._now_us()))

    def disconnected(self) -> None:
        self._downlink.handle(downlink.Disconnected())

    async def tick(self) -> None:
        """Raises StoreError."""
        await self._handle(downlink.Tick(now_us=self._now_us()))

    async def arrived(self, delta: Delta) -> None:
        """Raises StoreError."""
        replica = self._replica
        if delta.after == delta.to == replica.version and delta.incarnation == replica.incarnation:
            replica.confirm(as_of_us=self._watch.clock.wall_us())
        await self._handle(downlink.Arrived(delta=delta, now_us=self._now_us()))

    async def offered(self, offer: Offer) -> None:
        """Raises StoreError."""
        await self._handle(bootstrap.Offered(offer=offer, now_us=self._now_us()))

    async def ended(self, event: bootstrap.Fetched | bootstrap.Missed) -> None:
        """An attempt to fetch a snapshot ended. Raises StoreError."""
        await self._handle(event)

    async def rebuild(self, incarnation: int, version: int) -> None:
        """Copy the ledger of another incarnation beside the replica in use. Raises StoreError."""
        self._replica.build()
        await self._handle(downlink.Rebuild(incarnation=incarnation, version=version, now_us=self._now_us()))

    async def copy_anew(self, incarnation: int) -> None:
        """The replica in use is not what it says: another one is built beside. Raises StoreError."""
        if not self._downlink.is_rebuilding:
            await self.rebuild(incarnation, self._downlink.latest)

    async def start_anew(self, incarnation: int, *, is_refilling: bool) -> None:
        """The replica is damaged: an empty one takes its place until another is built beside. Raises StoreError.

        What central said of an item before this agent's own facts may still be on its way, or be in one page of a pull.
        A ledger that is being refilled may say of an item what was true before this agent's own facts, and their
        overlay rows may be gone with the replica that knew them: rather than believe it, know nothing until then.
        """
        latest = self._downlink.latest
        self._replica.reset()
        self._downlink = self._new_downlink(0, _NOBODY)
        if not is_refilling:
            await self.rebuild(incarnation, latest)
        self._tell(None)

    async def _handle(self, event: downlink.Event) -> None:
        await self._do(self._downlink.handle(event))

    async def _do(self, effects: Iterable[downlink.Effect]) -> None:
        for effect in effects:
            match effect:
                case downlink.Apply():
                    await self._apply(effect)
                case downlink.Swap():
                    await self._swap()
                case downlink.SendPull():
                    self._pull(effect)
                case bootstrap.Fetch() | downlink.Adopt() | downlink.Discard():
                    await self._do_with_snapshot(effect)

    async def _do_with_snapshot(self, effect: bootstrap.Fetch | downlink.Adopt | downlink.Discard) -> None:
        assert self._fetcher is not None, "without one no pull takes a snapshot"
        match effect:
            case bootstrap.Fetch():
                _log.info("snapshot_begun", version=effect.offer.version, bytes=effect.offer.size)
                self._fetcher.fetch(effect.offer)
            case downlink.Adopt():
                await self._adopt(effect.offer, self._fetcher)
            case downlink.Discard():
                self._fetcher.discard(effect.offer)

    async def _adopt(self, offer: Offer, fetcher: Fetcher) -> None:
        try:
            self._replica.adopt(fetcher.whole(offer))
        except StoreError as error:
            fetcher.discard(offer)
            now_us = self._now_us()
            missed = bootstrap.Missed(
                offer=offer, cause=str(error), is_wrong=True, fetched=0, chance=1.0, now_us=now_us
            )
            await self._handle(missed)
            if self._downlink.is_rebuilding:  # what was built beside is gone with it
                await self.rebuild(self._downlink.incarnation, self._downlink.latest)
            raise
        await self._handle(downlink.Adopted(offer=offer, now_us=self._now_us()))

    async def _apply(self, effect: downlink.Apply) -> None:
        delta, wall_us = effect.delta, self._watch.clock.wall_us()
        as_of_us = wall_us if delta.to >= delta.latest else self._replica.as_of_us
        if effect.is_rebuild:
            await self._replica.build_on(delta, as_of_us=as_of_us)
        else:
            await self._replica.apply(delta, as_of_us=as_of_us)
            self._tell(delta.rows)
        await self._handle(downlink.Applied(version=delta.to, now_us=self._now_us()))

    async def _swap(self) -> None:
        self._replica.swap(as_of_us=self._watch.clock.wall_us())
        _log.warning("replica_swapped", incarnation=self._replica.incarnation, version=self._replica.version)
        self._tell(None)
        await self._handle(downlink.Swapped(now_us=self._now_us()))

    def _pull(self, effect: downlink.SendPull) -> None:
        try:
            self._send(Pull(after=effect.after, incarnation=effect.incarnation, takes=effect.takes, part=effect.part))
        except LinkDownError as error:
            _log.info("not_sent", effect="SendPull", cause=str(error))

    def _new_downlink(self, cursor: int, incarnation: int) -> downlink.Downlink:
        fetcher = self._fetcher
        taking = bootstrap.Bootstrap(is_able=fetcher is not None, part=fetcher.part if fetcher else b"")
        return downlink.Downlink(cursor, incarnation=incarnation, bootstrap=taking)

    def _now_us(self) -> int:
        return self._watch.clock.mono_us()
