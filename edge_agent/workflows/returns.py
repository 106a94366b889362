"""What comes back: from a patient (退药), from a ward that borrowed it, or because its order was cancelled.

Only what was handed out can come back, each once, under the code that it had: a box by its scan, units by number from
the order that they were handed out for.
"""

from edge_agent.notify import Change
from edge_agent.workflows.bench import Act, Bench
from edge_agent.workflows.picking import Pick, done
from edge_agent.workflows.verdicts import Refuse, Step, StepReason, Verdict
from sync_protocol.codes import Code
from sync_protocol.documents import Order
from sync_protocol.facts import How, What
from sync_protocol.items import Item, Kind, State

LOANS_AT_MOST = 2_000
ORDERS_SHOWN = 60
_BACK = {
    State.DISPENSED: What.RETURNED,
    State.LENT: What.GIVEN_BACK,
    State.AWAITING_PUT_BACK: What.PUT_BACK,
}
_LOAN = "loan:"


class Returns:
    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def picks(self) -> list[Pick]:
        """What units can come back from: loans first, then the orders last handed out here."""
        orders = self._bench.stock.recent_orders(location=self._bench.location, limit=ORDERS_SHOWN)
        found = (self._of_order(order) for order in orders)
        return [*self._loans().values(), *(pick for pick in found if pick is not None)]

    def is_order(self, text: str) -> bool:
        """Whether something was handed out for the order whose number was scanned."""
        order = self._bench.stock.order(text)
        return order is not None and self._of_order(order) is not None

    def pick(self, pick_id: str) -> Pick:
        """Raises Refuse."""
        if pick_id.startswith(_LOAN):
            pick = self._loans().get(pick_id)
        else:
            order = self._bench.stock.order(pick_id)
            pick = self._of_order(order) if order is not None else None
        if pick is None:
            raise Refuse(StepReason.PICK_GONE, found=pick_id.removeprefix(_LOAN))
        return pick

    async def scan(self, code: Code, act: Act, _choice: str) -> Verdict:
        """Take one box back, or one unit that has its sub-code on it. Raises Refuse, or the recorder's errors."""
        item = self._bench.item(code)
        if item.state is State.OPENED:
            raise Refuse(StepReason.UNITS_OF_ORDER, found=item.code)
        if item.state not in _BACK:
            raise Refuse(StepReason.NOT_OUT, found=item.state, expected=", ".join(_BACK))
        return await self._record(_BACK[item.state], (item,), act, how=How.SCAN)

    async def take(self, pick_id: str, quantity: int, act: Act, _choice: str) -> Verdict:
        """Take so many units back. Raises Refuse, or the recorder's errors."""
        pick = self.pick(pick_id)
        codes = pick.first(quantity)
        known = self._bench.stock.items(codes)
        items = tuple(known[code] for code in codes)
        return await self._record(_BACK[items[0].state], items, act, how=How.CONSOLE)

    async def _record(self, what: What, items: tuple[Item, ...], act: Act, *, how: How) -> Verdict:
        one = items[0]
        order = one.order if what is What.RETURNED else ""
        codes = tuple(item.code for item in items)
        await self._bench.recorder.record(self._bench.fact(what, codes, act, how=how, order=order))
        self._bench.notifier.publish(Change.ORDERS, Change.STOCK)
        return done(self._bench, Step.RETURN, codes, order=one.order)

    def _of_order(self, order: Order) -> Pick | None:
        """Units that are with the patient."""
        product = self._bench.stock.product(order.product)
        if product is None or not product.is_split or order.location != self._bench.location:
            return None
        items = self._bench.stock.items_of_order(order.id)
        codes = sorted((item.code for item in items if item.state is State.DISPENSED), reverse=True)
        if not codes:
            return None
        whose = f"{order.ward} · {order.patient}"
        return Pick(id=order.id, product=product, codes=tuple(codes), order=order.id, whose=whose)

    def _loans(self) -> dict[str, Pick]:
        """Units on loan, by ward and product."""
        lent = self._bench.stock.items_at(
            self._bench.location, states=(State.LENT,), kind=Kind.UNIT, limit=LOANS_AT_MOST
        )
        groups: dict[tuple[str, str], list[Item]] = {}
        for item in lent:
            groups.setdefault((item.holder, item.product), []).append(item)
        loans = {}
        for (ward, product_id), items in groups.items():
            product = self._bench.stock.product(product_id)
            if product is not None:
                pick_id = f"{_LOAN}{ward}:{product_id}"
                codes = tuple(item.code for item in reversed(items))
                loans[pick_id] = Pick(id=pick_id, product=product, codes=codes, whose=ward)
        return loans
