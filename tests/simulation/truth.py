"""What was really recorded: every fact that any device was told is safe, kept by the simulator and not by the code."""

import msgspec

from sync_protocol.facts import Fact, FactId
from sync_protocol.recalls import RecallSet


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """A fact as its device recorded it. ``fact`` is None for bytes that this version cannot read.

    ``unfit``: codes that it did not fit by its device's own check; ``touched``: items that it changed by that.
    ``base``: by code, the ledger version that the device's belief came from; ``before``: the device's own earlier
    fact that the belief also came from.
    """

    body: bytes
    fact: Fact | None
    unfit: frozenset[str]
    touched: frozenset[str]
    base: dict[str, int]
    before: dict[str, FactId]
    belief: int
    """The incarnation of the ledger that the belief is a copy of."""


class Truth:
    """``lost``: facts on media that are gone for good. ``attempts``: written when the process died, and nobody told."""

    def __init__(self) -> None:
        self.facts: dict[FactId, Known] = {}
        self.attempts: dict[FactId, Known] = {}
        self.lost: set[FactId] = set()
        self.copied: set[str] = set()
        """Devices whose disk was restored from an image, resumed or cloned."""
        self.cloned: set[str] = set()
        """Those of them that are two computers."""
        self.drifted: set[str] = set()
        """Devices whose replica was changed behind their back."""
        self.other_lives: dict[FactId, list[Known]] = {}
        """Facts whose identity another fact was given before, by a life of the machine that it was woken from."""
        self.wiped: set[str] = set()
        """Devices whose disk was replaced by an empty one."""
        self.safe: dict[bytes, int] = {}
        """By session, how far a backup holds it that was verified."""
        self.recall_sets: dict[int, RecallSet] = {}
        """By version, what central signed."""
        self.resumed: set[str] = set()
        """Devices that were woken from a snapshot and go on in a session whose facts they gave before."""
        self.begun: dict[bytes, int] = {}
        """Sessions of agents, each with its place in the order in which they began."""
        self.answered: dict[str, int] = {}
        """By device, the latest life of the ledger in which two people answered for it."""

    def attempt(self, identity: FactId, known: Known) -> None:
        self.attempts[identity] = known

    def confirm(self, identity: FactId) -> Known:
        """The fact is on its disk."""
        known = self.attempts.pop(identity)
        if self.facts.setdefault(identity, known).body != known.body:
            self.other_lives.setdefault(identity, []).append(known)
        return known

    def of(self, identity: FactId, body: bytes) -> Known | None:
        """The fact with this identity and these bytes."""
        known = self.facts.get(identity)
        lives = [known, *self.other_lives.get(identity, [])] if known is not None else []
        return next((life for life in lives if life.body == body), None)

    def deny(self, identity: FactId) -> None:
        """The fact never reached the disk."""
        self.attempts.pop(identity, None)
