"""How the agent stands with broker and central, for whoever shows it."""

from enum import StrEnum

import msgspec

from sync_protocol.lifecycle import Refusal
from sync_protocol.recalls import NO_RECALLS, RecallSet

LATE_AT_MOST = 20


class RecallTrouble(StrEnum):
    """Why recalls that were heard of are not in force here."""

    NO_KEY = "no_recall_key"
    FORGED = "forged_recalls"


class Download(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes that are here, of those that it takes."""

    done: int
    of: int


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """Items of the replica that were silently wrong since the start and are put right, the last of them then."""

    items: int
    at_us: int


class SyncState(msgspec.Struct, kw_only=True):
    """``is_connected``: to the broker; ``is_welcome``: central answered since. ``cause`` says why not."""

    is_connected: bool = False
    is_welcome: bool = False
    cause: str = "not connected yet"
    alarm: str = ""
    """What cannot be, or what central refused to take: a person must look."""
    forged: str = ""
    """Why words that came in central's name were not believed; until central itself answers."""
    store_trouble: str = ""
    """Why what central says cannot be written down here."""
    snapshot: Download | None = None
    """REQ-06: a whole replica is on its way."""
    snapshot_trouble: str = ""
    """Why the last one did not come; the replica is copied by deltas meanwhile."""
    drift: Drift | None = None
    late: tuple[Refusal, ...] = ()
    """Recorded here as fitting, and the ledger has it as an exception: newest first, until somebody has seen them."""
    acked: dict[bytes, int] = {}
    """How far central acked each session; it is written down a little later."""
    latest: int = 0
    """The highest ledger version heard of."""
    recall_trouble: RecallTrouble | None = None
    unverified: RecallSet = NO_RECALLS
    """Recalls that nobody here can verify: shown, and not applied."""

    def adopt(self) -> None:
        """Another life of central: what the one before said does not count."""
        self.acked.clear()
        self.is_welcome, self.cause = False, "central was restored and is asked what it lacks"

    def judged(self, refusals: tuple[Refusal, ...]) -> None:
        """The ledger's verdict on what was recorded here."""
        self.late = (*refusals, *self.late)[:LATE_AT_MOST]
