"""A restored ledger does not know what was leased after its backup: it grants nothing before its agents have said so.

An agent counts as heard once it has stated what it holds and the ledger has every fact written until then. For one
that stays silent the ledger waits as long as a lease can last.
"""

from collections.abc import Iterable

ASK_AGAIN_US = 3_000_000


class Thaw:
    """``unheard``: agents that are waited for, until ``until_us`` at the latest."""

    def __init__(self, unheard: Iterable[str], *, until_us: int) -> None:
        self.unheard = set(unheard)
        self._until_us = until_us
        self._asked_us: int | None = None

    def heard(self, device: str) -> None:
        self.unheard.discard(device)

    def tick(self, now_us: int, connected: frozenset[str]) -> list[str]:
        """Agents to ask now."""
        if self.unheard and now_us >= self._until_us:
            self.unheard.clear()
        if not self.unheard or (self._asked_us is not None and now_us - self._asked_us < ASK_AGAIN_US):
            return []
        self._asked_us = now_us
        return sorted(self.unheard & connected)
