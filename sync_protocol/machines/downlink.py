"""The agent's decision on deltas: apply what starts at the cursor, pull everything else (REQ-05).

Pull is the truth, broadcast an optimisation: a lost, repeated or re-ordered broadcast costs one pull.
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


class Tick(msgspec.Struct, frozen=True, kw_only=True):
    now_us: int


class Apply(msgspec.Struct, frozen=True, kw_only=True):
    delta: Delta


class SendPull(msgspec.Struct, frozen=True, kw_only=True):
    after: int


Event = Connected | Disconnected | Arrived | Applied | Tick
Effect = Apply | SendPull


class Downlink:
    """State machine of one replica, which is at ledger version ``cursor``."""

    def __init__(self, cursor: int) -> None:
        self._cursor = cursor
        self._latest = cursor
        self._is_connected = False
        self._pulling_since_us: int | None = None
        self._pulled_us = 0

    @property
    def cursor(self) -> int:
        return self._cursor

    @property
    def latest(self) -> int:
        """The highest ledger version heard of."""
        return self._latest

    @property
    def wake_us(self) -> int | None:
        if not self._is_connected:
            return None
        if self._pulling_since_us is not None:
            return self._pulling_since_us + PULL_AGAIN_AFTER_US
        return self._pulled_us + POLL_AFTER_US

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
            case Tick():
                is_due = self.wake_us is not None and event.now_us >= self.wake_us
                return self._pull(event.now_us) if is_due else []

    def _arrived(self, event: Arrived) -> list[Effect]:
        delta = event.delta
        self._latest = max(self._latest, delta.latest)
        if delta.after == self._cursor < delta.to:
            return [Apply(delta=delta)]
        if delta.after == delta.to == self._cursor:
            self._pulling_since_us = None
            return []
        if delta.to <= self._cursor or self._pulling_since_us is not None:
            return []
        return self._pull(event.now_us)

    def _applied(self, event: Applied) -> list[Effect]:
        self._cursor = event.version
        self._pulling_since_us = None
        return self._pull(event.now_us) if self._latest > self._cursor else []

    def _pull(self, now_us: int) -> list[Effect]:
        if not self._is_connected:
            return []
        self._pulling_since_us = self._pulled_us = now_us
        return [SendPull(after=self._cursor)]
