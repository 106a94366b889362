"""How orders follow from the stock: who gets what became free, and how far each order is.

One consequence, run in every commit: whatever changed an item of an order, or brought stock that an order waits for,
is followed up in the same commit. Urgent orders first, then the oldest.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable

import msgspec

from central.ledger import rows, statements
from central.ledger.transaction import Holding, Transaction
from central.stock.masterdata import find_products
from central.stock.shelf import Shelf
from sync_protocol.documents import Order, OrderState, Product
from sync_protocol.facts import Fact, How, What
from sync_protocol.items import OF_ITS_ORDER, Kind, State

# An order that came to its end stays there: what is returned later does not open it again, but for a hand-out undone.
_ENDED = frozenset({OrderState.DISPENSED, OrderState.CANCELLED})
_HELD = OF_ITS_ORDER - {State.DISPENSED}
Place = tuple[str, str]
"""Product and location: stock of one can fill orders of the same only."""


def settle_orders(transaction: Transaction) -> None:
    """Consequence: give back what is too much, allocate what is free, and write down how far each touched order is."""
    _reopen(transaction)
    touched, count = _touched(transaction), len(transaction.folded)
    if touched:
        for order in read_orders(transaction, touched):
            _give_back_surplus(transaction, order)
    _allocate(transaction, touched)
    if len(transaction.folded) > count:
        touched = _touched(transaction)
    if touched:
        for order in read_orders(transaction, touched):
            transaction.settle(msgspec.structs.replace(order, state=_state(transaction, order)))


def allocate_waiting(transaction: Transaction, places: set[Place] | None = None) -> None:
    """Fill orders that wait from what is free at these places, though no fact made it so. None: at all places."""
    unmet = set(transaction.select(statements.UNMET_PLACES))
    _allocate_at(transaction, unmet if places is None else unmet & places)


def read_orders(transaction: Transaction, ids: Iterable[str]) -> list[Order]:
    """Orders with the codes that they have now."""
    ids = list(ids)
    codes: dict[str, list[str]] = defaultdict(list)
    for order, code, _ in transaction.select_in(statements.ORDER_CODES, ids):
        codes[order].append(code)
    found = transaction.select_in(statements.ORDERS, ids)
    return [rows.order_of(row, tuple(codes[row[0]])) for row in found]


def _reopen(transaction: Transaction) -> None:
    """An order whose hand-out was undone waits again, like any other."""
    returned = transaction.of(What.RETURNED)
    undone = {each.fact.order for each in returned if each.fact.undoes_hand_out and each.outcome.items}
    for order in read_orders(transaction, undone) if undone else ():
        if order.state is OrderState.DISPENSED:
            transaction.settle(msgspec.structs.replace(order, state=_progress(transaction, order)))


def _touched(transaction: Transaction) -> set[str]:
    """Orders of which an item changed, and those placed in this commit."""
    originals = transaction.originals
    touched = {item.order for item in transaction.changed.values()}
    touched.update([before.order for code in transaction.changed if (before := originals[code]) is not None])
    touched.update(transaction.placed)
    touched.discard("")
    return touched


def _count(transaction: Transaction, order: Order, states: frozenset[State]) -> int:
    transaction.load(order.codes)
    return sum(transaction.stock[code].state in states for code in order.codes)


def _given_back(transaction: Transaction) -> Counter[str]:
    """Items that came back in this commit, by the order that had them: nothing else is allocated in their place."""
    facts = [each.fact for each in transaction.of(What.RETURNED)]
    returned = [code for fact in facts if not fact.undoes_hand_out for code in fact.codes]
    before = (transaction.originals[code] for code in returned if code in transaction.changed)
    return Counter(item.order for item in before if item is not None and item.order)


def _state(transaction: Transaction, order: Order) -> OrderState:
    return order.state if order.state in _ENDED else _progress(transaction, order)


def _progress(transaction: Transaction, order: Order) -> OrderState:
    done = _count(transaction, order, frozenset({State.DISPENSED}))
    if done >= order.quantity:
        return OrderState.DISPENSED
    held = done + _count(transaction, order, _HELD)
    if held >= order.quantity:
        return OrderState.LOCKED
    return OrderState.PART_LOCKED if held else OrderState.WAITING


def _give_back_surplus(transaction: Transaction, order: Order) -> None:
    """A late scan may fill an order from other items than those locked to it."""
    done = _count(transaction, order, frozenset({State.DISPENSED}))
    # What was frozen when its order was cancelled is locked to it again once it is released.
    wanted = 0 if order.state is OrderState.CANCELLED else order.quantity
    surplus = done + _count(transaction, order, _HELD) - wanted
    locked = [code for code in order.codes if transaction.stock[code].state is State.LOCKED]
    if surplus > 0 and locked:
        codes = tuple(locked[-surplus:])
        fact = Fact(what=What.UNLOCKED, codes=codes, at=transaction.moment(), order=order.id, how=How.AUTOMATIC)
        transaction.record(fact)


def _allocate(transaction: Transaction, touched: set[str]) -> None:
    if transaction.is_refilling:  # an agent may hold the fact that it was issued
        return
    places = _restocked(transaction)
    if touched:
        given_back = _given_back(transaction)
        for order in read_orders(transaction, touched):
            has = _count(transaction, order, OF_ITS_ORDER) + given_back[order.id]
            if order.state not in _ENDED and has < order.quantity:
                places.add((order.product, order.location))
                state = _state(transaction, order)
                if state is not order.state:  # it has lost some, and waits for others from now on
                    transaction.settle(msgspec.structs.replace(order, state=state))
    _allocate_at(transaction, places)


def _allocate_at(transaction: Transaction, places: set[Place]) -> None:
    for product in find_products(transaction, sorted({product for product, _ in places})):
        if product.kind is Kind.BOX:
            locations = {location for one, location in places if one == product.id}
            _allocate_product(transaction, product, locations)


def _restocked(transaction: Transaction) -> set[Place]:
    """Where stock became free in this commit."""
    places = set()
    originals, changed = transaction.originals, transaction.changed
    for code in transaction.shifted(lambda _, now: now is State.IN_STOCK):
        item, before = changed[code], originals[code]
        if before is None or before.state is not State.IN_STOCK or before.location != item.location:
            places.add((item.product, item.location))
    return places


def _allocate_product(transaction: Transaction, product: Product, locations: set[str]) -> None:
    waiting = transaction.select(statements.UNMET_ORDERS, (product.id,))
    shelves = {location: Shelf(transaction, product, location) for location in sorted(locations)} if waiting else {}
    for row in waiting:
        if all(shelf.is_empty for shelf in shelves.values()):
            return
        order = rows.order_of(row, ())
        if order.location in shelves and not shelves[order.location].is_empty:
            _fill(transaction, order, shelves[order.location])


def _fill(transaction: Transaction, row: Order, shelf: Shelf) -> None:
    (order,) = read_orders(transaction, [row.id])
    has = _count(transaction, order, OF_ITS_ORDER)
    if has >= order.quantity:
        return
    moment = transaction.moment()
    has_lots = (
        transaction.stock[code].lot for code in order.codes if transaction.stock[code].state is not State.FROZEN
    )
    held_lot = next(has_lots, "")
    choice = shelf.take(order.quantity - has, held_lot)
    codes = tuple(code for code in choice.codes if transaction.held_by(code) is Holding.FREE)
    transaction.wanted.update(set(choice.codes).difference(codes))  # locked when their holder has given them back
    if not codes:
        return
    fact = Fact(
        what=What.LOCKED,
        codes=codes,
        at=moment,
        order=order.id,
        product=order.product,
        how=How.AUTOMATIC,
        reason=choice.why,
    )
    transaction.record(fact)
