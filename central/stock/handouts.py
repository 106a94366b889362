"""What a workplace handed out for an order while central had given it to another: the plan gives way to the deed.

A lock is central's plan. A workplace that is behind or cut off hands out by the plan that it knows, and by then a
recall that came and went, a surplus or an urgent order may have moved the lock. The patient has the drug all the same.
Held against the new plan, the fact would be an exception, the drug planned for somebody else, and the order filled a
second time.
"""

from collections import defaultdict

from central.ledger.transaction import Transaction
from central.stock.fulfilment import read_orders
from sync_protocol.documents import OPEN_ORDERS
from sync_protocol.facts import Fact, How, What
from sync_protocol.items import Item, State
from sync_protocol.lifecycle import Reason, check

_OF_THE_PLAN = frozenset({Reason.WRONG_STATE, Reason.WRONG_ORDER})
_PLANNED = frozenset({State.IN_STOCK, State.LOCKED})
_MOVED_SINCE = "SELECT code FROM item WHERE code IN ({codes}) AND version > %d"
_WHY = "handed out at a workplace that did not know of the new plan yet"


def follow_hand_outs(transaction: Transaction, fact: Fact) -> None:
    """Preparation of hand-outs: codes that moved after the check are locked to their order again, if that is open.

    The orders that lose them are filled anew in the same commit.
    """
    if not fact.order:
        return
    stock = transaction.stock
    moved = [
        code
        for code in fact.codes
        if (item := stock.get(code)) is not None and item.order != fact.order and _is_other_plan(item, fact)
    ]
    if not moved:
        return
    moved = [row[0] for row in transaction.select_in(_MOVED_SINCE % fact.checked_at, moved)]
    order = next(iter(read_orders(transaction, [fact.order])), None)
    if order is None or order.state not in OPEN_ORDERS:
        return
    codes = [code for code in moved if (stock[code].product, stock[code].location) == (order.product, order.location)]
    by_order: dict[str, list[str]] = defaultdict(list)
    for code in sorted(codes):
        by_order[stock[code].order].append(code)
    for other, taken in by_order.items():
        if other:
            _record(transaction, What.UNLOCKED, other, taken)
        _record(transaction, What.LOCKED, order.id, taken)


def _is_other_plan(item: Item, fact: Fact) -> bool:
    """Whether nothing but the lock is against it."""
    refusal = check(item, fact, item.code) if item.state in _PLANNED else None
    return refusal is not None and refusal.reason in _OF_THE_PLAN


def _record(transaction: Transaction, what: What, order: str, codes: list[str]) -> None:
    moment = transaction.moment()
    transaction.record(Fact(what=what, codes=tuple(codes), at=moment, order=order, how=How.AUTOMATIC, reason=_WHY))
