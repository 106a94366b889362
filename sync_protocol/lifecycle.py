"""The lifecycle of an item: one table, one pure function. The agent's local check and central's ledger both run it.

Adding a fact: a member in ``facts.What``, a row in ``MOVES``, and a row in the table of design.md §4.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

import msgspec

from sync_protocol.facts import Fact, How, What
from sync_protocol.items import FINAL, LIVE, Item, Kind, State
from sync_protocol.recalls import NO_RECALLS, REFUSED_WHEN_RECALLED, Recalled
from sync_protocol.subcode import sub_codes

S = State
ANY_KIND = frozenset(Kind)
BOX, UNIT, PIECE = (frozenset({kind}) for kind in (Kind.BOX, Kind.UNIT, Kind.PIECE))


class Reason(StrEnum):
    """Why a fact does not fit an item."""

    UNKNOWN_CODE = "unknown_code"
    ALREADY_KNOWN = "already_known"
    ALREADY_RECEIVED = "already_received"
    ALREADY_OPENED = "already_opened"
    ALREADY_DISPENSED = "already_dispensed"
    WRONG_KIND = "wrong_kind"
    WRONG_STATE = "wrong_state"
    WRONG_PRODUCT = "wrong_product"
    WRONG_ORDER = "wrong_order"
    WRONG_DOCUMENT = "wrong_document"
    EXPIRED = "expired"
    FROZEN = "frozen"
    OUT_FOR_GOOD = "out_for_good"
    NOT_BOUND = "not_bound"
    SECOND_PERSON = "second_person"
    RECALLED = "recalled"
    OLD_COPY = "old_copy"
    """X09: the agent's copy of the ledger is too old for this class of product. Said by an agent only."""
    OLD_COPY_SECOND_PERSON = "old_copy_second_person"
    ISSUED_TWICE = "issued_twice"
    """Issued in an emergency, and by its holder too: both stand, a person looks (REQ-08)."""
    OVERTAKEN = "overtaken"
    """Fits, but others had it out since its device last knew of it: it stands, a person looks."""
    NO_EMERGENCY = "no_emergency"
    """An issue without the right to it, and without a reason or a second person."""
    LEASED = "leased"
    """Another agent may issue the item. Said by an agent only: central keeps what has happened."""
    NOT_LEASED = "not_leased"
    """Nobody has given this agent the right to issue the item, and central cannot be asked now."""


class Refusal(msgspec.Struct, frozen=True, kw_only=True, gc=False, array_like=True):
    """What disagreed: the code, the fact, the item's state if it has one, found against expected."""

    code: str
    what: What
    reason: Reason
    state: State | None = None
    found: str = ""
    expected: str = ""


Changes = dict[str, Any]


def _nothing(_item: Item, _fact: Fact) -> Changes:
    return {}


def _arrives(_item: Item, fact: Fact) -> Changes:
    return {"location": fact.location, "document": fact.document}


def _back_in_stock(item: Item, fact: Fact) -> Changes:
    return {"order": "", "holder": "", "pouch": "", "location": fact.location or item.location}


def _for_order(_item: Item, fact: Fact) -> Changes:
    return {"order": fact.order}


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """From which states and kinds a fact leads where, and what else it changes. ``to`` None: the state stays."""

    source: frozenset[State]
    to: State | None
    kinds: frozenset[Kind] = ANY_KIND
    changes: Callable[[Item, Fact], Changes] = _nothing


def _from(*states: State) -> frozenset[State]:
    return frozenset(states)


MOVES: Mapping[What, Move] = {
    What.ANNOUNCED: Move(source=_from(), to=S.EXPECTED, kinds=BOX | PIECE),
    What.RECEIVED: Move(source=_from(S.EXPECTED), to=S.IN_STOCK, kinds=BOX | PIECE, changes=_arrives),
    What.PRESCANNED: Move(
        source=_from(S.IN_STOCK), to=S.OPENED, kinds=BOX, changes=lambda _item, fact: {"units": fact.units}
    ),
    What.LOCKED: Move(source=_from(S.IN_STOCK), to=S.LOCKED, changes=_for_order),
    What.UNLOCKED: Move(source=_from(S.LOCKED), to=S.IN_STOCK, changes=_back_in_stock),
    What.DISPENSED: Move(
        source=_from(S.LOCKED, S.TAKEN, S.LENT, S.IN_STOCK),
        to=S.DISPENSED,
        changes=lambda item, fact: {"order": fact.order or item.order, "holder": ""},
    ),
    What.RETURNED: Move(source=_from(S.DISPENSED), to=S.IN_STOCK, changes=_back_in_stock),
    What.TAKEN: Move(
        source=_from(S.IN_STOCK),
        to=S.TAKEN,
        changes=lambda _item, fact: {"holder": fact.operator, "order": fact.order},
    ),
    What.PUT_BACK: Move(source=_from(S.TAKEN, S.AWAITING_PUT_BACK), to=S.IN_STOCK, changes=_back_in_stock),
    What.ORDER_CANCELLED: Move(source=_from(S.DISPENSED), to=S.AWAITING_PUT_BACK),
    What.LENT: Move(
        source=_from(S.IN_STOCK),
        to=S.LENT,
        changes=lambda _item, fact: {"holder": fact.location or fact.operator},
    ),
    What.BOUND: Move(source=_from(S.LENT), to=S.LENT, changes=_for_order),
    What.GIVEN_BACK: Move(source=_from(S.LENT), to=S.IN_STOCK, changes=_back_in_stock),
    What.TRANSFERRED_OUT: Move(source=_from(S.IN_STOCK), to=S.IN_TRANSIT, changes=_arrives),
    What.TRANSFERRED_IN: Move(source=_from(S.IN_TRANSIT), to=S.IN_STOCK, changes=_arrives),
    What.SENT_BACK: Move(
        source=_from(S.IN_STOCK),
        to=S.RETURNED_TO_SUPPLIER,
        changes=lambda _item, fact: {"document": fact.document},
    ),
    What.FROZEN: Move(source=LIVE - {S.FROZEN}, to=S.FROZEN, changes=lambda item, _fact: {"before": item.state}),
    What.RELEASED: Move(
        source=_from(S.FROZEN),
        to=None,
        changes=lambda item, _fact: {"state": item.before or S.IN_STOCK, "before": None},
    ),
    What.WRITTEN_OFF: Move(source=LIVE, to=S.ABNORMAL),
    What.COUNTED: Move(source=frozenset(State), to=None),
    What.PACKED: Move(source=_from(S.LOCKED), to=None, kinds=UNIT, changes=lambda _item, fact: {"pouch": fact.pouch}),
    What.RELABELLED: Move(
        source=frozenset(State) - FINAL, to=None, kinds=PIECE, changes=lambda _item, fact: {"tag": fact.tag}
    ),
    What.LEASE_ENDED: Move(source=frozenset(State), to=None),
}

# An expired item may be moved about, counted and written off, but nobody may plan it for a patient or issue it.
REFUSED_WHEN_EXPIRED = frozenset({What.PRESCANNED, What.LOCKED, What.DISPENSED, What.LENT})
# Two different people for a controlled drug (麻精药品): whenever it leaves the stock of a place, for good or for a
# while, and when it comes from another.
NEEDS_WITNESS = frozenset(
    {
        What.DISPENSED,
        What.LENT,
        What.WRITTEN_OFF,
        What.SENT_BACK,
        What.TAKEN,
        What.TRANSFERRED_OUT,
        What.TRANSFERRED_IN,
    }
)
_ISSUED = frozenset({State.DISPENSED, State.LENT, State.TAKEN})
_NAMES_ITS_ORDER = frozenset({What.UNLOCKED, What.PACKED, What.RETURNED})
_LOOKS_AT_ORDER = _NAMES_ITS_ORDER | {What.DISPENSED}
# A member of an enum is looked up in its class at every use: the ledger does it for each fact.
_ANNOUNCED, _RECEIVED, _PRESCANNED, _DISPENSED = What.ANNOUNCED, What.RECEIVED, What.PRESCANNED, What.DISPENSED
_IS_OF_AN_ORDER = frozenset({State.LOCKED, State.LENT})
_NEEDS_NO_LOCK = frozenset({How.LATE_SCAN, How.MACHINE})


def apply(item: Item | None, fact: Fact, code: str) -> Item | Refusal:
    """The item after the fact, or why the fact does not fit it. ``code`` is the code of ``fact.codes`` in question."""
    refusal = check(item, fact, code)
    if refusal is not None:
        return refusal
    if item is None:
        return _announced(fact, code)
    return _moved(item, fact)


def check(item: Item | None, fact: Fact, code: str) -> Refusal | None:
    """None if the fact fits the item; says the first thing that disagrees otherwise."""
    what = fact.what
    if what is _ANNOUNCED:
        return None if item is None else _refuse(item, fact, Reason.ALREADY_KNOWN)
    if item is None:
        return Refusal(code=code, what=what, reason=Reason.UNKNOWN_CODE, expected="an announced code")
    move = MOVES[what]
    if item.kind not in move.kinds:
        expected = " or ".join(sorted(move.kinds))
        return _refuse(item, fact, Reason.WRONG_KIND, found=item.kind, expected=expected)
    if item.state not in move.source:
        return _refuse(item, fact, _state_reason(item, fact), expected=", ".join(sorted(move.source)))
    return _check_context(item, fact)


def _check_context(item: Item, fact: Fact) -> Refusal | None:
    what = fact.what
    if fact.product and fact.product != item.product:
        return _refuse(item, fact, Reason.WRONG_PRODUCT, found=item.product, expected=fact.product)
    if what in REFUSED_WHEN_EXPIRED and fact.at.local_date() > item.expiry:
        return _refuse(item, fact, Reason.EXPIRED, found=item.expiry.isoformat(), expected="a date not before today")
    if fact.is_provisional and not (fact.reason and _has_two_people(fact)):
        return _refuse(item, fact, Reason.NO_EMERGENCY, found=fact.witness, expected="a reason and a second person")
    if item.is_controlled and what in NEEDS_WITNESS and not _has_two_people(fact):
        return _refuse(item, fact, Reason.SECOND_PERSON, found=fact.witness, expected="a witness besides the operator")
    if what is _RECEIVED and fact.document != item.document:
        return _refuse(item, fact, Reason.WRONG_DOCUMENT, found=fact.document, expected=item.document)
    return _check_order(item, fact) if what in _LOOKS_AT_ORDER else None


def _check_order(item: Item, fact: Fact) -> Refusal | None:
    if fact.what in _NAMES_ITS_ORDER and fact.order and fact.order != item.order:
        return _refuse(item, fact, Reason.WRONG_ORDER, found=fact.order, expected=item.order)
    if fact.what is not _DISPENSED:
        return None
    if item.state is State.LENT and not item.order:
        return _refuse(item, fact, Reason.NOT_BOUND, expected="a loan bound to an order")
    if item.state in _IS_OF_AN_ORDER and fact.order != item.order:
        return _refuse(item, fact, Reason.WRONG_ORDER, found=fact.order, expected=item.order)
    if item.state is State.IN_STOCK and fact.how not in _NEEDS_NO_LOCK:
        return _refuse(item, fact, Reason.WRONG_STATE, found=fact.how, expected="a lock, or a late scan")
    return None


def _has_two_people(fact: Fact) -> bool:
    return bool(fact.operator and fact.witness and fact.operator != fact.witness)


def _state_reason(item: Item, fact: Fact) -> Reason:
    if item.state is State.FROZEN:
        return Reason.FROZEN
    if item.state in FINAL:
        return Reason.OUT_FOR_GOOD
    if fact.is_provisional and item.state in _ISSUED:
        return Reason.ISSUED_TWICE
    if item.state is State.DISPENSED:
        return Reason.ALREADY_DISPENSED
    if item.state is State.OPENED:
        return Reason.ALREADY_OPENED
    if fact.what is What.RECEIVED:
        return Reason.ALREADY_RECEIVED
    return Reason.WRONG_STATE


def _refuse(item: Item, fact: Fact, reason: Reason, *, found: str = "", expected: str = "") -> Refusal:
    return Refusal(
        code=item.code,
        what=fact.what,
        reason=reason,
        state=item.state,
        found=found or item.state,
        expected=expected,
    )


def _announced(fact: Fact, code: str) -> Item:
    assert fact.expiry is not None, "Fact.__post_init__ requires the expiry of an announcement"
    assert fact.kind is not None, "Fact.__post_init__ requires the kind of an announcement"
    return Item(
        code=code,
        kind=fact.kind,
        product=fact.product,
        lot=fact.lot,
        expiry=fact.expiry,
        made=fact.made,
        state=State.EXPECTED,
        location=fact.location,
        document=fact.document,
        is_controlled=fact.is_controlled,
    )


def _moved(item: Item, fact: Fact) -> Item:
    move = MOVES[fact.what]
    changes = move.changes(item, fact)
    if move.to is not None:
        changes["state"] = move.to
    return msgspec.structs.replace(item, **changes)


class Outcome(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one fact does to a stock: the items that it changes or creates, and the codes that it does not fit."""

    items: tuple[Item, ...]
    refusals: tuple[Refusal, ...]


def fold(fact: Fact, stock: Mapping[str, Item], recalls: Recalled = NO_RECALLS) -> Outcome:
    """Apply a fact to all its codes. ``stock`` must hold every known item among them.

    One bad code never blocks the others: its refusal stands beside their new states. ``recalls`` are those in force
    where the fact is decided on; central, which keeps what has happened, passes none and freezes instead.
    """
    changed: list[Item] = []
    refusals: list[Refusal] = []
    is_forbidding = recalls is not NO_RECALLS
    for code in fact.codes:
        before = stock.get(code)
        refusal = (recalled(before, fact, recalls) if is_forbidding else None) or check(before, fact, code)
        if refusal is not None:
            refusals.append(refusal)
            continue
        after = _announced(fact, code) if before is None else _moved(before, fact)
        if after != before:
            changed.append(after)
            if fact.what is _PRESCANNED:
                changed.extend(units_of(after))
    return Outcome(items=tuple(changed), refusals=tuple(refusals))


def recalled(item: Item | None, fact: Fact, recalls: Recalled) -> Refusal | None:
    """The refusal of a recalled item, where the fact is one that a recall forbids."""
    recall = recalls.of(item) if item is not None and fact.what in REFUSED_WHEN_RECALLED else None
    if item is None or recall is None:
        return None
    return _refuse(item, fact, Reason.RECALLED, found=f"{recall.id}: {recall.reason}", expected="an item not recalled")


def units_of(box: Item) -> tuple[Item, ...]:
    """The units that an opened box became, each in stock where the box is, with its lot and expiry."""
    return tuple(
        Item(
            code=code,
            kind=Kind.UNIT,
            product=box.product,
            lot=box.lot,
            expiry=box.expiry,
            made=box.made,
            state=State.IN_STOCK,
            location=box.location,
            document=box.document,
            box=box.code,
            is_controlled=box.is_controlled,
        )
        for code in sub_codes(box.code, box.units)
    )
