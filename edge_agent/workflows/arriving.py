"""Arrival (调拨接收): what another place issued is in stock here with its scan, and not before.

What nobody had scanned when it was issued is here all the same: two people say why, and both steps are recorded. What
comes back to the place that issued it was not issued after all.
"""

import msgspec

from edge_agent.notify import Change
from edge_agent.workflows.bench import Act, Bench
from edge_agent.workflows.picking import Pick
from edge_agent.workflows.transfers import Transfers
from edge_agent.workflows.verdicts import Refuse, Result, Step, StepReason, Verdict
from sync_protocol.codes import Code
from sync_protocol.documents import Transfer
from sync_protocol.facts import Fact, How, What
from sync_protocol.items import Item, Kind, State
from sync_protocol.lifecycle import Reason

_UNITS = "units:"


class Arriving:
    """The seat's choice, if any, is the requisition or transfer of a package that was not issued by a scan.

    A pick is of a document and of a package, or of the units of a product: both names, by a tilde.
    """

    def __init__(self, bench: Bench, transfers: Transfers) -> None:
        self._bench = bench
        self._transfers = transfers

    def pick(self, pick_id: str) -> Pick:
        """Units on the way here, a controlled package, or one that was not issued by a scan. Raises Refuse."""
        document, _, name = pick_id.partition("~")
        transfer = self._transfers.find(document)
        if transfer is None:
            raise Refuse(StepReason.TRANSFER_GONE, found=document)
        if name.startswith(_UNITS):
            return self._units(transfer, name.removeprefix(_UNITS), pick_id)
        item = self._bench.stock.item(name)
        if item is None or item.location == self._bench.location != transfer.target:
            raise Refuse(StepReason.PICK_GONE, found=name)
        is_issued = transfer.has_on_the_way(item)
        if not is_issued:
            self._refuse_other(transfer, item)
        product = self._bench.product(item.product)
        return Pick(
            id=pick_id,
            product=product,
            codes=(item.code,),
            order=document,
            whose=transfer.source,
            needs_witness=not is_issued or item.is_controlled,
            needs_reason=not is_issued,
        )

    async def scan(self, code: Code, act: Act, choice: str) -> Verdict:
        """Take in one package; ask for two people where it needs them. Raises Refuse, or the recorder's errors."""
        item = self._bench.item(code)
        if item.state is State.FROZEN and item.is_on_the_way:
            raise Refuse(Reason.FROZEN)
        if not item.is_on_the_way:
            return self._not_issued(item, choice)
        transfer = self._bench.stock.transfer(item.document)
        is_back = transfer is not None and transfer.source == self._bench.location
        if item.location != self._bench.location and not is_back:
            raise Refuse(StepReason.ON_ITS_WAY_ELSEWHERE, found=item.location)
        if item.is_controlled:
            return self._asked(item, f"{item.document}~{item.code}")
        return await self._record((item,), act, how=How.SCAN)

    async def take(self, pick_id: str, quantity: int, act: Act, _choice: str) -> Verdict:
        """Take in so many units, or the one package. Raises Refuse, or the recorder's errors."""
        pick = self.pick(pick_id)
        if pick.needs_reason:
            act.refuse_as_override()
        elif pick.needs_witness and act.is_alone:
            raise Refuse(Reason.SECOND_PERSON, found=act.witness)
        items = self._bench.stock.items(pick.first(quantity))
        how = How.CONSOLE if _UNITS in pick_id else How.SCAN
        found = tuple(items[code] for code in sorted(items))
        return await self._record(found, act, how=how, unissued_of=pick.order if pick.needs_reason else "")

    def _units(self, transfer: Transfer, product_id: str, pick_id: str) -> Pick:
        lines = self._transfers.progress(transfer).lines
        codes = [
            code
            for line in lines
            if (line.line.product, line.line.kind) == (product_id, Kind.UNIT)
            for code in line.going
        ]
        if not codes or transfer.target != self._bench.location:
            raise Refuse(StepReason.PICK_GONE, found=product_id)
        product = self._bench.product(product_id)
        return Pick(
            id=pick_id,
            product=product,
            codes=tuple(codes),
            order=transfer.id,
            whose=transfer.source,
            needs_witness=product.is_controlled,
        )

    def _not_issued(self, item: Item, choice: str) -> Verdict:
        transfer = self._transfers.find(choice) if choice else None
        if transfer is None or transfer.target != self._bench.location:
            if item.location == self._bench.location:
                raise Refuse(Reason.ALREADY_RECEIVED)
            raise Refuse(StepReason.NOT_ISSUED, found=item.location)
        self._refuse_other(transfer, item)
        return self._asked(item, f"{transfer.id}~{item.code}")

    def _refuse_other(self, transfer: Transfer, item: Item) -> None:
        """Whatever is not a free package of the place that was asked. Raises Refuse."""
        if item.location == self._bench.location:
            raise Refuse(Reason.ALREADY_RECEIVED)
        if item.location != transfer.source or item.state is not State.IN_STOCK:
            raise Refuse(StepReason.NOT_ISSUED, found=item.location)
        self._bench.refuse_recalled(item)

    def _asked(self, item: Item, pick_id: str) -> Verdict:
        pick = self.pick(pick_id)
        verdict = Verdict(result=Result.PROGRESS, step=Step.ARRIVE, asks=pick.id, document=pick.order, place=pick.whose)
        return verdict.on(item.code).about(item, pick.product)

    async def _record(self, items: tuple[Item, ...], act: Act, *, how: How, unissued_of: str = "") -> Verdict:
        one, document = items[0], unissued_of or items[0].document
        codes = tuple(item.code for item in items)
        steps = (What.TRANSFERRED_OUT, What.TRANSFERRED_IN) if unissued_of else (What.TRANSFERRED_IN,)
        await self._bench.recorder.record(*(self._fact(what, codes, act, how, document) for what in steps))
        self._bench.notifier.publish(Change.NOTES, Change.ORDERS, Change.STOCK)
        return self._verdict(document, one, codes)

    def _fact(self, what: What, codes: tuple[str, ...], act: Act, how: How, document: str) -> Fact:
        return self._bench.fact(what, codes, act, how=how, document=document, reason=act.reason.strip())

    def _verdict(self, document: str, one: Item, codes: tuple[str, ...]) -> Verdict:
        transfer = self._bench.stock.transfer(document)
        verdict = Verdict(result=Result.DONE, step=Step.ARRIVE, document=document, place=document, units=len(codes))
        if transfer is not None:
            progress = self._transfers.progress(transfer)
            verdict = msgspec.structs.replace(
                verdict,
                place="" if transfer.source == self._bench.location else transfer.source,
                done=progress.arrived,
                total=progress.arrived + progress.going,
            )
        product = self._bench.stock.product(one.product)
        return verdict.on(codes[0] if len(codes) == 1 else "").about(one, product)
