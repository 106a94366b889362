"""What people do at agents: each act looks at the physical world and at the screen, and records what was done."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from sync_protocol.codec import encode_fact
from sync_protocol.facts import Fact, How, What
from sync_protocol.items import Item, State
from tests.simulation import world
from tests.simulation.edge_node import EdgeNode
from tests.simulation.plan import Decision
from tests.simulation.world import World

HOT = 2.5
"""How strongly everybody reaches for the same things first: the skew that makes races."""
EMERGENCY = 0.9
_LOOKED_AT = 6
_RECENT = 12


class Workplaces:
    """``nodes``: agents by number; decisions name them modulo their count."""

    def __init__(self, nodes: Sequence[EdgeNode], locations: Sequence[str], physical: World) -> None:
        self._nodes = nodes
        self._locations = locations
        self._world = physical
        self._documents = 0

    def knows(self, decision: Decision) -> bool:
        return hasattr(self, f"_{decision.what}")

    def do(self, decision: Decision) -> None:
        node = self._nodes[decision.who % len(self._nodes)]
        if node.is_running:
            act: Callable[[EdgeNode, Decision], None] = getattr(self, f"_{decision.what}")
            act(node, decision)

    def _receive(self, node: EdgeNode, decision: Decision) -> None:
        waiting = set(self._world.at(world.dock(node.location)))
        notes = [
            (note, codes) for note, (_, codes) in self._world.notes.items() if any(code in waiting for code in codes)
        ]
        chosen = pick(notes, decision.pick)
        if chosen is not None:
            note, codes = chosen
            _record(node, _fact(node, What.RECEIVED, codes, document=note))

    def _prescan(self, node: EdgeNode, decision: Decision) -> None:
        box = self._seen(node, decision, State.IN_STOCK, lambda code: "#" not in code)
        if box is not None:
            units = self._world.things[box.code].units
            _record(node, _fact(node, What.PRESCANNED, (box.code,), units=units))

    def _hand_out(self, node: EdgeNode, decision: Decision) -> None:
        here = [order for order in self._world.orders.values() if order.location == node.location]
        order = pick(here[-_RECENT:], decision.pick)
        if order is None:
            return
        items = [item for code in order.codes if (item := _believed(node, code)) is not None]
        codes = tuple(item.code for item in items if item.state is State.LOCKED and item.order == order.id)
        if codes:
            count = max(1, round(decision.more * len(codes)))
            _issue(node, decision, _fact(node, What.DISPENSED, codes[:count], order=order.id))

    def _late_scan(self, node: EdgeNode, decision: Decision) -> None:
        first = self._seen(node, decision, State.IN_STOCK, lambda code: "#" in code)
        if first is None:
            return
        codes = [first.code]
        if decision.more > 0.6:
            second = self._seen(node, decision, State.IN_STOCK, lambda code: "#" in code and code != first.code)
            codes += [second.code] if second else []
        _issue(node, decision, _fact(node, What.DISPENSED, tuple(codes), how=How.LATE_SCAN))

    def _bring_back(self, node: EdgeNode, decision: Decision) -> None:
        code = pick(self._world.at(world.PATIENT), decision.pick)
        if code is not None:
            _record(node, _fact(node, What.RETURNED, (code,)))

    def _take(self, node: EdgeNode, decision: Decision) -> None:
        """A tag reader sees what is gone, whatever the screen says."""
        code = pick(self._world.at(world.shelf(node.location)), decision.pick)
        if code is not None:
            fact = _fact(node, What.TAKEN, (code,), how=How.RFID)
            _record(node, fact, is_physical=decision.more > 0.7)

    def _put_back(self, node: EdgeNode, decision: Decision) -> None:
        code = pick(self._world.at(world.hands(node.location)), decision.pick)
        if code is not None:
            fact = _fact(node, What.PUT_BACK, (code,), how=How.RFID)
            _record(node, fact, is_physical=decision.more > 0.5)

    def _send_off(self, node: EdgeNode, decision: Decision) -> None:
        others = [location for location in self._locations if location != node.location]
        item = self._seen(node, decision, State.IN_STOCK, lambda _code: True)
        if others and item is not None:
            self._documents += 1
            target = others[int(decision.more * len(others))]
            fact = _fact(node, What.TRANSFERRED_OUT, (item.code,), document=f"t{self._documents}")
            _record(node, msgspec.structs.replace(fact, location=target))

    def _arrive(self, node: EdgeNode, decision: Decision) -> None:
        """What came with the porter is here, also when the screen does not expect it yet."""
        code = pick(self._world.at(world.transit(node.location)), decision.pick)
        if code is not None:
            _record(node, _fact(node, What.TRANSFERRED_IN, (code,), document="porter"), is_physical=decision.more > 0.3)

    def _write_off(self, node: EdgeNode, decision: Decision) -> None:
        place = world.OPENED if decision.more > 0.8 else world.shelf(node.location)
        code = pick(self._world.at(place), decision.pick)
        if code is not None:
            _record(node, _fact(node, What.WRITTEN_OFF, (code,), reason="broken"))

    def _count(self, node: EdgeNode, decision: Decision) -> None:
        codes = self._world.at(world.shelf(node.location))[: 1 + int(decision.more * 5)]
        if codes:
            _record(node, _fact(node, What.COUNTED, tuple(codes)), is_physical=True)

    def _stocktake(self, node: EdgeNode, decision: Decision) -> None:
        """Many facts at once, in one commit; with the network away, a backlog."""
        codes = self._world.at(world.shelf(node.location))
        if codes:
            facts = [_fact(node, What.COUNTED, (codes[n % len(codes)],)) for n in range(decision.long_us)]
            node.record(facts, is_physical=True)

    def _again(self, node: EdgeNode, decision: Decision) -> None:
        """The same label is scanned a second time, here or at another station."""
        act = pick([fact for fact in self._world.acts[-_RECENT:] if fact.what is not What.COUNTED], decision.pick)
        if act is None:
            return
        is_sent_off = act.what is What.TRANSFERRED_OUT
        location = act.location if is_sent_off or not act.location else node.location
        fact = msgspec.structs.replace(act, at=node.moment(), location=location, checked_at=0)
        _record(node, fact, is_physical=decision.more > 0.9)

    def _unreadable(self, node: EdgeNode, decision: Decision) -> None:
        """Newer software wrote what this version does not know."""
        codes = self._world.at(world.shelf(node.location))
        if codes:
            fact = _fact(node, What.COUNTED, (codes[int(decision.pick * len(codes))],))
            body = encode_fact(fact).replace(b"counted", b"weighed", 1)
            node.record([fact], is_physical=True, bodies=[body])

    def _seen(self, node: EdgeNode, decision: Decision, state: State, suits: Callable[[str], bool]) -> Item | None:
        """A thing on the shelf here that the screen says is in the state."""
        codes = [code for code in self._world.at(world.shelf(node.location)) if suits(code)]
        first = _index(len(codes), decision.pick)
        for code in codes[first : first + _LOOKED_AT]:
            item = _believed(node, code)
            if item is not None and item.state is state:
                return item
        return None


def pick(choices: Sequence[Any], fraction: float) -> Any:
    """One of them, the first ones far more often than the last ones; None if there is none."""
    return choices[_index(len(choices), fraction)] if choices else None


def _index(count: int, fraction: float) -> int:
    return int(count * fraction**HOT)


def _believed(node: EdgeNode, code: str) -> Item | None:
    assert node.process is not None, "asked of a running agent only"
    return node.process.stores.item(code)


def _record(node: EdgeNode, fact: Fact, *, is_physical: bool = False) -> None:
    node.record([fact], is_physical=is_physical)


def _issue(node: EdgeNode, decision: Decision, fact: Fact) -> None:
    """Whoever may not issue it takes the way out of an emergency now and then."""
    if not node.record([fact], is_physical=False) and node.is_running and decision.more > EMERGENCY:
        witnessed = msgspec.structs.replace(fact, is_provisional=True, reason="emergency", witness="colleague")
        node.record([witnessed], is_physical=False)


def _fact(node: EdgeNode, what: What, codes: tuple[str, ...], **fields: Any) -> Fact:
    return Fact(
        what=what, codes=codes, at=node.moment(), operator="nurse", location=node.location, source=node.name, **fields
    )
