"""After everything has healed: is all of it there, once, everywhere, and where the ledger says it is?"""

from collections.abc import Sequence

from edge_agent.store.outgoing import unsent_lines
from sync_protocol.items import Item, State
from tests.simulation import world
from tests.simulation.around import Around, spoken
from tests.simulation.books import Books
from tests.simulation.central_node import CentralNode
from tests.simulation.edge_node import EdgeNode
from tests.simulation.fleet_watch import FleetWatch
from tests.simulation.ledger_watch import LedgerWatch, Violation

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
    def __init__(
        self, around: Around, nodes: Sequence[EdgeNode], central: CentralNode, ledger: LedgerWatch, fleet: FleetWatch
    ) -> None:
        self._around = around
        self._nodes = nodes
        self._central = central
        self._books: Books = central.books
        self._ledger = ledger
        self._fleet = fleet

    def missing(self) -> str:
        """What is not yet as it must be in the end; empty: nothing."""
        if self._central.process is None or self._central.line is None:
            return "central is not connected"
        version = self._books.version()
        for node in self._nodes:
            process = node.process
            if process is None:
                return f"{node.name} does not run"
            replica = process.stores.replica.version
            if replica != version:
                return f"{node.name} is at version {replica} of {version}"
            if node.client_id in self._around.truth.resumed:
                continue  # what it says in the session that it was in is no news to central
            if not self._has_twin(node) and self._fleet.still_drifted(node, process):
                return f"{node.name} still shows {len(node.drifted)} items that drifted"
            if unsent_lines(process.stores.journal):
                return f"{node.name} still has facts to send"
            if process.stores.overlay():
                return f"{node.name} still hides {len(process.stores.overlay())} items of the replica"
        return ""

    def _has_twin(self, node: EdgeNode) -> bool:
        """Two machines of one name take each other's connection for ever: neither hears an answer out."""
        return sum(other.client_id == node.client_id for other in self._nodes) > 1

    def blamed(self) -> set[str]:
        """Devices that the work list says to have an old or a copied disk."""
        return {misfit.device for misfit in self._ledger.misfits if misfit.reason in _FORKS}

    def look(self) -> None:
        """Raises Violation."""
        self._ledger.look()
        self._check_nothing_lost()
        for node in self._nodes:
            assert node.process is not None, "nothing is missing any more"
            self._fleet.check_replica(node, node.process)
        self._check_copies()
        self._check_drifts()
        self._check_items()
        self._check_world()
        things = self._around.world.things
        self._ledger.check_conservation({code: thing.units for code, thing in things.items()})

    def _check_nothing_lost(self) -> None:
        """I1: every fact on a disk that still exists is in the ledger."""
        truth = self._around.truth
        for identity in truth.facts:
            if identity in self._ledger.where or identity in truth.lost or identity.device in truth.resumed:
                continue
            raise Violation("I1", f"{spoken(identity)} was recorded and is not in the ledger")

    def _check_copies(self) -> None:
        """I7: an old or copied disk that today's rules can prove is on the work list, and no other is."""
        blamed = self.blamed()
        innocent = blamed - self._around.truth.copied
        if innocent:
            raise Violation("I7", f"{sorted(innocent)} are blamed for a copied disk, and have only one")
        children: dict[bytes, int] = {}
        for session, state in self._books.sessions().items():
            parent = state.start.parent_session
            if parent and state.through:
                children[parent] = children.get(parent, 0) + 1
                if children[parent] > 1 and state.start.device not in blamed:
                    raise Violation("I7", f"{session.hex()[:6]} is a second child of one parent, and nobody was told")

    def _check_drifts(self) -> None:
        """REQ-06: replicas are compared at one and the same version, so that none is blamed that is right."""
        innocent = self._books.drifted() - self._around.truth.drifted
        if innocent:
            raise Violation("REQ-06", f"the replicas of {sorted(innocent)} are said to have drifted, and never did")

    def _check_items(self) -> None:
        """I2: every item is in the state that the facts of the ledger make, each taken once and in order."""
        cells = self._ledger.oracle.cells
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
        ledger = self._ledger
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
        truth, held = self._around.truth, self._ledger.held
        lives = [(identity, known) for identity, known in truth.facts.items()]
        lives += [(identity, known) for identity, others in truth.other_lives.items() for known in others]
        gone = [known.fact for identity, known in lives if held.get(identity) is not known]
        return {code for fact in gone if fact is not None for code in fact.codes}


def _agrees(item: Item, kind: str, location: str) -> bool:
    if item.state not in _STATES[kind]:
        return False
    return kind not in {"at", "transit"} or item.location == location
