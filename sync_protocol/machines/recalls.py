"""The agent's decision on recalls: hold the highest version, ask when a higher one is heard of, confirm what is held.

It runs before every other lane (REQ-07). An agent that holds a higher version than a restored central gives it back.
"""

import msgspec

from sync_protocol.recalls import SignedRecalls

ASK_AGAIN_AFTER_US = 2_000_000


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """Central named the version that it holds: in a welcome, in an ack, or retained by the broker."""

    version: int
    now_us: int


class Arrived(msgspec.Struct, frozen=True, kw_only=True):
    """A recall set came; ``is_authentic``: a recall key signed it and it can be read."""

    signed: SignedRecalls
    is_authentic: bool


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """The set with this version is on the disk and in force."""

    version: int


class Disconnected(msgspec.Struct, frozen=True, kw_only=True):
    pass


class Tick(msgspec.Struct, frozen=True, kw_only=True):
    now_us: int


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    pass


class Keep(msgspec.Struct, frozen=True, kw_only=True):
    """Write the set down and put it in force, before anything else is done; answer with Kept."""

    signed: SignedRecalls


class Confirm(msgspec.Struct, frozen=True, kw_only=True):
    version: int


class GiveBack(msgspec.Struct, frozen=True, kw_only=True):
    """Send central the set that is held here: central has lost it."""


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    cause: str


Event = Heard | Arrived | Kept | Disconnected | Tick
Effect = Ask | Keep | Confirm | GiveBack | Alarm


class Recalls:
    """State machine of one agent, which holds recall set ``version`` (0: none was ever issued)."""

    def __init__(self, version: int) -> None:
        self._version = version
        self._asked_us: int | None = None
        self._gave_us: int | None = None

    @property
    def version(self) -> int:
        return self._version

    @property
    def wake_us(self) -> int | None:
        return None if self._asked_us is None else self._asked_us + ASK_AGAIN_AFTER_US

    def handle(self, event: Event) -> list[Effect]:
        match event:
            case Heard():
                return self._heard(event)
            case Arrived():
                return self._arrived(event)
            case Kept():
                self._version = max(self._version, event.version)
                self._asked_us = None
                return [Confirm(version=self._version)]
            case Disconnected():
                self._asked_us = self._gave_us = None
                return []
            case Tick():
                if self.wake_us is None or event.now_us < self.wake_us:
                    return []
                self._asked_us = event.now_us
                return [Ask()]

    def _heard(self, event: Heard) -> list[Effect]:
        if event.version < self._version:
            if self._gave_us is not None and event.now_us < self._gave_us + ASK_AGAIN_AFTER_US:
                return []  # every ack says so until central has taken it
            self._gave_us = event.now_us
            return [GiveBack()]
        if event.version == self._version or self._asked_us is not None:
            return []
        self._asked_us = event.now_us
        return [Ask()]

    def _arrived(self, event: Arrived) -> list[Effect]:
        if event.signed.version <= self._version:
            return []
        if not event.is_authentic:
            return [Alarm(cause=f"a forged or damaged recall set, version {event.signed.version}, was not taken")]
        return [Keep(signed=event.signed)]
