"""What an automated dispensing cabinet (自动药柜) has vended gets its codes and becomes a fact of this place (A12).

The machine knows the drug, not the code. It says what it has vended when it has: that is recorded whatever the books
say, at once and without a network. Codes locked to the order go first, then unallocated ones: first expiry first, from
as few boxes as can be, rather those that this place may issue without asking. A vend said again is recorded once.
"""

import asyncio

import msgspec

from edge_agent.notify import Change
from edge_agent.workflows.bench import Act, Bench
from edge_agent.workflows.choosing import Choosing
from edge_agent.workflows.verdicts import Refuse, StepReason
from sync_protocol.documents import Product
from sync_protocol.facts import MAX_CODES, Fact, How, What, is_coded, no_codes

REMEMBERED = 5_000
"""Vends that are told apart after a restart, and facts that are read for it."""
_NUMBER = "/"
"""Between the machine and its number of the vend, in the document of the fact."""


class Vend(msgspec.Struct, frozen=True, kw_only=True):
    """``id``: the machine's own number of it; ``quantity``: units of a split drug, else packages.

    ``order``, or ``ward`` for what goes before its order does (借药). ``operator``: who stood at the machine.
    """

    id: str
    machine: str
    product: str
    quantity: int
    operator: str
    order: str = ""
    ward: str = ""
    witness: str = ""


class Vended(msgspec.Struct, frozen=True, kw_only=True):
    """What was recorded of a vend. ``without_code``: how many nobody had brought into this place by a scan.

    ``reasons``: why central will put it on its work list, if it will.
    """

    vend: Vend
    codes: tuple[str, ...]
    at_us: int
    without_code: int = 0
    reasons: tuple[str, ...] = ()


class Vending:
    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._choosing = Choosing(bench)
        self._done: dict[str, Vended] | None = None
        self._doubtful: dict[str, str] = {}
        """Codes of vends that did not fit, each with the last of them: not chosen again."""
        self._one_at_a_time = asyncio.Lock()

    def last(self, limit: int) -> list[Vended]:
        """The newest first."""
        return list(reversed(self._known().values()))[:limit]

    async def record(self, vend: Vend) -> tuple[Vended, bool]:
        """What the vend is by the books, and whether it was said before. Raises Refuse, StoreError: say it again."""
        async with self._one_at_a_time:
            known, document = self._known(), f"{vend.machine}{_NUMBER}{vend.id}"
            if document in known:
                return known[document], True
            product = self._bench.product(vend.product)
            if not 1 <= vend.quantity <= MAX_CODES:
                raise Refuse(StepReason.WRONG_QUANTITY, found=str(vend.quantity), expected=f"1 – {MAX_CODES}")
            codes = await self._choose(vend, product)
            fact = self._fact(vend, document, codes)
            refusals = (await self._bench.recorder.observe(fact)).refusals
            vended = msgspec.structs.replace(_vended(vend, fact), reasons=tuple({one.reason for one in refusals}))
            self._remember(document, vended)
        self._bench.notifier.publish(Change.ORDERS, Change.STOCK, Change.VERDICTS)
        return vended, False

    async def _choose(self, vend: Vend, product: Product) -> tuple[str, ...]:
        """As many codes as were vended, and a mark in the place of each that is missing."""
        planned = self._choosing.planned(vend.order, product)[: vend.quantity]
        chosen = await self._choosing.free(product, vend.quantity - len(planned), without=self._doubtful)
        codes = (*planned, *chosen)
        return (*codes, *no_codes(f"{vend.machine}:{vend.id}", vend.quantity - len(codes)))

    def _fact(self, vend: Vend, document: str, codes: tuple[str, ...]) -> Fact:
        act = Act(operator=vend.operator, witness=vend.witness, source=vend.machine)
        what = What.DISPENSED if vend.order else What.LENT
        return self._bench.fact(
            what,
            codes,
            act,
            how=How.MACHINE,
            document=document,
            order=vend.order,
            product=vend.product,
            location=vend.ward if what is What.LENT else "",
        )

    def _known(self) -> dict[str, Vended]:
        """By machine and number, oldest first; after a restart from the journal."""
        if self._done is None:
            facts = self._bench.recorder.last(REMEMBERED)
            vends = (fact for fact in facts if fact.how is How.MACHINE and _NUMBER in fact.document)
            self._done = {fact.document: _vended(_vend_of(fact), fact) for fact in vends}
        return self._done

    def _remember(self, document: str, vended: Vended) -> None:
        known = self._known()
        if len(known) >= REMEMBERED:
            oldest = next(iter(known))
            for code in known.pop(oldest).codes:
                if self._doubtful.get(code) == oldest:
                    del self._doubtful[code]
        known[document] = vended
        if vended.reasons:
            self._doubtful |= dict.fromkeys(vended.codes, document)


def _vend_of(fact: Fact) -> Vend:
    machine, _, number = fact.document.partition(_NUMBER)
    return Vend(
        id=number,
        machine=machine,
        product=fact.product,
        quantity=len(fact.codes),
        operator=fact.operator,
        order=fact.order,
        ward=fact.location if fact.what is What.LENT else "",
        witness=fact.witness,
    )


def _vended(vend: Vend, fact: Fact) -> Vended:
    codes = tuple(code for code in fact.codes if is_coded(code))
    return Vended(vend=vend, codes=codes, at_us=fact.at.wall_us, without_code=len(fact.codes) - len(codes))
