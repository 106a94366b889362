"""The agent's decision on deltas: apply what starts at the cursor, pull everything else (REQ-05).

Pull is the truth, broadcast an optimisation: a lost, repeated or re-ordered broadcast costs one pull.

After a restore of central the replica belongs to a ledger that is no more. It is used on, and a new one is pulled from
the start into a file beside it, which takes its place when it is complete (REQ-06).

A replica that is far behind is offered a snapshot instead of thousands of deltas. It comes by another way; meanwhile
the replica in use is pulled at the pace of the poll only. Then it lies beside like the one of a restored ledger, goes
on by deltas and takes the place by the same rule: not before it is as new as anything that was heard of, for what
this agent's own facts did may be known from that alone.

For the same reason a replica between two pages of a pull is not *whole*: an item that changed before the cut and again
after it comes with the later page, and is shown until then as it was before both.

Pages of a long pull are gathered and written together: a tree whose rows are written ten times as often in between is
ten times as much for the disk, beside people who scan. What came is written at once when no more comes.
"""

import operator
from collections.abc import Sequence
from typing import Any

import msgspec

from sync_protocol.machines.bootstrap import Bootstrap, Fetch, Fetched, Missed, Offered
from sync_protocol.messages import Delta, Offer, Rows

PULL_AGAIN_AFTER_US = 3_000_000
POLL_AFTER_US = 15_000_000
"""Also while broadcasts come: the poll is how central knows that a workplace without scans is there, and in step."""
GATHERED = 20_000
"""Rows that are written together. More bring nothing (performance.md), and are held in memory."""


class Connected(msgspec.Struct, frozen=True, kw_only=True):
    """Central answered HELLO: its ledger is at ``version``."""

    version: int
    now_us: int


class Disconnected(msgspec.Struct, frozen=True, kw_only=True):
    pass


class Arrived(msgspec.Struct, frozen=True, kw_only=True):
    """A delta came, by broadcast or as the answer to a pull."""

    delta: Delta
    now_us: int


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """The replica is at ``version``: rows and cursor are committed together."""

    version: int
    now_us: int


class Rebuild(msgspec.Struct, frozen=True, kw_only=True):
    """Begin a new replica, of the central with this incarnation. It is complete at ``version`` or later.

    Below that version the ledger lacked facts of this agent, whose overlay rows may be gone: a delta that was made
    then, and comes late, must not be the whole of a replica.
    """

    incarnation: int
    version: int
    now_us: int


class Swapped(msgspec.Struct, frozen=True, kw_only=True):
    """The new replica has taken the old one's place."""

    now_us: int


class Adopted(msgspec.Struct, frozen=True, kw_only=True):
    """The snapshot lies beside as the replica being built."""

    offer: Offer
    now_us: int


class Tick(msgspec.Struct, frozen=True, kw_only=True):
    now_us: int


class Apply(msgspec.Struct, frozen=True, kw_only=True):
    """Write rows and cursor together, to the replica in use or to the one being built; answer with Applied."""

    delta: Delta
    is_rebuild: bool = False


class Swap(msgspec.Struct, frozen=True, kw_only=True):
    """The new replica is complete: put it in the old one's place; answer with Swapped."""


class Adopt(msgspec.Struct, frozen=True, kw_only=True):
    """Lay the snapshot beside as the replica being built; answer with Adopted, or with Missed if the disk refuses."""

    offer: Offer


class Discard(msgspec.Struct, frozen=True, kw_only=True):
    """The snapshot that came is of no use any more."""

    offer: Offer


class SendPull(msgspec.Struct, frozen=True, kw_only=True):
    after: int
    incarnation: int
    takes: int = 0
    part: bytes = b""


OfSnapshot = Offered | Fetched | Adopted | Missed
Event = Connected | Disconnected | Arrived | Applied | Rebuild | Swapped | Tick | OfSnapshot
Effect = Apply | Swap | SendPull | Fetch | Adopt | Discard


class Downlink:
    """State machine of one replica, which is at ledger version ``cursor`` of the central with ``incarnation``."""

    def __init__(self, cursor: int, *, incarnation: int = 0, bootstrap: Bootstrap | None = None) -> None:
        self._bootstrap = bootstrap or Bootstrap(is_able=False)
        self._cursor = cursor
        self._built: int | None = None
        self._gathered: list[Delta] = []
        self._latest = cursor
        self._incarnation = incarnation
        self._is_connected = False
        self._pulling_since_us: int | None = None
        self._pulled_us = 0
        self._whole_from: int | None = None

    @property
    def is_whole(self) -> bool:
        """Whether the replica in use shows every item as the ledger had it at ``cursor``.

        False until the first contact, too: the process before may have stopped between two pages.
        """
        return self._whole_from is not None and self._cursor >= self._whole_from

    @property
    def cursor(self) -> int:
        """Version of the replica in use."""
        return self._cursor

    @property
    def latest(self) -> int:
        """The highest ledger version heard of."""
        return self._latest

    @property
    def incarnation(self) -> int:
        """Of the central whose deltas are taken."""
        return self._incarnation

    @property
    def is_rebuilding(self) -> bool:
        return self._built is not None

    @property
    def is_fetching(self) -> bool:
        """A snapshot is on its way."""
        return self._bootstrap.is_fetching

    @property
    def has_given_up(self) -> bool:
        """Snapshots failed too often: for a while it goes by deltas alone."""
        return self._bootstrap.has_given_up

    @property
    def wake_us(self) -> int | None:
        if not self._is_connected:
            return self._pulled_us if self._gathered else None
        if self._pulling_since_us is not None:
            return self._pulling_since_us + PULL_AGAIN_AFTER_US
        return self._pulled_us + POLL_AFTER_US

    @property
    def _at(self) -> int:
        """Where the next delta must start."""
        if self._gathered:
            return self._gathered[-1].to
        return self._cursor if self._built is None else self._built

    def handle(self, event: Event) -> list[Effect]:
        match event:
            case Connected():
                self._is_connected = True
                self._latest = max(self._latest, event.version)
                if self._whole_from is None:
                    self._whole_from = self._latest
                return self._pull(event.now_us)
            case Disconnected():
                self._is_connected = False
                self._pulling_since_us = None
                return []
            case Arrived():
                return self._arrived(event)
            case Applied():
                return self._applied(event)
            case Rebuild():
                self._incarnation, self._is_connected = event.incarnation, True
                self._built, self._latest = 0, event.version
                self._gathered.clear()
                self._bootstrap.forget()
                return self._pull(event.now_us)
            case Offered() | Fetched() | Adopted() | Missed():
                return self._of_snapshot(event)
            case Swapped():
                self._cursor = self._whole_from = self._at
                self._built = None
                return self._follow(event.now_us)
            case Tick():
                return self._ticked(event.now_us)

    def _ticked(self, now_us: int) -> list[Effect]:
        if self.wake_us is None or now_us < self.wake_us:
            return []
        return self._write() or self._pull(now_us)

    def _arrived(self, event: Arrived) -> list[Effect]:
        delta = event.delta
        if delta.incarnation != self._incarnation:
            return []
        self._latest = max(self._latest, delta.latest)
        if delta.after == self._at < delta.to:
            self._gathered.append(delta)
            is_cut = delta.to < max(one.latest for one in self._gathered)
            has_room = sum(one.rows.count for one in self._gathered) < GATHERED
            return (self._follow(event.now_us) if is_cut and has_room else []) or self._write()
        if delta.after == delta.to == self._at:
            self._pulling_since_us = None
            if self._gathered:
                return self._write()
            return [Swap()] if self.is_rebuilding and self._at >= self._latest else []
        if delta.to <= self._at or self._pulling_since_us is not None or self.is_fetching:
            return []
        return self._pull(event.now_us)

    def _write(self) -> list[Effect]:
        """What was gathered, if anything, as one delta."""
        if not self._gathered:
            return []
        delta = joined(self._gathered)
        self._gathered.clear()
        if not self.is_rebuilding and self._whole_from is not None:
            self._whole_from = max(self._whole_from, delta.latest)
        return [Apply(delta=delta, is_rebuild=self.is_rebuilding)]

    def _applied(self, event: Applied) -> list[Effect]:
        self._pulling_since_us = None
        if self._built is None:
            self._cursor = event.version
            return self._follow(event.now_us)
        self._built = event.version
        return self._go_on(event.now_us)

    def _go_on(self, now_us: int) -> list[Effect]:
        """The one being built is at a new version."""
        return [Swap()] if self._at >= self._latest else self._follow(now_us)

    def _of_snapshot(self, event: OfSnapshot) -> list[Effect]:
        match event:
            case Offered():
                fetch = self._bootstrap.offered(event, at=self._at, incarnation=self._incarnation)
                if not fetch:
                    return []
                self._pulling_since_us = None
                return [*fetch, *self._write()]
            case Fetched():
                is_newer = event.offer.incarnation == self._incarnation and event.offer.version > self._at
                if self._bootstrap.is_awaited(event.offer) and is_newer:
                    return [Adopt(offer=event.offer)]
                self._bootstrap.done(event.offer)  # deltas were faster, or it is of another life
                return [Discard(offer=event.offer), *self._follow(event.now_us)]
            case Adopted():
                self._bootstrap.done(event.offer)
                self._gathered.clear()
                self._built = event.offer.version
                return self._go_on(event.now_us)
            case Missed():
                return self._pull(event.now_us) if self._bootstrap.missed(event) else []

    def _follow(self, now_us: int) -> list[Effect]:
        return self._pull(now_us) if self._latest > self._at and not self.is_fetching else []

    def _pull(self, now_us: int) -> list[Effect]:
        if not self._is_connected:
            return []
        self._pulling_since_us = self._pulled_us = now_us
        takes = self._bootstrap.takes(now_us)
        part = self._bootstrap.part if takes else b""
        return [SendPull(after=self._at, incarnation=self._incarnation, takes=takes, part=part)]


def joined(deltas: Sequence[Delta]) -> Delta:
    """One delta in place of several, each of which starts where the one before it ends: of a row the latest counts."""
    if len(deltas) == 1:
        return deltas[0]
    return Delta(
        after=deltas[0].after,
        to=deltas[-1].to,
        rows=Rows(**{kind: _latest(deltas, kind) for kind in Rows.__struct_fields__}),
        latest=max(delta.latest for delta in deltas),
        incarnation=deltas[-1].incarnation,
    )


def _latest(deltas: Sequence[Delta], kind: str) -> tuple[Any, ...]:
    key = operator.attrgetter("code" if kind == "items" else "id")
    return tuple({key(row): row for delta in deltas for row in getattr(delta.rows, kind)}.values())
