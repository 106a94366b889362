"""The orders that wait at this workplace, and what each still needs before it can be handed out."""

from enum import StrEnum

import msgspec

from edge_agent.workflows.bench import Bench
from edge_agent.workflows.verdicts import Refuse, StepReason
from sync_protocol.documents import BY_URGENCY, OPEN_ORDERS, Order, Product, Route
from sync_protocol.items import Item, State

QUEUE_SHOWN = 200


class Need(StrEnum):
    """What stands between an order and its hand-out."""

    NOTHING = "nothing"
    """Units of a split drug are locked: handing out writes them off with no scan."""
    SCANS = "scans"
    """Boxes are locked: each must be scanned."""
    LATE_SCANS = "late_scans"
    """Not everything is locked: boxes that were not pre-scanned must be scanned now."""


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """One order line as this workplace sees it, facts on their way to central included."""

    order: Order
    product: Product
    locked: tuple[Item, ...]
    given: int
    """Units or boxes already handed out."""

    @property
    def short(self) -> int:
        """Units or boxes that nothing is locked for."""
        return max(0, self.order.quantity - self.given - len(self.locked))

    @property
    def short_boxes(self) -> int:
        """Boxes that must be scanned late to make up for that."""
        return -(-self.short // self.product.units) if self.product.is_split else self.short

    @property
    def need(self) -> Need:
        if self.short:
            return Need.LATE_SCANS
        return Need.NOTHING if self.product.is_split else Need.SCANS

    @property
    def boxes(self) -> tuple[str, ...]:
        """Locked boxes that must be scanned."""
        return () if self.product.is_split else tuple(item.code for item in self.locked)

    @property
    def is_done(self) -> bool:
        return self.given >= self.order.quantity


class Orders:
    def __init__(self, bench: Bench, *, route: Route) -> None:
        self._bench = bench
        self._route = route

    def queue(self) -> list[Ticket]:
        """Open orders, stat first, then by age."""
        stock = self._bench.stock
        orders = stock.orders(location=self._bench.location, route=self._route, states=OPEN_ORDERS)
        orders.sort(key=lambda order: (BY_URGENCY.index(order.kind), order.ordered_us, order.id))
        tickets = (self._ticket(order) for order in orders[:QUEUE_SHOWN])
        return [ticket for ticket in tickets if ticket is not None and not ticket.is_done]

    def ticket(self, order_id: str) -> Ticket:
        """The order, if it is open here. Raises Refuse."""
        order = self._bench.stock.order(order_id)
        if (
            order is None
            or order.location != self._bench.location
            or order.route is not self._route
            or order.state not in OPEN_ORDERS
        ):
            raise Refuse(StepReason.ORDER_GONE, found=order_id)
        self._bench.product(order.product)
        ticket = self._ticket(order)
        if ticket is None or ticket.is_done:
            raise Refuse(StepReason.ORDER_GONE, found=order_id)
        return ticket

    def _ticket(self, order: Order) -> Ticket | None:
        """None for a product that the catalogue here lacks: its row comes with the next delta."""
        product = self._bench.stock.product(order.product)
        if product is None:
            return None
        items = sorted(self._bench.stock.items_of_order(order.id), key=lambda item: item.code)
        return Ticket(
            order=order,
            product=product,
            locked=tuple(item for item in items if item.state is State.LOCKED),
            given=sum(item.state is State.DISPENSED for item in items),
        )
