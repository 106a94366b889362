"""How the agent stands with broker and central, for whoever shows it."""

import msgspec


class SyncState(msgspec.Struct, kw_only=True):
    """``is_connected``: to the broker; ``is_welcome``: central answered since. ``cause`` says why not."""

    is_connected: bool = False
    is_welcome: bool = False
    cause: str = "not connected yet"
    alarm: str = ""
    """What cannot be, or what central refused to take: a person must look."""
    store_trouble: str = ""
    """Why what central says cannot be written down here."""
    latest: int = 0
    """The highest ledger version heard of."""
