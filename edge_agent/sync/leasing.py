"""Carries out what the holding machine decides, and tells whoever waits for a right (REQ-08)."""

from collections.abc import Callable, Iterable

import structlog

from edge_agent.check import Stock
from edge_agent.clock import Clock
from edge_agent.errors import LinkDownError
from edge_agent.rights import Rights
from edge_agent.store.journal import Journal
from edge_agent.store.leased import LeaseChange
from sync_protocol.documents import Route
from sync_protocol.items import State
from sync_protocol.leases import LEASABLE
from sync_protocol.machines import holding as on
from sync_protocol.messages import Ask, AskHolds, Down, Fence, Grant, Holds, Position, Release, Up, Withheld

_THERE = LEASABLE | {State.FROZEN, State.EXPECTED}
_log: structlog.stdlib.BoundLogger = structlog.get_logger("edge_agent.leasing")


class Share:
    """What central must know to share stock out: where this is, what it hands out, and how much it likes to have."""

    def __init__(self, *, location: str, route: Route, want: int) -> None:
        self.location = location
        self.route = route
        self.want = want


class Leasing:
    def __init__(
        self,
        rights: Rights,
        *,
        journal: Journal,
        stock: Stock,
        clock: Clock,
        share: Share,
        send: Callable[[Up], None],
    ) -> None:
        self._rights = rights
        self._holding = rights.holding
        self._journal = journal
        self._stock = stock
        self._clock = clock
        self._share = share
        self._send = send

    @property
    def wake_us(self) -> int | None:
        return self._holding.wake_us

    def welcomed(self, session: bytes, incarnation: int) -> None:
        """``session``: of the HELLO that was answered. Raises StoreError."""
        self._tidy()
        self._handle(on.Welcomed(session=session, incarnation=incarnation, now_us=self._now_us()))

    def disconnected(self) -> None:
        self._handle(on.Disconnected())
        self._rights.changed()

    def tick(self) -> None:
        """Raises StoreError."""
        if self.wake_us is not None and self._now_us() >= self.wake_us:
            self._tidy()
            self._handle(on.Tick(now_us=self._now_us()))

    def wanted(self, codes: tuple[str, ...]) -> None:
        """Raises StoreError."""
        self._handle(on.Wanted(codes=codes, now_us=self._now_us()))

    def take(self, message: Down, *, is_news: bool) -> None:
        """What central says of leases; what it said before is not taken again. Raises StoreError."""
        if not is_news:
            return
        now_us = self._now_us()
        match message:
            case Grant():
                self._handle(on.Granted(grant=message, now_us=now_us))
                self._rights.changed()
            case Release():
                self._handle(on.Released(codes=message.codes, now_us=now_us))
            case Withheld():
                self._handle(on.Withheld(by=message.by))
                self._rights.changed(holder.code for holder in message.by)
            case AskHolds():
                self._tidy()
                self._handle(on.AskedHolds(now_us=now_us))
            case Fence():
                _log.error("lease_fenced", codes=self._holding.count)
                self._handle(on.Fenced())
                self._rights.changed()

    def leave(self) -> None:
        """The agent stops: others may have what it held. Raises StoreError."""
        self._handle(on.Leaving())

    def _tidy(self) -> None:
        """What is not there any more by another's doing is not claimed again."""
        items = self._stock.items(self._holding.codes)
        gone = tuple(sorted(code for code, item in items.items() if item.state not in _THERE))
        if gone:
            self._handle(on.Useless(codes=gone))

    def _handle(self, event: on.Event) -> None:
        self._do(self._holding.handle(event))
        self._rights.noted()

    def _do(self, effects: Iterable[on.Effect]) -> None:
        for effect in effects:
            match effect:
                case on.Keep():
                    change = LeaseChange(added=effect.added, removed=effect.removed)
                    self._journal.keep_lease(change, incarnation=effect.incarnation, is_whole=effect.is_whole)
                    self._rights.noted()
                case on.SendHolds():
                    self._tell(self._statement(effect))
                case on.SendAsk():
                    session = self._holding.session
                    self._tell(Ask(session=session, seen=effect.seen, sent_us=self._now_us(), codes=effect.codes))

    def _statement(self, effect: on.SendHolds) -> Holds:
        lines = self._journal.lines.items()
        share = self._share
        return Holds(
            session=self._holding.session,
            number=effect.number,
            seen=effect.seen,
            incarnation=effect.incarnation,
            spoken_to=effect.spoken_to,
            sent_us=self._now_us(),
            location=share.location,
            route=share.route,
            want=share.want,
            codes=effect.codes,
            heads=tuple(
                Position(session=session, through=line.end) for session, line in lines if line.acked < line.end
            ),
            is_leaving=effect.is_leaving,
        )

    def _tell(self, message: Up) -> None:
        try:
            self._send(message)
        except LinkDownError as error:
            _log.info("not_sent", message=type(message).__name__, cause=str(error))

    def _now_us(self) -> int:
        return self._clock.mono_us()
