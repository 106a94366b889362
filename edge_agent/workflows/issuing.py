"""Issue (出库): what another place asked for goes there, each package by its scan, units of an opened box by number."""

import msgspec

from edge_agent.notify import Change
from edge_agent.workflows.bench import Act, Bench
from edge_agent.workflows.picking import Pick, of_box
from edge_agent.workflows.transfers import Transfers
from edge_agent.workflows.verdicts import Refuse, Result, Step, StepReason, Verdict
from sync_protocol.codes import Code
from sync_protocol.documents import Transfer
from sync_protocol.facts import How, What
from sync_protocol.items import Item, Kind, State
from sync_protocol.lifecycle import Reason

_FREE = (State.IN_STOCK,)


class Issuing:
    """The seat's choice is the requisition or transfer. A pick is of it and of a box: both names, by a tilde."""

    def __init__(self, bench: Bench, transfers: Transfers) -> None:
        self._bench = bench
        self._transfers = transfers

    def pick(self, pick_id: str) -> Pick:
        """Units of an opened box as far as they were asked for, or a box that two people must issue. Raises Refuse."""
        document, _, code = pick_id.partition("~")
        transfer = self._transfers.asked_of_here(document)
        pick = of_box(self._bench, code, _FREE, needs_witness=True)
        item = self._bench.stock.item(code)
        kind = Kind.UNIT if item is not None and item.state is State.OPENED else pick.product.kind
        open_ = self._open(transfer, pick.product.id, kind)
        codes = pick.codes[:open_] if kind is Kind.UNIT else pick.codes
        return msgspec.structs.replace(pick, id=pick_id, codes=codes, order=document, whose=transfer.target)

    async def scan(self, code: Code, act: Act, choice: str) -> Verdict:
        """Issue one package, or ask how many units of an opened box. Raises Refuse, or the recorder's errors."""
        transfer = self._transfers.asked_of_here(choice)
        item = self._bench.item(code)
        if transfer.has_on_the_way(item):
            return self._verdict(transfer, Result.REPEAT, item)
        self._check(transfer, self._bench.item_here(code))
        if item.state is State.OPENED or item.is_controlled:
            pick = self.pick(f"{transfer.id}~{item.code}")
            asked = Verdict(result=Result.PROGRESS, step=Step.ISSUE, asks=pick.id, document=transfer.id)
            return asked.on(item.code).about(item, pick.product)
        return await self._record(transfer, (item,), act, how=How.SCAN)

    async def take(self, pick_id: str, quantity: int, act: Act, _choice: str) -> Verdict:
        """Issue so many units, or the one box. Raises Refuse, or the recorder's errors."""
        pick = self.pick(pick_id)
        items = self._bench.stock.items(pick.first(quantity))
        transfer = self._transfers.asked_of_here(pick.order)
        how = How.SCAN if pick.codes == (pick_id.partition("~")[2],) else How.CONSOLE
        return await self._record(transfer, tuple(items[code] for code in sorted(items)), act, how=how)

    def _check(self, transfer: Transfer, item: Item) -> None:
        self._bench.refuse_recalled(item)
        if item.state is State.LOCKED:
            raise Refuse(StepReason.LOCKED_AWAY, found=item.order)
        if item.expiry < self._bench.today():
            raise Refuse(Reason.EXPIRED, found=item.expiry.isoformat())
        self._open(transfer, item.product, Kind.UNIT if item.state is State.OPENED else item.kind)

    def _open(self, transfer: Transfer, product: str, kind: Kind) -> int:
        """How many are still to go. Raises Refuse if none were asked for, or all have gone."""
        lines = self._transfers.progress(transfer).lines
        line = next((line for line in lines if (line.line.product, line.line.kind) == (product, kind)), None)
        if line is None or not line.line.quantity:
            raise Refuse(StepReason.NOT_ASKED_FOR, found=product)
        if not line.open:
            raise Refuse(StepReason.LINE_FULL, found=f"{len(line.codes)} / {line.line.quantity}")
        return line.open

    async def _record(self, transfer: Transfer, items: tuple[Item, ...], act: Act, *, how: How) -> Verdict:
        one, sooner = items[0], self._sooner(transfer, items[0])
        codes = tuple(item.code for item in items)
        fact = self._bench.fact(
            What.TRANSFERRED_OUT,
            codes,
            act,
            how=how,
            document=transfer.id,
            product=one.product,
            location=transfer.target,
        )
        await self._bench.recorder.record(fact)
        self._bench.notifier.publish(Change.NOTES, Change.STOCK)
        verdict = self._verdict(transfer, Result.DONE, one)
        return msgspec.structs.replace(verdict.on(codes[0] if len(codes) == 1 else ""), units=len(codes), sooner=sooner)

    def _sooner(self, transfer: Transfer, item: Item) -> str:
        """The lot that should go before the one in hand; empty: this one."""
        lines = self._transfers.progress(transfer).lines
        line = next(line for line in lines if (line.line.product, line.line.kind) == (item.product, item.kind))
        choice = self._transfers.choice(line.line, line.open)
        first = self._bench.stock.item(choice.codes[0]) if choice.codes else None
        if first is None or item.lot in choice.lots or first.expiry >= item.expiry:
            return ""
        return f"{first.lot} · {first.expiry.isoformat()}"

    def _verdict(self, transfer: Transfer, result: Result, item: Item) -> Verdict:
        progress = self._transfers.progress(transfer)
        verdict = Verdict(
            result=result,
            step=Step.ISSUE,
            document=transfer.id,
            place=transfer.target,
            done=progress.issued,
            total=progress.asked,
        )
        return verdict.on(item.code).about(item, self._bench.stock.product(item.product))
