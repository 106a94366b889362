"""A restored ledger does not know what was leased after its backup: it grants nothing before its agents have said so.

An agent counts as heard once it has stated what it holds and the ledger has every fact written until then. Who stays
silent is waited for until two people answer for it: what it issued long ago the ledger may have in stock.
"""

from collections.abc import Iterable

ASK_AGAIN_US = 3_000_000


class Thaw:
    """``unheard``: agents that are waited for. ``over_us``: when all that was granted before the restore is over."""

    def __init__(self, unheard: Iterable[str], *, over_us: int) -> None:
        self.unheard = set(unheard)
        self.over_us = over_us
        self._asked_us: int | None = None

    def heard(self, device: str) -> None:
        self.unheard.discard(device)

    def to_ask(self, now_us: int, connected: frozenset[str]) -> list[str]:
        if not self.unheard or (self._asked_us is not None and now_us - self._asked_us < ASK_AGAIN_US):
            return []
        self._asked_us = now_us
        return sorted(self.unheard & connected)
