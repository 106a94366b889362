"""The state that follows from the facts, folded anew from their bytes and from nothing else."""

import sqlite3
from collections import Counter, defaultdict
from typing import Any

import msgspec

from central.ledger.lives import FIRST, follow
from central.ledger.reading import flaw
from central.ledger.seal import chained
from central.ledger.staging import UNREADABLE
from sync_protocol.chain import link
from sync_protocol.documents import OrderState
from sync_protocol.errors import ProtocolError
from sync_protocol.facts import Fact, What
from sync_protocol.items import Item, Kind, State
from sync_protocol.lifecycle import Outcome, fold

QUANTITIES = "SELECT id, quantity FROM orders"
_HELD = frozenset({State.LOCKED, State.TAKEN, State.LENT})


class Row(msgspec.Struct, frozen=True):
    """A row of ``statements.SEALED_FACTS``."""

    position: int
    session: bytes
    seq: int
    device: str
    what: str
    body: bytes
    hash: bytes
    version: int
    received_us: int
    wall_us: int
    operator: str
    document: str
    order_id: str
    before: str


class Refold:
    """What every row that follows from facts should be, once all facts were taken.

    ``starts``: device and first hash of each session that the ledger has. ``flaws``: facts that cannot be as they are.
    """

    def __init__(self, starts: dict[bytes, tuple[str, bytes]], quantities: dict[str, int]) -> None:
        self.items: dict[str, Item] = {}
        self.versions: dict[str, int] = {}
        self.heads: dict[bytes, tuple[int, bytes]] = {session: (0, start[1]) for session, start in starts.items()}
        self.misfits: Counter[tuple[Any, ...]] = Counter()
        self.sales: Counter[tuple[Any, ...]] = Counter()
        self.last: dict[str, int] = {}
        self.chain = bytes(32)
        self.position = self.version = 0
        self.flaws: list[str] = []
        self._starts = starts
        self._quantities = quantities
        self._states: dict[str, OrderState] = {}
        self._of_order: dict[str, set[str]] = defaultdict(set)
        self._touched: set[str] = set()
        self._reopened: set[str] = set()
        self._committed: list[tuple[Any, ...]] = []

    def take(self, row: Row) -> None:
        """The next fact by position."""
        if row.version != self.version:
            self._end_commit()
        self._check_place(row)
        fact, _ = flaw(row.body)
        outcome = None
        if fact is not None:
            try:
                outcome = fold(fact, self.items)
            except (ProtocolError, OverflowError, ValueError):
                fact = None
        self._committed.append(msgspec.structs.astuple(row))
        self._check_columns(row, fact)
        if fact is None or outcome is None:
            self.misfits[_misfit(row, "", UNREADABLE, UNREADABLE, "", "", "a fact that this software reads")] += 1
            return
        for refusal in outcome.refusals:
            values = (refusal.code, refusal.what, refusal.reason, refusal.state or "", refusal.found, refusal.expected)
            self.misfits[_misfit(row, *values)] += 1
        self._sell(row.position, fact, outcome)
        self._move(outcome, row.version)
        if fact.undoes_hand_out and outcome.items:
            self._reopened.add(fact.order)
        if row.before != follow(self.last, row.position, fact.codes, self.items):
            self.flaws.append(f"fact {row.position}: it does not lead to the facts before it in the life of its codes")

    def finish(self) -> None:
        self._end_commit()

    def order_state(self, order: str) -> OrderState:
        """Of an order that nobody cancelled."""
        return self._states.get(order, OrderState.WAITING)

    def _check_place(self, row: Row) -> None:
        known = self._starts.get(row.session)
        seq, previous = self.heads.get(row.session, (0, b""))
        where = f"fact {row.position}"
        if row.position != self.position + 1:
            self.flaws.append(f"{where}: found after position {self.position}, expected {self.position + 1}")
        if row.version < self.version:
            self.flaws.append(f"{where}: found version {row.version} after {self.version}")
        if known is None:
            self.flaws.append(f"{where}: its session is not in the ledger")
        elif row.device != known[0]:
            self.flaws.append(f"{where}: found device {row.device}, expected {known[0]} of its session")
        if row.seq != seq + 1:
            self.flaws.append(f"{where}: found seq {row.seq} of its session, expected {seq + 1}")
        if row.hash != link(previous, row.body):
            self.flaws.append(f"{where}: it or one before it was changed: its hash does not follow")
        self.position, self.version = row.position, row.version
        self.heads[row.session] = (row.seq, row.hash)

    def _check_columns(self, row: Row, fact: Fact | None) -> None:
        if fact is None:
            expected: tuple[Any, ...] = (UNREADABLE, 0, "", "", "")
            if row.before != FIRST:
                self.flaws.append(f"fact {row.position}: it cannot be read and yet leads to another")
        else:
            expected = (fact.what, fact.at.wall_us, fact.operator, fact.document, fact.order)
        if (row.what, row.wall_us, row.operator, row.document, row.order_id) != expected:
            self.flaws.append(f"fact {row.position}: its columns do not say what its bytes say")

    def _move(self, outcome: Outcome, version: int) -> None:
        for item in outcome.items:
            before = self.items.get(item.code)
            if before is not None and before.order:
                self._of_order[before.order].discard(item.code)
                self._touched.add(before.order)
            if item.order:
                self._of_order[item.order].add(item.code)
                self._touched.add(item.order)
            self.items[item.code], self.versions[item.code] = item, version

    def _sell(self, position: int, fact: Fact, outcome: Outcome) -> None:
        """``items`` are as they were before the fact: what came back is of no order any more."""
        is_return = fact.what is What.RETURNED
        if fact.what is not What.DISPENSED and not is_return:
            return
        items = [self.items[item.code] for item in outcome.items] if is_return else outcome.items
        units = Counter(item.box for item in items if item.kind is Kind.UNIT)
        orders = {item.box or item.code: item.order for item in items}
        for box, count in units.items():
            self.sales[(position, box, orders[box], count, 1, is_return)] += 1
        for item in items:
            if item.kind is Kind.BOX:
                self.sales[(position, item.code, orders[item.code], 1, 0, is_return)] += 1

    def _end_commit(self) -> None:
        """Its link of the chain, and how far each order is that it touched; one dispensed stays so unless undone."""
        if self._committed:
            self.chain = chained(self.chain, self._committed)
            self._committed.clear()
        for order in self._touched:
            quantity = self._quantities.get(order)
            is_ended = self._states.get(order) is OrderState.DISPENSED and order not in self._reopened
            if quantity is None or is_ended:
                continue
            states = Counter(self.items[code].state for code in self._of_order[order])
            done = states[State.DISPENSED]
            held = done + sum(states[state] for state in _HELD)
            if done >= quantity:
                self._states[order] = OrderState.DISPENSED
            elif held >= quantity:
                self._states[order] = OrderState.LOCKED
            else:
                self._states[order] = OrderState.PART_LOCKED if held else OrderState.WAITING
        self._touched.clear()
        self._reopened.clear()


def start(connection: sqlite3.Connection, starts: dict[bytes, tuple[str, bytes]]) -> Refold:
    return Refold(starts, dict(connection.execute(QUANTITIES).fetchall()))


def _misfit(row: Row, *values: Any) -> tuple[Any, ...]:
    return (row.position, row.device, row.session, row.seq, *(str(value) for value in values), row.received_us)
