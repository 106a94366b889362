"""Hand-out (发药): no scan where units are locked, each box where boxes are, a late scan where nothing was pre-scanned.

No scan, no go (未扫码不执行): a step that needs scans is recorded by the last of them, and by nothing else.
"""

import msgspec

from edge_agent.errors import Refused
from edge_agent.notify import Change
from edge_agent.workflows.bench import Act, Bench
from edge_agent.workflows.orders import Need, Orders, Ticket
from edge_agent.workflows.verdicts import Refuse, Result, Step, StepReason, Verdict
from sync_protocol.codes import Code
from sync_protocol.facts import Fact, How, What
from sync_protocol.items import Item, Kind, State
from sync_protocol.lifecycle import Reason, check
from sync_protocol.subcode import sub_codes

TRAYS = 100


class HandOut:
    """Boxes scanned for an order lie in its tray until the last one completes it. Nothing is recorded before."""

    def __init__(self, bench: Bench, orders: Orders) -> None:
        self._bench = bench
        self._orders = orders
        self._trays: dict[str, dict[str, Item]] = {}

    def tray(self, order_id: str) -> tuple[str, ...]:
        """Codes of the boxes scanned so far."""
        return tuple(self._trays.get(order_id, ()))

    def order_of(self, code: Code) -> str:
        """The order that a scanned box is locked to, so that its scan alone chooses the order. Raises Refuse."""
        item = self._bench.item_here(code)
        if item.state is State.LOCKED and item.kind is Kind.BOX and item.order:
            return item.order
        if item.state is State.DISPENSED:
            raise Refuse(Reason.ALREADY_DISPENSED, found=item.order)
        raise Refuse(StepReason.NO_ORDER_CHOSEN, found=item.state)

    def progress(self, ticket: Ticket) -> tuple[int, int]:
        """Boxes scanned, and boxes needed as far as it can be known (boxes of a late scan may differ in size)."""
        done = len(self.tray(ticket.order.id))
        if ticket.need is Need.NOTHING:
            return 0, 0
        late = -(-ticket.short // ticket.product.units) if ticket.product.is_split else ticket.short
        return done, max(done, len(ticket.boxes) + late)

    async def scan(self, order_id: str, code: Code, act: Act) -> Verdict:
        """Put one box in the order's tray; the last hands the order out. Raises Refuse, or the recorder's errors."""
        ticket = self._orders.ticket(order_id)
        if ticket.need is Need.NOTHING:
            raise Refuse(StepReason.NEEDS_NO_SCAN, found=order_id)
        item = self._bench.item_here(code)
        tray = self._open(order_id)
        is_repeat = item.code in tray
        if not is_repeat:
            self._check(ticket, item, act.source)
            tray[item.code] = item
            self._bench.notifier.publish(Change.ORDERS)
        if self._is_complete(ticket):
            verdict = await self.finish(order_id, act)
        else:
            verdict = self._verdict(ticket, Result.REPEAT if is_repeat else Result.PROGRESS)
        return verdict.on(item.code).about(item, ticket.product)

    async def finish(self, order_id: str, act: Act) -> Verdict:
        """Hand out an order whose scans are all done, or that needs none. Raises Refuse, or the recorder's errors."""
        ticket = self._orders.ticket(order_id)
        tray = self._trays.get(order_id, {})
        if not self._is_complete(ticket):
            done, total = self.progress(ticket)
            missing = ", ".join(code for code in ticket.boxes if code not in tray)
            raise Refuse(StepReason.SCAN_MISSING, found=f"{done} / {total}", expected=missing)
        if ticket.product.is_controlled and act.witness in {"", act.operator}:
            raise Refuse(Reason.SECOND_PERSON, found=act.witness)
        facts = _facts_of(self._bench, ticket, tuple(tray.values()), act)
        try:
            await self._bench.recorder.record(*facts)
        except Refused as refused:
            # A box that no longer fits leaves the tray, so that another one can be scanned in its place.
            for refusal in refused.refusals:
                tray.pop(refusal.code, None)
            raise
        self._trays.pop(order_id, None)
        self._bench.notifier.publish(Change.ORDERS, Change.STOCK)
        verdict = self._verdict(ticket, Result.DONE)
        return msgspec.structs.replace(verdict, units=len(ticket.locked) + ticket.short, missing=(), done=verdict.total)

    def _check(self, ticket: Ticket, item: Item, source: str) -> None:
        """Object, code and order must agree; the first of them that does not is named."""
        order = ticket.order
        # The second person is asked for once, when the tray is complete.
        act = Act(operator="operator", witness="witness", source=source)
        is_late = bool(ticket.short) and item.code not in ticket.boxes and item.state is not State.LOCKED
        if is_late and ticket.product.is_split:
            units = ticket.product.units
            fact = self._bench.fact(What.PRESCANNED, (item.code,), act, product=order.product, units=units)
        else:
            how = How.LATE_SCAN if is_late else How.SCAN
            fact = self._bench.fact(What.DISPENSED, (item.code,), act, how=how, order=order.id, product=order.product)
        refusal = check(item, fact, item.code)
        if refusal is None:
            return
        is_free = refusal.reason is Reason.WRONG_STATE and item.state is State.IN_STOCK
        if is_free or refusal.reason is Reason.WRONG_ORDER:
            # A free box of the same product and lot is still not the one that was locked for the patient.
            raise Refuse(Reason.WRONG_ORDER, found=item.order or item.code, expected=", ".join(ticket.boxes))
        raise Refuse.by_lifecycle(refusal)

    def _is_complete(self, ticket: Ticket) -> bool:
        tray = self._trays.get(ticket.order.id, {})
        if any(code not in tray for code in ticket.boxes):
            return False
        late = [item for item in tray.values() if item.code not in ticket.boxes]
        units = ticket.product.units if ticket.product.is_split else 1
        return len(late) * units >= ticket.short

    def _open(self, order_id: str) -> dict[str, Item]:
        if order_id not in self._trays and len(self._trays) >= TRAYS:
            del self._trays[next(iter(self._trays))]
        return self._trays.setdefault(order_id, {})

    def _verdict(self, ticket: Ticket, result: Result) -> Verdict:
        done, total = self.progress(ticket)
        tray = self.tray(ticket.order.id)
        return Verdict(
            result=result,
            step=Step.LATE_SCAN if ticket.need is Need.LATE_SCANS else Step.HAND_OUT,
            product=ticket.product,
            order=ticket.order.id,
            done=done,
            total=total,
            missing=tuple(code for code in ticket.boxes if code not in tray),
        )


def _facts_of(bench: Bench, ticket: Ticket, tray: tuple[Item, ...], act: Act) -> list[Fact]:
    """The facts of one hand-out, to be recorded together: boxes opened now, what was locked, what is scanned late."""
    order, product = ticket.order, ticket.product
    locked = tuple(item.code for item in ticket.locked)
    late = tuple(item for item in tray if item.code not in locked)
    facts = []
    if product.is_split:
        facts += [
            bench.fact(What.PRESCANNED, (box.code,), act, product=product.id, units=product.units) for box in late
        ]
        units = [unit for box in late for unit in sub_codes(box.code, product.units)]
        late_codes = tuple(units[: ticket.short])
    else:
        late_codes = tuple(box.code for box in late)
    how = How.AUTOMATIC if product.is_split else How.SCAN
    for codes, evidence in ((locked, how), (late_codes, How.LATE_SCAN)):
        if codes:
            facts.append(bench.fact(What.DISPENSED, codes, act, how=evidence, order=order.id, product=product.id))
    return facts
