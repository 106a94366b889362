"""What was really recorded: every fact that any device was told is safe, kept by the simulator and not by the code."""

import msgspec

from sync_protocol.facts import Fact, FactId
from sync_protocol.recalls import RecallSet


class Known(msgspec.Struct, kw_only=True, eq=False):
    """A fact as its device recorded it. ``fact`` is None for bytes that this version cannot read.

    ``id``: where it stands; facts that are written again stand elsewhere then.
    ``unfit``: codes that it did not fit by its device's own check; ``touched``: items that it changed by that.
    ``base``: by code, the ledger version that the device's belief came from; ``before``: the device's own earlier
    fact that the belief also came from.
    """

    id: FactId
    body: bytes
    fact: Fact | None
    unfit: frozenset[str]
    touched: frozenset[str]
    base: dict[str, int]
    before: dict[str, "Known"]
    belief: int
    """The incarnation of the ledger that the belief is a copy of."""


class Truth:
    """``facts``: all that any disk ever held, in their order. ``lost``: those on media that are gone for good.

    ``attempts``: written when the process died, and nobody told. ``lives``: by identity, every fact that has or had it:
    a machine that is woken gives the numbers anew that its own life before had given.
    """

    def __init__(self) -> None:
        self.facts: list[Known] = []
        self.lives: dict[FactId, list[Known]] = {}
        self.attempts: dict[FactId, Known] = {}
        self.lost: set[Known] = set()
        self.copied: set[str] = set()
        """Devices whose disk was restored from an image, resumed or cloned."""
        self.cloned: set[str] = set()
        """Those of them that are two computers."""
        self.drifted: set[str] = set()
        """Devices whose replica was changed behind their back."""
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

    def attempt(self, known: Known) -> None:
        self.attempts[known.id] = known

    def confirm(self, identity: FactId) -> Known:
        """The fact is on its disk."""
        known = self.attempts.pop(identity)
        self.facts.append(known)
        self.lives.setdefault(identity, []).append(known)
        return known

    def moved(self, known: Known, to: FactId) -> None:
        """It is written again, and this one is for the ledger."""
        known.id = to
        lives = self.lives.setdefault(to, [])
        if known not in lives:
            lives.append(known)

    def of(self, identity: FactId, body: bytes) -> Known | None:
        """The fact with this identity and these bytes."""
        return next((life for life in self.lives.get(identity, ()) if life.body == body), None)

    def deny(self, identity: FactId) -> None:
        """The fact never reached the disk."""
        self.attempts.pop(identity, None)
