"""Pre-scan (预扫描登记): a box is registered before it is opened and becomes its units. No stock of units before."""

from edge_agent.workflows.bench import Act, Bench
from edge_agent.workflows.verdicts import Refuse, Result, Step, StepReason, Verdict
from sync_protocol.codes import Code
from sync_protocol.facts import What
from sync_protocol.items import Kind


class Prescan:
    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    async def scan(self, code: Code, act: Act) -> Verdict:
        """Open one box of a split drug. Raises Refuse, or the recorder's own errors."""
        item = self._bench.item_here(code)
        product = self._bench.product(item.product)
        if item.kind is Kind.BOX and not product.is_split:
            raise Refuse(StepReason.NOT_SPLIT, found=product.id)
        fact = self._bench.fact(What.PRESCANNED, (item.code,), act, product=product.id, units=product.units)
        await self._bench.recorder.record(fact)
        return Verdict(
            result=Result.DONE,
            step=Step.PRESCAN,
            code=item.code,
            product=product,
            lot=item.lot,
            expiry=item.expiry,
            units=product.units,
        )
