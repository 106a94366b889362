"""Carries out what goes wrong. Everything that it breaks heals by itself after a while, or at the end of the faults."""

from collections.abc import Callable, Mapping, Sequence
from random import Random

import msgspec

from sync_protocol.facts import FactId
from sync_protocol.messages import AskRecalls
from tests.simulation.around import Around
from tests.simulation.centrals import Centrals
from tests.simulation.clocks import SUMMER_2026_US
from tests.simulation.edge_node import MISREAD, EdgeNode, Memory
from tests.simulation.media import Medium
from tests.simulation.plan import Decision
from tests.simulation.recall_words import Held
from tests.simulation.truth import Known

HOUR_US = 3_600_000_000
CENTURY_US = 100 * 365 * 24 * HOUR_US
SINCE_1970_US = 48 * HOUR_US
EDGE_POINTS = (
    "journal.write",
    "journal.sync",
    "journal.synced",
    "settle.write",
    "settle.synced",
    "forget.write",
    "forget.synced",
    "replica.write",
    "replica.written",
    "edge.send",
)
RARE_EDGE_POINTS = (
    "adopt.write",
    "adopt.synced",
    "again.write",
    "again.sync",
    "again.synced",
    "prune.write",
    "prune.synced",
    "rebuild.write",
    "swap.write",
    "swap.written",
    "recalls.write",
    "recalls.synced",
)
"""Where it comes seldom: they stay armed until then."""
CENTRAL_POINTS = ("ledger.write", "ledger.sync", "ledger.synced", "central.answer")
_Add = Callable[[EdgeNode, Medium, Mapping[FactId, Known]], None]


class Nemesis:
    """``add``: makes a second machine from a copy of a disk."""

    def __init__(
        self,
        nodes: Sequence[EdgeNode],
        centrals: Centrals,
        around: Around,
        add: _Add,
    ) -> None:
        self._nodes = nodes
        self._centrals = centrals
        self._around = around
        self._network = around.network
        self._scheduler = around.scheduler
        self._truth = around.truth
        self._add = add
        self._images: dict[str, tuple[Medium, dict[FactId, Known], set[str], Held, Memory | None]] = {}

    def do(self, decision: Decision) -> None:
        act: Callable[[EdgeNode, Decision], None] = getattr(self, f"_{decision.what}")
        act(self._nodes[decision.who % len(self._nodes)], decision)

    def _kill_edge(self, node: EdgeNode, decision: Decision) -> None:
        is_power = decision.more > 0.5
        node.death = (is_power, decision.long_us)
        point = int(decision.pick * len(EDGE_POINTS) * 1.3)
        if point < len(EDGE_POINTS):
            node.perils.arm(EDGE_POINTS[point], 1 + int(decision.more * 8) % 4)
        elif node.process is not None:
            node.die(is_power=is_power, down_us=decision.long_us)

    def _kill_rebuilding(self, node: EdgeNode, decision: Decision) -> None:
        node.death = (decision.more > 0.5, decision.long_us)
        node.perils.arm(RARE_EDGE_POINTS[int(decision.pick * len(RARE_EDGE_POINTS))], 1)

    def _kill_central(self, _node: EdgeNode, decision: Decision) -> None:
        is_power = decision.more > 0.5
        self._centrals.main.death = (is_power, decision.long_us)
        point = int(decision.pick * len(CENTRAL_POINTS) * 1.3)
        if point < len(CENTRAL_POINTS):
            self._centrals.main.perils.arm(CENTRAL_POINTS[point], 1 + int(decision.more * 8) % 4)
        elif self._centrals.main.process is not None:
            self._centrals.main.die(is_power=is_power, down_us=decision.long_us)

    def _pause(self, node: EdgeNode, decision: Decision) -> None:
        node.pause(self._scheduler.now_us + decision.long_us)

    def _partition(self, node: EdgeNode, decision: Decision) -> None:
        directions = ("u", "d", "ud")[int(decision.pick * 3)]
        self._network.block(node.name, directions, self._scheduler.now_us + decision.long_us)

    def _central_alone(self, _node: EdgeNode, decision: Decision) -> None:
        directions = ("u", "d", "ud")[int(decision.pick * 3)]
        self._network.block(self._centrals.main.name, directions, self._scheduler.now_us + decision.long_us)

    def _swizzle(self, _node: EdgeNode, decision: Decision) -> None:
        """Clog some lines and let them go in another order."""
        chance = Random(f"swizzle/{decision.pick}")
        names = [node.name for node in self._nodes] + [self._centrals.main.name]
        for name in chance.sample(names, chance.randint(1, len(names))):
            self._network.clog(name, self._scheduler.now_us + int(chance.random() * decision.long_us))

    def _kill_broker(self, _node: EdgeNode, decision: Decision) -> None:
        self._network.kill(self._scheduler.now_us + decision.long_us)

    def _clock(self, node: EdgeNode, decision: Decision) -> None:
        """A jump of up to a day, back to 1970 or to before it, or a quartz that runs wrong from the next start on."""
        node.skew_us = int((decision.pick - 0.5) * 48 * HOUR_US)
        if decision.more > 0.9:
            node.skew_us = -CENTURY_US if decision.more > 0.95 else SINCE_1970_US - SUMMER_2026_US
        node.drift = (decision.more - 0.5) * 0.0004
        if node.process is not None:
            node.process.clock.skew_us = node.skew_us

    def _cut_line(self, node: EdgeNode, decision: Decision) -> None:
        self._network.block(node.name, "ud", self._scheduler.now_us + decision.long_us)
        self._network.cut(node)

    def _jam(self, node: EdgeNode, decision: Decision) -> None:
        """The line is up, and too much waits for it already."""
        node.is_jammed_until_us = self._scheduler.now_us + decision.long_us

    def _flood(self, node: EdgeNode, decision: Decision) -> None:
        """A device that has gone wild says the same over and over, signed with its own key."""
        for _ in range(20 + int(decision.pick * 200)):
            node.chatter(AskRecalls())

    def _drift(self, node: EdgeNode, decision: Decision) -> None:
        """A row of the replica is not what was written there, or gone; nobody notices."""
        if node.process is None:
            return
        stores = node.process.stores
        codes = sorted(stores.shown().keys() - node.drifted - stores.overlay().keys())
        if not codes:
            return
        code = codes[int(decision.pick * len(codes))]
        item = stores.shown()[code]
        node.misread[code] = None if decision.more > 0.7 else msgspec.structs.replace(item, lot=item.lot + MISREAD)
        stores.drift(code, node.misread[code])
        node.drifted.add(code)
        self._truth.drifted.add(node.client_id)

    def _image(self, node: EdgeNode, decision: Decision) -> None:
        if node.is_in_doubt:
            return
        folder = self._around.folder / f"image-{node.name}-{decision.at_us}"
        medium = node.medium.image(folder)
        self._images[node.name] = (medium, dict(node.own), set(node.drifted), node.recalls.image(), node.remember())

    def _restore(self, node: EdgeNode, decision: Decision) -> None:
        self._put_back(node, decision, is_woken=False)

    def _wake(self, node: EdgeNode, decision: Decision) -> None:
        """A machine goes on from a snapshot, in the session that it was in."""
        if node.name in self._images:
            self._truth.resumed.add(node.client_id)
            self._put_back(node, decision, is_woken=True)

    def _wipe(self, node: EdgeNode, decision: Decision) -> None:
        """The disk is dead: the workplace gets a new one, and all that it had not sent is gone."""
        if node.process is not None:
            node.die(is_power=False, down_us=decision.long_us)
        folder = self._around.folder / f"fresh-{node.name}-{decision.at_us}"
        self._truth.wiped.add(node.client_id)
        self._truth.lost.update(node.own.values())
        node.drifted, node.recalls = set(), Held()
        node.put_in(node.medium.fresh(folder), {})

    def _spoil_replica(self, node: EdgeNode, _decision: Decision) -> None:
        """A page of the copy cannot be read any more; whoever meets it says so."""
        if node.process is not None:
            node.process.stores.replica.is_damaged = True

    def _put_back(self, node: EdgeNode, decision: Decision, *, is_woken: bool) -> None:
        image = self._images.pop(node.name, None)
        if image is None:
            return
        if node.process is not None:
            node.die(is_power=False, down_us=decision.long_us)
        medium, own, node.drifted, node.recalls, memory = image
        self._truth.copied.add(node.client_id)
        self._truth.lost.update(set(node.own.values()) - set(own.values()))
        node.put_in(medium, own, memory if is_woken else None)

    def _clone(self, node: EdgeNode, decision: Decision) -> None:
        if node.is_in_doubt:
            return
        folder = self._around.folder / f"clone-{node.name}-{decision.at_us}"
        self._truth.copied.add(node.client_id)
        self._truth.cloned.add(node.client_id)
        self._add(node, node.medium.image(folder), dict(node.own))
