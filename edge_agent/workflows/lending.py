"""Loans (借药): a ward gets the drug at once, its order comes later. It is billed when central has bound the two."""

import msgspec

from edge_agent.notify import Change
from edge_agent.workflows.bench import Act, Bench
from edge_agent.workflows.picking import Pick, ask, done, of_box
from edge_agent.workflows.verdicts import Deed, Refuse, Step, StepReason, Verdict
from sync_protocol.codes import Code
from sync_protocol.facts import How, What
from sync_protocol.items import State

_FREE = (State.IN_STOCK,)


class Lending:
    """The seat's choice is the ward that borrows."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def wards(self) -> list[str]:
        """Wards that order here, by name."""
        return self._bench.stock.wards(location=self._bench.location)

    def pick(self, pick_id: str) -> Pick:
        """Units of an opened box, or the box itself where two people must lend it. Raises Refuse."""
        return of_box(self._bench, pick_id, _FREE, needs_witness=True)

    async def scan(self, code: Code, act: Act, choice: str) -> Verdict:
        """Lend one box, or ask how many units of an opened one. Raises Refuse, or the recorder's errors."""
        self._refuse_no_ward(choice)
        item = self._bench.item_here(code)
        self._bench.refuse_recalled(item)
        if item.state is State.LOCKED:  # it lies there, but it is planned for a patient
            raise Refuse(StepReason.LOCKED_AWAY, found=item.order)
        if item.state is State.OPENED or item.is_controlled:
            return ask(Step.LEND, item, self.pick(item.code))
        return await self._record((item.code,), act, choice, how=How.SCAN)

    async def take(self, pick_id: str, quantity: int, act: Act, choice: str) -> Verdict:
        """Lend so many units. Raises Refuse, or the recorder's errors."""
        self._refuse_no_ward(choice)
        return await self._record(self.pick(pick_id).first(quantity), act, choice, how=How.CONSOLE)

    async def _record(self, codes: tuple[str, ...], act: Act, ward: str, *, how: How) -> Verdict:
        fact = self._bench.fact(What.LENT, codes, act, how=how, location=ward)
        await self._bench.recorder.record(fact)
        self._bench.notifier.publish(Change.STOCK)
        verdict = done(self._bench, Step.LEND, codes, place=ward)
        return msgspec.structs.replace(verdict, deed=Deed(person=act.operator, facts=(fact,)))

    def _refuse_no_ward(self, choice: str) -> None:
        if not choice:
            raise Refuse(StepReason.NO_WARD_CHOSEN)
