"""Central: the ledger's disk, a line to the broker, and, while it runs, the shipped ingest and publisher."""

import dataclasses
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, cast

from central.errors import BusyError
from central.ledger.transaction import Transaction
from central.ledger.write import Ledger
from central.stock.overtaken import doubt_overtaken
from central.sync import inbox, ingest
from central.sync.agents import Agents
from central.sync.comparing import Comparing
from central.sync.early import Early
from central.sync.gate import Gate
from central.sync.greeting import Greeting
from central.sync.inbox import Inbox
from central.sync.ingest import Ingest
from central.sync.leases import Leases
from central.sync.lineage import Heard
from central.sync.publish import Publisher
from central.sync.pulls import Pulls
from central.sync.recalls import RecallLane
from central.sync.refill import Refill
from central.sync.safe import Safe
from sync_protocol import envelope, topics
from sync_protocol.codec import decode_up
from sync_protocol.envelope import Voice
from sync_protocol.machines.grants_events import Standing
from sync_protocol.messages import Batch, Hello
from tests.simulation.around import Around, session_of
from tests.simulation.books import Books
from tests.simulation.clocks import SUMMER_2026_US, SimClock
from tests.simulation.driving import drive
from tests.simulation.ledger_watch import LedgerWatch
from tests.simulation.life import Told
from tests.simulation.network import CENTRAL, Letter
from tests.simulation.perils import Killed, Perils
from tests.simulation.recall_office import RecallOffice
from tests.simulation.scheduler import SECOND_US
from tests.simulation.signing import ListedKeys, SimSecret
from tests.simulation.world import shelf

REDIAL_US = 3 * SECOND_US
TICK_US = SECOND_US
REFILL_S = 300.0
LEASE_S, MARGIN_S = 60.0, 2.0
COUNTED = 0.05
"""How likely it is in each second that people count what is in doubt."""
COMPARE_US = 120 * SECOND_US
_Append = Callable[[Ingest, list[Batch], Mapping[str, Heard]], Coroutine[Any, Any, tuple[list[Batch], set[bytes]]]]
_append = cast("_Append", Ingest._append.__wrapped__)


class UntiringIngest(Ingest):
    """The shipped ingest without the waits of its retries. ``is_busy``: says when all of them were in vain."""

    is_busy: Callable[[], bool]

    async def _append(  # type: ignore[override]  # without what the decorator adds
        self, batches: list[Batch], before: Mapping[str, Heard]
    ) -> tuple[list[Batch], set[bytes]]:
        if self.is_busy():
            raise BusyError("a backup holds the file")
        return await _append(self, batches, before)


@dataclasses.dataclass(kw_only=True)
class Process:
    ledger: Ledger
    publisher: Publisher
    ingest: Ingest
    agents: Agents
    refill: Refill
    recalls: RecallLane
    office: RecallOffice
    leases: Leases
    early: Early
    comparing: Comparing
    safe: Safe
    pulls: Pulls
    round_us: int
    """When replicas are compared with the ledger next."""


class CentralNode:
    """``watch`` is told of every commit, before anyone else.

    ``has_begun``: it has started since its ledger was put back, and goes on with that life whenever it starts again.
    """

    def __init__(self, name: str, watch: LedgerWatch, around: Around) -> None:
        self.name = self.client_id = name
        self.line: int | None = None
        self.watch = watch
        self.is_retired = False
        self.has_begun = False
        self.perils = Perils()
        self.process: Process | None = None
        self.death: tuple[bool, int] = (False, SECOND_US)
        self.work_us = (500, 3_000)
        self.around = around
        self._told: Told = {}
        self._keys = ListedKeys()
        self.inbox = Inbox()
        self._is_working = self._is_answering = False
        self._sessions = around.random(f"sessions/{name}")
        self._chance = around.random(name)
        self._disk = around.random(f"disk/{name}")
        self._full = around.random(f"busy/{name}")

    @property
    def books(self) -> Books:
        return self.watch.books

    @property
    def is_up(self) -> bool:
        return self.line is not None

    def send(self, topic: str, data: bytes) -> None:
        self.perils.point("central.answer")
        if topic == topics.RECALLS:
            self.around.network.publish(self, "recalls", "", data)
        elif topic == topics.BROADCAST:
            self.around.network.publish(self, "all", "", data)
        else:
            self.around.network.publish(self, "down", topic.rsplit("/", 2)[1], data)

    def on(self, kind: str, arg: Any) -> None:
        try:
            self._serve(kind, arg)
        except Killed:
            self.die(is_power=self.death[0], down_us=self.death[1])

    def act(self, work: Callable[[Transaction], None]) -> None:
        """One of central's own acts."""
        ledger = self.process.ledger if self.process is not None else None
        assert ledger is not None, "asked of a running central only"
        self.does(lambda: ledger.commit(work))

    def does(self, act: Callable[[], object]) -> None:
        """It may die of it."""
        try:
            act()
        except Killed:
            self.die(is_power=self.death[0], down_us=self.death[1])

    def retire(self) -> None:
        """Somebody switches it off for good."""
        self.is_retired = True
        if self.process is not None:
            self.die(is_power=False, down_us=0)

    def die(self, *, is_power: bool, down_us: int) -> None:
        self.books.crashed(self._disk, is_power=is_power)
        if self.process is not None:
            self.books.close()
            self.process = None
        self.perils.disarm()
        self.inbox = Inbox()
        self._is_working = self._is_answering = False
        self.around.network.left(self)
        self.around.scheduler.after(down_us, self, "boot")

    def _serve(self, kind: str, arg: Any) -> None:
        if kind == "boot":
            self._boot()
        elif kind == "hear":
            self._hear(arg)
        elif self.process is None:
            return
        elif kind == "work":
            self._work(self.process)
        elif kind == "answer":
            self._answer(self.process)
        elif kind == "tick":
            if arg is self.process:
                self._tick(self.process)
        elif kind == "dial":
            self._dial(self.process)
        elif kind == "cut":
            self.around.scheduler.after(REDIAL_US, self, "dial")

    def _boot(self) -> None:
        if self.process is not None or self.is_retired:
            return
        clock = SimClock(self.around.scheduler)
        ledger = self.books.open(clock, lambda: session_of(self._sessions), self.perils)
        self.has_begun = True
        self.watch.catch_up(self.books.version())  # a commit may have outlived the process that nobody heard it from
        ledger.follow(doubt_overtaken)
        ledger.listen(self.watch.saw)
        office = RecallOffice(ledger, self.around.truth)
        ledger.listen(office.committed)
        ledger.listen(lambda _committed: self.perils.point("ledger.synced"))
        secret = SimSecret(CENTRAL)
        voice = Voice(session_of(self._sessions), secret.sign, suite=secret.suite)
        publisher = self.books.publisher(ledger, self, voice, secret.public)
        ledger.listen(publisher.broadcast)
        agents = Agents(ledger)
        refill = Refill(ledger, agents, limit_s=REFILL_S, on_end=publisher.ring)
        recalls = RecallLane(ledger, office, agents, publisher)
        early = Early(ledger)
        comparing = self.books.comparing(ledger, publisher)
        greeting = Greeting(ledger, publisher, agents, refill, recalls, early=early, inbox=self.inbox)
        gate = Gate(ledger, self._keys, agents, publisher.refuse)
        leases = Leases(ledger, publisher, agents, early, term_s=LEASE_S, margin_s=MARGIN_S)
        pulls = Pulls(publisher, has_room=lambda: True)
        taking = UntiringIngest(
            ledger,
            self.inbox,
            publisher,
            agents,
            greeting,
            recalls=recalls,
            gate=gate,
            early=early,
            leases=leases,
            comparing=comparing,
            pulled=pulls.ask,
        )
        taking.is_busy = self._is_busy
        self.process = Process(
            ledger=ledger,
            publisher=publisher,
            ingest=taking,
            agents=agents,
            refill=refill,
            recalls=recalls,
            office=office,
            early=early,
            leases=leases,
            comparing=comparing,
            safe=self.books.safe(ledger, taking.tell),
            pulls=pulls,
            round_us=self.around.scheduler.now_us + COMPARE_US,
        )
        self._told = {device: dict(heads) for device, heads in self.watch.life.told.items()}
        self.around.scheduler.after(0, self, "dial")
        self.around.scheduler.after(TICK_US, self, "tick", self.process)

    def _dial(self, process: Process) -> None:
        if self.line is not None:
            return
        if self.around.network.connect(self):
            process.recalls.ring()
            process.publisher.ring()
        else:
            self.around.scheduler.after(REDIAL_US, self, "dial")

    def _tick(self, process: Process) -> None:
        """What the shipped tasks do once a second."""
        self.around.scheduler.after(TICK_US, self, "tick", process)
        process.agents._mark_silent(is_link_up=self.is_up)
        process.agents.write()
        self.watch.life.told = {device: dict(heads) for device, heads in self._told.items()}
        if process.refill.is_on:
            process.refill._end_if_due()
            if self.around.scheduler.now_us + SUMMER_2026_US >= process.refill.ends_us:
                self.watch.life.waits_for = frozenset()
        process.safe.take_in()
        process.leases.turn()
        self._count(process.leases)
        process.ledger.keep_witnesses()
        self._compare(process)

    def _compare(self, process: Process) -> None:
        asked = process.comparing._asked
        while not asked.empty():
            drive(process.comparing.reply(*asked.get_nowait()))
        if self.around.scheduler.now_us >= process.round_us:
            process.round_us += COMPARE_US
            drive(process.comparing.hold_round())

    def _count(self, leases: Leases) -> None:
        """Two people go and count what a silent agent, or one with an old disk, may not issue any more.

        As the console tells them, they keep one computer first: if they do not find the other, until it has stopped.
        """
        things, now_us = self.around.world.things, leases._ledger.time.steady_us()
        for device, lease in list(leases.grants.leases.items()):
            if lease.standing is Standing.FENCED and now_us <= leases.grants.over_us(device):
                continue
            counted = leases.grants.countable(device, now_us)
            there = {code for code in counted if code in things and things[code].place == shelf(lease.location)}
            if there and self._chance.random() < COUNTED:
                leases.end(device, tuple(sorted(there)))
                answered = self.around.truth.answered
                answered[device] = max(leases.grants.incarnation, answered.get(device, 0))

    def _hear(self, letter: Letter) -> None:
        if letter.line is not None:
            self.around.network.taken(letter)
        if self.process is None or self.line is None:
            return
        if self.inbox.put(inbox.Letter(device=letter.device, data=letter.data)):
            self._work_later()

    def _work_later(self) -> None:
        if not self._is_working:
            self._is_working = True
            self.around.scheduler.after(self._chance.randint(*self.work_us), self, "work")

    def _work(self, process: Process) -> None:
        self._is_working = False
        letters = self.inbox.take_now(ingest.COALESCED)
        drive(process.ingest.take(letters))
        for letter in letters:
            self._note_told(letter)
        process.ingest.let_in()
        process.leases.turn()
        if self.inbox.has_any or process.early.ready() is not None:
            self._work_later()
        self._answer_later(process)

    def _answer_later(self, process: Process) -> None:
        if process.pulls.has_any and not self._is_answering:
            self._is_answering = True
            self.around.scheduler.after(self._chance.randint(*self.work_us), self, "answer")

    def _answer(self, process: Process) -> None:
        """Pulls have their turn between the facts."""
        self._is_answering = False
        if process.pulls.has_any:  # of the process that was asked, which may have died since
            process.pulls.answer_one()
        self._answer_later(process)

    def _is_busy(self) -> bool:
        return self.around.busy > 0 and self._full.random() < self.around.busy

    def _is_told_late(self, message: Batch | Hello) -> bool:
        """Of a journal whose successor is filed: counted with the next. Not a batch that the ledger takes at once."""
        start, process = message.start, self.process
        if process is None:
            return False
        if isinstance(message, Batch) and message.incarnation in {0, process.ledger.incarnation}:
            return False
        others, begun = (state.start for state in self.books.sessions().values()), self.around.truth.begun
        return any(other.device == start.device and begun[other.session] > begun[start.session] for other in others)

    def _note_told(self, letter: inbox.Letter) -> None:
        """How far a device said to have written, by the simulator's own account."""
        opened, key = envelope.read(letter.data), self._keys.of(letter.device)
        if not opened.is_from(key, topics.up(letter.device)):
            return
        message = decode_up(opened.message)
        heads = self._told.setdefault(letter.device, {})
        if isinstance(message, Batch | Hello) and self._is_told_late(message):
            return
        if isinstance(message, Batch):
            said = {message.start.session: message.last_seq}
        elif isinstance(message, Hello):
            said = {position.session: position.through for position in message.heads}
        else:
            return
        for session, head in said.items():
            heads[session] = max(head, heads.get(session, 0))
