"""The agent's decision on what to send and when: facts up, in order, at least once, until central has committed them.

A batch leaves at once while none is in flight; while one is, facts gather and leave together with the ack (the
self-clocking of Nagle's algorithm), so a lone scan waits for nothing and a burst fills its batches.

Two lanes. The ledger takes a device's facts in their order, so the facts of a session follow those of the session
before (backlog). What happens now must not wait for a million older facts, so it passes them on the way, where they are
many: the present session has a batch of its own in flight, marked early, which waits at central for what came before
(``machines.early``). Where much of the present session itself waits, a new session is opened for what happens now.

How much is in flight is central's to say (``machines.credit``).

What central says it has counts for the bytes that it has: an ack names the hash of its last fact. A machine that was
woken from a snapshot of its memory may have other facts under the same numbers. It sends what is not acked, hears where
the histories part, and writes what it has past that again, in a session of its own (REQ-04).
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from sync_protocol.machines import sending
from sync_protocol.machines import uplink_events as on
from sync_protocol.machines.credit import BATCH_FACTS, MOST, WINDOW
from sync_protocol.machines.debt import Debt
from sync_protocol.machines.sending import Flight, Sending, Settled, common, is_behind, sendings
from sync_protocol.messages import Position

__all__ = ["BATCH_FACTS", "WINDOW", "Uplink"]

BACKLOG = MOST
"""Facts that wait, past which what happens now passes them; fewer are with central within a second."""
RESEND_AFTER_US = 3_000_000
ROOM_AFTER_US = 200_000
RESEND_AT_MOST_US = 60_000_000


class Uplink:
    """State machine of one agent.

    ``lines``: every session with unacked facts, oldest first. ``settled``: sessions wholly acked, with what is known
    to be safe of them. ``incarnation``: of the central that this agent last adopted; 0 if it has met none.
    ``is_refilled`` False: the replica is of an incarnation before that.
    """

    def __init__(
        self,
        current: bytes,
        lines: Iterable[on.Line] = (),
        *,
        settled: Iterable[Position] = (),
        incarnation: int = 0,
        is_refilled: bool = True,
    ) -> None:
        self._lines = sendings(current, lines)
        self._settled = Settled(settled)
        self._current = current
        self._incarnation = incarnation
        self._debt = Debt(None if is_refilled else {session: line.head for session, line in self._lines.items()})
        self._is_welcome = False
        self._in_flight: list[Flight] = []
        self._credit = MOST
        self._is_opening = False
        self._waiting_since_us: int | None = None
        self._patience_us = RESEND_AFTER_US

    @property
    def incarnation(self) -> int:
        return self._incarnation

    @property
    def is_refilling(self) -> bool:
        """The ledger may lack facts of this journal that the replica in use contains."""
        return self._debt.is_open

    @property
    def wake_us(self) -> int | None:
        """When the next Tick is due; None: not before another event."""
        return None if self._waiting_since_us is None else self._waiting_since_us + self._patience_us

    def handle(self, event: on.Event) -> list[on.Effect]:
        if stranger := self._stranger(event):
            return stranger
        match event:
            case on.Connected() | on.Disconnected():
                return self._linked(event)
            case on.Committed() | on.Opened() | on.WrittenAgain():
                return self._written(event)
            case on.Welcomed():
                return self._welcomed(event)
            case on.Acked():
                return self._acked(event)
            case on.Sent():
                return self._sent(event)
            case on.Adopted() | on.Told() | on.Parted():
                return self._told_more(event)
            case on.Tick():
                return self._tick(event)

    def _linked(self, event: on.Connected | on.Disconnected) -> list[on.Effect]:
        self._is_welcome = False
        self._forget_flight()
        if isinstance(event, on.Disconnected):
            return []
        self._waiting_since_us = event.now_us
        return [self._hello()]

    def _hello(self) -> on.SendHello:
        return sending.hello_of(self._settled, self._lines)

    def _stranger(self, event: on.Event) -> list[on.Effect]:
        """What to do if another incarnation of central said it (REQ-03)."""
        told = on.said_by(event)
        if told is None or told == self._incarnation:
            return []
        if told < self._incarnation:
            return [on.Alarm(cause=f"an older central answers: incarnation {told}, already met {self._incarnation}")]
        self._is_welcome = False
        self._forget_flight()
        return [on.Adopt(incarnation=told)]

    def _told_more(self, event: on.Adopted | on.Told | on.Parted) -> list[on.Effect]:
        if isinstance(event, on.Adopted):
            return self._adopted(event)
        if isinstance(event, on.Parted):
            return self._parted(event)
        # A central that says it is there, and nothing else, has just come: it gets at once what it may have missed.
        if self._waiting_since_us is None or not event.is_empty:
            return []
        return self._again(event.now_us, patience_us=RESEND_AFTER_US)

    def _adopted(self, event: on.Adopted) -> list[on.Effect]:
        """Offer everything that the journal still holds: the restored ledger says what it lacks."""
        self._incarnation = event.incarnation
        self._lines = sendings(self._current, event.lines)
        self._settled = Settled()
        self._debt = Debt({session: line.head for session, line in self._lines.items()})
        self._waiting_since_us = event.now_us
        return [self._hello()]

    def _refilled(self, version: int) -> list[on.Effect]:
        since = self._debt.close(version)
        return [] if since is None else [on.Refilled(incarnation=self._incarnation, version=since)]

    def _welcomed(self, event: on.Welcomed) -> list[on.Effect]:
        welcome = event.welcome
        if self._is_welcome:
            return []  # a second answer, or an old one: acks have moved on since it was made
        head = self._lines[self._current].head
        here = (one for one in welcome.positions if one.session == self._current and one.session not in event.strange)
        if any(one.through > head <= common(one) for one in here):
            return self._open_own(event.now_us)
        self._forget_flight()
        self._is_welcome, self._is_opening = True, False
        self._credit = welcome.credit or MOST
        effects: list[on.Effect] = []
        for position in welcome.positions:
            is_strange = position.session in event.strange
            effects += self._doubted(position.session) if is_strange else self._told(position, welcome.version)
        for session, line in self._lines.items():
            line.sent = line.held if is_behind(self._lines, session) else line.sent
        self._drop_done()
        return [*effects, *self._refilled(welcome.version), *self._open_or_send()]

    def _open_own(self, now_us: int) -> list[on.Effect]:
        """Woken from a snapshot, the agent needs a session of its own; it says HELLO when it has one."""
        self._is_welcome, self._is_opening, self._waiting_since_us = False, True, now_us
        return [on.OpenSession(is_woken=True)]

    def _doubted(self, session: bytes) -> list[on.Effect]:
        """Central has other facts of it than this journal, past those that it acked: what it gets tells it from where.

        No ack before that counts.
        """
        line = self._lines.get(session)
        if line is None:
            return [on.Alarm(cause=f"central has other facts of session {session.hex()[:6]} than those that it acked")]
        line.sent = line.held = line.acked
        self._in_flight = [one for one in self._in_flight if one.session != session]
        return []

    def _told(self, position: Position, version: int) -> list[on.Effect]:
        """Where central stands with one session."""
        line = self._lines.get(position.session)
        if line is None:
            return [*self._settled.told(position, version)]
        effects: list[on.Effect] = []
        if position.through > line.head:
            effects.append(on.Alarm(cause=f"central has {position.through} facts, this journal has {line.head}"))
        line.is_stuck = position.through < line.kept
        if line.is_stuck:
            return [on.Alarm(cause=f"central lacks facts {position.through + 1} to {line.kept}, which are pruned here")]
        through = line.sent = min(common(position), line.head)
        line.held = max(through, min(position.held, line.head))
        if through < line.acked:  # sent again, but inside an incarnation what was acked stays so (I8)
            return effects
        line.acked = through
        self._debt.pay(position.session, through, version)
        safe = min(position.safe, through)
        return [*effects, on.Settle(session=position.session, through=through, version=version, safe=safe)]

    def _acked(self, event: on.Acked) -> list[on.Effect]:
        ack = event.ack
        line = self._lines.get(ack.session)
        if line is None:
            return [*self._settled.told(Position(session=ack.session, through=ack.through, safe=ack.safe), ack.version)]
        if event.is_strange:
            is_asked = any((one.session, one.after) == (ack.session, line.acked) for one in self._in_flight)
            return [] if is_asked else [*self._doubted(ack.session), *self._send()]
        through = common(ack)
        if through > line.head or through < max(line.acked, line.kept):
            return []
        has_moved = through > line.acked
        line.acked = through
        self._credit = ack.credit or MOST
        line.held = max(line.held, through, min(ack.held, line.head))
        line.sent = max(line.sent, line.held)
        flying = len(self._in_flight)
        self._in_flight = [one for one in self._in_flight if one.session != ack.session or one.through > line.held]
        has_moved = has_moved or len(self._in_flight) < flying
        if has_moved and self._is_welcome:  # an ack to before the HELLO: its welcome is still waited for
            self._patience_us = RESEND_AFTER_US
            is_waiting = self._in_flight or any(line.held > line.acked for line in self._lines.values())
            self._waiting_since_us = event.now_us if is_waiting else None
        safe = min(ack.safe, through)
        settle = on.Settle(
            session=ack.session, through=through, version=ack.version, exceptions=ack.exceptions, safe=safe
        )
        self._debt.pay(ack.session, through, ack.version)
        self._drop_done(safe={ack.session: safe})
        # Before the welcome the debt is not known to be all: other sessions may be unheard of.
        refilled = self._refilled(ack.version) if self._is_welcome else []
        if ack.session == self._current and ack.through > line.head == through:
            return [settle, *refilled, *self._open_own(event.now_us)]
        return [settle, *refilled, *self._send()]

    def _parted(self, event: on.Parted) -> list[on.Effect]:
        line = self._lines.get(event.session)
        if line is None or event.through >= line.head:
            return []  # an old answer: it is written again already
        if event.through < max(line.acked, line.kept):
            return [
                on.Alarm(cause=f"central has other facts than those that it acked, from fact {event.through + 1} on")
            ]
        return [on.WriteAgain(session=event.session, through=event.through)]

    def _written_again(self, event: on.WrittenAgain) -> list[on.Effect]:
        line = self._lines[event.session]
        self._debt.move(event.session, line.acked, through=event.through, to=event.to, head=event.head)
        self._lines = sending.follow(self._lines, event)
        self._is_welcome = False
        self._forget_flight()
        self._drop_done()
        if event.session == self._current:
            self._current = event.to
            return self._open_own(event.now_us)
        self._waiting_since_us = event.now_us
        return [self._hello()]

    def _sent(self, event: on.Sent) -> list[on.Effect]:
        line = self._lines[event.session]
        if event.through <= line.sent:  # no room; if nothing is on its way, no ack will ask for it again
            if not self._in_flight:
                self._waiting_since_us, self._patience_us = event.now_us, ROOM_AFTER_US
            return []
        self._in_flight.append(Flight(event.session, line.sent, event.through))
        line.sent = event.through
        self._waiting_since_us = event.now_us if self._waiting_since_us is None else self._waiting_since_us
        return self._send()

    def _tick(self, event: on.Tick) -> list[on.Effect]:
        if self.wake_us is None or event.now_us < self.wake_us:
            return []
        patience_us = max(self._patience_us * 2, RESEND_AFTER_US)
        return self._again(event.now_us, patience_us=min(patience_us, RESEND_AT_MOST_US))

    def _again(self, now_us: int, *, patience_us: int) -> list[on.Effect]:
        """Say or send anew what was not answered."""
        self._patience_us, self._waiting_since_us = patience_us, now_us
        if not self._is_welcome:
            return [self._hello()]
        self._in_flight.clear()
        self._is_opening = False
        sending.go_back(self._lines)
        return self._open_or_send()

    def _written(self, event: on.Committed | on.Opened | on.WrittenAgain) -> list[on.Effect]:
        if isinstance(event, on.WrittenAgain):
            return self._written_again(event)
        if isinstance(event, on.Committed):
            self._lines[event.session].head = event.through
            return self._open_or_send()
        self._is_opening = False
        self._lines[self._current].head = event.closed
        self._current = event.session
        self._lines[event.session] = Sending(head=0, acked=0, sent=0, kept=0)
        return self._send() if self._is_welcome else [self._hello()]

    def _open_or_send(self) -> list[on.Effect]:
        """A session that has grown to a backlog is closed first, so that what comes next need not wait in it."""
        line = self._lines[self._current]
        if self._is_welcome and not self._is_opening and line.head - max(line.sent, line.held) > BACKLOG:
            self._is_opening = True
            return [on.OpenSession()]
        return self._send()

    def _send(self) -> list[on.Effect]:
        """At most one batch an event: its Sent asks for the next. What happens now goes before what waits."""
        if not self._is_welcome or len(self._in_flight) >= WINDOW:
            return []
        older = (line for session, line in self._lines.items() if session != self._current and line.is_open)
        if sum(line.head - line.acked for line in older) > BACKLOG:
            return self._send_early() or self._send_next(WINDOW - 1)
        return self._send_next(WINDOW)

    def _send_early(self) -> list[on.Effect]:
        line = self._lines[self._current]
        if line.head <= line.sent or any(one.session == self._current for one in self._in_flight):
            return []
        return [on.SendBatch(session=self._current, after=line.sent, limit=BATCH_FACTS, is_early=True)]

    def _send_next(self, window: int) -> list[on.Effect]:
        room = self._credit - sum(one.through - one.after for one in self._in_flight)
        if len(self._in_flight) >= window or room <= 0:
            return []
        found = sending.next_unsent(self._lines)
        if found is None:
            return []
        session, line = found
        if self._in_flight and line.head - line.sent < BATCH_FACTS and session == self._current:
            return []
        return [on.SendBatch(session=session, after=line.sent, limit=min(BATCH_FACTS, room))]

    def _forget_flight(self) -> None:
        self._in_flight.clear()
        self._waiting_since_us = None
        self._patience_us = RESEND_AFTER_US
        sending.go_back(self._lines)

    def _drop_done(self, safe: Mapping[bytes, int] = MappingProxyType({})) -> None:
        """A session of an earlier start never grows again: once acked it is done."""
        for session, line in list(self._lines.items()):
            if session != self._current and line.acked >= line.head:
                del self._lines[session]
                self._settled.add(Position(session=session, through=line.acked, safe=safe.get(session, 0)))
