"""Carries out what the sync machines decide, and tells them what became of it. One task, one event at a time."""

import asyncio
from collections.abc import Callable, Collection, Iterable

import structlog

from edge_agent.clock import Watch
from edge_agent.errors import LinkDownError, StoreError
from edge_agent.store.journal import Journal
from edge_agent.store.outgoing import read_batch, unsent_lines
from edge_agent.store.recalls import HeldRecalls
from edge_agent.store.replica import Replica
from edge_agent.sync.link import Heard, Link, LinkDown, LinkEvent, LinkUp
from edge_agent.sync.recall_lane import RecallLane
from edge_agent.sync.settling import Settling
from edge_agent.sync.state import SyncState
from sync_protocol import codec
from sync_protocol.errors import WireError
from sync_protocol.facts import FactId
from sync_protocol.machines import downlink, uplink
from sync_protocol.messages import Ack, Delta, Hello, Pull, Refused, Rows, Up, Welcome

INBOX = 64
SILENT_AFTER_US = 25_000_000
"""A connected central is asked at least every 15 s: past this it does not answer."""
HELLO_AGAIN_AFTER_US = 1_000_000

_Effect = uplink.Effect | downlink.Effect
_log: structlog.stdlib.BoundLogger = structlog.get_logger("edge_agent.sync")


class _Committed:
    """The journal has new facts. How many is asked when it is handled."""


class SyncShell:
    """``tell`` hears which rows of the replica changed; None: only how sync stands."""

    def __init__(
        self,
        *,
        link: Link,
        journal: Journal,
        replica: Replica,
        watch: Watch,
        tell: Callable[[Rows | None], None],
        software: str,
        recalls: HeldRecalls,
        recall_keys: Collection[bytes] = (),
    ) -> None:
        self._link = link
        self._journal = journal
        self._replica = replica
        self._watch = watch
        self._tell = tell
        self._software = software
        self._uplink = uplink.Uplink(journal.start.session, unsent_lines(journal))
        self._downlink = downlink.Downlink(replica.version)
        self._settling = Settling(journal)
        self._inbox: asyncio.Queue[LinkEvent | _Committed] = asyncio.Queue(INBOX)
        self._is_poked = False
        self._heard_us = self._hello_us = 0
        self.state = SyncState(latest=replica.version)
        self._recalls = RecallLane(
            recalls, recall_keys, state=self.state, send=self._send, tell=lambda: tell(None), now_us=self._now_us
        )

    def committed(self) -> None:
        """The recorder has written facts."""
        if not self._is_poked and not self._inbox.full():  # a full inbox is being handled anyway
            self._is_poked = True
            self._inbox.put_nowait(_Committed())

    async def run(self) -> None:
        """Serve until cancelled. Raises JournalCorruptError."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._link.run(self._hear), name="sync: link")
            tasks.create_task(self._serve(), name="sync: machines")

    async def _hear(self, event: LinkEvent) -> None:
        if isinstance(event, Heard) and event.is_urgent:
            self._recalls.hear(event.data)  # not behind what waits in the inbox
        else:
            await self._inbox.put(event)

    async def _serve(self) -> None:
        while True:
            event = await self._next()
            try:
                await self._handle(event)
                await self._keep_house()
            except StoreError as error:
                # Nothing is lost: what was not written is asked for or sent again when its time comes.
                _log.exception("sync_store_failed")
                self.state.store_trouble = str(error)
                self._tell(None)

    async def _next(self) -> LinkEvent | _Committed | None:
        """The next event; None when something is due."""
        wakes = (self._uplink.wake_us, self._downlink.wake_us, self._settling.wake_us, self._recalls.wake_us)
        due_us = [us for us in wakes if us is not None]
        wait_s = max(0.0, (min(due_us) - self._now_us()) / 1e6) if due_us else None
        try:
            async with asyncio.timeout(wait_s):
                return await self._inbox.get()
        except TimeoutError:
            return None

    async def _handle(self, event: LinkEvent | _Committed | None) -> None:
        now_us = self._now_us()
        match event:
            case None:
                self._recalls.tick()
                await self._do(self._uplink.handle(uplink.Tick(now_us=now_us)))
                await self._do(self._downlink.handle(downlink.Tick(now_us=now_us)))
            case _Committed():
                self._is_poked = False
                await self._send_committed(now_us)
            case LinkUp():
                self._heard_us = now_us
                self.state.is_connected, self.state.cause = True, "central has not answered yet"
                await self._do(self._uplink.handle(uplink.Connected(now_us=now_us)))
                self._tell(None)
            case LinkDown():
                self._lost(event.cause)
            case Heard():
                await self._heard(event.data, now_us)

    async def _send_committed(self, now_us: int) -> None:
        head = uplink.Committed(session=self._journal.start.session, through=self._journal.head, now_us=now_us)
        await self._do(self._uplink.handle(head))

    def _lost(self, cause: str) -> None:
        self._uplink.handle(uplink.Disconnected())
        self._downlink.handle(downlink.Disconnected())
        self._recalls.disconnected()
        state = self.state
        if state.is_connected or state.cause != cause:
            state.is_connected, state.is_welcome, state.cause = False, False, cause
            self._tell(None)

    async def _heard(self, data: bytes, now_us: int) -> None:
        try:
            message = codec.decode_down(data)
        except WireError as error:
            # It would be the same bytes again: said, and passed over. The next pull asks for its content anew.
            _log.warning("message_not_understood", cause=str(error))
            self.state.alarm = f"central sent what this version cannot read: {error}"
            return
        self._heard_us = now_us
        self._recalls.take(message)
        match message:
            case Welcome():
                await self._welcomed(message, now_us)
            case Ack():
                self.state.is_welcome, self.state.cause, self.state.alarm = True, "", ""
                await self._do(self._uplink.handle(uplink.Acked(ack=message, now_us=now_us)))
            case Delta():
                await self._arrived(message, now_us)
            case Refused():
                _log.error("central_refused", cause=message.cause, advice=message.advice)
                self.state.alarm = f"{message.cause}; {message.advice}"
                self._tell(None)

    async def _welcomed(self, welcome: Welcome, now_us: int) -> None:
        self._watch.measured(sent_us=welcome.echo_us, central_us=welcome.central_us)
        state = self.state
        state.is_welcome, state.cause, state.alarm = True, "", ""
        if welcome.version < self._replica.version:
            _log.error("replica_ahead_of_ledger", replica=self._replica.version, ledger=welcome.version)
            self._start_replica_anew()
        await self._do(self._uplink.handle(uplink.Welcomed(welcome=welcome, now_us=now_us)))
        await self._do(self._downlink.handle(downlink.Connected(version=welcome.version, now_us=now_us)))
        self._tell(None)

    async def _arrived(self, delta: Delta, now_us: int) -> None:
        if not self.state.is_welcome and now_us - self._hello_us > HELLO_AGAIN_AFTER_US:
            # Central is back: no need to wait for the next HELLO's turn.
            await self._do(self._uplink.handle(uplink.Connected(now_us=now_us)))
        if delta.after == delta.to == self._replica.version:
            self._replica.confirm(as_of_us=self._watch.clock.wall_us())
        await self._do(self._downlink.handle(downlink.Arrived(delta=delta, now_us=now_us)))
        self.state.latest = self._downlink.latest

    async def _do(self, effects: Iterable[_Effect]) -> None:
        for effect in effects:
            try:
                await self._do_one(effect)
            except LinkDownError as error:
                _log.info("not_sent", effect=type(effect).__name__, cause=str(error))

    async def _do_one(self, effect: _Effect) -> None:
        match effect:
            case uplink.SendHello():
                self._hello_us = self._now_us()
                self._send(self._hello(effect))
            case uplink.SendBatch():
                await self._send_batch(effect)
            case uplink.Settle():
                self._settling.add(effect, now_us=self._now_us())
                for verdict in effect.exceptions:
                    _log.warning("exception_at_central", seq=verdict.seq, refusals=[str(r) for r in verdict.refusals])
            case uplink.Alarm():
                _log.error("sync_alarm", cause=effect.cause)
                self.state.alarm = effect.cause
            case downlink.Apply():
                await self._apply(effect.delta)
            case downlink.SendPull():
                self._send(Pull(after=effect.after))

    async def _send_batch(self, effect: uplink.SendBatch) -> None:
        batch = read_batch(self._journal, effect.session, after=effect.after, limit=effect.limit)
        self._send(batch)
        sent = uplink.Sent(session=effect.session, through=batch.last_seq, now_us=self._now_us())
        await self._do(self._uplink.handle(sent))

    async def _apply(self, delta: Delta) -> None:
        wall_us = self._watch.clock.wall_us()
        is_up_to_date = delta.to >= delta.latest
        await self._replica.apply(delta, as_of_us=wall_us if is_up_to_date else self._replica.as_of_us)
        self.state.store_trouble = ""
        self._tell(delta.rows)
        await self._do(self._downlink.handle(downlink.Applied(version=delta.to, now_us=self._now_us())))

    def _hello(self, effect: uplink.SendHello) -> Hello:
        start, head = self._journal.start, self._journal.head
        return Hello(
            start=start,
            head=FactId(device=start.device, session=start.session, seq=head) if head else None,
            head_hash=self._journal.head_hash,
            pending=effect.pending,
            replica_version=self._replica.version,
            software=self._software,
            sent_us=self._watch.clock.wall_us(),
            recall_version=self._recalls.version,
        )

    def _send(self, message: Up) -> None:
        self._link.send(codec.encode(message))

    async def _keep_house(self) -> None:
        if self._replica.is_damaged:
            self._start_replica_anew()
            if self.state.is_welcome:
                connected = downlink.Connected(version=self.state.latest, now_us=self._now_us())
                await self._do(self._downlink.handle(connected))
        if await self._settling.flush(now_us=self._now_us(), replica_version=self._replica.version):
            self.state.store_trouble = ""
            self._tell(None)
        if self.state.is_welcome and self._now_us() - self._heard_us > SILENT_AFTER_US:
            self.state.is_welcome, self.state.cause = False, "central does not answer"
            self._tell(None)

    def _start_replica_anew(self) -> None:
        self._replica.reset()
        self._downlink = downlink.Downlink(self._replica.version)

    def _now_us(self) -> int:
        return self._watch.clock.mono_us()
