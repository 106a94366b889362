"""What the grants machine hears (events) and asks for (effects), and what it keeps of each lease."""

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum

import msgspec

from sync_protocol.messages import Ask, Holder, Holds


class Standing(StrEnum):
    LIVE = "live"
    GONE = "gone"
    """Its holder stopped, and holds nothing."""
    DOUBT = "doubt"
    """Its time is over and its holder has not said what became of it: nobody gets its codes (REQ-08)."""
    FENCED = "fenced"
    """The holder's journal was set back, copied or lost: a person must count."""


class Lease(msgspec.Struct, kw_only=True):
    """All that one agent may issue, in one session.

    ``codes``: each with the number of the grant that brought it. ``given_up``: codes that it held and gave back, which
    wait for the facts up to ``heads``. ``missing``: codes that a count did not find, or that it issued by a fact that
    does not fit; nobody gets them unless a count finds them. ``doubted``: codes that another one issued
    so; it may still issue them until it has heard that it does not get them again, and then they are missing.
    """

    device: str
    session: bytes
    location: str
    route: str
    want: int = 0
    expires_us: int = 0
    number: int = 0
    stated: int = 0
    """Number of the last statement of the session that was taken."""
    spoken_to: int = 0
    """The incarnation of central that it last stated itself to."""
    standing: Standing = Standing.LIVE
    codes: dict[str, int] = {}
    doubted: set[str] = set()
    given_up: set[str] = set()
    missing: set[str] = set()
    heads: dict[bytes, int] = {}
    products: dict[str, str] = {}
    """The product of each of its codes."""

    tally: Counter[str] = msgspec.field(default_factory=Counter)
    """How many of its codes are of each product."""

    def renew(self, until_us: int) -> None:
        """A shorter time takes nothing away that was promised."""
        self.expires_us = max(self.expires_us, until_us)

    @property
    def granted(self) -> tuple[str, ...]:
        """All codes that it is to have."""
        return tuple(sorted(self.codes.keys() - self.doubted))

    @property
    def kept(self) -> tuple[str, ...]:
        """All codes that it keeps from others."""
        return (*self.codes, *self.given_up, *self.missing)


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """Items of one product at one place that no lease names. ``ordered``: locked ones by order, each order whole.

    ``free``: in stock, in the order in which they should go; it may be left out if nobody ``takes_free``.
    """

    location: str
    route: str
    product: str
    free: tuple[str, ...] = ()
    ordered: tuple[tuple[str, ...], ...] = ()


class Stated(msgspec.Struct, frozen=True, kw_only=True):
    """An agent said what it holds. Only what the latest session of the device says comes here.

    ``products``: of those codes that could be leased, if it ``takes_over``. ``committed``: what of ``holds.heads`` the
    ledger has.
    """

    device: str
    holds: Holds
    products: Mapping[str, str]
    committed: Mapping[bytes, int]
    now_us: int


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """An agent asked for codes. ``products``: of those that are in stock or locked at its place."""

    device: str
    ask: Ask
    products: Mapping[str, str]
    now_us: int


class Offered(msgspec.Struct, frozen=True, kw_only=True):
    """What is free at a place, and who of its agents can be reached."""

    offer: Offer
    connected: frozenset[str]
    now_us: int


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """A committed fact of ``device`` ended its right to ``ended``; boxes of ``opened`` are units now.

    ``unfit``: of the ended ones, those that the ledger could not take: it has them, or will, and the device has not.
    ``is_told``: the device stated what it holds after this fact.
    """

    device: str
    ended: tuple[str, ...] = ()
    opened: tuple[tuple[str, tuple[str, ...]], ...] = ()
    unfit: frozenset[str] = frozenset()
    is_told: bool = False


class Needed(msgspec.Struct, frozen=True, kw_only=True):
    """Central wants to lock these to orders: their holders are asked to give them back."""

    codes: tuple[str, ...]
    now_us: int


class Committed(msgspec.Struct, frozen=True, kw_only=True):
    """How far the ledger has the sessions whose facts a lease waits for."""

    device: str
    through: Mapping[bytes, int]


class Fenced(msgspec.Struct, frozen=True, kw_only=True):
    """The lineage of the device's sessions cannot be true."""

    device: str


class Overridden(msgspec.Struct, frozen=True, kw_only=True):
    """Two people answer for the device: they counted what it holds, and take from it what they ``found``."""

    device: str
    found: tuple[str, ...]
    now_us: int


class Tick(msgspec.Struct, frozen=True, kw_only=True):
    now_us: int
    connected: frozenset[str] = frozenset()


class SendGrant(msgspec.Struct, frozen=True, kw_only=True):
    """Once the lease is written down. ``sent_us`` and ``left_us`` as in ``messages.Grant``."""

    device: str
    session: bytes
    number: int
    after: int
    codes: tuple[str, ...]
    is_whole: bool = False
    sent_us: int = 0
    left_us: int = 0


class SendRelease(msgspec.Struct, frozen=True, kw_only=True):
    device: str
    codes: tuple[str, ...]


class SendWithheld(msgspec.Struct, frozen=True, kw_only=True):
    device: str
    by: tuple[Holder, ...]


class SendAskHolds(msgspec.Struct, frozen=True, kw_only=True):
    device: str


class SendFence(msgspec.Struct, frozen=True, kw_only=True):
    device: str


class Doubted(msgspec.Struct, frozen=True, kw_only=True):
    """The time of a lease is over and its codes are with nobody."""

    device: str
    codes: int


class Freed(msgspec.Struct, frozen=True, kw_only=True):
    """Items that no lease names any more: they may be offered to others."""

    codes: tuple[str, ...]


Event = Stated | Asked | Offered | Spent | Needed | Committed | Fenced | Overridden | Tick
Effect = SendGrant | SendRelease | SendWithheld | SendAskHolds | SendFence | Doubted | Freed
