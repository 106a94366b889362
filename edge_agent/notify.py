"""In-process publish and subscribe: workflows, recorder and sync say what changed, pages fetch it anew.

A change says only what is stale, never what it became, so repeats coalesce and a slow page can never hold up the
agent: past its bound a subscriber forgets the single changes and is told to refresh everything.
"""

import asyncio
from enum import StrEnum
from types import TracebackType
from typing import Self

BOUND = 32


class Change(StrEnum):
    """What a page may have to fetch anew."""

    EVERYTHING = "everything"
    VERDICTS = "verdicts"
    NOTES = "notes"
    ORDERS = "orders"
    STOCK = "stock"
    SYNC = "sync"
    DEVICES = "devices"
    PEOPLE = "people"
    CABINET = "cabinet"
    PACKAGER = "packager"


class Subscription:
    """One page's view of what is stale. Used as a context manager; left, it hears nothing more."""

    def __init__(self, notifier: "Notifier", bound: int) -> None:
        self._notifier = notifier
        self._bound = bound
        self._stale: dict[str, None] = {}
        self._wake = asyncio.Event()

    def __enter__(self) -> Self:
        self._notifier.join(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._notifier.leave(self)

    def tell(self, changes: tuple[str, ...]) -> None:
        if Change.EVERYTHING in self._stale:
            return
        self._stale.update(dict.fromkeys(changes))
        if Change.EVERYTHING in self._stale or len(self._stale) > self._bound:
            self._stale = {Change.EVERYTHING: None}
        self._wake.set()

    async def next(self) -> tuple[str, ...]:
        """All that went stale since the last call, each name once, in the order it first did; waits for one."""
        await self._wake.wait()
        self._wake.clear()
        changes, self._stale = tuple(self._stale), {}
        return changes


class Notifier:
    """Tells every subscriber what changed. Never waits, never fails; to be called on the loop only."""

    def __init__(self) -> None:
        self._subscriptions: set[Subscription] = set()

    @property
    def subscribers(self) -> int:
        return len(self._subscriptions)

    def subscribe(self, *, bound: int = BOUND) -> Subscription:
        return Subscription(self, bound)

    def publish(self, *changes: str) -> None:
        """``changes`` are ``Change`` members, or a name with a detail such as ``verdicts:seat-3``."""
        for subscription in self._subscriptions:
            subscription.tell(changes)

    def join(self, subscription: Subscription) -> None:
        self._subscriptions.add(subscription)

    def leave(self, subscription: Subscription) -> None:
        self._subscriptions.discard(subscription)
