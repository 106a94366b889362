"""What was frozen (冻结) leaves quarantine: out for good, or back to where it was. Two people decide (A16)."""

import msgspec

from central.errors import ConflictError, InvalidError, NotFoundError
from central.ledger.transaction import Transaction
from central.ledger.write import Ledger
from central.stock.people import require_two
from sync_protocol.facts import MAX_CODES, Fact, How, What
from sync_protocol.items import State


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What two people want done with frozen items, and why."""

    codes: tuple[str, ...]
    operator: str
    witness: str
    reason: str


class Quarantine:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def write_off(self, decision: Decision) -> None:
        """Take frozen items out for good. Raises InvalidError, NotFoundError, ConflictError: then nothing was done."""
        self._ledger.commit(lambda transaction: _decide(transaction, What.WRITTEN_OFF, decision))

    async def release(self, decision: Decision) -> None:
        """Let frozen items go back to where they were, unless a recall holds them. As ``write_off``."""
        self._ledger.commit(lambda transaction: _decide(transaction, What.RELEASED, decision))


def _decide(transaction: Transaction, what: What, decision: Decision) -> None:
    codes = decision.codes
    if not 1 <= len(codes) <= MAX_CODES:
        raise InvalidError("codes", f"{len(codes)} codes", f"1 to {MAX_CODES} codes", "choose at least one")
    if not decision.reason:
        raise InvalidError("reason", "nothing", "why", "whoever looks at it later must understand it")
    require_two(transaction, decision.operator, decision.witness)
    transaction.load(codes)
    for code in codes:
        _refuse(transaction, what, code)
    fact = Fact(
        what=what,
        codes=codes,
        at=transaction.moment(),
        operator=decision.operator,
        witness=decision.witness,
        how=How.CONSOLE,
        reason=decision.reason,
    )
    folded = transaction.record(fact)
    assert not folded.outcome.refusals, "a frozen item may be written off or released by two people"


def _refuse(transaction: Transaction, what: What, code: str) -> None:
    item = transaction.stock.get(code)
    if item is None:
        raise NotFoundError("codes", code, "a code that the ledger knows")
    if item.state is not State.FROZEN:
        raise ConflictError("codes", f"{code}, {item.state}", "a frozen item", "somebody was quicker: look again")
    recall = transaction.recalls.of(item) if what is What.RELEASED else None
    if recall is not None:
        found = f"{code}, recalled by {recall.id}"
        raise ConflictError("codes", found, "an item not recalled", "lift the recall first")
