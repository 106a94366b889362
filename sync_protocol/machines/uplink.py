"""The agent's decision on what to send and when: facts up, in order, at least once, until central has committed them.

A batch leaves at once while none is in flight; while one is, facts gather and leave together with the ack (the
self-clocking of Nagle's algorithm), so a lone scan waits for nothing and a burst fills its batches.
"""

from collections.abc import Iterable

import msgspec

from sync_protocol.messages import Ack, Position, Verdict, Welcome

BATCH_FACTS = 500
WINDOW = 4
RESEND_AFTER_US = 3_000_000
RESEND_AT_MOST_US = 60_000_000


class Connected(msgspec.Struct, frozen=True, kw_only=True):
    """The link to the broker is up: say HELLO."""

    now_us: int


class Disconnected(msgspec.Struct, frozen=True, kw_only=True):
    """The link is down: whatever was in flight may be lost."""


class Committed(msgspec.Struct, frozen=True, kw_only=True):
    """Facts of the current session are in the journal up to ``through``."""

    session: bytes
    through: int
    now_us: int


class Welcomed(msgspec.Struct, frozen=True, kw_only=True):
    welcome: Welcome
    now_us: int


class Acked(msgspec.Struct, frozen=True, kw_only=True):
    ack: Ack
    now_us: int


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """The shell's answer to SendBatch: how far it got within the byte limit of a batch."""

    session: bytes
    through: int
    now_us: int


class Adopted(msgspec.Struct, frozen=True, kw_only=True):
    """The new incarnation is written down, and every fact still in the journal counts as not acked again.

    ``lines``: (session, head, first seq kept minus one) of every session in the journal, oldest first.
    """

    incarnation: int
    lines: tuple[tuple[bytes, int, int], ...]
    now_us: int


class Tick(msgspec.Struct, frozen=True, kw_only=True):
    now_us: int


class SendHello(msgspec.Struct, frozen=True, kw_only=True):
    pending: tuple[Position, ...]


class SendBatch(msgspec.Struct, frozen=True, kw_only=True):
    """Send facts of ``session`` after seq ``after``, at most ``limit``; answer with Sent."""

    session: bytes
    after: int
    limit: int


class Settle(msgspec.Struct, frozen=True, kw_only=True):
    """Write down that central has committed ``session`` through ``through``, visible at ledger version ``version``."""

    session: bytes
    through: int
    version: int
    exceptions: tuple[Verdict, ...] = ()
    safe: int = 0
    """REQ-02: facts up to here are in a verified backup and may be pruned when they are old."""


class Adopt(msgspec.Struct, frozen=True, kw_only=True):
    """REQ-03: central was restored. Write its incarnation down, forget all acks, answer with Adopted."""

    incarnation: int


class Refilled(msgspec.Struct, frozen=True, kw_only=True):
    """The restored ledger has all that this journal held when it was adopted: its state may be copied now."""

    incarnation: int


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """What cannot be: a person must look."""

    cause: str


Event = Connected | Disconnected | Committed | Welcomed | Acked | Sent | Adopted | Tick
Effect = SendHello | SendBatch | Settle | Adopt | Refilled | Alarm


class _Line(msgspec.Struct, kw_only=True):
    """One session's facts: written through ``head``, sent through ``sent``, committed at central through ``acked``."""

    head: int
    acked: int
    sent: int


class Uplink:
    """State machine of one agent.

    ``lines``: for every session with unacked facts, oldest first, (head, acked). ``incarnation``: of the central that
    this agent last adopted; 0 if it has met none.
    """

    def __init__(self, current: bytes, lines: Iterable[tuple[bytes, int, int]] = (), *, incarnation: int = 0) -> None:
        self._lines = {session: _Line(head=head, acked=acked, sent=acked) for session, head, acked in lines}
        self._current = current
        self._lines.setdefault(current, _Line(head=0, acked=0, sent=0))
        self._incarnation = incarnation
        self._owed: dict[bytes, int] = {}
        self._is_welcome = False
        self._in_flight: list[tuple[bytes, int]] = []
        self._waiting_since_us: int | None = None
        self._patience_us = RESEND_AFTER_US

    @property
    def incarnation(self) -> int:
        return self._incarnation

    @property
    def wake_us(self) -> int | None:
        """When the next Tick is due; None: not before another event."""
        return None if self._waiting_since_us is None else self._waiting_since_us + self._patience_us

    def handle(self, event: Event) -> list[Effect]:
        match event:
            case Connected():
                return self._connected(event)
            case Disconnected():
                self._is_welcome = False
                self._forget_flight()
                return []
            case Committed():
                self._lines[event.session].head = event.through
                return self._send(event.now_us)
            case Welcomed():
                return self._welcomed(event)
            case Acked():
                return self._acked(event)
            case Sent():
                return self._sent(event)
            case Adopted():
                return self._adopted(event)
            case Tick():
                return self._tick(event)

    def _connected(self, event: Connected) -> list[Effect]:
        self._is_welcome = False
        self._forget_flight()
        self._waiting_since_us = event.now_us
        return [self._hello()]

    def _hello(self) -> SendHello:
        pending = (Position(session=session, through=line.acked) for session, line in self._lines.items())
        return SendHello(pending=tuple(pending))

    def _stranger(self, told: int) -> list[Effect] | None:
        """None if this incarnation said it; what to do about another one otherwise (REQ-03)."""
        if told == self._incarnation:
            return None
        self._is_welcome = False
        self._forget_flight()
        if told < self._incarnation:
            return [Alarm(cause=f"an older central answers: incarnation {told}, already met {self._incarnation}")]
        return [Adopt(incarnation=told)]

    def _adopted(self, event: Adopted) -> list[Effect]:
        """Offer everything that the journal still holds: the restored ledger says what it lacks."""
        self._incarnation = event.incarnation
        self._lines = {session: _Line(head=head, acked=kept, sent=kept) for session, head, kept in event.lines}
        self._lines.setdefault(self._current, _Line(head=0, acked=0, sent=0))
        self._owed = {session: line.head for session, line in self._lines.items() if line.head > line.acked}
        self._waiting_since_us = event.now_us
        refilled = [] if self._owed else [Refilled(incarnation=self._incarnation)]
        return [*refilled, self._hello()]

    def _paid(self, session: bytes, through: int) -> list[Effect]:
        """What the ledger lacked when it was adopted, and has now."""
        if through < self._owed.get(session, through + 1):
            return []
        del self._owed[session]
        return [] if self._owed else [Refilled(incarnation=self._incarnation)]

    def _welcomed(self, event: Welcomed) -> list[Effect]:
        stranger = self._stranger(event.welcome.incarnation)
        if stranger is not None:
            return stranger
        if self._is_welcome:
            return []  # a second answer, or an old one: acks have moved on since it was made
        self._forget_flight()
        self._is_welcome = True
        effects: list[Effect] = []
        for position in event.welcome.positions:
            line = self._lines.get(position.session)
            if line is None:
                continue
            if position.through > line.head:
                effects.append(Alarm(cause=f"central has {position.through} facts, this journal has {line.head}"))
                if position.session == self._current:
                    continue
            line.acked = line.sent = min(position.through, line.head)
            effects.append(
                Settle(
                    session=position.session,
                    through=line.acked,
                    version=event.welcome.version,
                    safe=min(position.safe, line.acked),
                )
            )
            effects += self._paid(position.session, line.acked)
        self._drop_done()
        return effects + self._send(event.now_us)

    def _acked(self, event: Acked) -> list[Effect]:
        ack = event.ack
        stranger = self._stranger(ack.incarnation)
        if stranger is not None:
            return stranger
        line = self._lines.get(ack.session)
        if line is None or ack.through > line.head or ack.through < line.acked:
            return []
        has_moved = ack.through > line.acked
        line.acked = ack.through
        line.sent = max(line.sent, ack.through)
        self._in_flight = [
            (session, through)
            for session, through in self._in_flight
            if session != ack.session or through > ack.through
        ]
        if has_moved and self._is_welcome:  # an ack to before the HELLO: its welcome is still waited for
            self._patience_us = RESEND_AFTER_US
            self._waiting_since_us = event.now_us if self._in_flight else None
        self._drop_done()
        settle = Settle(
            session=ack.session,
            through=ack.through,
            version=ack.version,
            exceptions=ack.exceptions,
            safe=min(ack.safe, ack.through),
        )
        return [settle, *self._paid(ack.session, ack.through), *self._send(event.now_us)]

    def _sent(self, event: Sent) -> list[Effect]:
        line = self._lines[event.session]
        line.sent = max(line.sent, event.through)
        self._in_flight.append((event.session, event.through))
        if self._waiting_since_us is None:
            self._waiting_since_us = event.now_us
        return self._send(event.now_us)

    def _tick(self, event: Tick) -> list[Effect]:
        if self.wake_us is None or event.now_us < self.wake_us:
            return []
        self._patience_us = min(self._patience_us * 2, RESEND_AT_MOST_US)
        self._waiting_since_us = event.now_us
        if not self._is_welcome:
            return [self._hello()]
        self._in_flight.clear()
        for line in self._lines.values():
            line.sent = line.acked
        return self._send(event.now_us)

    def _send(self, _now_us: int) -> list[Effect]:
        """At most one batch an event: its Sent asks for the next.

        A session's facts wait until all of the one before are acked: the ledger takes a device's facts in their order.
        """
        if not self._is_welcome or len(self._in_flight) >= WINDOW:
            return []
        for session, line in self._lines.items():
            unsent = line.head - line.sent
            if unsent <= 0:
                if line.acked < line.head:
                    return []
                continue
            if self._in_flight and unsent < BATCH_FACTS and session == self._current:
                return []
            return [SendBatch(session=session, after=line.sent, limit=BATCH_FACTS)]
        return []

    def _forget_flight(self) -> None:
        self._in_flight.clear()
        self._waiting_since_us = None
        self._patience_us = RESEND_AFTER_US
        for line in self._lines.values():
            line.sent = line.acked

    def _drop_done(self) -> None:
        """A session of an earlier start never grows again: once acked it is done."""
        self._lines = {
            session: line for session, line in self._lines.items() if session == self._current or line.acked < line.head
        }
