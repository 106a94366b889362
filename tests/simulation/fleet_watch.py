"""Looks at the agents: is what they believe what the ledger says, and is nothing of their own hidden from them?"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from central.sync.inbox import OF_ONE
from sync_protocol.codec import MAX_MESSAGE
from sync_protocol.facts import FactId
from sync_protocol.items import Item
from sync_protocol.machines import credit
from sync_protocol.machines.uplink import WINDOW
from tests.simulation.around import Around, spoken
from tests.simulation.centrals import Centrals
from tests.simulation.edge_node import EdgeNode, Process
from tests.simulation.ledger_watch import Violation
from tests.simulation.life import Life, Lives
from tests.simulation.network import QUEUE
from tests.simulation.truth import Known

_WINDOW, _OF_ONE = WINDOW, OF_ONE
"""As shipped: mutants may change the machine's."""


class FleetWatch:
    def __init__(self, around: Around, nodes: Sequence[EdgeNode], centrals: Centrals, lives: Lives) -> None:
        self._centrals = centrals
        self._around = around
        self._nodes = nodes
        self._lives = lives
        self._turn = 0

    def look(self) -> None:
        """Cheap checks of every agent, and one agent's whole replica. Raises Violation."""
        for node in self._nodes:
            if node.process is not None:
                self._check_acks(node, node.process)
                self._check_own(node, node.process)
        self._turn += 1
        node = self._nodes[self._turn % len(self._nodes)]
        if node.process is not None:
            self.check_replica(node, node.process)
        self._check_rights()
        self._check_bounds()

    def check_replica(self, node: EdgeNode, process: Process) -> None:
        """REQ-05: a replica at version v shows every item as it was at v.

        Where a pull was cut into pages an item that changed again after v may still be in an older state.
        """
        replica, shown = process.stores.replica, process.stores.shown()
        lives = self._lives.of(replica.incarnation)
        flaws = [_flaw(life, replica.version, shown, node.drifted) for life in lives]
        if replica.version and not any(flaw == "" for flaw in flaws):
            flaw = flaws[0] if flaws else "no ledger ever had this incarnation"
            raise Violation("REQ-05", f"{node.name} at version {replica.version}: {flaw}")
        for life, flaw in zip(lives, flaws, strict=True):
            if not flaw:
                node.drifted -= _right(life, replica.version, shown, node.drifted)

    def still_drifted(self, node: EdgeNode, process: Process) -> bool:
        """REQ-06: whether rows that were changed behind the replica's back are still wrong."""
        if node.drifted:
            self.check_replica(node, process)
        return bool(node.drifted)

    def _check_acks(self, node: EdgeNode, process: Process) -> None:
        """REQ-01, I8: nothing is believed to be committed that is not, and belief never shrinks."""
        journal = process.stores.journal
        if journal.incarnation < node.met:
            raise Violation("REQ-03", f"{node.name} went from incarnation {node.met} to {journal.incarnation}")
        if journal.incarnation > node.met:
            node.met, node.acked = journal.incarnation, {}
        lives = self._lives.of(node.met)
        believed = {session: line.acked for session, line in journal.lines.items()}
        for session, sending in process.shell._uplink._lines.items():
            believed[session] = max(sending.acked, believed.get(session, 0))
        for session, acked in believed.items():
            pruned = journal.lines[session].base
            through = max((life.through(session) for life in lives), default=0)
            if acked > max(through, pruned):
                raise Violation(
                    "REQ-01", f"{node.name} believes {acked} facts of {session.hex()[:6]} acked, {through} are"
                )
        for session, line in journal.lines.items():
            if line.acked < node.acked.get(session, 0):
                raise Violation("I8", f"{node.name}: acked went from {node.acked[session]} back to {line.acked}")
            node.acked[session] = line.acked
            self._check_ack(node, session, line.acked, lives)
            safe = self._around.truth.safe.get(session, 0)
            if line.safe > safe:
                raise Violation(
                    "REQ-02", f"{node.name} believes {line.safe} facts of {session.hex()[:6]} safe, {safe} are"
                )

    def _check_ack(self, node: EdgeNode, session: bytes, acked: int, lives: Sequence[Life]) -> None:
        """REQ-04: what is acked is what this disk holds, and not what another life of the machine wrote there."""
        if not acked:
            return
        identity = FactId(device=node.client_id, session=session, seq=acked)
        known = node.own.get(identity)
        if known is not None and not any(life.held.get(identity, known) is known for life in lives):
            raise Violation("REQ-04", f"{node.name} believes {spoken(identity)} acked, and the ledger has another fact")

    def _check_rights(self) -> None:
        """REQ-08: at any moment one device at most may issue an item without asking.

        Two computers that are one device to central have each what the other gives back, until one is found out. Who
        never met the newer of two centrals, where people answered for it all the same, has what the older one gives it.
        """
        holders: dict[str, str] = {}
        for node in self._nodes:
            if node.process is None or node.client_id in self._around.truth.cloned:
                continue
            holding, now_us = node.process.rights.holding, node.process.clock.mono_us()
            if holding._incarnation < self._around.truth.answered.get(node.client_id, 0):
                continue
            for code in sorted(holding.codes):
                if holding.may_issue(code, now_us) and holders.setdefault(code, node.client_id) != node.client_id:
                    raise Violation("REQ-08", f"{code} may be issued by {holders[code]} and by {node.name}")

    def _check_own(self, node: EdgeNode, process: Process) -> None:
        """I3: what this device did to an item is never hidden from it by an older state."""
        stores = process.stores
        if stores.replica.incarnation != node.shown:
            node.shown = stores.replica.incarnation
            node.remember_touched()
        shown, version = stores.shown(), stores.replica.version
        lives = self._lives.of(node.shown)
        for code, known in list(node.touched.items()):
            if stores.touched_at(code) is not None or code in node.drifted:
                continue
            if code not in shown and process.shell._copy.whole_of(node.shown) is None:
                continue  # the replica was deleted and is not filled yet: unknown is not wrong
            if not self._is_shown(lives, code, known, shown.get(code), version):
                at = [life.where.get(known.id) for life in lives]
                raise Violation(
                    "I3",
                    f"{node.name} at {version} hides its own {_spoken(known)} on {code}, in the ledger at {at}",
                )
            del node.touched[code]

    def _is_shown(self, lives: Sequence[Life], code: str, known: Known, found: Item | None, version: int) -> bool:
        for life in lives:
            at = life.where[known.id] if life.held.get(known.id) is known else None
            if at is not None and at <= version and _is_past(life.history.get(code, []), found, at):
                return True
        return False

    def _check_bounds(self) -> None:
        """I10."""
        for node in self._nodes:
            if node.process is not None and len(node.process.shell._uplink._in_flight) > _WINDOW:
                raise Violation("I10", f"{node.name} has more than {_WINDOW} batches in flight")
            self._check_credit(node)
        if any(central.inbox.most_of_one > _OF_ONE for central in self._centrals.all):
            raise Violation("I10", "one device has more letters at central than its share")
        network = self._around.network
        if network.largest > MAX_MESSAGE:
            raise Violation("I10", f"a message of {network.largest} bytes")
        if max(network.waiting.values(), default=0) > QUEUE:
            raise Violation("I10", "the broker's queue is past its bound")

    def _check_credit(self, node: EdgeNode) -> None:
        """REQ-10: nobody sends past the credit that it has, but for one batch of what happens now."""
        if node.process is None:
            node.flying = node.credit = 0
            return
        uplink = node.process.shell._uplink
        most = max(credit.LEAST, min(credit.MOST, credit.ROOM))
        if uplink._is_welcome and uplink._credit > most:
            raise Violation("REQ-10", f"{node.name} has a credit of {uplink._credit}, nobody gets more than {most}")
        flying = sum(one.through - one.after for one in uplink._in_flight if one.session != uplink._current)
        is_same = node.process.stores.journal.start.session == node.writing
        node.writing = node.process.stores.journal.start.session
        # What it had at the last look it may have used before it got less.
        if is_same and flying > max(node.flying, node.credit, uplink._credit):
            raise Violation("REQ-10", f"{node.name} has {flying} facts in flight, its credit is {uplink._credit}")
        node.flying, node.credit = flying, uplink._credit


def _spoken(known: Known) -> str:
    return f"{spoken(known.id)} {known.fact.what if known.fact else 'unreadable'}"


def _flaw(life: Life, version: int, shown: Mapping[str, Item], drifted: AbstractSet[str]) -> str:
    """What is wrong in a replica at ``version`` of a ledger, but for what is known to have drifted; empty: nothing."""
    if version > life.seen_version:
        return f"the ledger is at {life.seen_version}"
    for code, states in life.history.items():
        expected = _at(states, version)
        found = shown.get(code)
        if found == expected or code in drifted:
            continue
        is_late = states[-1][0] > version and (found is None or any(found == item for _, item in states))
        if not is_late:
            return f"{code} is {_said(found)}, in the ledger {_said(expected)}"
    return ""


def _right(life: Life, version: int, shown: Mapping[str, Item], codes: AbstractSet[str]) -> set[str]:
    """Those of the items that a replica shows as the ledger had them."""
    return {code for code in codes if shown.get(code) == _at(life.history.get(code, []), version)}


def _at(states: list[tuple[int, Item]], version: int) -> Item | None:
    for at, item in reversed(states):
        if at <= version:
            return item
    return None


def _is_past(states: list[tuple[int, Item]], found: Item | None, version: int) -> bool:
    """Whether the item is shown in a state that it had at ``version`` or later."""
    if not states or states[0][0] > version:
        return True
    for n, (_, item) in enumerate(states):
        until = states[n + 1][0] if n + 1 < len(states) else None
        if item == found and (until is None or until > version):
            return True
    return False


def _said(item: Item | None) -> str:
    return "unknown" if item is None else f"{item.state} ({item.location}, {item.order or 'no order'})"
