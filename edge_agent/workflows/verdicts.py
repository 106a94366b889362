"""What a person sees of one scan or one press of a button: done, on the way, seen before, or refused and why."""

import datetime as dt
from enum import StrEnum
from typing import Self

import msgspec

from edge_agent.people import SignInFlaw
from sync_protocol.documents import Product
from sync_protocol.errors import CodeFlaw, CodeRefused
from sync_protocol.facts import Fact
from sync_protocol.items import Item, State
from sync_protocol.lifecycle import Reason, Refusal


class Step(StrEnum):
    """What a seat at the station is doing."""

    RECEIVE = "receive"
    PRESCAN = "prescan"
    HAND_OUT = "hand_out"
    LATE_SCAN = "late_scan"
    LOOK_UP = "look_up"
    """Nothing is done: a scan says what is known. From here the rarer steps are chosen."""
    RETURN = "return"
    LEND = "lend"
    DAMAGE = "damage"
    ISSUE = "issue"
    """What another place asked for goes there (出库)."""
    ARRIVE = "arrive"
    """What another place issued is here (调拨接收)."""
    COUNT = "count"
    SHEETS = "sheets"
    """What was written on paper in an outage is scanned back (A22)."""


MAIN_STEPS = (Step.RECEIVE, Step.PRESCAN, Step.HAND_OUT, Step.LATE_SCAN)
"""The way of a drug through the station; the others lie beside it."""
TRANSFER_STEPS = (Step.ISSUE, Step.ARRIVE)
TASKS = (*TRANSFER_STEPS, Step.RETURN, Step.LEND, Step.DAMAGE, Step.COUNT, Step.SHEETS)


class Result(StrEnum):
    DONE = "done"
    """In the journal, durably."""
    PROGRESS = "progress"
    """Counted towards a step that is not complete: nothing is recorded yet."""
    REPEAT = "repeat"
    """The same again: it changes nothing."""
    TOLD = "told"
    """What is known of the code: nothing was done."""
    REFUSED = "refused"


class StepReason(StrEnum):
    """Why a step at the workplace refuses, beside what the lifecycle and the grammar of codes refuse."""

    NOBODY_SIGNED_IN = "nobody_signed_in"
    NAMES_NO_ITEM = "names_no_item"
    NO_NOTE_CHOSEN = "no_note_chosen"
    NOTE_GONE = "note_gone"
    NOT_ON_NOTE = "not_on_note"
    PACK_UNKNOWN = "pack_unknown"
    REASON_MISSING = "reason_missing"
    NOTHING_SCANNED = "nothing_scanned"
    WRONG_LOT = "wrong_lot"
    WRONG_EXPIRY = "wrong_expiry"
    NOT_SPLIT = "not_split"
    UNKNOWN_PRODUCT = "unknown_product"
    ELSEWHERE = "elsewhere"
    NO_ORDER_CHOSEN = "no_order_chosen"
    ORDER_GONE = "order_gone"
    NEEDS_NO_SCAN = "needs_no_scan"
    SCAN_MISSING = "scan_missing"
    CABINET_BUSY = "cabinet_busy"
    POUCH_GONE = "pouch_gone"
    NOT_OUT = "not_out"
    UNITS_OF_ORDER = "units_of_order"
    PICK_GONE = "pick_gone"
    WRONG_QUANTITY = "wrong_quantity"
    LOCKED_AWAY = "locked_away"
    NO_WARD_CHOSEN = "no_ward_chosen"
    NO_HARM_CHOSEN = "no_harm_chosen"
    NO_TRANSFER_CHOSEN = "no_transfer_chosen"
    TRANSFER_GONE = "transfer_gone"
    NOT_ASKED_FOR = "not_asked_for"
    LINE_FULL = "line_full"
    NOT_ISSUED = "not_issued"
    ON_ITS_WAY_ELSEWHERE = "on_its_way_elsewhere"
    WHY_MISSING = "why_missing"
    TWO_PEOPLE = "two_people"
    NO_PLACE_CHOSEN = "no_place_chosen"
    OBJECTS_MISSING = "objects_missing"
    NOT_STORED = "not_stored"
    NO_CODE_IN_PICTURE = "no_code_in_picture"
    NOT_A_PICTURE = "not_a_picture"
    PICTURE_ELSEWHERE = "picture_elsewhere"
    PICTURE_TOO_LARGE = "picture_too_large"
    NOTHING_TO_PRINT = "nothing_to_print"
    SHEET_GONE = "sheet_gone"
    NO_LINE_CHOSEN = "no_line_chosen"
    TIME_WRONG = "time_wrong"
    UNKNOWN_PERSON = "unknown_person"
    CODES_MISSING = "codes_missing"
    NOTHING_TO_UNDO = "nothing_to_undo"
    TOO_FEW_DIGITS = "too_few_digits"
    NONE_ENDS_SO = "none_ends_so"
    SEVERAL_END_SO = "several_end_so"


AnyReason = Reason | CodeFlaw | StepReason | SignInFlaw


class Refuse(Exception):  # noqa: N818 -- an answer to the person at the desk, not a fault
    """A step says no; nothing was recorded."""

    def __init__(self, reason: AnyReason, *, found: str = "", expected: str = "") -> None:
        super().__init__(f"{reason}: found {found or 'nothing'}, expected {expected or 'nothing'}")
        self.reason = reason
        self.found = found
        self.expected = expected

    @classmethod
    def by_lifecycle(cls, refusal: Refusal) -> Self:
        return cls(refusal.reason, found=refusal.found, expected=refusal.expected)

    @classmethod
    def by_grammar(cls, refused: CodeRefused) -> Self:
        return cls(refused.reason, found=refused.found, expected=refused.expected)


class Deed(msgspec.Struct, frozen=True, kw_only=True):
    """What a step has recorded, for the person who may undo it."""

    person: str
    facts: tuple[Fact, ...]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to one scan or one confirmation. ``reason`` is empty unless refused."""

    result: Result
    step: Step
    at_us: int = 0
    number: int = 0
    """Counts the verdicts of a seat from 1."""
    code: str = ""
    reason: str = ""
    found: str = ""
    expected: str = ""
    product: Product | None = None
    lot: str = ""
    expiry: dt.date | None = None
    units: int = 0
    """Units created by a pre-scan, or handed out."""
    order: str = ""
    note: str = ""
    person: str = ""
    done: int = 0
    total: int = 0
    """Progress of the note or the order: ``done`` of ``total`` boxes."""
    missing: tuple[str, ...] = ()
    """Codes that the step still waits for."""
    boxes: int = 0
    """Boxes of the note that an outer pack added."""
    extra: tuple[str, ...] = ()
    """Boxes in that pack that are not on the note."""
    bins: tuple[tuple[Product, int], ...] = ()
    """A02: products that were received, with their boxes, for whoever puts them away."""
    is_awaited: bool = False
    """An outer pack whose boxes the code platform has not named yet."""
    asks: str = ""
    """The opened box of which the person must say how many units are meant."""
    state: State | None = None
    """Told: where the item stands."""
    place: str = ""
    """Told: where it is booked."""
    document: str = ""
    """The requisition or transfer in question."""
    misfits: int = 0
    """Of a line of paper: what central will put on its work list."""
    sooner: str = ""
    """The lot that should have gone first, for it expires first."""
    deed: Deed | None = None
    is_undone: bool = False
    """Done: an earlier step, of which all else speaks, was undone."""
    each: tuple["Verdict", ...] = ()
    """Of a picture: the answer to each of its codes."""

    @property
    def is_refused(self) -> bool:
        return self.result is Result.REFUSED

    def on(self, code: str) -> "Verdict":
        return msgspec.structs.replace(self, code=code)

    def about(self, item: Item | None, product: Product | None) -> "Verdict":
        """The same verdict with what is known of the item in question."""
        if item is None:
            return msgspec.structs.replace(self, product=self.product or product)
        return msgspec.structs.replace(
            self, product=self.product or product, lot=self.lot or item.lot, expiry=self.expiry or item.expiry
        )
