"""The agent's decision on snapshots: when to ask for one, take it, go on with it, and give up (REQ-06).

A snapshot is never waited for: while none is offered, or the last attempt failed, the replica is copied by deltas.
Each attempt begins with a pull, which central answers with an offer as long as the agent is far behind; it names the
file by its hash, so that an attempt goes on where the one before was cut, also after a restart.
"""

import msgspec

from sync_protocol import replica_format
from sync_protocol.messages import Offer

FIRST_WAIT_US = 1_000_000
LONGEST_WAIT_US = 60_000_000
MOST_CUTS = 8
"""Attempts in a row that brought nothing: then deltas are the better way."""
MOST_WRONGS = 2
"""Whole files that were not what was offered. The first may be the fault of an old part."""
REST_US = 3_600_000_000
"""How long nothing is asked for after that."""
MAX_SIZE = 1 << 32
"""Bytes: past it, packed or not, no hospital's replica."""


class Offered(msgspec.Struct, frozen=True, kw_only=True):
    offer: Offer
    now_us: int


class Fetched(msgspec.Struct, frozen=True, kw_only=True):
    """The file is here: hash, size, tables, version and incarnation are those of the offer."""

    offer: Offer
    now_us: int


class Missed(msgspec.Struct, frozen=True, kw_only=True):
    """The attempt ended without it. ``is_wrong``: it came, and is not what was offered; nothing of it is kept.

    ``fetched``: bytes that this attempt brought. ``chance``: from 0 to 1, drawn by the shell, so that agents which
    were cut together do not come back together.
    """

    offer: Offer
    cause: str
    is_wrong: bool
    fetched: int
    chance: float
    now_us: int


class Fetch(msgspec.Struct, frozen=True, kw_only=True):
    """Download, check and unpack the file, beside the replica in use; answer with Fetched or Missed."""

    offer: Offer


class Bootstrap:
    """``part``: SHA-256 of the snapshot of which a part is here. ``is_able``: the agent knows central's web address."""

    def __init__(self, *, is_able: bool, part: bytes = b"") -> None:
        self._is_able = is_able
        self._offer: Offer | None = None
        self._part = part
        self._cuts = 0
        self._wrongs = 0
        self._from_us: int | None = None
        """Not asked for before."""

    @property
    def is_fetching(self) -> bool:
        return self._offer is not None

    @property
    def has_given_up(self) -> bool:
        """It is not asked for at present, because it failed too often."""
        return self._cuts >= MOST_CUTS or self._wrongs >= MOST_WRONGS

    @property
    def part(self) -> bytes:
        return self._part

    def takes(self, now_us: int) -> int:
        """What a pull says that it would take."""
        may_ask = self._is_able and not self.is_fetching and (self._from_us is None or now_us >= self._from_us)
        return replica_format.VERSION if may_ask else 0

    def offered(self, event: Offered, *, at: int, incarnation: int) -> list[Fetch]:
        """``at``: the version of the replica that it would take the place of."""
        offer = event.offer
        is_wanted = offer.incarnation == incarnation and offer.version > at
        is_sound = 0 < offer.size <= MAX_SIZE and 0 < offer.raw_size <= MAX_SIZE
        if not (is_wanted and is_sound and offer.takes == self.takes(event.now_us) != 0):
            return []
        if self.has_given_up:  # it has rested
            self._cuts = self._wrongs = 0
        self._offer, self._part = offer, offer.sha256
        return [Fetch(offer=offer)]

    def is_awaited(self, offer: Offer) -> bool:
        return offer == self._offer

    def done(self, offer: Offer) -> None:
        """The attempt has ended well: the file is in use, or not needed any more."""
        if self.is_awaited(offer):
            self._offer, self._part = None, b""
            self._cuts = self._wrongs = 0

    def missed(self, event: Missed) -> bool:
        """Whether it is the one that was waited for."""
        if not self.is_awaited(event.offer):
            return False
        self._offer = None
        if event.is_wrong:
            self._wrongs += 1
            self._part = b""
        else:
            self._cuts = 0 if event.fetched else self._cuts + 1
        wait_us = min(LONGEST_WAIT_US, FIRST_WAIT_US << self._cuts)
        if self.has_given_up:
            wait_us = REST_US
        self._from_us = event.now_us + int(wait_us * (0.5 + event.chance / 2))
        return True

    def forget(self) -> None:
        """What is being fetched is of a ledger that is no more."""
        self._offer = None
