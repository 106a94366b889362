"""Steps that fit by chance: their device did not know that others had the item out meanwhile, and back.

Nobody misses a step on the way. What is taken from a cabinet that is cut off may be handed out at a station and come
back, and each of these facts fits the item that the ledger still has in stock. So does the taking when it is heard at
last, and the ledger then has in somebody's hands what lies on its shelf. Heard of in the other order, what came back is
on the shelf by the ledger, and may be in the hands of who took it from there. Whether it was taken before or after all
that no fact can tell, for clocks are evidence and no order: a person looks.
"""

from collections.abc import Mapping

from central.ledger.transaction import Folded, Transaction
from central.ledger.write import DEVICE
from sync_protocol.facts import What
from sync_protocol.items import State
from sync_protocol.lifecycle import MOVES, Reason, Refusal

_OUT = frozenset({State.TAKEN, State.LENT, State.DISPENSED, State.IN_TRANSIT})
_AWAY: Mapping[What, frozenset[State]] = {
    **{
        what: _OUT - MOVES[what].source
        for what in (What.TAKEN, What.PUT_BACK, What.LENT, What.GIVEN_BACK, What.RETURNED)
    },
    What.DISPENSED: frozenset({State.DISPENSED}),  # what was carried elsewhere meanwhile is handed out there
}
"""Where others lead an item away to from where such a step finds it. What brings it back may have been done, too."""


def doubt_overtaken(transaction: Transaction) -> None:
    """Consequence: a step stands, and is on the work list, if others led the item away after its check.

    A device whose replica was gone knew nothing: all that others did came after its check.
    """
    movers: dict[str, str] = {}
    versions = transaction.versions
    for folded in list(transaction.folded):
        fact, device = folded.fact, folded.facts.start.device
        if len(fact.codes) == 1:  # as most are, and nobody else had any to do with it
            code = fact.codes[0]
            is_alone = movers.setdefault(code, device) == device
            if is_alone and versions.get(code, 0) <= fact.checked_at:
                continue
        suspects = _suspects(transaction, folded, movers)
        if not suspects or fact.what not in _AWAY or device == DEVICE:
            continue
        for code, found in sorted(_overtakers(transaction, folded, suspects).items()):
            state = transaction.stock[code].state
            refusal = Refusal(code=code, what=fact.what, reason=Reason.OVERTAKEN, state=state, found=found)
            transaction.doubt(folded, refusal)


def _suspects(transaction: Transaction, folded: Folded, movers: dict[str, str]) -> set[str]:
    """Those of its codes that anybody changed since its device last knew of them: all others need no look.

    ``movers``: the one device whose facts of this commit were about a code so far; empty: several.
    """
    versions, device, seen = transaction.versions, folded.device, folded.fact.checked_at
    suspects = set()
    for code in folded.fact.codes:
        if movers.setdefault(code, device) != device:
            movers[code] = ""
            suspects.add(code)
        elif versions.get(code, 0) > seen:
            suspects.add(code)
    return suspects


def _overtakers(transaction: Transaction, folded: Folded, suspects: set[str]) -> Mapping[str, str]:
    """By code, what another device did last that led the item away or did the same, and which one."""
    fact = folded.fact
    fits = suspects - {refusal.code for refusal in folded.outcome.refusals}
    found = sorted(
        (position, code, f"{what}, {device}")
        for code, position, device, what in transaction.lives(fits, after=fact.checked_at)
        if position < folded.position and device != folded.device and _is_overtaker(fact.what, What(what))
    )
    return {code: by for _, code, by in found}


def _is_overtaker(what: What, other: What) -> bool:
    return other is what or MOVES[other].to in _AWAY[what]
