"""Hand-out (发药): no scan where units are locked, each box where boxes are, a late scan where nothing was pre-scanned.

No scan, no go (未扫码不执行): a step that needs scans is recorded by the last of them, and by nothing else. The one way
around a code that cannot be read is the word of two people for that box: a fact of its own, with their reason (A11).
"""

import msgspec

from edge_agent.notify import Change
from edge_agent.workflows.bench import Act, Bench
from edge_agent.workflows.orders import Need, Orders, Ticket
from edge_agent.workflows.verdicts import Deed, Refuse, Result, Step, StepReason, Verdict
from sync_protocol.codes import Code
from sync_protocol.degraded import Allowance
from sync_protocol.facts import Fact, How, What
from sync_protocol.items import Item, Kind, State
from sync_protocol.lifecycle import Reason, check
from sync_protocol.subcode import sub_codes

TRAYS = 100


class Laid(msgspec.Struct, frozen=True, kw_only=True):
    """A box in a tray. ``override``: whose word stands in the place of its scan; None: it was scanned."""

    item: Item
    override: Act | None = None


class HandOut:
    """Boxes scanned for an order lie in its tray until the last one completes it. Nothing is recorded before."""

    def __init__(self, bench: Bench, orders: Orders) -> None:
        self._bench = bench
        self._orders = orders
        self._trays: dict[str, dict[str, Laid]] = {}

    def tray(self, ticket: Ticket) -> tuple[Laid, ...]:
        """The boxes laid in so far that still fit: what is locked may have changed since then."""
        tray = self._trays.get(ticket.order.id, {})
        for code, laid in tuple(tray.items()):
            item = self._bench.stock.item(code)
            is_free = item is not None and item.state is State.IN_STOCK
            is_recalled = item is not None and self._bench.is_recalled(item)
            is_late = bool(ticket.short) and is_free and laid.override is None
            if is_recalled or (code not in ticket.boxes and not is_late):
                del tray[code]
        return tuple(tray.values())

    def overridden(self, ticket: Ticket) -> tuple[str, ...]:
        """Boxes in the tray that count without a scan."""
        return tuple(laid.item.code for laid in self.tray(ticket) if laid.override is not None)

    def order_of(self, code: Code) -> str:
        """The order that a scanned box is locked to, so that its scan alone chooses the order. Raises Refuse."""
        item = self._bench.item_here(code)
        self._bench.refuse_recalled(item)
        if item.state is State.LOCKED and item.kind is Kind.BOX and item.order:
            return item.order
        if item.state is State.DISPENSED:
            raise Refuse(Reason.ALREADY_DISPENSED, found=item.order)
        raise Refuse(StepReason.NO_ORDER_CHOSEN, found=item.state)

    def progress(self, ticket: Ticket) -> tuple[int, int]:
        """Boxes scanned, and boxes needed as far as it can be known (boxes of a late scan may differ in size)."""
        done = len(self.tray(ticket))
        return done, max(done, len(ticket.boxes) + ticket.short_boxes)

    async def scan(self, order_id: str, code: Code, act: Act) -> Verdict:
        """Put one box in the order's tray; the last hands the order out. Raises Refuse, or the recorder's errors."""
        ticket = self._orders.ticket(order_id)
        if ticket.need is Need.NOTHING:
            raise Refuse(StepReason.NEEDS_NO_SCAN, found=order_id)
        return await self._lay(ticket, Laid(item=self._bench.item_here(code)), act)

    async def override(self, order_id: str, code: str, act: Act) -> Verdict:
        """Put a locked box in the tray whose code cannot be read. Raises Refuse, or the recorder's errors.

        For a late scan there is none: nothing says which code an unknown box bears.
        """
        ticket = self._orders.ticket(order_id)
        if ticket.need is Need.NOTHING:
            raise Refuse(StepReason.NEEDS_NO_SCAN, found=order_id)
        if code not in ticket.boxes:
            raise Refuse(Reason.WRONG_ORDER, found=code, expected=", ".join(ticket.boxes))
        act.refuse_as_override()
        item = next(item for item in ticket.locked if item.code == code)
        # Who vouches for one box signs for the others only where these need a second person too.
        witness = act.witness if self.needs_witness(ticket) else ""
        others = msgspec.structs.replace(act, witness=witness, reason="")
        return await self._lay(ticket, Laid(item=self._bench.here(item), override=act), others)

    async def _lay(self, ticket: Ticket, laid: Laid, act: Act) -> Verdict:
        """A scan takes the place of an override, but not the other way round."""
        item, order_id = laid.item, ticket.order.id
        self._bench.refuse_recalled(item)
        self._refuse_blocked(ticket)
        tray = self._open(order_id)
        before = tray.get(item.code)
        is_repeat = before is not None and (before.override is None or laid.override is not None)
        if not is_repeat:
            self._check(ticket, item, act.source)
            tray[item.code] = laid
            self._bench.notifier.publish(Change.ORDERS)
        if self._is_complete(ticket):
            verdict = await self.finish(order_id, act)
        else:
            verdict = self._verdict(ticket, Result.REPEAT if is_repeat else Result.PROGRESS)
        return verdict.on(item.code).about(item, ticket.product)

    async def finish(self, order_id: str, act: Act) -> Verdict:
        """Hand out an order whose scans are all done, or that needs none. Raises Refuse, or the recorder's errors."""
        ticket = self._orders.ticket(order_id)
        if not self._is_complete(ticket):
            done, total = self.progress(ticket)
            raise Refuse(StepReason.SCAN_MISSING, found=f"{done} / {total}", expected=", ".join(self._missing(ticket)))
        self._refuse_blocked(ticket)
        if act.is_alone and self.needs_witness(ticket):
            reason = Reason.SECOND_PERSON if ticket.product.is_controlled else Reason.OLD_COPY_SECOND_PERSON
            raise Refuse(reason, found=act.witness)
        if act.emergency and act.is_alone:
            raise Refuse(Reason.NO_EMERGENCY, found=act.witness)
        facts = _facts_of(self._bench, ticket, self.tray(ticket), act)
        await self._bench.recorder.record(*facts)
        self._trays.pop(order_id, None)
        self._bench.notifier.publish(Change.ORDERS, Change.STOCK)
        verdict = self._verdict(ticket, Result.DONE)
        deed = Deed(person=act.operator, facts=tuple(fact for fact in facts if fact.what is What.DISPENSED))
        units = len(ticket.locked) + ticket.short
        return msgspec.structs.replace(verdict, units=units, missing=(), done=verdict.total, deed=deed)

    def needs_witness(self, ticket: Ticket) -> bool:
        """A controlled drug always; any other while the copy of the ledger is so old that two people must answer."""
        return ticket.product.is_controlled or self._bench.allowance(ticket.product) is Allowance.WITNESS

    def _refuse_blocked(self, ticket: Ticket) -> None:
        if self._bench.allowance(ticket.product) is Allowance.BLOCK:
            raise Refuse(Reason.OLD_COPY)

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
        late = [laid for laid in self.tray(ticket) if laid.item.code not in ticket.boxes]
        return not self._missing(ticket) and len(late) >= ticket.short_boxes

    def _missing(self, ticket: Ticket) -> tuple[str, ...]:
        laid_in = {laid.item.code for laid in self.tray(ticket)}
        return tuple(code for code in ticket.boxes if code not in laid_in)

    def _open(self, order_id: str) -> dict[str, Laid]:
        if order_id not in self._trays and len(self._trays) >= TRAYS:
            del self._trays[next(iter(self._trays))]
        return self._trays.setdefault(order_id, {})

    def _verdict(self, ticket: Ticket, result: Result) -> Verdict:
        done, total = self.progress(ticket)
        return Verdict(
            result=result,
            step=Step.LATE_SCAN if ticket.need is Need.LATE_SCANS else Step.HAND_OUT,
            product=ticket.product,
            order=ticket.order.id,
            done=done,
            total=total,
            missing=self._missing(ticket),
        )


def _facts_of(bench: Bench, ticket: Ticket, tray: tuple[Laid, ...], act: Act) -> list[Fact]:
    """The facts of one hand-out, to be recorded together: boxes opened now, what was locked, what is scanned late.

    A box whose code could not be read is in a fact of its own, for which its two people stand.
    """
    order, product = ticket.order, ticket.product
    locked = tuple(item.code for item in ticket.locked)
    late = [laid.item for laid in tray if laid.item.code not in locked][: ticket.short_boxes]
    overrides = {laid.item.code: laid.override for laid in tray if laid.override is not None}
    facts = []
    if product.is_split:
        facts += [
            bench.fact(What.PRESCANNED, (box.code,), act, product=product.id, units=product.units) for box in late
        ]
        units = [unit for box in late for unit in sub_codes(box.code, product.units)]
        late_codes = tuple(units[: ticket.short])
    else:
        late_codes = tuple(box.code for box in late)
    named = tuple(code for code in locked if code not in overrides)
    evidence = How.AUTOMATIC if product.is_split else How.SCAN
    steps = [(named, evidence, act), (late_codes, How.LATE_SCAN, act)]
    steps += [((code,), How.CONSOLE, two) for code, two in overrides.items()]
    facts += [
        bench.fact(What.DISPENSED, codes, who, how=how, order=order.id, product=product.id, reason=who.reason)
        for codes, how, who in steps
        if codes
    ]
    if act.emergency:
        facts = [_provisional(fact, act.emergency) if fact.what is What.DISPENSED else fact for fact in facts]
    return facts


def _provisional(fact: Fact, why: str) -> Fact:
    reason = f"{fact.reason}; {why}" if fact.reason else why
    return msgspec.structs.replace(fact, is_provisional=True, reason=reason)
