"""One agent: a disk, a line to the broker, and, while it runs, the shipped shell with its machines."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from random import Random
from typing import Any, NamedTuple, cast
from zoneinfo import ZoneInfo

from edge_agent.check import Stock
from edge_agent.clock import Watch
from edge_agent.errors import LinkDownError
from edge_agent.rights import Rights, needed
from edge_agent.store.journal import Journal
from edge_agent.store.opening import Line
from edge_agent.store.recalls import HeldRecalls
from edge_agent.store.schema import SEQ_BITS
from edge_agent.sync.comparing import Computed
from edge_agent.sync.leasing import Share
from edge_agent.sync.link import Heard, LinkDown, LinkEvent, LinkUp
from edge_agent.sync.pruning import prune
from edge_agent.sync.replica_lane import Ended
from edge_agent.sync.shell import SyncShell
from sync_protocol import topics
from sync_protocol.codec import encode_fact
from sync_protocol.documents import Route
from sync_protocol.envelope import Voice
from sync_protocol.facts import Fact, FactId, Moment
from sync_protocol.items import Item, State
from sync_protocol.leases import spent
from sync_protocol.machines import uplink_events as on
from sync_protocol.machines.bootstrap import Fetched
from sync_protocol.machines.comparing import Place
from sync_protocol.machines.holding import Holding
from sync_protocol.machines.sending import sendings
from sync_protocol.messages import Offer, Up
from sync_protocol.recalls import NO_RECALLS
from tests.simulation import scanning
from tests.simulation.around import Around, session_of, spoken
from tests.simulation.clocks import SimClock
from tests.simulation.dict_stores import DictReplica, DictStores
from tests.simulation.driving import drive
from tests.simulation.ledger_watch import Violation
from tests.simulation.media import Medium, Stores
from tests.simulation.network import CENTRAL, Letter
from tests.simulation.perils import Killed, Perils
from tests.simulation.recall_office import PUBLIC
from tests.simulation.recall_words import Held, forbidden
from tests.simulation.scheduler import SECOND_US
from tests.simulation.signing import SimSecret
from tests.simulation.snapshots import SimFetcher
from tests.simulation.truth import Known

WANT = 8
PRUNES = 3
"""How often it is looked for old facts in the time that they are kept for."""
ZONE = ZoneInfo("Asia/Shanghai")
_CENTRAL_KEYS = (SimSecret(CENTRAL).public,)
_FIRST_WAIT_S, _LONGEST_WAIT_S, _SETTLED_S = 0.2, 10.0, 5.0
"""As ``edge_agent.sync.link`` waits."""
LONGEST_SUM_US = 20 * SECOND_US
_BESIDE = ("summed", "fetched")


@dataclasses.dataclass(kw_only=True)
class Process:
    """What is gone when the agent dies."""

    stores: Stores
    shell: SyncShell
    watch: Watch
    clock: SimClock
    rights: Rights
    fetcher: SimFetcher
    held: HeldRecalls

    @property
    def wake_us(self) -> int | None:
        """When, by its own clock, the shell wants to be woken: what ``SyncShell._next`` waits for."""
        shell = self.shell
        parts = (shell._uplink, shell._copy, shell._settling, shell._recalls, shell._leasing)
        due = [us for us in (part.wake_us for part in parts) if us is not None]
        return min(due) if due else None


MISREAD = "?"
"""What the lot of a row ends in that has drifted."""


class Believed:
    """What the agent believes, for the part of the shell that asks for many items."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    def items(self, codes: Collection[str]) -> dict[str, Item]:
        found = {code: self._stores.item(code) for code in sorted(codes)}
        return {code: item for code, item in found.items() if item is not None}


class Memory(NamedTuple):
    """Of a running process: the last number that it gave to what it says, and of which stream."""

    stream: bytes
    number: int


class EdgeNode:
    """``own``: the facts that its disk holds, in order, by the simulator's own account."""

    def __init__(self, name: str, device: str, location: str, medium: Medium, around: Around) -> None:
        self.name = name
        self.client_id = device
        self.location = location
        self.medium = medium
        self.line: int | None = None
        self.perils = Perils()
        self.process: Process | None = None
        self.own: dict[FactId, Known] = {}
        self.drifted: set[str] = set()
        """Items of the replica that were changed behind its back, until they are seen to be right again."""
        self.misread: dict[str, Item | None] = {}
        """Every row that was ever changed so, as it was then: what mended it may go with the power."""
        self.recalls = Held()
        self.touched: dict[str, Known] = {}
        """By item, the last fact of this device that changed it, until the ledger is seen to show it."""
        self.acked: dict[bytes, int] = {}
        """How far the journal was seen to believe each session to be committed, by the central with ``met``."""
        self.met = 0
        self.shown = 0
        """The incarnation of the replica, when it was last looked at."""
        self.flying = 0
        """Facts of earlier sessions that were seen in flight, while this one was written:"""
        self.writing = b""
        self.credit = 0
        """The most that it had since somebody looked."""
        self.skew_us = 0
        self.is_jammed_until_us = 0
        self.drift = 0.0
        self.death: tuple[bool, int] = (False, SECOND_US)
        """How it dies at an armed point: with the power or not, and for how long."""
        self.memory: Memory | None = None
        """What it is woken with."""
        self.around = around
        self._attempts: list[FactId] = []
        self._partings = 0
        self._forced: set[FactId] = set()
        self._in_hands: set[str] = set()
        """Those of the attempts that happened whatever the screen said."""
        self._sessions = around.random(f"sessions/{name}")
        self._disk = around.random(f"disk/{name}")
        self._waits: Random = around.random(f"waits/{name}")
        self._paused_us = 0
        self._held: list[tuple[str, Any]] = []
        self._timer_us: int | None = None
        self._wait_s = _FIRST_WAIT_S
        self._began_us = 0
        self._has_dial = False

    @property
    def is_running(self) -> bool:
        return self.process is not None and self._paused_us <= self.around.scheduler.now_us

    @property
    def is_in_doubt(self) -> bool:
        """It died in the midst of a commit: what is on its disk of that, the simulator sees when it starts."""
        return bool(self._attempts)

    def on(self, kind: str, arg: Any) -> None:
        if kind == "resume":
            self._resume()
            return
        if self._paused_us > self.around.scheduler.now_us:
            self._held.append((kind, arg))
            return
        try:
            self._serve(kind, arg)
        except Killed:
            self.die(is_power=self.death[0], down_us=self.death[1])
        if self.process is not None:
            self.credit = max(self.credit, self.process.shell._uplink._credit)
        self._set_timer()

    def chatter(self, message: Up) -> None:
        """Say something that nobody asked for."""
        if self.process is None:
            return
        try:
            self.process.shell._send(message)
        except LinkDownError:
            return
        except Killed:
            self.die(is_power=self.death[0], down_us=self.death[1])

    def remember(self) -> Memory | None:
        """For a snapshot; None: it does not run."""
        voice = self.process.shell._voice if self.process is not None else None
        return Memory(voice._stream, voice._number) if voice is not None else None

    def put_in(self, medium: Medium, own: Mapping[FactId, Known], memory: Memory | None = None) -> None:
        """Another disk, with what the simulator knows to be on it. For a node that is down.

        ``memory``: it is woken with that, and starts anew without.
        """
        assert self.process is None, "a disk is put in while the machine is off"
        self.medium, self.own, self.acked = medium, dict(own), {}
        self.met = self.shown = 0
        self.memory = memory

    def pause(self, until_us: int) -> None:
        """Everything of the process stands still; the world does not."""
        self._paused_us = until_us
        self.around.scheduler.at(until_us, self, "resume")

    def heal(self) -> None:
        """No more faults: it runs, or starts now."""
        self.perils.disarm()
        self._paused_us = self.is_jammed_until_us = 0
        self.around.scheduler.after(0, self, "resume")
        self.around.scheduler.after(1, self, "boot")

    def die(self, *, is_power: bool, down_us: int) -> None:
        """The process is gone now, and comes back after a while."""
        self.medium.crashed(self._disk, is_power=is_power)
        if self.process is not None:
            self.process.stores.close()
            self.process = None
        self.perils.disarm()
        self.around.network.left(self)
        self.around.scheduler.after(down_us, self, "boot")

    def record(self, facts: Sequence[Fact], *, is_physical: bool, bodies: Sequence[bytes] = ()) -> bool:
        """Somebody did something here. False: it does not fit what the screen says, and was not done.

        ``bodies``: write these bytes in the place of the facts' own.
        """
        process = self.process
        assert process is not None, "asked of a running agent only"
        held = process.held.in_force
        checked = scanning.check(process.stores, facts, held if held and not is_physical else NO_RECALLS)
        if not checked.fits and not is_physical:
            return False
        if not is_physical:
            if not self._has_right(process, facts):
                return False
            self._check_recalls(process, facts)
        try:
            self._commit(process, checked, bodies, is_physical=is_physical)
            process.shell.committed()
            self._drain(process)
        except Killed:
            self.die(is_power=self.death[0], down_us=self.death[1])
        self._set_timer()
        return True

    def _check_recalls(self, process: Process, facts: Sequence[Fact]) -> None:
        """I5: what it is permitted to do is nothing that a recall on its disk forbids. Raises Violation."""
        for fact in facts:
            is_misread = any(code in self.drifted or _is_misread(process, code) for code in fact.codes)
            recall_id = "" if is_misread else forbidden(fact, self.recalls.words, self.around.world.lots)
            if recall_id:
                raise Violation("I5", f"{self.name} holds recall {recall_id}, and lets {fact.codes} be {fact.what}")

    def _note_recalls(self, process: Process) -> None:
        """The version that it names is on its disk. Raises Violation."""
        version = process.shell._recalls.version
        if version < self.recalls.version:
            raise Violation("I5", f"{self.name} held recall set {self.recalls.version}, and now {version}")
        if version > self.recalls.version:
            recalls = self.around.truth.recall_sets.get(version)
            if recalls is None:
                raise Violation("I5", f"{self.name} holds recall set {version}, which nobody made")
            self.recalls.add(recalls)

    def _has_right(self, process: Process, facts: Sequence[Fact]) -> bool:
        """What ``Rights.obtain`` does, but nobody waits: who is refused now tries again another time."""
        rights, believed = process.rights, Believed(process.stores)
        codes = sorted(needed(facts, believed.items({code for fact in facts for code in fact.codes})))
        if rights.may_issue(codes):
            return True
        try:
            process.shell._want(tuple(codes))
            self._drain(process)
        except Killed:
            self.die(is_power=self.death[0], down_us=self.death[1])
        self._set_timer()
        return False

    def moment(self) -> Moment:
        assert self.process is not None, "asked of a running agent only"
        return self.process.watch.moment()

    def send(self, data: bytes) -> None:
        if self.line is None:
            raise LinkDownError("no connection to the broker")
        if self.around.scheduler.now_us < self.is_jammed_until_us:
            raise LinkDownError("32 messages wait for the broker already")
        self.perils.point("edge.send")
        self.around.network.publish(self, "up", CENTRAL, data)

    async def run(self, hear: object) -> None:
        """Nobody waits for it here: events come from the scheduler."""

    def _commit(
        self, process: Process, checked: scanning.Checked, bodies: Sequence[bytes], *, is_physical: bool
    ) -> None:
        is_readable = not bodies
        bodies = bodies or [encode_fact(fact) for fact in checked.facts]
        truth = self.around.truth
        identities = scanning.attempt(truth, process.stores, self.own, checked, bodies, is_readable=is_readable)
        self._attempts = identities
        self._forced = set(identities) if is_physical else set()
        self._in_hands = {code for fact in checked.facts for code in fact.codes if _is_taken(process, code)}
        spending = [spent(fact) for fact in checked.facts]
        process.stores.journal.commit(bodies, checked.touched.values(), process.rights.change_by(spending))
        process.rights.used(spending)
        self._confirm(len(identities))

    def _confirm(self, count: int) -> None:
        """So many of the attempts are on the disk: they have happened."""
        truth = self.around.truth
        for identity in self._attempts[:count]:
            known = truth.confirm(identity)
            self.own[identity] = known
            self.touched.update(dict.fromkeys(known.touched, known))
            self.around.scheduler.note(f"{self.name} records {spoken(identity)} {known.fact and known.fact.what}")
            if known.fact is not None:
                for tell in self.around.on_recorded:
                    tell(known, known.fact, is_physical=identity in self._forced, in_hands=self._in_hands)
                self.around.world.happened(known.fact, self.location)
        for identity in self._attempts[count:]:
            truth.deny(identity)
        self._attempts = []

    def _serve(self, kind: str, arg: Any) -> None:
        if kind == "boot":
            self._boot()
        elif self.process is None:
            if kind == "hear":
                self._taken(arg)
        elif kind == "hear":
            self._hear(self.process, arg)
        elif kind == "tick":
            if arg == self._timer_us:
                self._timer_us = None
                self._step(self.process, None)
        elif kind in _BESIDE:
            self._beside(self.process, kind, *arg)
        elif kind == "prune":
            if arg is self.process:
                self._prune(self.process)
        else:
            self._serve_line(self.process, kind)

    def _serve_line(self, process: Process, kind: str) -> None:
        if kind == "dial":
            self._dial(process)
        elif kind == "cut":
            self._step(process, LinkDown(cause="cut"))
            self._dial_later()

    def _boot(self) -> None:
        if self.process is not None:
            return
        now_us = self.around.scheduler.now_us
        clock = SimClock(self.around.scheduler, skew_us=self.skew_us, drift=self.drift, boot_us=now_us)
        stores = self.medium.open(
            device=self.client_id,
            session=self._begin_session(),
            started_us=clock.wall_us(),
            perils=self.perils,
            is_resumed=self.memory is not None,
        )
        self._find_attempts(stores)
        self._follow(stores.journal)
        self._partings = 0
        self.remember_touched()
        shown = stores.shown() if self.misread else {}
        self.drifted |= {code for code, row in self.misread.items() if shown.get(code) == row}
        watch = Watch(clock, ZONE)
        granted_by, codes = stores.journal.leased()
        holding = Holding(
            stores.journal.start.session, codes, incarnation=granted_by, spoken_to=stores.journal.incarnation
        )
        rights = Rights(holding, clock.mono_us)
        fetcher = SimFetcher(self, self.around.scheduler, clock, self.around.random(f"fetches/{self.name}/{now_us}"))
        held = HeldRecalls(stores.journal)
        shell = SyncShell(
            link=self,
            journal=stores.journal,
            replica=stores.replica,
            recalls=held,
            recall_keys=(PUBLIC,),
            watch=watch,
            tell=lambda _rows: None,
            software="simulation",
            rights=rights,
            stock=cast("Stock", Believed(stores)),
            share=Share(location=self.location, route=Route.STATION, want=WANT),
            identity=SimSecret(self.client_id),
            new_session=self._begin_session,
            central_keys=_CENTRAL_KEYS,
            fetcher=fetcher.as_shipped() if isinstance(stores, DictStores) else None,
        )
        if self.memory is not None:
            _recall(shell, self.memory, stores.journal.current, SimSecret(self.client_id))
        self.memory = None
        self.process = Process(
            stores=stores, shell=shell, watch=watch, clock=clock, rights=rights, fetcher=fetcher, held=held
        )
        self._note_recalls(self.process)
        self._timer_us, self._wait_s, self._has_dial = None, _FIRST_WAIT_S, False
        self._dial_later()
        if self.around.keep_us:
            self._prune_later()

    def _prune_later(self) -> None:
        self.around.scheduler.after(self.around.keep_us // PRUNES, self, "prune", self.process)

    def _prune(self, process: Process) -> None:
        """What the shipped task does once an hour."""
        self._prune_later()
        older_us = process.clock.wall_us() - self.around.keep_us
        journal, shell = process.stores.journal, process.shell
        drive(prune(journal, older_than_us=older_us, may_go_on=lambda: not shell.is_refilling))

    def _find_attempts(self, stores: Stores) -> None:
        """What was being written when the process died: it is on the disk, or it never was."""
        lines = stores.journal.lines
        count = sum(one.session in lines and lines[one.session].head >= one.seq for one in self._attempts)
        self._confirm(count)

    def remember_touched(self) -> None:
        """After a start, and by a new replica, everything that the disk holds must be shown again."""
        self.touched = {}
        for known in self.own.values():
            self.touched.update(dict.fromkeys(known.touched, known))

    def _follow(self, journal: Journal) -> None:
        """What was written again stands elsewhere now."""
        truth, numbers = self.around.truth, {line.number: line for line in journal.lines.values()}
        for to, line in journal.lines.items():
            left = numbers.get(line.again_from >> SEQ_BITS)
            if left is None:
                continue
            truth.begun.setdefault(to, len(truth.begun))
            moved, seq = {}, line.again_from & (1 << SEQ_BITS) - 1
            for n in range(line.head):
                old = FactId(device=self.client_id, session=left.start.session, seq=seq + n)
                new = FactId(device=self.client_id, session=to, seq=1 + n)
                if old not in self.own or seq + n > left.head:
                    break
                moved[old] = new
                truth.moved(self.own[old], new)
                self.around.scheduler.note(f"{self.name} writes {spoken(new)} again")
            if moved:
                self.own = {moved.get(identity, identity): known for identity, known in self.own.items()}

    def _dial_later(self) -> None:
        if self._has_dial:
            return
        now_us = self.around.scheduler.now_us
        is_settled = now_us - self._began_us > _SETTLED_S * SECOND_US
        self._wait_s = _FIRST_WAIT_S if is_settled else min(_LONGEST_WAIT_S, self._wait_s * 2)
        self._has_dial = True
        self.around.scheduler.after(self._wait_s * self._waits.uniform(0.5, 1.0) * SECOND_US, self, "dial")

    def _begin_session(self) -> bytes:
        session, begun = session_of(self._sessions), self.around.truth.begun
        begun[session] = len(begun)
        return session

    def _dial(self, process: Process) -> None:
        self._has_dial = False
        if self.line is not None:
            return
        self._began_us = self.around.scheduler.now_us
        if self.around.network.connect(self):
            self._step(process, LinkUp())
        else:
            self._dial_later()

    def _hear(self, process: Process, letter: Letter) -> None:
        self._taken(letter)
        if self.line is None or (letter.line is not None and letter.line != self.line):
            return
        if letter.lane == "recalls":
            process.shell._recalls.hear(letter.data)
            self._note_recalls(process)
            return
        topic = topics.BROADCAST if letter.lane == "all" else topics.down(self.client_id)
        self._step(process, Heard(data=letter.data, topic=topic))

    def _taken(self, letter: Letter) -> None:
        if letter.line is not None:
            self.around.network.taken(letter)

    def _step(self, process: Process, event: LinkEvent | Ended | None) -> None:
        self._handle(process, event)
        self._drain(process)
        self._note_recalls(process)
        self._sum_up(process)

    def _beside(self, process: Process, kind: str, by: Process | SimFetcher, what: Any) -> None:
        """What took its time beside everything else has ended."""
        if kind == "summed" and by is process:
            self._step(process, what)
        elif by is process.fetcher:
            self._fetched(process, what)

    def _fetched(self, process: Process, offer: Offer) -> None:
        event = process.fetcher.ended(offer)
        if event is None:
            return
        if isinstance(event, Fetched):
            name = process.fetcher.whole(offer).name
            cast("DictReplica", process.stores.replica).wholes[name] = self.around.snapshots[name]
        self._step(process, event)

    def _sum_up(self, process: Process) -> None:
        """What the shipped task does: the rows are those of now, and the sums are there after a while."""
        comparing = process.shell._copy._comparing
        while not comparing._scans.empty():
            scan = comparing._scans.get_nowait()
            sums = drive(comparing._sum_up(scan))
            if sums is not None:
                event = Computed(place=Place(version=scan.version, incarnation=scan.incarnation), sums=sums)
                self.around.scheduler.after(self._waits.uniform(0.0, LONGEST_SUM_US), self, "summed", (process, event))

    def _drain(self, process: Process) -> None:
        inbox = process.shell._inbox
        while not inbox.empty():
            self._handle(process, inbox.get_nowait())

    def _handle(self, process: Process, event: Any) -> None:
        drive(process.shell._handle(event))
        drive(process.shell._keep_house())
        if process.stores.partings > self._partings:
            self._partings = process.stores.partings
            self._follow(process.stores.journal)

    def _resume(self) -> None:
        if self._paused_us > self.around.scheduler.now_us:
            return
        held, self._held = self._held, []
        for kind, arg in held:
            self.on(kind, arg)

    def _set_timer(self) -> None:
        process = self.process
        wake_us = process.wake_us if process is not None else None
        if process is None or wake_us is None:
            return
        scheduler = self.around.scheduler
        when_us = max(scheduler.now_us + 1, process.clock.virtual_us(wake_us))
        if self._timer_us is None or when_us < self._timer_us:
            self._timer_us = when_us
            scheduler.at(when_us, self, "tick", when_us)


def _is_misread(process: Process, code: str) -> bool:
    """Its lot is what a row said that had drifted: units of such a box have it from there, and keep it until their
    own fact has come back."""
    item = process.stores.item(code)
    return item is not None and item.lot.endswith(MISREAD)


def _is_taken(process: Process, code: str) -> bool:
    item = process.stores.item(code)
    return item is not None and item.state is State.TAKEN


def _recall(shell: SyncShell, memory: Memory, line: Line, secret: SimSecret) -> None:
    """A machine that was woken has in its memory what a started one reads of earlier sessions only."""
    shell._voice = Voice(memory.stream, secret.sign, suite=secret.suite)
    shell._voice.go_on(memory.number)
    known = on.Line(session=line.start.session, head=line.head, acked=line.acked, kept=line.base)
    shell._uplink._lines.update(sendings(line.start.session, [known]))
