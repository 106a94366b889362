"""A second opinion on the lifecycle, written from the table of design.md §4 and from nothing of the code.

It folds the ledger's facts in the ledger's order and says which codes each does not fit, and where every item then is.
"""

import msgspec

from sync_protocol.facts import Fact, How, What

FINAL = {"abnormal", "returned_to_supplier"}


class Cell(msgspec.Struct):
    """One item. ``box``: the box that a unit came from."""

    state: str
    location: str
    document: str
    order: str = ""
    before: str = ""
    box: str = ""


class Oracle:
    def __init__(self) -> None:
        self.cells: dict[str, Cell] = {}

    def fold(self, fact: Fact) -> set[str]:
        """Take a fact in; the codes that it does not fit."""
        return {code for code in fact.codes if not self._fold(fact, code)}

    def _fold(self, fact: Fact, code: str) -> bool:
        cell = self.cells.get(code)
        if fact.what is What.ANNOUNCED:
            if cell is not None:
                return False
            self.cells[code] = Cell(state="expected", location=fact.location, document=fact.document)
            return True
        if cell is None or not _fits(cell, fact):
            return False
        self._change(cell, fact, code)
        return True

    def _change(self, cell: Cell, fact: Fact, code: str) -> None:
        what = fact.what
        if what is What.PRESCANNED:
            cell.state = "opened"
            for n in range(1, fact.units + 1):
                self.cells[f"{code}#{n:03d}"] = Cell(
                    state="in_stock", location=cell.location, document=cell.document, box=code
                )
        elif what is What.FROZEN:
            cell.before, cell.state = cell.state, "frozen"
        elif what is What.RELEASED:
            cell.state, cell.before = cell.before, ""
        elif what in _LEADS_TO:
            cell.state = _LEADS_TO[what]
            cell.order = _order_after(cell, fact)
            if what in _MOVES_TO:
                cell.location = fact.location or cell.location
            if what in _HAS_DOCUMENT:
                cell.document = fact.document


_FROM = {
    What.RECEIVED: {"expected"},
    What.PRESCANNED: {"in_stock"},
    What.LOCKED: {"in_stock"},
    What.UNLOCKED: {"locked"},
    What.DISPENSED: {"locked", "taken", "in_stock"},
    What.RETURNED: {"dispensed"},
    What.TAKEN: {"in_stock"},
    What.PUT_BACK: {"taken", "awaiting_put_back"},
    What.TRANSFERRED_OUT: {"in_stock"},
    What.TRANSFERRED_IN: {"in_transit"},
    What.RELEASED: {"frozen"},
}
_LEADS_TO = {
    What.RECEIVED: "in_stock",
    What.LOCKED: "locked",
    What.UNLOCKED: "in_stock",
    What.DISPENSED: "dispensed",
    What.RETURNED: "in_stock",
    What.TAKEN: "taken",
    What.PUT_BACK: "in_stock",
    What.TRANSFERRED_OUT: "in_transit",
    What.TRANSFERRED_IN: "in_stock",
    What.WRITTEN_OFF: "abnormal",
}
_MOVES_TO = {
    What.RECEIVED,
    What.UNLOCKED,
    What.RETURNED,
    What.PUT_BACK,
    What.TRANSFERRED_OUT,
    What.TRANSFERRED_IN,
}
_HAS_DOCUMENT = {What.RECEIVED, What.TRANSFERRED_OUT, What.TRANSFERRED_IN}


def _fits(cell: Cell, fact: Fact) -> bool:
    what = fact.what
    if what is What.COUNTED:
        return True
    if what in {What.FROZEN, What.WRITTEN_OFF}:
        is_live = cell.state not in FINAL | {"dispensed"}
        return is_live and not (what is What.FROZEN and cell.state == "frozen")
    if cell.state not in _FROM[what]:
        return False
    if what is What.PRESCANNED:
        return not cell.box
    if what is What.RECEIVED:
        return fact.document == cell.document
    if what is What.UNLOCKED:
        return fact.order in {"", cell.order}
    return what is not What.DISPENSED or _may_leave(cell, fact)


def _may_leave(cell: Cell, fact: Fact) -> bool:
    if cell.state == "locked":
        return fact.order == cell.order
    return cell.state != "in_stock" or fact.how in {How.LATE_SCAN, How.MACHINE}


def _order_after(cell: Cell, fact: Fact) -> str:
    if fact.what in {What.UNLOCKED, What.RETURNED, What.PUT_BACK}:
        return ""
    if fact.what in {What.LOCKED, What.TAKEN}:
        return fact.order
    if fact.what is What.DISPENSED:
        return fact.order or cell.order
    return cell.order
