"""What central does by itself: notes, orders, cancellations, freezes. Its acts are facts of the device ``central``."""

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any

from central.ledger.transaction import Transaction
from sync_protocol.facts import Fact, How, What
from sync_protocol.items import Item, Kind, State
from tests.simulation.centrals import Centrals
from tests.simulation.plan import Decision
from tests.simulation.workplace import pick
from tests.simulation.world import Order, World

EXPIRY = dt.date(2090, 12, 31)
_LIVE = {State.IN_STOCK, State.LOCKED, State.TAKEN, State.IN_TRANSIT, State.OPENED}


class Office:
    def __init__(self, centrals: Centrals, locations: Sequence[str], physical: World) -> None:
        self._centrals = centrals
        self._locations = locations
        self._world = physical
        self._boxes = 0

    def knows(self, decision: Decision) -> bool:
        return hasattr(self, f"_{decision.what}")

    def do(self, decision: Decision) -> None:
        if self._centrals.main.process is not None:
            act: Callable[[Decision], None] = getattr(self, f"_{decision.what}")
            act(decision)

    def _announce(self, decision: Decision) -> None:
        location = self._locations[int(decision.pick * len(self._locations))]
        count = 1 + int(decision.more * 4)
        codes = tuple(f"8100042000000{self._boxes + n:07d}" for n in range(count))
        self._boxes += count
        note = f"n{self._boxes}"
        self._world.announce(note, location, codes, units=2 + int(decision.more * 97) % 7)
        self._record(
            What.ANNOUNCED,
            codes,
            document=note,
            location=location,
            product="aspirin",
            lot="L1",
            expiry=EXPIRY,
            kind=Kind.BOX,
            how=How.MESSAGE,
        )

    def _order(self, decision: Decision) -> None:
        """An order locks what is in stock at one place; not while agents still give back what the ledger lacks."""
        process = self._centrals.main.process
        if process is None or process.ledger.is_refilling:
            return
        location = self._locations[int(decision.more * 10) % len(self._locations)]
        free = [
            item.code
            for item in self._centrals.main.books.items().values()
            if item.state is State.IN_STOCK and item.location == location and item.kind is Kind.UNIT
        ]
        first = pick(range(len(free)), decision.pick)
        if first is None:
            return
        codes = tuple(free[first : first + 1 + int(decision.more * 4)])
        order = f"o{len(self._world.orders) + 1}"
        self._world.orders[order] = Order(id=order, location=location, codes=codes)
        self._record(What.LOCKED, codes, order=order, how=How.AUTOMATIC)

    def _cancel(self, decision: Decision) -> None:
        order = pick(list(self._world.orders.values())[-10:], decision.pick)
        if order is None:
            return
        items = self._centrals.main.books.items()
        locked = tuple(
            code
            for code in order.codes
            if code in items and items[code].state is State.LOCKED and items[code].order == order.id
        )
        if locked:
            self._record(What.UNLOCKED, locked, order=order.id, how=How.MESSAGE)

    def _freeze(self, decision: Decision) -> None:
        self._about(decision, _LIVE, What.FROZEN)

    def _release(self, decision: Decision) -> None:
        self._about(decision, {State.FROZEN}, What.RELEASED)

    def _destroy(self, decision: Decision) -> None:
        """Written off at the console: whoever has it in hand finds out later."""
        codes = self._about(decision, _LIVE, What.WRITTEN_OFF)
        self._world.doubtful.update(codes)

    def _about(self, decision: Decision, states: set[State], what: What) -> tuple[str, ...]:
        items: list[Item] = [item for item in self._centrals.main.books.items().values() if item.state in states]
        item = pick(items, decision.pick)
        if item is None:
            return ()
        self._record(what, (item.code,), reason="recall of the lot", how=How.CONSOLE)
        return (item.code,)

    def _record(self, what: What, codes: tuple[str, ...], **fields: Any) -> None:
        def work(transaction: Transaction) -> None:
            folded = transaction.record(Fact(what=what, codes=codes, at=transaction.moment(), **fields))
            assert not folded.outcome.refusals, "central acts on its own committed state"

        self._centrals.main.act(work)
