"""The answer to HELLO: where both sides stand, and what of that cannot be (REQ-04)."""

from collections.abc import Iterable, Mapping

import msgspec
import structlog

from central.errors import BusyError
from central.ledger.session_rows import read_hash, read_reach, read_sessions
from central.ledger.transaction import Transaction
from central.ledger.write import Ledger
from central.sync.agents import Agents, heads_of
from central.sync.early import Early
from central.sync.gate import Heard
from central.sync.inbox import Inbox
from central.sync.lineage import register
from central.sync.publish import Publisher
from central.sync.recalls import RecallLane
from central.sync.refill import Refill
from sync_protocol.messages import SCHEMA, Hello, Position, Refused, Welcome

_log = structlog.get_logger("central.greeting")


class Greeting:
    def __init__(
        self,
        ledger: Ledger,
        publisher: Publisher,
        agents: Agents,
        refill: Refill,
        recalls: RecallLane,
        *,
        early: Early,
        inbox: Inbox,
    ) -> None:
        self._ledger = ledger
        self._publisher = publisher
        self._agents = agents
        self._refill = refill
        self._recalls = recalls
        self._early = early
        self._inbox = inbox

    def greet(self, heard: Iterable[Heard]) -> None:
        """Answer HELLOs, or be silent if the ledger takes no change: the agents say them again.

        Those of many agents are filed together: every commit is told to every agent.
        """
        group: dict[str, tuple[Hello, Heard]] = {}
        for one in heard:
            if isinstance(one.message, Hello) and self._is_readable(one.device, one.message):
                if one.device in group:  # what it says is judged by what it said before
                    self._greet(group)
                    group = {}
                group[one.device] = (one.message, one)
        if group:
            self._greet(group)

    def _is_readable(self, device: str, hello: Hello) -> bool:
        if hello.schema <= SCHEMA:
            return True
        cause = f"the agent writes schema {hello.schema}, central reads up to {SCHEMA}"
        self._publisher.tell(device, Refused(cause=cause, advice="update central first, then the agents"))
        return False

    def _greet(self, group: Mapping[str, tuple[Hello, Heard]]) -> None:
        """One HELLO of each device."""
        try:
            for device, (hello, _) in group.items():
                self._look_back(device, hello)
            filed = self._register({device: hello for device, (hello, _) in group.items()})
        except BusyError as error:
            _log.error("hello not answered, the agent says it again", devices=[*group], cause=error.cause)
            return
        for device, (hello, one) in group.items():
            self._welcome(hello, one, is_new=device in filed)

    def _register(self, hellos: Mapping[str, Hello]) -> set[str]:
        """File the sessions that the ledger never heard of, and say whose. Raises BusyError.

        Who has not met this life of the ledger yet leaves out what the life before had; it says HELLO again at once.
        """
        met = {device: hello for device, hello in hellos.items() if hello.incarnation == self._ledger.incarnation}
        connection = self._ledger.connection
        known = read_sessions(connection, {hello.start.session for hello in met.values()})
        new = [(device, hello) for device, hello in met.items() if hello.start.session not in known]

        def work(transaction: Transaction) -> None:
            for device, hello in new:
                register(transaction, hello.start, heads_of(hello), self._agents.before(device))

        if new:
            self._ledger.commit(work)
        return {device for device, _ in new}

    def _welcome(self, hello: Hello, one: Heard, *, is_new: bool) -> None:
        device = one.device
        told = {position.session: position.through for position in hello.pending} | heads_of(hello)
        named = dict.fromkeys([*(position.session for position in hello.pending), hello.start.session])
        positions = tuple(self._proven(position, told) for position in self.positions(named))
        if one.is_news and not self._agents.is_past(device, hello.start.session):
            self._agents.said_hello(device, hello, self._committed(device, named), is_new=is_new)
        else:
            self._agents.told_late(device, hello, self._committed(device, [head.session for head in hello.heads]))
        welcome = Welcome(
            positions=positions,
            version=self._ledger.version,
            echo_us=hello.sent_us,
            central_us=self._ledger.time.now_us(),
            incarnation=self._ledger.incarnation,
            recall_version=self._recalls.version,
            key=self._publisher.key,
            credit=self._inbox.credit,
            heard=one.number,
        )
        self._publisher.tell(device, welcome)

    def positions(self, sessions: Iterable[bytes]) -> Iterable[Position]:
        """Where the ledger stands with sessions, read from what is committed."""
        for session, reach in read_reach(self._ledger.connection, sessions).items():
            held = self._early.through(session)
            yield Position(session=session, through=reach.through, safe=reach.safe, held=held)

    def _proven(self, position: Position, told: Mapping[bytes, int]) -> Position:
        """With the hash of the last fact that both may have."""
        at = min(position.through, told.get(position.session, 0))
        digest = read_hash(self._ledger.connection, position.session, at)
        return msgspec.structs.replace(position, at=at, hash=digest)

    def _committed(self, device: str, named: Iterable[bytes]) -> dict[bytes, int]:
        """How far the ledger has the sessions of a HELLO, and those that the device told of before."""
        sessions = dict.fromkeys([*named, *self._agents.before(device).heads])
        return {position.session: position.through for position in self.positions(sessions)}

    def _look_back(self, device: str, hello: Hello) -> None:
        """What this incarnation told the agent must be there. Raises BusyError."""
        if hello.incarnation > self._ledger.incarnation:
            if hello.incarnation > self._refill.superseded:
                _log.critical("an agent has met a newer central", device=device, incarnation=hello.incarnation)
            self._refill.superseded = max(self._refill.superseded, hello.incarnation)
            return
        if hello.incarnation != self._ledger.incarnation:
            return
        told = {position.session: position.through for position in hello.pending}
        is_behind = hello.replica_version > self._ledger.version or any(
            position.through < told[position.session] for position in self.positions(told)
        )
        if is_behind and self._refill.went_back():
            _log.critical("the ledger went back in time", device=device, incarnation=self._ledger.incarnation)
            self._publisher.ring()
