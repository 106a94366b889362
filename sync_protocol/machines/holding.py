"""The agent's decision on what it may issue without asking, and until when (REQ-08).

The time of a lease is counted from the moment the agent *sent* what central answered, by a clock that never jumps: so
it ends here before it ends at central, however long the answer took and whatever the wall clock does. A lease of an
earlier process start is nobody's until central has given it to this session, but for a process that died and was
started again while its computer stayed on.
"""

from collections.abc import Iterable

import msgspec

from sync_protocol.leases import MOST_CLAIMED
from sync_protocol.messages import Grant, Holder

AGAIN_AFTER_US = 2_000_000
AGAIN_AT_MOST_US = 60_000_000
REMEMBERED = 1_000
"""Codes of which it is remembered who holds them, for the person who asks."""


class Welcomed(msgspec.Struct, frozen=True, kw_only=True):
    """Central answered the HELLO of this session; the agent belongs to this incarnation now.

    A process may write several sessions one after the other: what it holds goes on in the one that central met last.
    """

    session: bytes
    incarnation: int
    now_us: int


class Disconnected(msgspec.Struct, frozen=True, kw_only=True):
    pass


class Granted(msgspec.Struct, frozen=True, kw_only=True):
    grant: Grant
    now_us: int


class Released(msgspec.Struct, frozen=True, kw_only=True):
    """Central asks for these back."""

    codes: tuple[str, ...]
    now_us: int


class Withheld(msgspec.Struct, frozen=True, kw_only=True):
    by: tuple[Holder, ...]


class Fenced(msgspec.Struct, frozen=True, kw_only=True):
    pass


class AskedHolds(msgspec.Struct, frozen=True, kw_only=True):
    now_us: int


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A person is about to issue these."""

    codes: tuple[str, ...]
    now_us: int


class Used(msgspec.Struct, frozen=True, kw_only=True):
    """Facts of this agent ended its right to ``ended`` and opened boxes; the journal has them and this."""

    ended: tuple[str, ...] = ()
    opened: tuple[tuple[str, tuple[str, ...]], ...] = ()


class Useless(msgspec.Struct, frozen=True, kw_only=True):
    """These are not there any more by another's doing: they are not claimed again."""

    codes: tuple[str, ...]


class Leaving(msgspec.Struct, frozen=True, kw_only=True):
    """The agent stops."""


class Tick(msgspec.Struct, frozen=True, kw_only=True):
    now_us: int


class SendHolds(msgspec.Struct, frozen=True, kw_only=True):
    number: int
    seen: int
    incarnation: int
    spoken_to: int
    codes: tuple[str, ...]
    is_leaving: bool = False


class SendAsk(msgspec.Struct, frozen=True, kw_only=True):
    seen: int
    codes: tuple[str, ...] = ()


class Keep(msgspec.Struct, frozen=True, kw_only=True):
    """Write down, before anything else is done: what came and what went; ``is_whole``: ``added`` is all."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    is_whole: bool = False
    incarnation: int = 0


Said = Granted | Released | Withheld | Fenced | AskedHolds
Event = Said | Welcomed | Disconnected | Wanted | Used | Useless | Leaving | Tick
Effect = SendHolds | SendAsk | Keep


class Holding:
    """State machine of one session of an agent. ``codes``: as its journal remembers them from the session before.

    ``deadline_us``: until when they may be used, if this session is known to go on from that one.
    """

    def __init__(
        self,
        session: bytes,
        codes: Iterable[str] = (),
        *,
        incarnation: int = 0,
        spoken_to: int = 0,
        deadline_us: int | None = None,
    ) -> None:
        self._session = session
        self._codes = set(codes)
        self._incarnation = incarnation
        self._spoken_to = spoken_to
        self._is_welcome = False
        self._number = 0
        self._seen = 0
        self._latest = 0
        self._deadline_us = deadline_us
        self._renew_us: int | None = None
        self._stated_us: int | None = None
        self._patience_us = AGAIN_AFTER_US
        self._gone: set[str] = set()
        """What ended since the last statement: its answer may still name it."""
        self._never_held: set[str] = set()
        """Issued here without the right: a grant on its way must not bring it back."""
        self._holders: dict[str, str] = {}

    @property
    def session(self) -> bytes:
        """The session that the lease is for."""
        return self._session

    @property
    def codes(self) -> frozenset[str]:
        return frozenset(self._codes)

    @property
    def count(self) -> int:
        return len(self._codes)

    @property
    def deadline_us(self) -> int | None:
        """Until when its codes may be issued; None: not in this session yet."""
        return self._deadline_us

    @property
    def is_welcome(self) -> bool:
        return self._is_welcome

    @property
    def wake_us(self) -> int | None:
        if not self._is_welcome:
            return None
        if self._stated_us is not None:
            return self._stated_us + self._patience_us
        return self._renew_us

    def may_issue(self, code: str, now_us: int) -> bool:
        return code in self._codes and self._lasts(now_us)

    def has(self, code: str) -> bool:
        """Whether the code is of this lease, whose time may be over."""
        return code in self._codes

    def holder(self, code: str) -> str:
        """Who has the code, as central last said; empty: not known, or nobody."""
        return self._holders.get(code, "")

    def handle(self, event: Event) -> list[Effect]:  # noqa: C901, PLR0911 -- a line or two an event
        match event:
            case Welcomed():
                return self._welcomed(event)
            case Disconnected():
                self._is_welcome, self._stated_us = False, None
                return []
            case Granted():
                return self._granted(event)
            case Released():
                return self._released(event)
            case Withheld():
                return self._withheld(event)
            case Fenced():
                return self._fenced()
            case AskedHolds():
                return self._state(event.now_us) if self._is_welcome else []
            case Wanted():
                return self._wanted(event)
            case Used():
                return self._used(event)
            case Useless():
                return self._drop(event.codes)
            case Leaving():
                return self._leaving()
            case Tick():
                return self._tick(event)

    def _welcomed(self, event: Welcomed) -> list[Effect]:
        if event.session != self._session:
            self._session, self._seen = event.session, 0
        self._spoken_to, self._is_welcome = event.incarnation, True
        self._patience_us, self._latest = AGAIN_AFTER_US, self._seen
        return self._state(event.now_us)

    def _state(self, now_us: int) -> list[Effect]:
        self._number += 1
        self._stated_us = now_us
        self._gone.clear()
        # In its lost life a restored central may have given away what was this agent's, after its time.
        is_void = self._incarnation != self._spoken_to and not self._lasts(now_us)
        return [*self._drop(sorted(self._codes)[0 if is_void else MOST_CLAIMED :]), self._holds()]

    def _lasts(self, now_us: int) -> bool:
        return self._deadline_us is not None and now_us <= self._deadline_us

    def _holds(self, *, is_leaving: bool = False) -> SendHolds:
        return SendHolds(
            number=self._number,
            seen=self._seen,
            incarnation=self._incarnation,
            spoken_to=self._spoken_to,
            codes=tuple(sorted(self._codes)),
            is_leaving=is_leaving,
        )

    def _granted(self, event: Granted) -> list[Effect]:
        grant = event.grant
        if grant.session != self._session or grant.incarnation != self._spoken_to or not self._is_welcome:
            return []
        self._latest = max(self._latest, grant.number)
        if grant.is_whole:
            if grant.after != self._number or self._stated_us is None:
                return []
            self._stated_us, self._patience_us = None, AGAIN_AFTER_US
        elif grant.after != self._seen or self._stated_us is not None:
            return [SendAsk(seen=self._seen)] if grant.number > self._seen and self._stated_us is None else []
        return self._take(grant, event.now_us)

    def _take(self, grant: Grant, now_us: int) -> list[Effect]:
        ended = self._gone | self._never_held if grant.is_whole else self._never_held
        codes = set(grant.codes).difference(ended)
        added = tuple(sorted(codes if grant.is_whole else codes - self._codes))
        self._codes = codes if grant.is_whole else self._codes | codes
        for code in codes:
            self._holders.pop(code, None)
        self._seen = grant.number
        self._latest = max(self._latest, self._seen)
        self._incarnation = grant.incarnation
        if grant.left_us:
            self._deadline_us = max(self._deadline_us or 0, grant.sent_us + grant.left_us)
            self._renew_us = now_us + grant.left_us // 4
        keep: list[Effect] = []
        if added or grant.is_whole:
            keep.append(Keep(added=added, is_whole=grant.is_whole, incarnation=self._incarnation))
        return [*keep, SendAsk(seen=self._seen)] if self._latest > self._seen else keep

    def _released(self, event: Released) -> list[Effect]:
        effects = self._drop(event.codes)
        return [*effects, *self._state(event.now_us)] if self._is_welcome else effects

    def _withheld(self, event: Withheld) -> list[Effect]:
        for holder in event.by:
            self._holders.pop(holder.code, None)
            self._holders[holder.code] = holder.device
        while len(self._holders) > REMEMBERED:
            del self._holders[next(iter(self._holders))]
        return []

    def _fenced(self) -> list[Effect]:
        self._codes.clear()
        self._deadline_us = self._renew_us = self._stated_us = None
        return [Keep(is_whole=True, incarnation=self._incarnation)]

    def _wanted(self, event: Wanted) -> list[Effect]:
        if not self._is_welcome:
            return []
        self._never_held.difference_update(event.codes)
        if self._stated_us is not None and self._deadline_us is None:
            return []  # the answer to the statement comes first
        lapsed = any(code in self._codes for code in event.codes)
        effects = self._state(event.now_us) if lapsed and self._stated_us is None else []
        missing = tuple(code for code in event.codes if code not in self._codes)
        return [*effects, SendAsk(seen=self._seen, codes=missing)] if missing else effects

    def _used(self, event: Used) -> list[Effect]:
        for code in event.ended:
            self._end(code)
        for box, units in event.opened:
            if box in self._codes:
                self._codes.update(units)
                self._end(box)
        return []

    def _end(self, code: str) -> None:
        if code in self._codes:
            self._codes.remove(code)
            self._gone.add(code)
        else:
            self._never_held.add(code)

    def _drop(self, codes: Iterable[str]) -> list[Effect]:
        held = tuple(code for code in codes if code in self._codes)
        self._codes.difference_update(held)
        self._gone.update(held)
        return [Keep(removed=held)] if held else []

    def _leaving(self) -> list[Effect]:
        if not self._is_welcome:
            return []
        self._codes.clear()
        self._deadline_us = self._renew_us = self._stated_us = None
        self._number += 1
        return [Keep(is_whole=True, incarnation=self._incarnation), self._holds(is_leaving=True)]

    def _tick(self, event: Tick) -> list[Effect]:
        if self.wake_us is None or event.now_us < self.wake_us:
            return []
        if self._stated_us is not None:
            self._patience_us = min(2 * self._patience_us, AGAIN_AT_MOST_US)
        return self._state(event.now_us)
