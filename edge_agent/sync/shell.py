"""Carries out what the sync machines decide, and tells them what became of it. One task, one event at a time."""

import asyncio
from collections.abc import Callable, Collection, Iterable

import msgspec
import structlog

from edge_agent.check import Stock
from edge_agent.clock import Watch, fresh_session
from edge_agent.errors import LinkDownError, StoreError
from edge_agent.rights import Rights
from edge_agent.store.identity import Identity
from edge_agent.store.journal import Journal
from edge_agent.store.outgoing import settled_lines, unsent_lines
from edge_agent.store.recalls import HeldRecalls
from edge_agent.store.replica import Replica
from edge_agent.sync.ear import Ear
from edge_agent.sync.fetching import Fetcher
from edge_agent.sync.leasing import Leasing, Share
from edge_agent.sync.link import TURNS_TO_LEAVE, Heard, Link, LinkDown, LinkEvent, LinkUp
from edge_agent.sync.recall_lane import RecallLane
from edge_agent.sync.replica_lane import Ended, ReplicaLane
from edge_agent.sync.sessions import Sessions
from edge_agent.sync.settling import Settling
from edge_agent.sync.state import SyncState
from sync_protocol import topics
from sync_protocol.envelope import Voice
from sync_protocol.errors import WireError
from sync_protocol.machines import uplink
from sync_protocol.machines import uplink_events as on
from sync_protocol.messages import Ack, Delta, Down, Hello, Parted, Refused, Rows, Up, Welcome

INBOX = 64
SILENT_AFTER_US = 25_000_000
"""A connected central is asked at least every 15 s: past this it does not answer."""
HELLO_AGAIN_AFTER_US = 1_000_000

_log: structlog.stdlib.BoundLogger = structlog.get_logger("edge_agent.sync")
_Codes = tuple[str, ...]
"""What a person is about to issue and is not held here."""


class _Committed:
    """The journal has new facts. How many is asked when it is handled."""


_Event = LinkEvent | _Committed | _Codes | Ended


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
        rights: Rights,
        stock: Stock,
        share: Share,
        recalls: HeldRecalls,
        identity: Identity,
        new_session: Callable[[], bytes] = fresh_session,
        recall_keys: Collection[bytes] = (),
        central_keys: Collection[bytes] = (),
        fetcher: Fetcher | None = None,
    ) -> None:
        self._link = link
        self._identity = identity
        self._sessions = Sessions(journal, watch, new_session)
        self._topic = topics.up(journal.start.device)
        self._journal = journal
        self._voice = self._fresh_voice()
        self._replica = replica
        self._watch = watch
        self._tell = tell
        self._software = software
        self._uplink = uplink.Uplink(
            journal.start.session,
            unsent_lines(journal),
            settled=settled_lines(journal),
            incarnation=journal.incarnation,
            is_refilled=replica.incarnation == journal.incarnation,
        )
        self.state = SyncState(latest=replica.version)
        self._copy = ReplicaLane(replica, watch=watch, state=self.state, send=self._send, tell=tell, fetcher=fetcher)
        self._settling = Settling(journal, self._now_us)
        self._leasing = Leasing(rights, journal=journal, stock=stock, clock=watch.clock, share=share, send=self._send)
        rights.ask_by(self._want)
        self._inbox: asyncio.Queue[_Event] = asyncio.Queue(INBOX)
        self._is_poked = False
        self._heard_us = self._hello_us = 0
        self._hello_session = journal.start.session
        self._ear = Ear(journal, central_keys, self.state)
        self._recalls = RecallLane(
            recalls, recall_keys, state=self.state, send=self._send, tell=lambda: tell(None), now_us=self._now_us
        )

    @property
    def is_refilling(self) -> bool:
        """Central was restored, and may lack facts that only this journal holds."""
        return self._uplink.is_refilling

    def committed(self) -> None:
        """The recorder has written facts."""
        if not self._is_poked and not self._inbox.full():  # a full inbox is being handled anyway
            self._is_poked = True
            self._inbox.put_nowait(_Committed())

    def leave(self) -> None:
        """The agent stops: others may have what it held. Raises StoreError."""
        self._leasing.leave()

    def _want(self, codes: _Codes) -> None:
        if not self._inbox.full():  # who waits asks again
            self._inbox.put_nowait(codes)

    async def run(self) -> None:
        """Serve until cancelled. Raises JournalCorruptError."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._link.run(self._hear), name="sync: link")
                tasks.create_task(self._serve(), name="sync: machines")
                tasks.create_task(self._copy.run(self._inbox.put), name="sync: replica")
        finally:
            self._lost("the synchronisation of this agent has stopped")

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

    async def _next(self) -> _Event | None:
        """The next event; None when something is due."""
        parts = (self._uplink, self._copy, self._settling, self._recalls, self._leasing)
        wakes = [part.wake_us for part in parts]
        due_us = [us for us in wakes if us is not None]
        wait_s = max(0.0, (min(due_us) - self._now_us()) / 1e6) if due_us else None
        try:
            async with asyncio.timeout(wait_s):
                return await self._inbox.get()
        except TimeoutError:
            return None

    async def _handle(self, event: _Event | None) -> None:
        now_us = self._now_us()
        match event:
            case None:
                self._recalls.tick()
                await self._do(self._uplink.handle(on.Tick(now_us=now_us)))
                await self._copy.tick()
                self._leasing.tick()
            case tuple():
                self._leasing.wanted(event)
            case _Committed():
                self._is_poked = False
                await self._do(self._uplink.handle(self._sessions.head()))
            case LinkUp():
                self._heard_us = now_us
                self.state.is_connected, self.state.cause = True, "central has not answered yet"
                await self._do(self._uplink.handle(on.Connected(now_us=now_us)))
                self._tell(None)
            case LinkDown():
                self._lost(event.cause)
            case Heard():
                await self._heard(event, now_us)
            case _:
                await self._copy.ended(event)

    def _lost(self, cause: str) -> None:
        self._uplink.handle(on.Disconnected())
        self._ear.forget_asked()
        self._copy.disconnected()
        self._leasing.disconnected()
        self._recalls.disconnected()
        state = self.state
        if state.is_connected or state.cause != cause:
            state.is_connected, state.is_welcome, state.cause = False, False, cause
            self._tell(None)

    async def _heard(self, heard: Heard, now_us: int) -> None:
        try:
            said = self._ear.hear(heard.data, heard.topic)
        except WireError as error:
            # It would be the same bytes again: said, and passed over. The next pull asks for its content anew.
            _log.warning("message_not_understood", cause=str(error))
            self.state.alarm = f"central sent what this version cannot read: {error}"
            return
        if said is None:
            self._tell(None)
            return
        message = said.message
        if said.is_news:
            self._heard_us = now_us
        elif said.is_other and now_us - self._hello_us > HELLO_AGAIN_AFTER_US:
            # Central has restarted, or somebody repeats what an earlier one said: the answer tells.
            await self._do(self._uplink.handle(on.Connected(now_us=now_us)))
        self._recalls.take(message)
        self._leasing.take(message, is_news=said.is_news)
        await self._take(message, now_us)

    async def _take(self, message: Down, now_us: int) -> None:
        match message:
            case Welcome():
                await self._welcomed(message)
            case Ack():
                self._is_answered(message.incarnation)
                await self._do(self._uplink.handle(self._sessions.acked(message)))
            case Parted():
                if (parted := self._sessions.parted(message)) is not None:
                    await self._do(self._uplink.handle(parted))
            case Delta():
                await self._arrived(message, now_us)
            case Refused():
                _log.error("central_refused", cause=message.cause, advice=message.advice)
                self.state.alarm = f"{message.cause}; {message.advice}"
                self._tell(None)
            case _:
                await self._copy.take(message)

    async def _welcomed(self, welcome: Welcome) -> None:
        self._watch.measured(sent_us=welcome.echo_us, central_us=welcome.central_us)
        self._voice.go_on(welcome.heard)
        self._is_answered(welcome.incarnation)
        await self._do(self._uplink.handle(self._sessions.welcomed(welcome)))
        await self._copy.welcomed(welcome)
        if welcome.incarnation == self._uplink.incarnation:
            self._leasing.welcomed(self._hello_session, welcome.incarnation)
        self._tell(None)

    def _is_answered(self, incarnation: int) -> None:
        """The central that this agent belongs to has answered: another one's words make nothing well."""
        if incarnation == self._uplink.incarnation:
            self.state.is_welcome, self.state.cause, self.state.alarm, self.state.forged = True, "", "", ""

    async def _arrived(self, delta: Delta, now_us: int) -> None:
        told = on.Told(incarnation=delta.incarnation, now_us=now_us, is_empty=delta.after == delta.to)
        await self._do(self._uplink.handle(told))
        if not self.state.is_welcome and now_us - self._hello_us > HELLO_AGAIN_AFTER_US:
            # Central is back: no need to wait for the next HELLO's turn.
            await self._do(self._uplink.handle(on.Connected(now_us=now_us)))
        await self._copy.take(delta)

    async def _do(self, effects: Iterable[on.Effect]) -> None:
        for effect in effects:
            try:
                await self._do_one(effect)
            except LinkDownError as error:
                _log.info("not_sent", effect=type(effect).__name__, cause=str(error))
                if isinstance(effect, on.SendBatch):
                    unsent = on.Sent(session=effect.session, through=effect.after, now_us=self._now_us())
                    self._uplink.handle(unsent)

    async def _do_one(self, effect: on.Effect) -> None:
        match effect:
            case on.SendHello():
                self._hello_us = self._now_us()
                hello = self._hello(effect)
                self._hello_session = hello.start.session
                self._ear.asked(hello.sent_us)
                self._send(hello)
            case on.SendBatch():
                await self._send_batch(effect)
            case on.OpenSession():
                await self._open_session(is_woken=effect.is_woken)
            case on.WriteAgain():
                await self._do(self._uplink.handle(self._sessions.write_again(effect)))
            case on.Settle():
                self._settling.add(effect)
                self.state.acked[effect.session] = effect.through
                for verdict in effect.exceptions:
                    _log.warning("exception_at_central", seq=verdict.seq, refusals=[str(r) for r in verdict.refusals])
                    self.state.judged(verdict.refusals)
            case on.Adopt():
                await self._adopt(effect.incarnation)
            case on.Refilled():
                _log.warning("ledger_refilled", incarnation=effect.incarnation, version=effect.version)
                await self._copy.rebuild(effect.incarnation, effect.version)
            case on.Alarm():
                _log.error("sync_alarm", cause=effect.cause)
                self.state.alarm = effect.cause

    async def _adopt(self, incarnation: int) -> None:
        adopted = self._sessions.adopt(incarnation)
        self._ear.forget_asked()
        self._settling.forget()
        self.state.adopt()
        await self._do(self._uplink.handle(adopted))

    async def _open_session(self, *, is_woken: bool) -> None:
        opened = self._sessions.open()
        if is_woken:  # late words of the machine's other life, with higher numbers, are not taken for its own
            self._voice = self._fresh_voice()
        await self._do(self._uplink.handle(opened))

    async def _send_batch(self, effect: on.SendBatch) -> None:
        batch = self._sessions.batch(effect)
        self._send(batch)
        for _ in range(TURNS_TO_LEAVE):  # while the next one is put together
            await asyncio.sleep(0)
        sent = on.Sent(session=effect.session, through=batch.last_seq, now_us=self._now_us())
        await self._do(self._uplink.handle(sent))

    def _hello(self, effect: on.SendHello) -> Hello:
        is_own = self._replica.incarnation == self._journal.incarnation
        return msgspec.structs.replace(
            self._sessions.hello(effect),
            replica_version=self._replica.version if is_own else 0,
            incarnation=self._uplink.incarnation,
            software=self._software,
            sent_us=self._ear.unasked(self._watch.clock.wall_us()),
            recall_version=self._recalls.version,
            key=self._identity.public,
        )

    def _fresh_voice(self) -> Voice:
        return Voice(self._journal.start.session, self._identity.sign, suite=self._identity.suite)

    def _send(self, message: Up) -> None:
        self._link.send(self._voice.say(message, self._topic))

    async def _keep_house(self) -> None:
        await self._copy.keep_house(self._journal.incarnation, is_refilling=self.is_refilling)
        if await self._settling.flush(self._copy.whole_of(self._journal.incarnation)):
            self.state.store_trouble = ""
            self._tell(None)
        if self.state.is_welcome and self._now_us() - self._heard_us > SILENT_AFTER_US:
            self.state.is_welcome, self.state.cause = False, "central does not answer"
            self._tell(None)

    def _now_us(self) -> int:
        return self._watch.clock.mono_us()
