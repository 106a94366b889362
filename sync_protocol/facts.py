"""A fact is a frozen record that something happened, made on one device. It is validated when built and when read."""

import datetime as dt
from enum import StrEnum

import msgspec

from sync_protocol.errors import FactError
from sync_protocol.items import Kind

MAX_CODES = 2_000
MAX_UNITS = 9_999
MAX_TEXT = 256
SESSION_BYTES = 16
UNDONE = "undone"
"""Reason of a return or giving back that undoes the step before it: nothing had been given after all."""
_NO_CODE = "no-code:"
_DAY_1970 = dt.date(1970, 1, 1).toordinal()
_DAY_US = 86_400_000_000
_TEXTS = ("operator", "witness", "location", "document", "order", "source", "product", "lot", "reason")


class What(StrEnum):
    """Every fact of the lifecycle (design.md §4)."""

    ANNOUNCED = "announced"
    RECEIVED = "received"
    PRESCANNED = "prescanned"
    LOCKED = "locked"
    UNLOCKED = "unlocked"
    DISPENSED = "dispensed"
    RETURNED = "returned"
    TAKEN = "taken"
    PUT_BACK = "put_back"
    ORDER_CANCELLED = "order_cancelled"
    LENT = "lent"
    BOUND = "bound"
    GIVEN_BACK = "given_back"
    TRANSFERRED_OUT = "transferred_out"
    TRANSFERRED_IN = "transferred_in"
    SENT_BACK = "sent_back"
    FROZEN = "frozen"
    RELEASED = "released"
    WRITTEN_OFF = "written_off"
    COUNTED = "counted"
    PACKED = "packed"
    RELABELLED = "relabelled"
    LEASE_ENDED = "lease_ended"


class How(StrEnum):
    """The evidence of a fact: how it was observed or said."""

    SCAN = "scan"
    LATE_SCAN = "late_scan"
    RFID = "rfid"
    AUTOMATIC = "automatic"
    MACHINE = "machine"
    CONSOLE = "console"
    MESSAGE = "message"


LAST_US = 253_402_214_400_000_000
"""The last day of the year 9999: no date exists after it."""


def is_date(wall_us: int) -> bool:
    """Whether a time is a date of this calendar, in 1970 or later."""
    return 0 <= wall_us <= LAST_US


# ``gc=False``, here and on items: a frozen record of texts and numbers is never part of a cycle, and central holds so
# many of them that looking for cycles among them was a quarter of an ingest.
class Moment(msgspec.Struct, frozen=True, kw_only=True, gc=False, array_like=True):
    """When a device says something happened. Time is evidence, never an order: facts are ordered by their chain."""

    wall_us: int
    """UTC microseconds since 1970."""
    mono_us: int
    """Microseconds since the session started, by a clock that never jumps."""
    offset_us: int | None = None
    """Central's clock minus this one, as last estimated; None before the first contact."""
    is_trusted: bool = True
    zone_min: int = 480
    """Minutes east of UTC of the hospital's civil time: an expiry date is a local date."""

    @property
    def corrected_us(self) -> int:
        """UTC microseconds since 1970, by the offset where one is known."""
        return self.wall_us + (self.offset_us or 0)

    def local_date(self) -> dt.date:
        """Civil date in the hospital, corrected by the offset where one is known."""
        us = self.corrected_us + self.zone_min * 60_000_000
        return dt.date.fromordinal(_DAY_1970 + us // _DAY_US)


class Certificate(msgspec.Struct, frozen=True, kw_only=True, gc=False, array_like=True):
    """Read certificate of an RFID count: rounds read, tags heard, total hits, rounds since the last new tag."""

    rounds: int
    tags: int
    hits: int
    quiet_rounds: int


class Paper(msgspec.Struct, frozen=True, kw_only=True, gc=False, array_like=True):
    """The line of a printed sheet that a fact was written on when it happened; who scanned it back, and when (A22)."""

    sheet: str
    line: int
    by: str
    at_us: int

    def __post_init__(self) -> None:
        for name in ("sheet", "by"):
            text = getattr(self, name)
            if not 1 <= len(text) <= MAX_TEXT:
                raise FactError(f"paper.{name}", f"{len(text)} characters", f"1 to {MAX_TEXT}")
        if self.line < 1:
            raise FactError("paper.line", str(self.line), "1 or more")


class Fact(msgspec.Struct, frozen=True, kw_only=True, gc=False, array_like=True):
    """One thing that happened to one to 2,000 codes. Who recorded it and where it stands is its ``FactId``.

    Fields are appended, never moved: the encoded bytes are hashed and kept as written.
    """

    what: What
    codes: tuple[str, ...]
    at: Moment
    operator: str = ""
    witness: str = ""
    location: str = ""
    document: str = ""
    order: str = ""
    how: How = How.SCAN
    source: str = ""
    """Which scanner, reader, machine or interface observed it."""
    product: str = ""
    """Announced: the product of the codes. Else, where the step is for one product: that one."""
    lot: str = ""
    expiry: dt.date | None = None
    made: dt.date | None = None
    units: int = 0
    pouch: str = ""
    tag: str = ""
    reason: str = ""
    is_controlled: bool = False
    checked_at: int = 0
    """Replica version that the local check read, or that the paper was printed from; 0: recorded by central."""
    certificate: Certificate | None = None
    kind: Kind | None = None
    """Announced: whether the codes are boxes or pieces. Counted: of what kind the objects are that a person counted by
    hand; their number is in ``units``, and no codes means that none was scanned."""
    stale_s: int = 0
    """X09: seconds since the replica of the check was known to be up to date, where that is more than the policy lets
    pass unmarked; 0: it is not."""
    is_provisional: bool = False
    """Issued in an emergency, without the right to: it needs a reason and a second person (REQ-08)."""
    paper: Paper | None = None
    """Written by hand while it could not be recorded: moment, operator and witness are those of the sheet (A22)."""

    def __post_init__(self) -> None:
        if len(self.codes) != 1 or not self.codes[0]:
            self._check_codes()
        # Facts pass here at every step of their way: one look at all texts, and at each only where it may be too long.
        who_and_where = f"{self.operator}{self.witness}{self.location}{self.document}{self.order}"
        if len(f"{who_and_where}{self.source}{self.product}{self.lot}{self.reason}") > MAX_TEXT:
            self._refuse_long_text()
        for check in _REQUIRED.get(self.what, ()):
            if not getattr(self, check):
                raise FactError(check, "nothing", f"a value: a {self.what} fact needs its {check}")
        if not 0 <= self.units <= MAX_UNITS:
            raise FactError("units", str(self.units), f"0 to {MAX_UNITS}")

    @property
    def recorded_us(self) -> int:
        """When its device wrote it down, by the clock of that: long after it happened if it was on paper before."""
        return self.paper.at_us if self.paper is not None else self.at.wall_us

    @property
    def is_hand_count(self) -> bool:
        """Whether a person counted the objects of one product and kind at a place, besides scanning their codes."""
        return self.what is What.COUNTED and self.kind is not None and bool(self.product and self.location)

    @property
    def undoes_hand_out(self) -> bool:
        """Whether its order waits as before. Any other return leaves an order that came to its end there."""
        return self.what is What.RETURNED and self.reason == UNDONE and bool(self.order)

    def _check_codes(self) -> None:
        codes = self.codes
        if not 1 <= len(codes) <= MAX_CODES and not (self.is_hand_count and not codes):
            raise FactError("codes", f"{len(codes)} codes", f"1 to {MAX_CODES} codes; split the fact")
        if len(set(codes)) != len(codes):
            raise FactError("codes", "a code twice", "each code once in a fact")
        if "" in codes:
            raise FactError("codes", "an empty code", "canonical codes")

    def _refuse_long_text(self) -> None:
        for name in _TEXTS:
            text = getattr(self, name)
            if len(text) > MAX_TEXT:
                raise FactError(name, f"{len(text)} characters", f"at most {MAX_TEXT}")


_REQUIRED: dict[What, tuple[str, ...]] = {
    What.ANNOUNCED: ("document", "product", "lot", "expiry", "location", "kind"),
    What.RECEIVED: ("document", "location"),
    What.PRESCANNED: ("units",),
    What.LOCKED: ("order",),
    What.UNLOCKED: ("order",),
    What.LENT: ("operator",),
    What.BOUND: ("order",),
    What.TAKEN: ("operator",),
    What.TRANSFERRED_OUT: ("document", "location"),
    What.TRANSFERRED_IN: ("document", "location"),
    What.SENT_BACK: ("document",),
    What.FROZEN: ("reason",),
    What.WRITTEN_OFF: ("reason",),
    What.PACKED: ("pouch",),
    What.RELABELLED: ("tag",),
    What.LEASE_ENDED: ("operator", "witness", "reason", "source"),
}


class FactId(msgspec.Struct, frozen=True, kw_only=True, gc=False, array_like=True, order=True):
    """Identity of a fact. ``session`` is fresh and random at every process start; ``seq`` counts from 1, no gap."""

    device: str
    session: bytes
    seq: int

    def __post_init__(self) -> None:
        if self.device and len(self.session) == SESSION_BYTES and self.seq >= 1:
            return
        if not self.device:
            raise FactError("device", "nothing", "the device's name")
        if len(self.session) != SESSION_BYTES:
            raise FactError("session", f"{len(self.session)} bytes", f"{SESSION_BYTES} random bytes")
        raise FactError("seq", str(self.seq), "1 or more")


class SealedFact(msgspec.Struct, frozen=True, kw_only=True, gc=False, array_like=True):
    """A fact in its chain: the bytes as written, and the hash that binds them to all before them."""

    id: FactId
    body: bytes
    hash: bytes


def no_codes(whose: str, count: int) -> tuple[str, ...]:
    """Marks in the place of codes that are missing: what went out, and nobody had brought in by a scan.

    They stand behind the codes of a fact.
    """
    return tuple(f"{_NO_CODE}{whose}:{number}" for number in range(1, count + 1))


def is_coded(code: str) -> bool:
    """Whether it is a code, not a mark in its place."""
    return not code.startswith(_NO_CODE)
