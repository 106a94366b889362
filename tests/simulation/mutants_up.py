"""Mutants of the way up: the outbox, the watermarks, the order, the journal's own promises."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from edge_agent.store.replica import Replica
from edge_agent.sync import sessions, shell
from edge_agent.sync.settling import SLICE, Settling
from sync_protocol import envelope
from sync_protocol.codec import decode_up
from sync_protocol.items import Item
from sync_protocol.machines import uplink
from sync_protocol.machines.uplink import Uplink
from sync_protocol.machines.uplink_events import Acked, Effect, Line, Parted, SendBatch, Sent, Settle, Tick, Welcomed
from sync_protocol.messages import Ack, Batch
from tests.simulation.dict_stores import DictJournal, DictMedium, DictStores
from tests.simulation.driving import drive
from tests.simulation.mutant import Mutant
from tests.simulation.simulation import Simulation


class VolatileOutbox(Uplink):
    def __init__(self, current: bytes, lines: Iterable[Line] = (), **known: Any) -> None:  # noqa: ARG002
        super().__init__(current, **known)


class NeverResends(Uplink):
    """Neither in its time nor when central, which may have missed it, says that it is there."""

    def _again(self, now_us: int, *, patience_us: int) -> list[Effect]:
        if self._is_welcome:
            self._waiting_since_us = now_us
            return []
        return super()._again(now_us, patience_us=patience_us)


class NoRoomForgotten(Uplink):
    """Takes a batch that found no room on the link for one that will be asked for."""

    def _sent(self, event: Sent) -> list[Effect]:
        return [] if event.through <= self._lines[event.session].sent else super()._sent(event)


class ResendSkips(Uplink):
    """Forgets what was in flight, and goes on behind it."""

    def _tick(self, event: Tick) -> list[Effect]:
        sent = {session: line.sent for session, line in self._lines.items()}
        is_due = self.wake_us is not None and event.now_us >= self.wake_us
        effects = super()._tick(event)
        if is_due and self._is_welcome:
            for session, line in self._lines.items():
                line.sent = sent[session]
            return self._send()
        return effects


class WelcomeIgnored(Uplink):
    def _welcomed(self, event: Welcomed) -> list[Effect]:  # noqa: ARG002
        return []


class BelievesSent(Uplink):
    def _sent(self, event: Sent) -> list[Effect]:
        effects = super()._sent(event)
        self._lines[event.session].acked = event.through
        return [Settle(session=event.session, through=event.through, version=0), *effects]


class SessionsInParallel(Uplink):
    """Does not wait for the end of an earlier session."""

    def _send(self) -> list[Effect]:
        if not self._is_welcome or len(self._in_flight) >= uplink.WINDOW:
            return []
        for session, line in self._lines.items():
            if line.head > line.sent:
                return [SendBatch(session=session, after=line.sent, limit=uplink.BATCH_FACTS)]
        return []


class CreditIgnored(Uplink):
    """Fills its window, whatever central can take."""

    def _send_next(self, window: int) -> list[Effect]:
        self._credit, said = 1 << 30, self._credit
        effects = super()._send_next(window)
        self._credit = said
        return effects


class HeldIsAcked(Uplink):
    """Takes what waits at central for committed."""

    def _acked(self, event: Acked) -> list[Effect]:
        through = max(event.ack.through, event.ack.held)
        ack = msgspec.structs.replace(event.ack, through=through, at=-1)
        return super()._acked(msgspec.structs.replace(event, ack=ack))


class TailIsSettled(Uplink):
    """Counts as committed what the ledger has other facts for."""

    def _parted(self, event: Parted) -> list[Effect]:
        line = self._lines.get(event.session)
        if line is None or event.through >= line.head:
            return []
        line.acked = line.sent = line.head
        return [Settle(session=event.session, through=line.head, version=0), *self._send()]


class NewestFirst(Uplink):
    """Sends what is new before what is old."""

    def _send(self) -> list[Effect]:
        lines, self._lines = self._lines, dict(reversed(list(self._lines.items())))
        effects = super()._send()
        self._lines = lines
        return effects


class AckMovesBack(Uplink):
    def _acked(self, event: Acked) -> list[Effect]:
        line = self._lines.get(event.ack.session)
        if line is not None and event.ack.through < line.acked:
            line.acked = event.ack.through
        return super()._acked(event)


class LateAckEndsHello(Uplink):
    """Takes an ack to before the HELLO for the welcome that it waits for."""

    def _acked(self, event: Acked) -> list[Effect]:
        effects = super()._acked(event)
        if effects and not self._is_welcome:
            self._waiting_since_us = None
        return effects


class WaitsForOldDisk(Uplink):
    """Holds a session open of which central has more than the journal."""

    def _welcomed(self, event: Welcomed) -> list[Effect]:
        more = {one.session for one in event.welcome.positions if self._head(one.session) < one.through}
        lines = {session: line.acked for session, line in self._lines.items() if session in more}
        kept = dict(self._lines)
        effects = super()._welcomed(event)
        for session, acked in lines.items():
            kept[session].acked = kept[session].sent = acked
        self._lines = {session: line for session, line in kept.items() if session in self._lines or session in more}
        return [one for one in effects if not (isinstance(one, Settle) and one.session in more)]

    def _head(self, session: bytes) -> int:
        line = self._lines.get(session)
        return line.head if line is not None else 1 << 60


class ForgetsFlight(Uplink):
    """After a cut goes on behind what was in flight."""

    def _welcomed(self, event: Welcomed) -> list[Effect]:
        sent = {session: line.sent for session, line in self._lines.items()}
        effects = super()._welcomed(event)
        for session, line in self._lines.items():
            line.sent = min(line.head, max(line.sent, sent.get(session, 0)))
        return effects

    def _forget_flight(self) -> None:
        sent = {session: line.sent for session, line in self._lines.items()}
        super()._forget_flight()
        for session, line in self._lines.items():
            line.sent = sent[session]


class LetsGoOnAck(Settling):
    """Drops the overlay as soon as central has the fact, whatever the replica shows."""

    async def _let_go(self, replica: Replica) -> bool:  # noqa: ARG002
        for session, steps in list(self._hidden.items()):
            if self._journal.forget_settled(session, steps[-1][0], SLICE) >= SLICE:
                return True
            del self._hidden[session]
        return False


class NeverLetsGo(Settling):
    async def _let_go(self, replica: Replica) -> bool:  # noqa: ARG002
        """The overlay hides the replica for ever."""
        return False


def _believe_puback(simulation: Simulation) -> None:
    nodes = {node.name: node for node in simulation.nodes}

    def believe(sender: str, data: bytes) -> None:
        node = nodes.get(sender)
        message = decode_up(envelope.read(data).message) if node is not None else None
        if node is None or node.process is None or not isinstance(message, Batch):
            return
        process = node.process
        uplink = process.shell._uplink
        ack = Ack(
            session=message.start.session,
            through=message.last_seq,
            version=0,
            incarnation=uplink.incarnation,
            credit=uplink._credit,
        )
        drive(process.shell._do(process.shell._uplink.handle(Acked(ack=ack, now_us=process.clock.mono_us()))))

    simulation.network.on_puback = believe


def _commit_unsynced(journal: DictJournal, name: str, writes: Sequence[Any]) -> None:
    journal._perils.point(f"{name}.write")
    journal._disk.write(list(writes))
    journal._perils.point(f"{name}.synced")


_open = DictMedium.open


def _open_resumed(medium: DictMedium, **how: Any) -> DictStores:
    return _open(medium, **(how | {"is_resumed": True}))


def _believe_replica_only(stores: DictStores, code: str) -> Item | None:
    return stores.shown().get(code)


def _uplink(name: str, wrong: str, machine: type[Uplink]) -> Mutant:
    return Mutant(name=name, wrong=wrong, patches=((uplink, "Uplink", machine),))


UP = (
    Mutant(name="puback_is_ack", wrong="the broker's PUBACK counts as central's ack", arm=_believe_puback),
    _uplink("volatile_outbox", "after a start nothing is known to be unsent", VolatileOutbox),
    _uplink("never_resends", "what is not acked is not sent again", NeverResends),
    _uplink("no_room_forgotten", "a batch that found no room on the link is not tried again", NoRoomForgotten),
    _uplink("resend_skips", "a resend goes on behind what was lost", ResendSkips),
    _uplink("forgets_flight", "after a cut sending goes on behind what was in flight", ForgetsFlight),
    _uplink("welcome_ignored", "the answer to HELLO changes nothing", WelcomeIgnored),
    _uplink("believes_sent", "what was handed to the link counts as acked", BelievesSent),
    _uplink("sessions_in_parallel", "a later session does not wait for the acks of an earlier one", SessionsInParallel),
    _uplink("credit_ignored", "the window is filled, whatever central can take", CreditIgnored),
    _uplink("tail_is_settled", "what other facts have the numbers of counts as committed", TailIsSettled),
    Mutant(
        name="ack_by_number",
        wrong="an ack counts whatever facts it is of",
        patches=((sessions, "is_strange", lambda *_: False),),
    ),
    _uplink("held_is_settled", "what only waits at central counts as committed", HeldIsAcked),
    _uplink("newest_first", "new facts go before old ones", NewestFirst),
    _uplink("ack_moves_back", "an old ack takes the watermark back", AckMovesBack),
    _uplink("late_ack_ends_hello", "an ack to before the HELLO ends the wait for its welcome", LateAckEndsHello),
    _uplink("waits_for_old_disk", "on a restored disk waits for facts that only central has", WaitsForOldDisk),
    Mutant(name="window_unbounded", wrong="any number of batches in flight", patches=((uplink, "WINDOW", 1 << 30),)),
    Mutant(
        name="overlay_dropped_on_ack",
        wrong="what this device did is hidden by an older replica",
        patches=((shell, "Settling", LetsGoOnAck),),
    ),
    Mutant(
        name="overlay_never_dropped",
        wrong="what this device did hides the replica for ever",
        patches=((shell, "Settling", NeverLetsGo),),
    ),
    Mutant(
        name="overlay_not_asked",
        wrong="the check asks the replica alone",
        patches=((DictStores, "item", _believe_replica_only),),
    ),
    Mutant(
        name="journal_not_synced",
        wrong="OK is shown before the fact is on the disk",
        patches=((DictJournal, "_commit", _commit_unsynced),),
    ),
    Mutant(
        name="session_kept",
        wrong="a start goes on in the session before, and its numbers come twice after a restore",
        patches=((DictMedium, "open", _open_resumed),),
    ),
)
