"""After everything has healed: is all of it there, once, everywhere, and where the ledger says it is?"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from central.ledger.write import Ledger
from central.sync import lineage
from edge_agent.store.outgoing import unsent_lines
from sync_protocol.items import Item, State
from sync_protocol.machines.ingest import SessionState
from sync_protocol.machines.lineage import Finding
from tests.simulation import world
from tests.simulation.around import Around, spoken
from tests.simulation.books import Books
from tests.simulation.central_node import Process
from tests.simulation.centrals import Centrals
from tests.simulation.edge_node import EdgeNode
from tests.simulation.fleet_watch import FleetWatch
from tests.simulation.ledger_watch import LedgerWatch, Violation
from tests.simulation.recall_words import last_words

_LOST = re.compile(rf"{lineage.LOST}: (\d+)")
_FORKS = {"session_fork", "journal_restored", "journal_lost", "chain_conflict"}
_STATES = {
    "dock": {State.EXPECTED, State.FROZEN},
    "at": {State.IN_STOCK, State.LOCKED, State.FROZEN},
    "hands": {State.TAKEN, State.FROZEN},
    "transit": {State.IN_TRANSIT, State.FROZEN},
    world.PATIENT: {State.DISPENSED},
    world.TRASH: {State.ABNORMAL},
    world.OPENED: {State.OPENED, State.FROZEN},
}
"""What an item may be in the ledger, by where it physically is."""


class EndWatch:
    def __init__(self, around: Around, nodes: Sequence[EdgeNode], centrals: Centrals, fleet: FleetWatch) -> None:
        self._around = around
        self._nodes = nodes
        self._centrals = centrals
        self._fleet = fleet

    def missing(self) -> str:
        """What is not yet as it must be in the end; empty: nothing."""
        central = self._centrals.main
        if central.process is None or central.line is None:
            return "central is not connected"
        if central.process.refill.is_on:
            return f"central waits for {central.process.refill.waiting_for}"
        ledger = central.process.ledger
        for node in self._nodes:
            found = self._missing_at(node, ledger)
            if found:
                return f"{node.name} {found}"
        return self._missing_recalls(central.process)

    def _missing_recalls(self, central: Process) -> str:
        """I5: every word that any disk or the ledger holds is held everywhere, and central knows it."""
        version = central.office.version
        own = self._around.truth.recall_sets.get(version)
        sets = [own] if own is not None else []
        words = last_words([*sets, *(one for node in self._nodes for one in node.recalls.sets.values())])
        if last_words(sets) != words:
            return f"central's recall set {version} lacks some of {sorted(words)}"
        for node in self._nodes:
            if node.recalls.version != version:
                return f"{node.name} holds recall set {node.recalls.version} of {version}"
            process = node.process
            held = {recall.id for recall in process.held.active} if process is not None else set()
            if held != {word.id for word in words.values() if word.is_active}:
                return f"{node.name} has {sorted(held)} in force of {sorted(words)}"
            if not self._has_twin(node):
                known = central.agents._agents[node.client_id].recall_version
                if known != version:
                    return f"{node.name} holds recall set {version}, by central's knowledge {known}"
        return ""

    def _missing_at(self, node: EdgeNode, ledger: Ledger) -> str:
        process = node.process
        if process is None:
            return "does not run"
        journal, replica = process.stores.journal, process.stores.replica
        if replica.incarnation != ledger.incarnation:
            return f"has the replica of incarnation {replica.incarnation}, central is {ledger.incarnation}"
        if replica.version != ledger.version:
            return f"is at version {replica.version} of {ledger.version}"
        if not self._has_twin(node) and self._fleet.still_drifted(node, process):
            return f"still shows {len(node.drifted)} items that drifted"
        if unsent_lines(journal):
            return "still has facts to send"
        hidden = len(process.stores.overlay())
        return f"still hides {hidden} items of the replica" if hidden else ""

    def _has_twin(self, node: EdgeNode) -> bool:
        """Two machines of one name take each other's connection for ever: neither hears an answer out."""
        return sum(other.client_id == node.client_id for other in self._nodes) > 1

    @property
    def _ledger(self) -> LedgerWatch:
        return self._centrals.main.watch

    @property
    def _books(self) -> Books:
        return self._ledger.books

    def blamed(self) -> set[str]:
        """Devices that the work list says to have an old or a copied disk."""
        return {misfit.device for misfit in self._ledger.life.misfits if misfit.reason in _FORKS}

    def look(self) -> None:
        """Raises Violation."""
        self._ledger.look()
        self._check_nothing_lost()
        for node in self._nodes:
            assert node.process is not None, "nothing is missing any more"
            self._fleet.check_replica(node, node.process)
        self._check_copies()
        self._check_drifts()
        self._check_losses()
        self._check_items()
        self._check_world()
        things = self._around.world.things
        self._ledger.check_conservation({code: thing.units for code, thing in things.items()})

    def _check_nothing_lost(self) -> None:
        """I1: every fact on a disk that still exists is in the ledger."""
        truth = self._around.truth
        for known in truth.facts:
            if self._ledger.life.held.get(known.id) is not known and known not in truth.lost:
                raise Violation("I1", f"{spoken(known.id)} was recorded and is not in the ledger")

    def _check_copies(self) -> None:
        """I7: an old or copied disk that today's rules can prove is on the work list, and no other is."""
        blamed = self.blamed()
        innocent = blamed - self._around.truth.copied - self._around.truth.wiped
        if innocent:
            raise Violation("I7", f"{sorted(innocent)} are blamed for a copied disk, and have only one")
        children: dict[bytes, int] = {}
        sessions = self._books.sessions()
        self._check_beginnings(sessions.values())
        for session, state in sessions.items():
            parent = state.start.parent_session
            if parent and state.through:
                children[parent] = children.get(parent, 0) + 1
                if children[parent] > 1 and state.start.device not in blamed:
                    raise Violation("I7", f"{session.hex()[:6]} is a second child of one parent, and nobody was told")

        for session, state in sessions.items():
            start = state.start
            older = sessions.get(start.parent_session)
            if older is not None and older.through > start.parent_seq and start.device not in blamed:
                raise Violation("I7", f"{session.hex()[:6]} follows an old disk, and nobody was told")

    def _check_beginnings(self, sessions: Iterable[SessionState]) -> None:
        """A journal begins once: each further beginning of a device is a disk that is gone (fault 14)."""
        begun = Counter(state.start.device for state in sessions if not state.start.parent_session)
        gone = Counter(one.device for one in self._ledger.life.misfits if one.reason == Finding.LOST)
        for device, beginnings in begun.items():
            if beginnings - 1 > gone[device] and device not in self._around.truth.resumed:
                raise Violation("I7", f"{device} began {beginnings} times, and {gone[device]} lost disks are reported")

    def _check_drifts(self) -> None:
        """REQ-06: replicas are compared at one and the same version, so that none is blamed that is right."""
        innocent = self._books.drifted() - self._around.truth.drifted
        if innocent:
            raise Violation("REQ-06", f"the replicas of {sorted(innocent)} are said to have drifted, and never did")

    def _check_losses(self) -> None:
        """Facts that went with a disk, and that central was told of, are counted on the work list (faults 12 and 14).

        Not for two computers of one name: what the one told is forgotten when the other speaks.
        """
        truth, life = self._around.truth, self._ledger.life
        names = Counter(node.client_id for node in self._nodes)
        lost: Counter[str] = Counter()
        for known in truth.facts:
            identity = known.id
            told = life.told.get(identity.device, {}).get(identity.session, 0)
            is_single = names[identity.device] == 1 and identity.device not in truth.resumed
            if known in truth.lost and is_single and identity.seq <= told and identity not in life.where:
                lost[identity.device] += 1
        counted: Counter[str] = Counter()
        for misfit in life.misfits:
            if misfit.reason in _FORKS:
                counted[misfit.device] += sum(int(count) for count in _LOST.findall(misfit.found))
        for device, count in lost.items():
            if counted[device] < count:
                raise Violation("I1", f"{device} told of {count} facts that are lost, {counted[device]} are reported")

    def _check_items(self) -> None:
        """I2: every item is in the state that the facts of the ledger make, each taken once and in order."""
        cells = self._ledger.life.oracle.cells
        items = self._books.items()
        if cells.keys() != items.keys():
            raise Violation("I2", f"items that the ledger or the oracle lacks: {sorted(cells.keys() ^ items.keys())}")
        for code, item in items.items():
            cell = cells[code]
            found = (item.state, item.location, item.order, item.document)
            expected = (cell.state, cell.location, cell.order, cell.document)
            if found != expected:
                raise Violation("I2", f"{code} is {found} in the ledger, {expected} by the oracle")

    def _check_world(self) -> None:
        """I4: where nothing was doubtful, the ledger says of every thing where it is."""
        ledger = self._ledger.life
        doubtful = self._around.world.doubtful | ledger.excepted | ledger.unsure | self._lost_codes()
        items = self._books.items()
        for code, thing in self._around.world.things.items():
            if code in doubtful or code.partition("#")[0] in doubtful:
                continue
            kind, _, location = thing.place.partition(":")
            item = items.get(code)
            if item is None:
                if kind != "dock":
                    raise Violation("I4", f"{code} is physically at {thing.place} and unknown to the ledger")
                continue
            if not _agrees(item, kind, location):
                raise Violation(
                    "I4", f"{code} is physically at {thing.place}, in the ledger {item.state} {item.location}"
                )

    def _lost_codes(self) -> set[str]:
        """Items of facts that happened and never reached the ledger."""
        truth, held = self._around.truth, self._ledger.life.held
        gone = [known.fact for known in truth.facts if held.get(known.id) is not known]
        return {code for fact in gone if fact is not None for code in fact.codes}


def _agrees(item: Item, kind: str, location: str) -> bool:
    if item.state not in _STATES[kind]:
        return False
    return kind not in {"at", "transit"} or item.location == location
