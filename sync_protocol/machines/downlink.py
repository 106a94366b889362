"""The agent's decision on deltas: apply what starts at the cursor, pull everything else (REQ-05).

Pull is the truth, broadcast an optimisation: a lost, repeated or re-ordered broadcast costs one pull.

After a restore of central the replica belongs to a ledger that is no more. It is used on, and a new one is pulled from
the start into a file beside it, which takes its place when it is complete (REQ-06).
"""

import msgspec

from sync_protocol.messages import Delta

PULL_AGAIN_AFTER_US = 3_000_000
POLL_AFTER_US = 15_000_000
"""Also while broadcasts come: the poll is how central knows that a workplace without scans is there, and in step."""


class Connected(msgspec.Struct, frozen=True, kw_only=True):
    """Central answered HELLO: its ledger is at ``version``."""

    version: int
    now_us: int


class Disconnected(msgspec.Struct, frozen=True, kw_only=True):
    pass


class Arrived(msgspec.Struct, frozen=True, kw_only=True):
    """A delta came, by broadcast or as the answer to a pull."""

    delta: Delta
    now_us: int


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """The replica is at ``version``: rows and cursor are committed together."""

    version: int
    now_us: int


class Rebuild(msgspec.Struct, frozen=True, kw_only=True):
    """Begin a new replica, of the central with this incarnation. It is complete at ``version`` or later.

    Below that version the ledger lacked facts of this agent, whose overlay rows may be gone: a delta that was made
    then, and comes late, must not be the whole of a replica.
    """

    incarnation: int
    version: int
    now_us: int


class Swapped(msgspec.Struct, frozen=True, kw_only=True):
    """The new replica has taken the old one's place."""

    now_us: int


class Tick(msgspec.Struct, frozen=True, kw_only=True):
    now_us: int


class Apply(msgspec.Struct, frozen=True, kw_only=True):
    """Write rows and cursor together, to the replica in use or to the one being built; answer with Applied."""

    delta: Delta
    is_rebuild: bool = False


class Swap(msgspec.Struct, frozen=True, kw_only=True):
    """The new replica is complete: put it in the old one's place; answer with Swapped."""


class SendPull(msgspec.Struct, frozen=True, kw_only=True):
    after: int
    incarnation: int


Event = Connected | Disconnected | Arrived | Applied | Rebuild | Swapped | Tick
Effect = Apply | Swap | SendPull


class Downlink:
    """State machine of one replica, which is at ledger version ``cursor`` of the central with ``incarnation``."""

    def __init__(self, cursor: int, *, incarnation: int = 0) -> None:
        self._cursor = cursor
        self._built: int | None = None
        self._latest = cursor
        self._incarnation = incarnation
        self._is_connected = False
        self._pulling_since_us: int | None = None
        self._pulled_us = 0

    @property
    def cursor(self) -> int:
        """Version of the replica in use."""
        return self._cursor

    @property
    def latest(self) -> int:
        """The highest ledger version heard of."""
        return self._latest

    @property
    def incarnation(self) -> int:
        """Of the central whose deltas are taken."""
        return self._incarnation

    @property
    def is_rebuilding(self) -> bool:
        return self._built is not None

    @property
    def wake_us(self) -> int | None:
        if not self._is_connected:
            return None
        if self._pulling_since_us is not None:
            return self._pulling_since_us + PULL_AGAIN_AFTER_US
        return self._pulled_us + POLL_AFTER_US

    @property
    def _at(self) -> int:
        """Where the next delta must start."""
        return self._cursor if self._built is None else self._built

    def handle(self, event: Event) -> list[Effect]:
        match event:
            case Connected():
                self._is_connected = True
                self._latest = max(self._latest, event.version)
                return self._pull(event.now_us)
            case Disconnected():
                self._is_connected = False
                self._pulling_since_us = None
                return []
            case Arrived():
                return self._arrived(event)
            case Applied():
                return self._applied(event)
            case Rebuild():
                self._incarnation, self._is_connected = event.incarnation, True
                self._built, self._latest = 0, event.version
                return self._pull(event.now_us)
            case Swapped():
                self._cursor, self._built = self._at, None
                return self._follow(event.now_us)
            case Tick():
                is_due = self.wake_us is not None and event.now_us >= self.wake_us
                return self._pull(event.now_us) if is_due else []

    def _arrived(self, event: Arrived) -> list[Effect]:
        delta = event.delta
        if delta.incarnation != self._incarnation:
            return []
        self._latest = max(self._latest, delta.latest)
        if delta.after == self._at < delta.to:
            return [Apply(delta=delta, is_rebuild=self.is_rebuilding)]
        if delta.after == delta.to == self._at:
            self._pulling_since_us = None
            return [Swap()] if self.is_rebuilding and self._at >= self._latest else []
        if delta.to <= self._at or self._pulling_since_us is not None:
            return []
        return self._pull(event.now_us)

    def _applied(self, event: Applied) -> list[Effect]:
        self._pulling_since_us = None
        if self._built is None:
            self._cursor = event.version
            return self._follow(event.now_us)
        self._built = event.version
        return self._follow(event.now_us) or [Swap()]

    def _follow(self, now_us: int) -> list[Effect]:
        return self._pull(now_us) if self._latest > self._at else []

    def _pull(self, now_us: int) -> list[Effect]:
        if not self._is_connected:
            return []
        self._pulling_since_us = self._pulled_us = now_us
        return [SendPull(after=self._at, incarnation=self._incarnation)]
