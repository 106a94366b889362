"""One run: a fleet built from a plan, faults on, then faults off, looked at all the while."""

import contextlib
import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
import structlog

from central.sync import appending, early, ingest, publish, relief
from central.sync import comparing as rounds
from edge_agent.sync import comparing, settling
from sync_protocol.facts import FactId
from sync_protocol.machines import credit, downlink, grants, holding, sharing, uplink
from sync_protocol.machines.grants import Grants
from tests.simulation.around import Around
from tests.simulation.books import Books
from tests.simulation.central_nemesis import CentralNemesis
from tests.simulation.central_node import CentralNode
from tests.simulation.centrals import Centrals
from tests.simulation.dict_books import DictBooks
from tests.simulation.dict_stores import DictMedium
from tests.simulation.edge_node import EdgeNode
from tests.simulation.end_watch import EndWatch
from tests.simulation.fleet_watch import FleetWatch
from tests.simulation.lease_watch import LeaseWatch, watched
from tests.simulation.ledger_watch import LedgerWatch, Violation
from tests.simulation.life import Lives
from tests.simulation.media import Medium
from tests.simulation.nemesis import Nemesis
from tests.simulation.network import CENTRAL, Network
from tests.simulation.office import Office
from tests.simulation.perils import Killed
from tests.simulation.plan import JAMS, Bounds, Decision, Plan
from tests.simulation.recalling import Recalling
from tests.simulation.scheduler import MINUTE_US, SECOND_US, Scheduler
from tests.simulation.truth import Known, Truth
from tests.simulation.workplace import Workplaces
from tests.simulation.world import World

LOOK_EVERY = 100
"""Events between two looks."""
HEAL_US = 20 * MINUTE_US
"""Virtual time in which everything must be well once the faults are off."""
MOST_EVENTS = 400_000
"""A run that does more is a storm."""
_SETTLED_EVERY = 20


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """``rule``: what did not hold, empty if all did.

    ``lost``: facts that went with a disk that was replaced; ``unseen``: those of them whose device is not on the work
    list, because nothing that central heard shows that they ever were.
    """

    seed: int
    rule: str
    detail: str
    events: int
    facts: int
    exceptions: int
    lost: int
    unseen: int
    virtual_us: int
    trace_hash: str


class Simulation:
    """``name``: the director, to whom decisions happen."""

    name = "director"

    def __init__(self, plan: Plan, folder: Path, *, store: str, trace: Callable[[str], None] | None) -> None:
        self.plan = plan
        self._store = store
        self.scheduler = Scheduler(plan.seed, trace)
        self.network = Network(self.scheduler, plan.seed)
        self.network.weather = plan.weather
        self.around = Around(
            seed=plan.seed,
            scheduler=self.scheduler,
            network=self.network,
            world=World(),
            truth=Truth(),
            folder=folder,
            keep_us=plan.keep_us,
            busy=plan.busy,
        )
        locations = [f"ward-{n}" for n in range(plan.locations)]
        books = DictBooks(self.around.snapshots) if store == "dict" else _file_books(folder / "central")
        lives = Lives()
        self.central = CentralNode(CENTRAL, LedgerWatch(books, self.around.truth, lives), self.around)
        self.centrals = Centrals(self.central)
        self.network.attach(self.central, is_central=True)
        self.nodes: list[EdgeNode] = []
        for n in range(plan.edges):
            self._add(f"edge-{n}", f"edge-{n}", locations[n % len(locations)], self._medium(n))
        self._fleet_watch = FleetWatch(self.around, self.nodes, self.centrals, lives)
        self._end_watch = EndWatch(self.around, self.nodes, self.centrals, self._fleet_watch)
        self.lease_watch = LeaseWatch(self.around.truth, self._end_watch.blamed)
        self.around.on_recorded.append(self.lease_watch.recorded)
        self._workplaces = Workplaces(self.nodes, locations, self.around.world)
        self._office = Office(self.centrals, locations, self.around.world)
        self._recalling = Recalling(self.centrals)
        self._nemesis = Nemesis(self.nodes, self.centrals, self.around, self._add_clone)
        self._central_nemesis = CentralNemesis(self.centrals, self.around, lives, is_pruned=plan.keep_us > 0)
        self._next_look = LOOK_EVERY

    def run(self) -> None:
        """Raises Violation."""
        self.scheduler.at(0, self.central, "boot")
        for decision in self.plan.decisions:
            self.scheduler.at(decision.at_us, self, decision.what, decision)
        self.scheduler.run(int(self.plan.minutes * MINUTE_US), most=MOST_EVENTS, each=self._look_now_and_then)
        self._check_storm()
        self._heal()
        self._await_all(HEAL_US, "everything healed")
        if set(JAMS) & set(self.plan.nemeses):
            self._jam_all()
            self._await_all(HEAL_US, "the lines were full for a second")
        self._end_watch.look()
        life = self.centrals.main.watch.life
        self.lease_watch.look(life.excepted, life.held)

    def close(self) -> None:
        for node in self.nodes:
            if node.process is not None:
                node.process.stores.close()
        self.centrals.close()

    def report(self, rule: str, detail: str) -> Report:
        truth = self.around.truth
        life = self.centrals.main.watch.life
        lost = [known for known in truth.lost if life.held.get(known.id) is not known]
        blamed = self._end_watch.blamed()
        return Report(
            seed=self.plan.seed,
            rule=rule,
            detail=detail,
            events=self.scheduler.events,
            facts=len(truth.facts),
            exceptions=len(life.misfits),
            lost=len(lost),
            unseen=sum(known.id.device not in blamed for known in lost),
            virtual_us=self.scheduler.now_us,
            trace_hash=self.scheduler.trace_hash,
        )

    def on(self, kind: str, arg: Any) -> None:  # noqa: ARG002 -- the decision says its own kind
        decision: Decision = arg
        if self._workplaces.knows(decision):
            self._workplaces.do(decision)
        elif self._office.knows(decision):
            self._office.do(decision)
        elif self._recalling.knows(decision):
            self._recalling.do(decision)
        elif self._central_nemesis.knows(decision):
            self._central_nemesis.do(decision)
        else:
            self._nemesis.do(decision)

    def _medium(self, n: int) -> Medium:
        if self._store == "dict":
            return DictMedium()
        medium: Medium = _files().FileMedium(self.around.folder / f"edge-{n}")
        return medium

    def _add(self, name: str, device: str, location: str, medium: Medium) -> EdgeNode:
        node = EdgeNode(name, device, location, medium, self.around)
        self.nodes.append(node)
        self.network.attach(node)
        self.scheduler.at(self.scheduler.now_us, node, "boot")
        return node

    def _add_clone(self, of: EdgeNode, medium: Medium, own: Mapping[FactId, Known]) -> None:
        clone = self._add(f"{of.client_id}-copy-{len(self.nodes)}", of.client_id, of.location, medium)
        clone.own, clone.drifted, clone.recalls = dict(own), set(of.drifted), of.recalls.image()

    def _await_all(self, most_us: int, since: str) -> None:
        """Raises Violation.

        Two computers of one name take each other's line for ever, and few facts go up in each turn: they have the time
        again as often as it brought any.
        """
        began_us, life = self.scheduler.now_us, self.centrals.main.watch.life
        may_go_on, missing = True, ""
        while may_go_on:
            held = life.position
            self.scheduler.run(self.scheduler.now_us + most_us, most=MOST_EVENTS, each=self._is_well)
            self._look()
            missing = self._end_watch.missing()
            may_go_on = missing != "" and bool(self.around.truth.cloned) and life.position > held
        if missing:
            took = (self.scheduler.now_us - began_us) // MINUTE_US
            raise Violation("liveness", f"{took} minutes after {since} {missing}")

    def _jam_all(self) -> None:
        """Somebody counts while the line is full, and nothing else happens any more."""
        now_us = self.scheduler.now_us
        for n, node in enumerate(self.nodes):
            node.is_jammed_until_us = now_us + SECOND_US
            self.on("count", Decision(now_us, "count", n, 0.5, 0.5))

    def _look_now_and_then(self) -> bool:
        if self.scheduler.events >= self._next_look:
            self._next_look = self.scheduler.events + LOOK_EVERY
            self._look()
        return False

    def _look(self) -> None:
        self.centrals.look()
        self._fleet_watch.look()

    def _is_well(self) -> bool:
        self._look_now_and_then()
        return self.scheduler.events % _SETTLED_EVERY == 0 and not self._end_watch.missing()

    def _check_storm(self) -> None:
        if self.scheduler.events >= MOST_EVENTS:
            raise Violation(
                "I10", f"{self.scheduler.events} events in {self.scheduler.now_us / SECOND_US:.0f} s: a storm"
            )

    def _heal(self) -> None:
        self.network.heal()
        self.around.busy = 0.0
        for node in self.nodes:
            node.heal()
        self._central_nemesis.heal()


def _files() -> Any:
    """Imported when asked for: it brings the shipped stores with their database libraries."""
    from tests.simulation import files  # noqa: PLC0415

    return files


def _file_books(folder: Path) -> Books:
    from tests.simulation.file_books import FileBooks  # noqa: PLC0415

    return FileBooks(folder)


def run_plan(
    plan: Plan,
    *,
    store: str = "dict",
    trace: Callable[[str], None] | None = None,
    arm: Callable[[Simulation], None] | None = None,
) -> Report:
    """``arm``: changes the simulation before it runs (a mutant)."""
    with contextlib.ExitStack() as stack:
        folder = Path()
        if store != "dict":
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=_memory(), prefix="simulation-")))
        stack.enter_context(quiet())
        stack.enter_context(bounded(plan.bounds))
        simulation = Simulation(plan, folder, store=store, trace=trace)
        looked_at = watched(Grants.handle, simulation.lease_watch.given)
        stack.enter_context(mock.patch.object(Grants, "handle", looked_at))
        if arm is not None:
            arm(simulation)
        rule = detail = ""
        try:
            simulation.run()
        except Violation as violation:
            rule, detail = violation.rule, str(violation)
        except Killed as death:
            rule, detail = "Killed", f"a process died at {death} outside its node's turn, so that no node could go down"
        except Exception as error:  # noqa: BLE001 - task boundary: whatever the code under test raises is a finding
            rule, detail = f"{type(error).__name__}", _where(error)
        finally:
            simulation.close()
        return simulation.report(rule, detail)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Logs of ten thousand retries an hour help nobody."""
    before = structlog.get_config()
    structlog.configure(
        processors=[],
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL),
        logger_factory=structlog.ReturnLoggerFactory(),
        cache_logger_on_first_use=False,
    )
    try:
        yield
    finally:
        structlog.configure(**before)


@contextlib.contextmanager
def bounded(bounds: Bounds) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for module, name, value in (
            (uplink, "BATCH_FACTS", bounds.batch_facts),
            (ingest, "COALESCED", bounds.coalesced),
            (appending, "BUDGET", bounds.budget),
            (publish, "MAX_ROWS", bounds.delta_rows),
            (downlink, "GATHERED", bounds.gathered),
            (settling, "SLICE", bounds.settling_slice),
            (settling, "LINGER_US", bounds.linger_us),
            (settling, "LEAST_LINGER_US", bounds.linger_us),
            (uplink, "BACKLOG", bounds.backlog),
            (early, "SLICE", bounds.slice_early),
            (credit, "ROOM", bounds.room),
            (credit, "LEAST", bounds.least_credit),
            (sharing, "MOST_HELD", bounds.most_held),
            *((module, "SHARED", bounds.most_held // 2) for module in (sharing, relief)),
            *((module, "MOST_CLAIMED", bounds.most_held * 2) for module in (grants, holding)),
            (comparing, "PAUSE_S", 0.0),
            (rounds, "_PAUSE_S", 0.0),
        ):
            stack.enter_context(mock.patch.object(module, name, value))
        yield


def _memory() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def _where(error: Exception) -> str:
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    at = f"{Path(place.tb_frame.f_code.co_filename).name}:{place.tb_lineno}" if place is not None else "nowhere"
    return f"{type(error).__name__} at {at}: {error}"
