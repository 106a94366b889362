"""So many units out of several that no scan can tell apart: of an order, of an opened box, of a loan.

A person says how many, the step takes the first of them: which ones is the same to everybody but the books.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from edge_agent.workflows.bench import Act, Bench
from edge_agent.workflows.verdicts import Refuse, Result, Step, StepReason, Verdict
from sync_protocol.codes import Code
from sync_protocol.documents import Product
from sync_protocol.items import Item, State
from sync_protocol.subcode import sub_codes


class Pick(msgspec.Struct, frozen=True, kw_only=True):
    """What can be picked from. ``codes``: in the order in which they are taken; ``whose``: patient or ward."""

    id: str
    product: Product
    codes: tuple[str, ...]
    order: str = ""
    whose: str = ""
    needs_witness: bool = False
    needs_reason: bool = False

    def first(self, quantity: int) -> tuple[str, ...]:
        """Raises Refuse."""
        if not 1 <= quantity <= len(self.codes):
            raise Refuse(StepReason.WRONG_QUANTITY, found=str(quantity), expected=f"1 – {len(self.codes)}")
        return self.codes[:quantity]


class Task(Protocol):
    """A step beside the main way of a drug. ``choice``: what the seat chose for it beforehand, empty if nothing."""

    async def scan(self, code: Code, act: Act, choice: str) -> Verdict:
        """Answer one scan. Raises Refuse, or the recorder's errors."""

    async def take(self, pick_id: str, quantity: int, act: Act, choice: str) -> Verdict:
        """Record so many of a pick. Raises Refuse, or the recorder's errors."""

    def pick(self, pick_id: str) -> Pick:
        """What can be picked there now. Raises Refuse."""


def ask(step: Step, item: Item, pick: Pick) -> Verdict:
    """How many of them?"""
    verdict = Verdict(result=Result.PROGRESS, step=step, asks=pick.id, total=len(pick.codes))
    return verdict.on(item.code).about(item, pick.product)


def done(bench: Bench, step: Step, codes: tuple[str, ...], *, order: str = "", place: str = "") -> Verdict:
    """What was recorded of them; one code alone is named."""
    item = bench.stock.item(codes[0])
    product = bench.stock.product(item.product) if item else None
    verdict = Verdict(result=Result.DONE, step=step, units=len(codes), order=order, place=place)
    return verdict.on(codes[0] if len(codes) == 1 else "").about(item, product)


def of_box(bench: Bench, code: str, states: Sequence[State], *, needs_witness: bool = False) -> Pick:
    """The units of an opened box in some states; or the one box that is not opened. Raises Refuse.

    Those of the state that is named first come first, of each state the last one first.
    """
    item = bench.stock.item(code)
    if item is None or item.location != bench.location:
        raise Refuse(StepReason.PICK_GONE, found=code)
    product = bench.product(item.product)
    found: tuple[Item, ...] = (item,)
    if item.state is State.OPENED:
        units = bench.stock.items(sub_codes(item.code, item.units))
        found = tuple(units[each] for each in sorted(units, reverse=True))
    codes = tuple(each.code for state in states for each in found if each.state is state)
    if not codes:
        raise Refuse(StepReason.PICK_GONE, found=code)
    return Pick(id=code, product=product, codes=codes, needs_witness=needs_witness and product.is_controlled)
