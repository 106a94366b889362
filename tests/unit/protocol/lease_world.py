"""Central's grants and three agents' holdings on a lossy wire with wrong clocks: what no test may see is an overlap.

The world keeps what is true: real time, what each agent issued, who was allowed to at that moment. Clocks run fast or
slow by 200 ppm, agents are paused and restarted and set back, central is restarted and restored.
"""

import copy
from random import Random

import msgspec

from sync_protocol.documents import Route
from sync_protocol.machines import grants_events as central
from sync_protocol.machines import holding as edge
from sync_protocol.machines.grants import Grants
from sync_protocol.messages import Ask, Fence, Grant, Holds, Position, Release, Withheld

TERM_US, MARGIN_US = 400_000_000, 20_000_000
DRIFT = 200e-6
CODES = tuple(f"code-{n}" for n in range(12))
PLACE = ("pharmacy", Route.STATION)


class Agent:
    """One workplace: the machine, its journal (facts and lease, on a disk that can be set back), its clock."""

    def __init__(self, name: str, random: Random) -> None:
        self.name = name
        self.random = random
        self.rate = 1 + random.uniform(-DRIFT, DRIFT)
        self.zero_us = 0.0
        self.sessions = 0
        self.facts: list[tuple[bytes, str]] = []
        self.kept: set[str] = set()
        self.incarnation = 0
        self.spoken_to = 0
        self.paused_until = 0.0
        self.image: tuple[list[tuple[bytes, str]], set[str], int] | None = None
        self.is_forked = False
        self.holding: edge.Holding
        self.session = b""

    def start(self, now: float) -> None:
        """A new process: another session, a monotonic clock that begins anew."""
        self.sessions += 1
        self.session = f"{self.name}/{self.sessions}/{self.random.random()}".encode()
        self.zero_us = now - self.random.uniform(0, 1e9)
        self.holding = edge.Holding(self.session, self.kept, incarnation=self.incarnation, spoken_to=self.spoken_to)

    def now_us(self, now: float) -> int:
        return int((now - self.zero_us) * self.rate)


class World:
    def __init__(self, seed: int, *, agents: int = 3, is_restored: bool = False) -> None:
        self.random = Random(seed)
        self.now = 1e12
        self.rate = 1 + self.random.uniform(-DRIFT, DRIFT)
        self.incarnation = 1
        self.grants = Grants((), term_us=TERM_US, margin_us=MARGIN_US, incarnation=1)
        self.committed: dict[bytes, int] = {}
        self.issued_at_central: set[str] = set()
        self.latest: dict[str, bytes] = {}
        self.known: set[str] = set()
        self.wire: list[tuple[float, str, object]] = []
        self.issues: dict[str, list[str]] = {}
        self.agents = {f"station-{n}": Agent(f"station-{n}", self.random) for n in range(1, agents + 1)}
        self.cut: set[str] = set()
        self.is_restored = is_restored
        self.backup: tuple[object, ...] | None = None
        for agent in self.agents.values():
            agent.start(self.now)
            self.connect(agent)

    # What happens.

    def step(self) -> None:
        """One thing, chosen by chance; then whatever has arrived is heard."""
        self.now += self.random.choice((1e4, 1e6, 5e6, 4e7))
        agent = self.random.choice(list(self.agents.values()))
        act = self.random.choices(
            (self.issue, self.want, self.toggle, self.pause, self.restart, self.send_facts, self.offer,
             self.restart_central, self.ask_back, self.leave, self.save_disk, self.set_back, self.override),
            (8, 5, 3, 1, 0.5, 8, 8, 0.5, 1, 0.2, 0.3, 0.2, 1),
        )[0]  # fmt: skip
        act(agent)
        self.deliver()
        self.check()

    def issue(self, agent: Agent, code: str = "") -> None:
        if agent.paused_until > self.now:
            return
        done = {code for _, code in agent.facts}  # the local check knows what this journal says
        mine = [c for c in CODES if c not in done and agent.holding.may_issue(c, agent.now_us(self.now))]
        if not mine:
            return
        code = code or self.random.choice(mine)
        agent.facts.append((agent.session, code))
        agent.kept.discard(code)
        self.issues.setdefault(code, []).append(agent.name)
        agent.holding.handle(edge.Used(ended=(code,)))

    def want(self, agent: Agent) -> None:
        codes = tuple(self.random.sample(CODES, 2))
        self.run_agent(agent, edge.Wanted(codes=codes, now_us=agent.now_us(self.now)))

    def toggle(self, agent: Agent) -> None:
        if agent.name in self.cut:
            self.cut.discard(agent.name)
            self.connect(agent)
        else:
            self.cut.add(agent.name)
            self.run_agent(agent, edge.Disconnected())

    def pause(self, agent: Agent) -> None:
        agent.paused_until = self.now + self.random.uniform(0, 2 * TERM_US)

    def restart(self, agent: Agent) -> None:
        agent.start(self.now)
        if agent.name not in self.cut:
            self.connect(agent)

    def save_disk(self, agent: Agent) -> None:
        agent.image = (list(agent.facts), set(agent.kept), agent.incarnation)

    def set_back(self, agent: Agent) -> None:
        """An older image of its disk: facts since then are on no medium, and its chain forks when it says HELLO."""
        if agent.image is None or self.is_restored:
            return  # facts that a restored ledger has lost too are on no medium: nobody can know of them
        facts, kept, incarnation = agent.image
        agent.facts, agent.kept, agent.incarnation = list(facts), set(kept), incarnation
        agent.start(self.now)
        agent.is_forked = True
        agent.image = None
        if agent.name not in self.cut:
            self.connect(agent)

    def override(self, agent: Agent) -> None:
        """Two people count what is on the shelf, as soon as they may."""
        counted = self.grants.countable(agent.name, self.central_us())
        there = tuple(sorted(code for code in counted if code not in self.issues))
        if counted:
            self.run_central(central.Overridden(device=agent.name, found=there, now_us=self.central_us()))

    def leave(self, agent: Agent) -> None:
        self.run_agent(agent, edge.Leaving())
        self.restart(agent)

    def connect(self, agent: Agent) -> None:
        """HELLO and welcome, which other machines answer for."""
        agent.spoken_to = self.incarnation
        self.latest[agent.name] = agent.session
        self.known.add(agent.name)
        if agent.is_forked:
            agent.is_forked = False
            self.run_central(central.Fenced(device=agent.name))
        self.run_agent(
            agent, edge.Welcomed(session=agent.session, incarnation=self.incarnation, now_us=agent.now_us(self.now))
        )

    def send_facts(self, agent: Agent) -> None:
        """The uplink: some of what central does not have, in order."""
        if agent.name in self.cut:
            return
        for session, code in self.pending(agent)[: self.random.randint(0, 3)]:
            self.committed[session] = self.committed.get(session, 0) + 1
            self.issued_at_central.add(code)
            self.run_central(central.Spent(device=agent.name, ended=(code,)))
        self.run_central(central.Committed(device=agent.name, through=dict(self.committed)))

    def pending(self, agent: Agent) -> list[tuple[bytes, str]]:
        seen: dict[bytes, int] = {}
        waiting = []
        for session, code in agent.facts:
            seen[session] = seen.get(session, 0) + 1
            if seen[session] > self.committed.get(session, 0):
                waiting.append((session, code))
        return waiting

    def heads(self, agent: Agent) -> tuple[Position, ...]:
        heads: dict[bytes, int] = {}
        for session, _ in agent.facts:
            heads[session] = heads.get(session, 0) + 1
        return tuple(Position(session=session, through=head) for session, head in heads.items())

    def offer(self, _agent: Agent) -> None:
        free = tuple(c for c in CODES if not self.grants.holder(c) and c not in self.issued_at_central)
        if free:
            connected = frozenset(self.agents).difference(self.cut)
            place, route = PLACE
            offer = central.Offer(location=place, route=route, product="P1", free=free)
            self.run_central(central.Offered(offer=offer, connected=connected, now_us=self.central_us()))

    def ask_back(self, agent: Agent) -> None:
        self.send_down(agent.name, Release(codes=tuple(self.random.sample(CODES, 3))))

    def restart_central(self, _agent: Agent) -> None:
        """A crash: what was written down is read again."""
        self.grants = Grants(
            copy.deepcopy(list(self.grants.leases.values())),
            term_us=TERM_US,
            margin_us=MARGIN_US,
            incarnation=self.incarnation,
            unheard=self.grants.unheard,
            over_us=int(1e18),
        )

    def back_up(self) -> None:
        leases = copy.deepcopy(list(self.grants.leases.values()))
        self.backup = (leases, dict(self.committed), set(self.issued_at_central), set(self.known))

    def restore_central(self) -> None:
        """An older ledger, another incarnation; agents adopt it when they say HELLO, and are asked what they hold."""
        assert self.backup is not None
        leases, committed, issued, known = copy.deepcopy(self.backup)
        self.incarnation += 1
        self.committed, self.issued_at_central, self.known = committed, issued, known  # type: ignore[assignment]
        self.grants = Grants(
            leases,  # type: ignore[arg-type]
            term_us=TERM_US,
            margin_us=MARGIN_US,
            incarnation=self.incarnation,
            unheard=known,  # type: ignore[arg-type]
            over_us=int(1e18),
        )
        for agent in self.agents.values():
            if agent.name not in self.cut:
                self.connect(agent)

    # The wire.

    def deliver(self) -> None:
        arrived = [(at, to, message) for at, to, message in self.wire if at <= self.now]
        self.wire = [letter for letter in self.wire if letter[0] > self.now]
        self.random.shuffle(arrived)
        for _, to, message in arrived:
            if to in self.agents:
                self.hear(self.agents[to], message)
            else:
                self.hear_at_central(to.removeprefix("central/"), message)
        connected = frozenset(self.agents).difference(self.cut)
        self.run_central(central.Tick(now_us=self.central_us(), connected=connected))
        for agent in self.agents.values():
            self.run_agent(agent, edge.Tick(now_us=agent.now_us(self.now)))

    def send(self, to: str, message: object) -> None:
        for _ in range(self.random.choices((0, 1, 2), (1, 6, 1))[0]):
            self.wire.append((self.now + self.random.choice((0, 1e5, 2e6, 9e7)), to, message))

    def send_down(self, device: str, message: object) -> None:
        if device not in self.cut:
            self.send(device, message)

    def hear(self, agent: Agent, message: object) -> None:
        if agent.name in self.cut:
            return
        now_us = agent.now_us(self.now)
        match message:
            case Grant():
                self.run_agent(agent, edge.Granted(grant=message, now_us=now_us))
            case Release():
                self.run_agent(agent, edge.Released(codes=message.codes, now_us=now_us))
            case Withheld():
                self.run_agent(agent, edge.Withheld(by=message.by))
            case Fence():
                self.run_agent(agent, edge.Fenced())
            case _:
                self.run_agent(agent, edge.AskedHolds(now_us=now_us))

    def run_agent(self, agent: Agent, event: edge.Event) -> None:
        if agent.paused_until > self.now:
            return
        for effect in agent.holding.handle(event):
            match effect:
                case edge.Keep():
                    kept = set(effect.added) if effect.is_whole else agent.kept | set(effect.added)
                    agent.kept = kept.difference(effect.removed)
                    agent.incarnation = effect.incarnation or agent.incarnation
                case edge.SendHolds():
                    self.send_up(agent, self.statement(agent, effect))
                case edge.SendAsk():
                    self.send_up(agent, Ask(
                        session=agent.session, seen=effect.seen, sent_us=agent.now_us(self.now), codes=effect.codes
                    ))  # fmt: skip

    def statement(self, agent: Agent, effect: edge.SendHolds) -> Holds:
        place, route = PLACE
        return Holds(
            session=agent.session, number=effect.number, seen=effect.seen, incarnation=effect.incarnation,
            spoken_to=effect.spoken_to, sent_us=agent.now_us(self.now), location=place, route=route, want=6,
            codes=effect.codes, heads=self.heads(agent), is_leaving=effect.is_leaving,
        )  # fmt: skip

    def send_up(self, agent: Agent, message: object) -> None:
        if agent.name not in self.cut:
            self.send(f"central/{agent.name}", message)

    def hear_at_central(self, device: str, message: object) -> None:
        leasable = {code: "P1" for code in CODES if code not in self.issued_at_central}
        if isinstance(message, Holds):
            if self.latest[device] == message.session:
                committed = dict(self.committed)
                self.run_central(central.Stated(
                    device=device, holds=message, products=leasable, committed=committed, now_us=self.central_us()
                ))  # fmt: skip
        elif isinstance(message, Ask):
            self.run_central(central.Asked(device=device, ask=message, products=leasable, now_us=self.central_us()))

    def run_central(self, event: central.Event) -> None:
        for effect in self.grants.handle(event):
            match effect:
                case central.SendGrant():
                    fields = msgspec.structs.asdict(effect)
                    device = fields.pop("device")
                    self.send_down(device, Grant(incarnation=self.incarnation, **fields))
                case central.SendRelease():
                    self.send_down(effect.device, Release(codes=effect.codes))
                case central.SendWithheld():
                    self.send_down(effect.device, Withheld(by=effect.by))
                case central.SendFence():
                    self.send_down(effect.device, Fence())
                case central.SendAskHolds():
                    self.send_down(effect.device, "ask holds")

    def central_us(self) -> int:
        return int(self.now * self.rate)

    # What must be true.

    def check(self) -> None:
        """No code may be issued by two at the same moment, and none was issued twice."""
        free: dict[str, str] = {}
        for agent in self.agents.values():
            for code in CODES:
                if agent.holding.may_issue(code, agent.now_us(self.now)):
                    assert code not in free, f"{code} may be issued by {free[code]} and {agent.name}"
                    free[code] = agent.name
        for code, who in self.issues.items():
            assert len(who) == 1, f"{code} was issued by {who}"

    def heal(self) -> None:
        """Nobody is cut off or paused, nothing is lost any more: all facts arrive."""
        self.cut.clear()
        self.random = Random(1)
        for agent in self.agents.values():
            agent.paused_until = 0
            self.connect(agent)
        for _ in range(40):
            self.now += 5e6
            for agent in self.agents.values():
                while agent.name not in self.cut and self.pending(agent):
                    self.send_facts(agent)
            self.deliver()
            self.offer(next(iter(self.agents.values())))
            self.check()
