"""The indicators once more, by hand: a fold over the plain facts that shares no code with what it checks.

It knows the lifecycle only as far as the months of ``central_faces.months`` go.
"""

import datetime as dt
import math
from collections import Counter, defaultdict
from typing import Any
from zoneinfo import ZoneInfo

ZONE = ZoneInfo("Asia/Shanghai")
WHAT, CODES, AT, OPERATOR, WITNESS, LOCATION, ORDER, HOW, UNITS, REASON = 0, 1, 2, 3, 4, 5, 7, 8, 14, 17
WRONG = {"already_dispensed", "wrong_order"}


class Fold:
    """State of each code, and what was handed out, done wrong or counted on which civil day."""

    def __init__(self, facts: list[tuple[int, int, list[Any]]]) -> None:
        self.state: dict[str, str] = {}
        self.order: dict[str, str] = {}
        self.place: dict[str, str] = {}
        self.sold: list[tuple[int, int, str, str, int]] = []
        self.errors: list[int] = []
        self.counts: list[tuple[int, int, int]] = []
        for position, received_us, fact in facts:
            wall_us, _, offset_us, *_ = fact[AT]
            us = min(wall_us + (offset_us or 0), received_us)
            self.take(position, us, fact)

    def take(self, position: int, us: int, fact: list[Any]) -> None:
        what, codes = fact[WHAT], fact[CODES]
        match what:
            case "announced":
                self.state.update((code, "expected") for code in codes)
            case "received":
                self.state.update((code, "in_stock") for code in codes)
                self.place.update((code, fact[LOCATION]) for code in codes)
            case "prescanned":
                for code in codes:
                    self.state[code] = "opened"
                    self.state.update((f"{code}#{n:03d}", "in_stock") for n in range(1, fact[UNITS] + 1))
            case "locked":
                self.state.update((code, "locked") for code in codes)
                self.order.update((code, fact[ORDER]) for code in codes)
            case "unlocked" | "returned" | "put_back":
                self.state.update((code, "in_stock") for code in codes)
                self.order.update((code, "") for code in codes)
            case "taken":
                self.state.update((code, "taken") for code in codes)
            case "dispensed":
                self.hand_out(position, us, codes, fact[ORDER])
            case "counted":
                here = {code for code, place in self.place.items() if place == fact[LOCATION]}
                here = {code for code in here if self.state[code] in {"in_stock", "locked"}}
                counted = set(codes)
                self.counts.append((us, len(here ^ counted), len(here | counted)))

    def hand_out(self, position: int, us: int, codes: list[str], order: str) -> None:
        flaws = set()
        boxes: Counter[str] = Counter()
        for code in codes:
            state = self.state.get(code)
            if state == "locked" and self.order[code] == order:
                self.state[code] = "dispensed"
                boxes[code.partition("#")[0]] += 1
            else:
                known = {"dispensed": "already_dispensed", "locked": "wrong_order"}
                flaws.add(known.get(state or "", "other"))
        self.sold += [(us, position, box, order, units) for box, units in boxes.items()]
        if flaws & WRONG:
            self.errors.append(us)


def day_of(us: int) -> dt.date:
    return dt.datetime.fromtimestamp(us / 1e6, tz=ZONE).date()


def between(us: int, first: dt.date, last: dt.date) -> bool:
    return first <= day_of(us) <= last


def upload(fold: Fold, states: dict[tuple[int, str], str], first: dt.date, last: dt.date) -> tuple[int, int]:
    """Accepted, all."""
    mine = [(states[(position, box)], units) for us, position, box, _, units in fold.sold if between(us, first, last)]
    return sum(units for state, units in mine if state == "accepted"), sum(units for _, units in mine)


def stocktake(fold: Fold, first: dt.date, last: dt.date) -> tuple[int, int]:
    mine = [(differ, union) for us, differ, union in fold.counts if between(us, first, last)]
    return sum(differ for differ, _ in mine), sum(union for _, union in mine)


def errors(fold: Fold, first: dt.date, last: dt.date) -> tuple[int, int]:
    """Errors, days on which anything was handed out."""
    mine = [us for us in fold.errors if between(us, first, last)]
    busy = {day_of(us) for us, *_ in fold.sold if between(us, first, last)} | {day_of(us) for us in mine}
    return len(mine), len(busy)


def minutes(
    fold: Fold, orders: dict[str, tuple[str, int, int]], kind: str, first: dt.date, last: dt.date
) -> list[float]:
    """``orders``: kind, quantity and arrival by id."""
    by_order = defaultdict(list)
    for us, _, _, order, units in fold.sold:
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
