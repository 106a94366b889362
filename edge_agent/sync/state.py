"""How the agent stands with broker and central, for whoever shows it."""

from enum import StrEnum

import msgspec

from sync_protocol.recalls import NO_RECALLS, RecallSet


class RecallTrouble(StrEnum):
    """Why recalls that were heard of are not in force here."""

    NO_KEY = "no_recall_key"
    FORGED = "forged_recalls"


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
    latest: int = 0
    """The highest ledger version heard of."""
    recall_trouble: RecallTrouble | None = None
    unverified: RecallSet = NO_RECALLS
    """Recalls that nobody here can verify: shown, and not applied."""
