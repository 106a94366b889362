"""Which active recalls are about something that is at this place, for the banner of its screens."""

from collections.abc import Callable, Iterator

import msgspec

from edge_agent.check import Stock
from edge_agent.store.recalls import HeldRecalls
from edge_agent.sync.state import SyncState
from sync_protocol.documents import Product
from sync_protocol.items import LIVE, State
from sync_protocol.recalls import InForce, Recall

LOOKED_AT = 500
"""Items of a product that are looked through: past it the banner says "or more"."""
AGAIN_AFTER_US = 5_000_000
_AT_HAND = LIVE - {State.EXPECTED}


class RecalledHere(msgspec.Struct, frozen=True, kw_only=True):
    """``items``: boxes, units and pieces of it at this place. ``is_verified``: it is in force."""

    recall: Recall
    product: Product | None
    items: int
    is_verified: bool = True


class RecallNotices:
    """Looked up anew when the recalls change, and every few seconds: a page asks at every scan."""

    def __init__(
        self, held: HeldRecalls, stock: Stock, sync: SyncState, *, location: str, now_us: Callable[[], int]
    ) -> None:
        self._held = held
        self._stock = stock
        self._sync = sync
        self._location = location
        self._now_us = now_us
        self._seen = (-1, -1, 0)
        self._here: tuple[RecalledHere, ...] = ()

    def here(self) -> tuple[RecalledHere, ...]:
        """Raises StoreError."""
        seen = (self._held.version, self._sync.unverified.version, self._now_us() // AGAIN_AFTER_US)
        if seen != self._seen:
            unverified = InForce(self._sync.unverified)
            self._here = (
                *self._look(self._held.in_force, is_verified=True),
                *self._look(unverified, is_verified=False),
            )
            self._seen = seen
        return self._here

    def _look(self, recalls: InForce, *, is_verified: bool) -> Iterator[RecalledHere]:
        for recall in recalls.recalls:
            found = self._stock.items_at(self._location, states=_AT_HAND, product=recall.product, limit=LOOKED_AT)
            items = sum(recall.covers(item) for item in found)
            if items:
                product = self._stock.product(recall.product)
                yield RecalledHere(recall=recall, product=product, items=items, is_verified=is_verified)
