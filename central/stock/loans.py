"""Loans (借药): what a ward borrowed is bound to the order that came later, and from then on billed (A17).

The plan gives way: codes locked to the order for what the ward has already are free again in the same commit.
"""

from collections.abc import Sequence

import msgspec

from central.errors import ConflictError, InvalidError, NotFoundError
from central.ledger.transaction import Transaction
from central.ledger.write import Ledger
from central.stock.fulfilment import read_orders
from central.stock.people import require_two
from sync_protocol.documents import OPEN_ORDERS, Order
from sync_protocol.facts import MAX_CODES, Fact, How, What
from sync_protocol.items import Item, State

PROPOSED = 5


class Binding(msgspec.Struct, frozen=True, kw_only=True):
    """Codes on loan, and the order that they are for. ``witness``: the second person, for a controlled drug."""

    order: str
    codes: tuple[str, ...]
    operator: str
    witness: str = ""


class Loans:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def bind(self, binding: Binding) -> None:
        """Bind a loan to its order. Raises InvalidError, NotFoundError, ConflictError: then nothing was done."""
        self._ledger.commit(lambda transaction: _bind(transaction, binding))


def proposals(orders: Sequence[Order], *, ward: str, lent_us: int, quantity: int) -> list[Order]:
    """The orders that a loan is most likely for, the likeliest first (X08).

    Of the same ward before others, placed after the drug was lent before older ones, of the nearest quantity, the
    oldest. All are open and of the product and place of the loan.
    """

    def unlikely(order: Order) -> tuple[bool, bool, int, int, str]:
        is_older = order.ordered_us < lent_us
        return order.ward != ward, is_older, abs(order.quantity - quantity), order.ordered_us, order.id

    return sorted(orders, key=unlikely)[:PROPOSED]


def _bind(transaction: Transaction, binding: Binding) -> None:
    codes = binding.codes
    if not 1 <= len(codes) <= MAX_CODES:
        raise InvalidError("codes", f"{len(codes)} codes", f"1 to {MAX_CODES} codes", "choose at least one")
    order = next(iter(read_orders(transaction, [binding.order])), None)
    if order is None:
        raise NotFoundError("order", binding.order, "an order that was placed")
    if order.state not in OPEN_ORDERS:
        raise ConflictError("order", f"{order.id}, {order.state}", "an open order", "choose another one")
    transaction.load([*codes, *order.codes])
    items = [_lent(transaction, code, order) for code in codes]
    done = sum(transaction.stock[code].state is State.DISPENSED for code in order.codes)
    if done + len(codes) > order.quantity:
        expected = f"at most {order.quantity - done}, what the order still needs"
        raise InvalidError("codes", f"{len(codes)} codes", expected, "bind the rest to another order")
    if any(item.is_controlled for item in items):
        require_two(transaction, binding.operator, binding.witness)
    _record(transaction, What.BOUND, binding)
    _record(transaction, What.DISPENSED, binding)


def _lent(transaction: Transaction, code: str, order: Order) -> Item:
    item = transaction.stock.get(code)
    if item is None:
        raise NotFoundError("codes", code, "a code that the ledger knows")
    if item.state is not State.LENT or item.order:
        raise ConflictError("codes", f"{code}, {item.state}", "an item on loan", "somebody was quicker: look again")
    if (item.product, item.location) != (order.product, order.location):
        found, expected = f"{item.product} of {item.location}", f"{order.product} of {order.location}"
        raise InvalidError("codes", found, expected, "choose an order of this product and place")
    return item


def _record(transaction: Transaction, what: What, binding: Binding) -> None:
    fact = Fact(
        what=what,
        codes=binding.codes,
        at=transaction.moment(),
        operator=binding.operator,
        witness=binding.witness,
        order=binding.order,
        how=How.CONSOLE,
    )
    refusals = transaction.record(fact).outcome.refusals
    if refusals:
        first = refusals[0]
        raise ConflictError("codes", f"{first.code}: {first.reason}, {first.found}", first.expected)
