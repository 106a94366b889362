"""The state of every item, worked out again from the ledger's facts by a second hand.

Written from the table of the design (§4), as plain data and one function, and sharing nothing with the programs. A fact
that does not fit an item is counted and changes nothing, as the design has it.
"""

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from hardware_sims.books.papers import Entry

_FIELDS = (
    "what",
    "codes",
    "at",
    "operator",
    "witness",
    "location",
    "document",
    "order",
    "how",
    "source",
    "product",
    "lot",
    "expiry",
    "made",
    "units",
    "pouch",
    "tag",
    "reason",
    "is_controlled",
    "checked_at",
    "certificate",
    "kind",
)
_LIVE = {"expected", "in_stock", "opened", "locked", "taken", "lent", "awaiting_put_back", "in_transit", "frozen"}
_FINAL = {"abnormal", "returned_to_supplier"}
_ANY = _LIVE | _FINAL | {"dispensed"}
# fact: (states it is for, state after it or None for no change)
_TABLE: dict[str, tuple[set[str], str | None]] = {
    "received": ({"expected"}, "in_stock"),
    "prescanned": ({"in_stock"}, "opened"),
    "locked": ({"in_stock"}, "locked"),
    "unlocked": ({"locked"}, "in_stock"),
    "dispensed": ({"locked", "taken", "lent", "in_stock"}, "dispensed"),
    "returned": ({"dispensed"}, "in_stock"),
    "taken": ({"in_stock"}, "taken"),
    "put_back": ({"taken", "awaiting_put_back"}, "in_stock"),
    "order_cancelled": ({"dispensed"}, "awaiting_put_back"),
    "lent": ({"in_stock"}, "lent"),
    "bound": ({"lent"}, "lent"),
    "given_back": ({"lent"}, "in_stock"),
    "transferred_out": ({"in_stock"}, "in_transit"),
    "transferred_in": ({"in_transit"}, "in_stock"),
    "sent_back": ({"in_stock"}, "returned_to_supplier"),
    "frozen": (_LIVE - {"frozen"}, "frozen"),
    "released": ({"frozen"}, None),
    "written_off": (_LIVE, "abnormal"),
    "counted": (_ANY, None),
    "packed": ({"locked"}, None),
    "relabelled": (_ANY - _FINAL, None),
}
_NOT_WHEN_EXPIRED = {"prescanned", "locked", "dispensed", "lent"}
_FREES_ORDER = {"unlocked", "returned", "put_back", "given_back"}
_ARRIVES = {"received", "transferred_out", "transferred_in"}


class Thing(msgspec.Struct, kw_only=True):
    """One item as the facts tell it."""

    code: str
    kind: str
    product: str
    lot: str
    expiry: str
    location: str
    state: str = "expected"
    order: str = ""
    holder: str = ""
    box: str = ""
    units: int = 0
    pouch: str = ""
    before: str = ""


class Story(msgspec.Struct, kw_only=True):
    """What the facts add up to. ``counts``: codes that each fact moved, by (fact, kind of item)."""

    things: dict[str, Thing] = {}
    counts: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    misfits: list[str] = []


def refold(entries: Iterable[Entry], *, only: Callable[[str], bool] = lambda _code: True) -> Story:
    """``only``: the codes to follow; a box and its units are followed together."""
    story = Story()
    for entry in entries:
        fact = read_fact(entry)
        if fact is None:
            story.misfits.append(f"{entry.device} {entry.seq}: cannot be read")
            continue
        for code in filter(only, fact["codes"]):
            if not _happens(story, fact, code):
                story.misfits.append(f"{entry.device} {entry.seq}: {fact['what']} does not fit {code}")
    return story


def read_fact(entry: Entry) -> dict[str, Any] | None:
    """The fields of a fact by name; None for bytes that are no fact: the ledger keeps those too."""
    try:
        values = msgspec.msgpack.decode(entry.body)
    except msgspec.DecodeError:
        return None
    if not isinstance(values, list) or not values or values[0] not in {"announced", *_TABLE}:
        return None
    return dict(zip(_FIELDS, values, strict=False))


def _happens(story: Story, fact: dict[str, Any], code: str) -> bool:
    what, thing = fact["what"], story.things.get(code)
    if what == "announced":
        if thing is not None:
            return False
        story.things[code] = _announced(fact, code)
    elif thing is None or not _fits(thing, fact):
        return False
    else:
        _change(thing, fact)
        if what == "prescanned":
            story.things |= {unit.code: unit for unit in _units(thing)}
    story.counts[what, story.things[code].kind] += 1
    return True


def _announced(fact: dict[str, Any], code: str) -> Thing:
    return Thing(
        code=code,
        kind=fact["kind"],
        product=fact["product"],
        lot=fact["lot"],
        expiry=fact["expiry"],
        location=fact["location"],
    )


def _units(box: Thing) -> list[Thing]:
    return [
        Thing(
            code=f"{box.code}#{number:03d}",
            kind="unit",
            product=box.product,
            lot=box.lot,
            expiry=box.expiry,
            location=box.location,
            state="in_stock",
            box=box.code,
        )
        for number in range(1, box.units + 1)
    ]


def _fits(thing: Thing, fact: dict[str, Any]) -> bool:
    what = fact["what"]
    if thing.state not in _TABLE[what][0] or (fact["product"] and fact["product"] != thing.product):
        return False
    if what in _NOT_WHEN_EXPIRED and _day(fact["at"]) > thing.expiry:
        return False
    if what == "prescanned" and thing.kind != "box":
        return False
    if what != "dispensed":
        return True
    if thing.state in {"locked", "lent"}:
        return bool(thing.order) and fact["order"] == thing.order
    return thing.state == "taken" or fact["how"] in {"late_scan", "machine"}


def _change(thing: Thing, fact: dict[str, Any]) -> None:
    what = fact["what"]
    before, after = thing.state, _TABLE[what][1]
    thing.state = thing.before if what == "released" else after or thing.state
    if what == "frozen":
        thing.before = before
    if what in _ARRIVES or (what in _FREES_ORDER and fact["location"]):
        thing.location = fact["location"]
    if what in _FREES_ORDER:
        thing.order = thing.holder = thing.pouch = ""
    if what in {"locked", "bound", "taken"}:
        thing.order = fact["order"]
    if what == "dispensed":
        thing.order, thing.holder = fact["order"] or thing.order, ""
    if what == "taken":
        thing.holder = fact["operator"]
    if what == "lent":
        thing.holder = fact["location"] or fact["operator"]
    if what == "prescanned":
        thing.units = fact["units"]
    if what == "packed":
        thing.pouch = fact["pouch"]


def _day(at: list[Any]) -> str:
    """Civil date of a moment: wall time (µs), corrected by the offset where one is known, in the hospital's zone."""
    wall_us, _mono_us, offset_us, _is_trusted, zone_min = at
    moment = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=wall_us + (offset_us or 0))
    return (moment + dt.timedelta(minutes=zone_min)).date().isoformat()
