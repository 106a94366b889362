"""Orders from the hospital: placed, filled from stock at once or when stock comes, cancelled."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import msgspec

from central.errors import ConflictError, InvalidError, NotFoundError, RequestError
from central.ledger import rows, statements
from central.ledger.staging import in_chunks
from central.ledger.transaction import Transaction
from central.ledger.write import Ledger
from central.stock.fulfilment import read_orders
from central.stock.masterdata import find_products
from sync_protocol.documents import Order, OrderState
from sync_protocol.facts import MAX_CODES, Fact, How, What
from sync_protocol.items import OF_ITS_ORDER, Kind, State

MAX_QUANTITY = MAX_CODES
"""One allocation is one fact."""
# The route follows the product, and the hospital may not know when it ordered: neither makes another order.
_CONTENT = ("kind", "product", "quantity", "patient", "visit", "ward", "location", "prescriber", "is_self_pay")


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """An order to be placed, or to be cancelled."""

    order: Order
    cancels: bool


class Orders:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def place(self, order: Order) -> Order:
        """Place an order and lock what there is for it; the order as it stands if it was placed before.

        Raises InvalidError, and ConflictError if the id was placed with other content.
        """
        self._ledger.commit(lambda transaction: _place(transaction, order))
        return self.get(order.id)

    async def cancel(self, order_id: str) -> Order:
        """Cancel an order: locked codes go back to stock, dispensed pieces await their return.

        Idempotent. A drug that was dispensed comes back by a return, not by this. Raises NotFoundError.
        """
        self._ledger.commit(lambda transaction: _cancel(transaction, order_id))
        return self.get(order_id)

    async def take(self, acts: Sequence[Act]) -> list[RequestError | None]:
        """Place and cancel orders in turn, many in a commit; for each what was amiss with it.

        Raises BusyError: those before are done, and it does no harm to take all of them again.
        """
        amiss: list[RequestError | None] = []
        for chunk in _chunks(acts):
            amiss += self._ledger.commit(partial(_do_all, chunk))
            await asyncio.sleep(0)  # a commit does not give up the loop: others get their turn here
        return amiss

    def get(self, order_id: str) -> Order:
        """The committed order. Raises NotFoundError."""
        found = self.found([order_id])
        if order_id not in found:
            raise NotFoundError("id", order_id, "an order that was placed")
        return found[order_id][0]

    def found(self, ids: Iterable[str]) -> dict[str, tuple[Order, int]]:
        """Those of the orders that were placed, by id, with what they have now and the version of the last change."""
        connection, wanted = self._ledger.connection, sorted(set(ids))
        codes: dict[str, list[str]] = defaultdict(list)
        for order, code, state in in_chunks(connection, statements.ORDER_CODES, wanted):
            if state in OF_ITS_ORDER:
                codes[order].append(code)
        found = in_chunks(connection, statements.FOUND_ORDERS, wanted)
        return {row[0]: (rows.order_of(row, tuple(codes[row[0]])), row[-1]) for row in found}


def _chunks(acts: Sequence[Act]) -> Iterator[list[Act]]:
    """A commit must fit a delta."""
    chunk: list[Act] = []
    for act in acts:
        if chunk and sum(one.order.quantity for one in (*chunk, act)) > MAX_QUANTITY:
            yield chunk
            chunk = []
        chunk.append(act)
    if chunk:
        yield chunk


def _do_all(acts: Sequence[Act], transaction: Transaction) -> list[RequestError | None]:
    return [_do(transaction, act) for act in acts]


def _do(transaction: Transaction, act: Act) -> RequestError | None:
    try:
        if act.cancels:
            _cancel(transaction, act.order.id)
        else:
            _place(transaction, act.order)
    except RequestError as error:  # raised before anything was changed
        return error
    return None


def _place(transaction: Transaction, order: Order) -> None:
    _check(order)
    for known in read_orders(transaction, [order.id]):
        _refuse_other_content(known, order)
        return
    products = find_products(transaction, [order.product])
    if not products:
        raise InvalidError("product", order.product, "a product of the catalogue", "send the product first")
    if order.route is not products[0].route:
        raise InvalidError("route", order.route, f"{products[0].route}, the route of product {order.product}")
    transaction.place(msgspec.structs.replace(order, state=OrderState.WAITING, codes=()))


def _check(order: Order) -> None:
    for field in ("id", "product", "patient", "location"):
        if not getattr(order, field):
            raise InvalidError(field, "nothing", "a value", "an order needs it")
    if not 1 <= order.quantity <= MAX_QUANTITY:
        raise InvalidError("quantity", str(order.quantity), f"1 to {MAX_QUANTITY}", "split the order")


def _refuse_other_content(known: Order, order: Order) -> None:
    for field in _CONTENT:
        found, expected = getattr(order, field), getattr(known, field)
        if found != expected:
            raise ConflictError(
                field, str(found), f"{expected}, as order {order.id} was placed", "cancel it and place a new one"
            )


def _cancel(transaction: Transaction, order_id: str) -> None:
    found = read_orders(transaction, [order_id])
    if not found:
        raise NotFoundError("id", order_id, "an order that was placed")
    order = found[0]
    if order.state is OrderState.CANCELLED:
        return
    transaction.load(order.codes)
    items = [transaction.stock[code] for code in order.codes]
    locked = tuple(item.code for item in items if item.state is State.LOCKED)
    used = tuple(item.code for item in items if item.state is State.DISPENSED and item.kind is Kind.PIECE)
    for what, codes in ((What.UNLOCKED, locked), (What.ORDER_CANCELLED, used)):
        if codes:
            fact = Fact(what=what, codes=codes, at=transaction.moment(), order=order_id, how=How.MESSAGE)
            transaction.record(fact)
    transaction.settle(msgspec.structs.replace(order, state=OrderState.CANCELLED))
