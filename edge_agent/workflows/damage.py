"""Damage (破损): what is broken, spoilt or expired is frozen the moment it is registered.

It is out of the way of every patient at once; whether it goes out for good or comes back is decided at the console.
What no scanner reads is registered by the digits that are printed on it, and the word of two people.
"""

from enum import StrEnum

from edge_agent.notify import Change
from edge_agent.workflows.bench import Act, Bench
from edge_agent.workflows.picking import Pick, ask, done, of_box
from edge_agent.workflows.verdicts import Refuse, Step, StepReason, Verdict
from sync_protocol.codes import Code
from sync_protocol.facts import How, What
from sync_protocol.items import Item, State

# Of units that no scan tells apart it is one that lies on the shelf, before one that a ward has already.
_DAMAGEABLE = (
    State.IN_STOCK,
    State.AWAITING_PUT_BACK,
    State.LOCKED,
    State.TAKEN,
    State.LENT,
    State.IN_TRANSIT,
)
UNREAD = "~"
FEWEST_DIGITS = 6


class Harm(StrEnum):
    """What is wrong with it: the reason of the fact."""

    BROKEN = "broken"
    SPOILT = "spoilt"
    """Too warm, wet or dirty."""
    EXPIRED = "past_expiry"
    LABEL = "label_unreadable"
    SUSPECT = "suspect"
    """A doubt about its quality or where it comes from."""


class Damage:
    """The seat's choice is what is wrong."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def pick(self, pick_id: str) -> Pick:
        """Units of an opened box. Raises Refuse."""
        return of_box(self._bench, pick_id, _DAMAGEABLE)

    async def scan(self, code: Code, act: Act, choice: str) -> Verdict:
        """Freeze one box, or ask how many units of an opened one. Raises Refuse, or the recorder's errors."""
        harm = _harm(choice)
        item = self._bench.item_here(code)
        if item.state is State.OPENED:
            return ask(Step.DAMAGE, item, self.pick(item.code))
        return await self._record((item.code,), act, harm, how=How.SCAN)

    async def take(self, pick_id: str, quantity: int, act: Act, choice: str) -> Verdict:
        """Freeze so many units. Raises Refuse, or the recorder's errors.

        Of what cannot be read ``pick_id`` is ``UNREAD`` and its last digits: two people answer for which one it is, and
        of an opened box it is asked how many units.
        """
        harm = _harm(choice)
        if pick_id.startswith(UNREAD):
            item = self._item_ending(pick_id.removeprefix(UNREAD))
            if act.is_alone:
                raise Refuse(StepReason.TWO_PEOPLE, found=act.witness)
            if item.state is State.OPENED:
                return ask(Step.DAMAGE, item, self.pick(item.code))
            pick_id = item.code
        return await self._record(self.pick(pick_id).first(quantity), act, harm, how=How.CONSOLE)

    def _item_ending(self, digits: str) -> Item:
        """The one box or piece here whose code ends so. Raises Refuse."""
        digits = "".join(digits.split())
        if len(digits) < FEWEST_DIGITS or not (digits.isascii() and digits.isalnum()):
            raise Refuse(StepReason.TOO_FEW_DIGITS, found=digits, expected=f"≥ {FEWEST_DIGITS}")
        states = (*_DAMAGEABLE, State.OPENED)
        found = self._bench.stock.items_ending(self._bench.location, digits, states=states, limit=2)
        if not found:
            raise Refuse(StepReason.NONE_ENDS_SO, found=digits)
        if len(found) > 1:
            raise Refuse(StepReason.SEVERAL_END_SO, found=digits)
        return found[0]

    async def _record(self, codes: tuple[str, ...], act: Act, harm: Harm, *, how: How) -> Verdict:
        await self._bench.recorder.record(self._bench.fact(What.FROZEN, codes, act, how=how, reason=harm))
        self._bench.notifier.publish(Change.ORDERS, Change.STOCK)
        return done(self._bench, Step.DAMAGE, codes)


def _harm(choice: str) -> Harm:
    if choice not in set(Harm):
        raise Refuse(StepReason.NO_HARM_CHOSEN)
    return Harm(choice)
