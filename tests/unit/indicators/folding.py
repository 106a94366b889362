"""The indicators once more, by hand: a fold over the plain facts that shares no code with what it checks.

It knows the lifecycle only as far as the months of ``central_faces.months`` go.
"""

import datetime as dt
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any
from zoneinfo import ZoneInfo

ZONE = ZoneInfo("Asia/Shanghai")
WHAT, CODES, AT, OPERATOR, WITNESS, LOCATION, ORDER, HOW, PRODUCT = 0, 1, 2, 3, 4, 5, 7, 8, 10
UNITS, REASON, KIND = 14, 17, 21
WRONG = {"already_dispensed", "wrong_order"}
BECOMES = {
    "announced": "expected",
    "received": "in_stock",
    "locked": "locked",
    "unlocked": "in_stock",
    "returned": "in_stock",
    "put_back": "in_stock",
    "taken": "taken",
    "frozen": "frozen",
    "lent": "lent",
    "written_off": "abnormal",
}
"""What the state of a code is after a fact that only changes it."""


class Fold:
    """State of each code, and what was handed out, done wrong or counted on which civil day.

    ``products``: what each order of the ledger is for.
    """

    def __init__(self, facts: Iterable[tuple[int, int, list[Any]]], products: Mapping[str, str]) -> None:
        self.products = products
        self.state: dict[str, str] = {}
        self.before: dict[str, str] = {}
        self.order: dict[str, str] = {}
        self.place: dict[str, str] = {}
        self.product: dict[str, str] = {}
        self.sold: list[tuple[int, int, str, str, int]] = []
        self.uncoded: list[tuple[int, str, int]] = []
        """Moment, order and number of what went out for an order under codes that nobody knew."""
        self.errors: list[int] = []
        self.counts: list[tuple[int, int, int]] = []
        for position, received_us, fact in facts:
            wall_us, _, offset_us, *_ = fact[AT]
            us = min(wall_us + (offset_us or 0), received_us)
            self.take(position, us, fact)

    def take(self, position: int, us: int, fact: list[Any]) -> None:
        what, codes = fact[WHAT], fact[CODES]
        if what == "returned" and fact[REASON] == "undone":
            self.undo(fact)
        self.change(what, codes, fact[ORDER])
        match what:
            case "announced":
                self.product.update((code, fact[PRODUCT]) for code in codes)
            case "received":
                self.place.update((code, fact[LOCATION]) for code in codes)
            case "prescanned":
                for code in codes:
                    self.state[code] = "opened"
                    self.state.update((f"{code}#{n:03d}", "in_stock") for n in range(1, fact[UNITS] + 1))
            case "dispensed":
                self.hand_out(position, us, fact)
            case "counted":
                self.count(us, fact)

    def undo(self, fact: list[Any]) -> None:
        """The last hand-out of each box for the order was none."""
        for code in fact[CODES]:
            box, order = code.partition("#")[0], fact[ORDER]
            if self.state.get(code) != "dispensed" or self.order.get(code) != order:
                continue
            at = max(n for n, one in enumerate(self.sold) if (one[2], one[3]) == (box, order))
            us, position, _, _, units = self.sold[at]
            self.sold[at] = (us, position, box, order, units - 1)

    def change(self, what: str, codes: list[str], order: str) -> None:
        """What a fact does to each of its codes alone."""
        for code in codes:
            if what == "frozen":
                self.before[code] = self.state[code]
            if what in {"locked", "bound", "unlocked", "returned", "put_back"}:
                self.order[code] = order if what in {"locked", "bound"} else ""
            if what in BECOMES:
                self.state[code] = BECOMES[what]

    def count(self, us: int, fact: list[Any]) -> None:
        """By hand it is of one product and form, and where objects and codes disagree it is no count."""
        counted, kind = set(fact[CODES]), fact[KIND]
        lies = ((code, self.before[code] if state == "frozen" else state) for code, state in self.state.items())
        here = {code for code, state in lies if state in {"in_stock", "locked"}}
        here = {code for code in here if self.place.get(code.partition("#")[0]) == fact[LOCATION]}
        if kind:
            here = {code for code in here if self.product.get(code.partition("#")[0]) == fact[PRODUCT]}
            here = {code for code in here if ("#" in code) == (kind == "unit")}
        if not kind or len(counted) == fact[UNITS]:
            self.counts.append((us, len(here ^ counted), len(here | counted)))

    def hand_out(self, position: int, us: int, fact: list[Any]) -> None:
        flaws, unknown, order = set(), 0, fact[ORDER]
        boxes: Counter[str] = Counter()
        for code in fact[CODES]:
            state = self.state.get(code)
            is_planned = state in {"locked", "lent"} and self.order.get(code) == order
            if is_planned or (state == "in_stock" and fact[HOW] == "late_scan"):
                self.state[code], self.order[code] = "dispensed", order
                boxes[code.partition("#")[0]] += 1
            else:
                known = {"dispensed": "already_dispensed", "locked": "wrong_order"}
                flaws.add(known.get(state or "", "other"))
                unknown += state is None
        self.sold += [(us, position, box, order, units) for box, units in boxes.items()]
        if unknown and order in self.products:
            if fact[PRODUCT] in {"", self.products[order]}:
                self.uncoded.append((us, order, unknown))
            else:
                self.errors.append(us)
        if flaws & WRONG:
            self.errors.append(us)


def day_of(us: int) -> dt.date:
    return dt.datetime.fromtimestamp(us / 1e6, tz=ZONE).date()


def between(us: int, first: dt.date, last: dt.date) -> bool:
    return first <= day_of(us) <= last


def upload(fold: Fold, states: dict[tuple[int, str], str], first: dt.date, last: dt.date) -> tuple[int, int]:
    """Accepted, all."""
    mine = [(states[(position, box)], units) for us, position, box, _, units in fold.sold if between(us, first, last)]
    mine += [("", units) for us, _, units in fold.uncoded if between(us, first, last)]
    return sum(units for state, units in mine if state == "accepted"), sum(units for _, units in mine)


def stocktake(fold: Fold, first: dt.date, last: dt.date) -> tuple[int, int]:
    mine = [(differ, union) for us, differ, union in fold.counts if between(us, first, last)]
    return sum(differ for differ, _ in mine), sum(union for _, union in mine)


def errors(fold: Fold, first: dt.date, last: dt.date) -> tuple[int, int]:
    """Errors, days on which anything was handed out."""
    mine = [us for us in fold.errors if between(us, first, last)]
    handed = [us for us, *_, units in fold.sold if units] + [us for us, _, _ in fold.uncoded]
    return len(mine), len({day_of(us) for us in [*handed, *mine] if between(us, first, last)})


def minutes(
    fold: Fold, orders: dict[str, tuple[str, int, int]], kind: str, first: dt.date, last: dt.date
) -> list[float]:
    """``orders``: kind, quantity and arrival by id."""
    by_order = defaultdict(list)
    for us, _, _, order, units in fold.sold:
        by_order[order].append((us, units))
    for us, order, units in fold.uncoded:
        by_order[order].append((us, units))
    found = []
    for order, parts in by_order.items():
        its_kind, quantity, arrived_us = orders[order]
        so_far = 0
        for us, units in sorted(parts):
            if so_far < quantity <= so_far + units and its_kind == kind and between(us, first, last):
                found.append(max(0, us - arrived_us) / 60e6)
            so_far += units
    return sorted(found)


def percentile(ranked: list[float]) -> float:
    return ranked[math.ceil(len(ranked) * 0.9) - 1]
