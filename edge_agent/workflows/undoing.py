"""Undo (撤销): who handed out or lent by mistake says so, soon and at the same seat. New facts; nothing is deleted.

Only her own last step there, once: nothing was given after all, so the order waits again, the loan is none. A box that
was opened by a late scan stays open. What refuses a return refuses this, too. Damage, receipts and counts have ways of
their own, with two people or at the console.
"""

from edge_agent.notify import Change
from edge_agent.workflows.bench import Act, Bench
from edge_agent.workflows.verdicts import Refuse, Result, StepReason, Verdict
from sync_protocol.facts import UNDONE, Fact, How, What
from sync_protocol.lifecycle import Reason, check

WITHIN_S = 600
_BACK = {What.DISPENSED: What.RETURNED, What.LENT: What.GIVEN_BACK}


class Undoing:
    """Of one seat."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._last: Verdict | None = None
        self._until_us = 0

    def forget(self) -> None:
        self._last = None

    def note(self, verdict: Verdict) -> None:
        """What the seat has answered: the last step that was recorded is the one to undo, if it is of such a kind."""
        if verdict.result is Result.DONE:
            self._last = verdict
            self._until_us = self._now_us() + WITHIN_S * 1_000_000

    def offer(self, person: str) -> Verdict | None:
        """The step that a person can undo now."""
        last = self._last
        if last is None or last.deed is None or last.product is None:
            return None
        if last.deed.person != person or self._now_us() >= self._until_us:
            return None
        facts = self._facts(last, Act(operator=person, source=""))
        items = self._bench.stock.items({code for fact in facts for code in fact.codes})
        is_out = all(check(items.get(code), fact, code) is None for fact in facts for code in fact.codes)
        return last if is_out else None

    async def undo(self, number: int, act: Act) -> Verdict:
        """Undo the step of that verdict. Raises Refuse, or the recorder's errors."""
        step = self.offer(act.operator)
        if step is None or step.number != number:
            raise Refuse(StepReason.NOTHING_TO_UNDO)
        if needs_witness(step) and act.is_alone:
            raise Refuse(Reason.SECOND_PERSON, found=act.witness)
        await self._bench.recorder.record(*self._facts(step, act))
        self._bench.notifier.publish(Change.ORDERS, Change.STOCK)
        return Verdict(
            result=Result.DONE,
            step=step.step,
            code=step.code,
            product=step.product,
            lot=step.lot,
            expiry=step.expiry,
            units=step.units,
            order=step.order,
            place=step.place,
            is_undone=True,
        )

    def _facts(self, step: Verdict, act: Act) -> list[Fact]:
        return [
            self._bench.fact(_BACK[fact.what], fact.codes, act, how=How.CONSOLE, order=fact.order, reason=UNDONE)
            for fact in (step.deed.facts if step.deed is not None else ())
        ]

    def _now_us(self) -> int:
        return self._bench.recorder.moment().mono_us


def needs_witness(step: Verdict) -> bool:
    """It left before two people, and it is there again before two people."""
    return step.product is not None and step.product.is_controlled
