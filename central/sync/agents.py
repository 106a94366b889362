"""What central knows of each agent: when it was heard, what waits there, how far its replica and its clock are.

Kept in memory and written every second: a restart of central may lose a second of it, and no fact.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress

import msgspec

from central.errors import BusyError
from central.ledger import statements
from central.ledger.write import Ledger
from central.sync.lineage import Heard, follows
from sync_protocol.messages import Batch, Hello

SILENT_AFTER_US = 45_000_000
"""Three polls of an agent that has nothing to send."""
WRITE_EVERY_S = 1.0
_NOT_KEPT = ("committed", "heard_us", "judged", "strange")
"""Last fields of an agent, that have no column."""
_FOR_GOOD = 1 << 62
_encode = msgspec.msgpack.Encoder().encode
_heads = msgspec.msgpack.Decoder(dict[bytes, int])


class Agent(msgspec.Struct, kw_only=True):
    """As last heard. ``heads``: how far the sessions are written that the ledger has not whole, and the present one.

    ``committed``: how far the ledger has these. ``incarnation``: the last one that has all that the agent held.
    """

    device: str
    last_seen_us: int = 0
    software: str = ""
    schema: int = 0
    replica_version: int = 0
    facts_waiting: int = 0
    clock_offset_us: int | None = None
    session: bytes | None = None
    is_connected: bool = False
    heads: dict[bytes, int] = {}
    incarnation: int = 0
    recall_version: int = 0
    """REQ-07: of the recall set that it says it holds."""
    committed: dict[bytes, int] = {}
    heard_us: int = 0
    """``last_seen_us`` by a clock that never jumps; 0: not since central started."""
    judged: dict[bytes, int] = {}
    """How far sessions were said to be written when a journal that lacks them was filed: their loss is counted."""
    strange: set[bytes] = set()
    """Sessions of ``heads`` that only batches and old HELLOs told of: perhaps not of the journal that was judged."""

    @property
    def held(self) -> frozenset[bytes]:
        """Sessions of the journal that said HELLO last, of those that the ledger has not whole, and the present one."""
        return frozenset(self.heads.keys() - self.strange)

    def count(self) -> None:
        """Count what waits, and forget sessions that are whole in the ledger."""
        committed = self.committed
        self.heads = {
            session: head
            for session, head in self.heads.items()
            if session == self.session or head > committed.get(session, 0)
        }
        self.strange &= self.heads.keys()
        self.facts_waiting = sum(max(0, head - committed.get(session, 0)) for session, head in self.heads.items())


class Agents:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._agents = {row[0]: _agent_of(row) for row in ledger.connection.execute(statements.AGENTS)}
        self._unwritten: set[str] = set()

    def before(self, device: str) -> Heard:
        """What the device said before what it says now."""
        agent = self._agents.get(device)
        if agent is None:
            return Heard()
        at = self._ledger.time.local(agent.last_seen_us).strftime("%Y-%m-%d %H:%M:%S") if agent.last_seen_us else ""
        return Heard(heads=dict(agent.heads), held=agent.held, at=at, session=agent.session)

    def session(self, device: str) -> bytes | None:
        """The session that the device wrote last, as far as it was heard."""
        agent = self._agents.get(device)
        return agent.session if agent else None

    def is_past(self, device: str, session: bytes) -> bool:
        """Whether the journal that said HELLO last has this session, and has gone on in another one."""
        agent = self._agents.get(device)
        if agent is None or session == agent.session:
            return False
        return session in agent.held or follows(self._ledger.connection, agent.session, session)

    def incarnation(self, device: str) -> int:
        """The last incarnation of this ledger that has all that the device held."""
        agent = self._agents.get(device)
        return agent.incarnation if agent else 0

    def recall_version(self, device: str) -> int:
        """REQ-07: of the recall set that the device says it holds."""
        agent = self._agents.get(device)
        return agent.recall_version if agent else 0

    def connected(self) -> frozenset[str]:
        """Devices heard of lately."""
        return frozenset(agent.device for agent in self._agents.values() if agent.is_connected)

    def is_connected(self, device: str) -> bool:
        agent = self._agents.get(device)
        return agent is not None and agent.is_connected

    def heard(self, device: str) -> Agent:
        agent = self._agents.setdefault(device, Agent(device=device))
        agent.last_seen_us = self._ledger.time.now_us()
        agent.heard_us = self._ledger.time.steady_us()
        agent.is_connected = True
        self._unwritten.add(device)
        return agent

    def said_hello(self, device: str, hello: Hello, committed: Mapping[bytes, int], *, is_new: bool) -> None:
        """``committed``: how far the ledger has the sessions of ``hello`` and those that were told of before.

        ``is_new``: the session was filed, and what its journal lacks was counted. Else what was told before still
        counts: this HELLO may be an old one that comes late.
        """
        agent = self.heard(device)
        agent.session, agent.committed = hello.start.session, dict(committed)
        agent.strange -= {hello.start.session, *heads_of(hello)}
        if is_new:
            agent.judged |= agent.heads
        told = {} if is_new else agent.heads
        agent.heads = told | {session: max(head, told.get(session, 0)) for session, head in heads_of(hello).items()}
        agent.count()
        agent.software, agent.schema, agent.replica_version = hello.software, hello.schema, hello.replica_version
        if hello.sent_us:
            agent.clock_offset_us = agent.last_seen_us - hello.sent_us

    def sent(self, device: str, batch: Batch, *, is_news: bool) -> None:
        """``is_news`` False: it came late, which says nothing of now, and still how far the session was written.

        If that journal is gone and its successor was filed already, what is lost is counted with the next that is.
        """
        agent = self.heard(device) if is_news else self._agents.setdefault(device, Agent(device=device))
        self._note_head(agent, batch.start.session, batch.last_seq)

    def parted(self, device: str, session: bytes) -> None:
        """What batches tell of past the ledger's facts of it comes again under other numbers: none of that is lost."""
        agent = self._agents.setdefault(device, Agent(device=device))
        agent.judged[session] = _FOR_GOOD
        agent.heads[session] = min(agent.heads.get(session, 0), agent.committed.get(session, 0))
        agent.count()
        self._unwritten.add(device)

    def told_late(self, device: str, hello: Hello, committed: Mapping[bytes, int]) -> None:
        """An old HELLO says nothing of now, and still how far sessions were written, as an old batch does."""
        agent = self._agents.setdefault(device, Agent(device=device))
        for session, head in heads_of(hello).items():
            if head > committed.get(session, 0):
                agent.committed[session] = committed.get(session, 0)
                self._note_head(agent, session, head)

    def _note_head(self, agent: Agent, session: bytes, head: int) -> None:
        if head > agent.judged.get(session, 0):
            if session not in agent.heads and session != agent.session:
                agent.strange.add(session)
            agent.heads[session] = max(agent.heads.get(session, 0), head)
            self._unwritten.add(agent.device)

    def pulled(self, device: str, after: int, incarnation: int) -> None:
        agent = self.heard(device)
        if incarnation == self._ledger.incarnation:
            agent.replica_version, agent.incarnation = after, incarnation

    def committed(self, device: str, session: bytes, through: int) -> None:
        """The ledger holds the session's facts up to ``through``."""
        agent = self._agents.get(device)
        if agent is not None:
            agent.committed[session] = through
            agent.count()
            self._unwritten.add(device)

    def holds_recalls(self, device: str, version: int) -> bool:
        """The agent says which recall set it holds. Whether that is news."""
        agent = self.heard(device)
        is_news = agent.recall_version != version
        agent.recall_version = version
        return is_news

    async def run(self, *, is_link_up: Callable[[], bool]) -> None:
        """Write what changed, and mark those who fell silent, until cancelled; and once more at the end."""
        try:
            while True:
                await asyncio.sleep(WRITE_EVERY_S)
                self._mark_silent(is_link_up=is_link_up())
                with suppress(BusyError):  # the ledger says so itself; the next round writes it
                    self.write()
        finally:
            with suppress(BusyError):
                self.write()

    def write(self) -> None:
        """Raises BusyError."""
        rows = [_row_of(self._agents[device]) for device in sorted(self._unwritten)]
        if rows:
            self._ledger.write(lambda connection: connection.executemany(statements.WRITE_AGENT, rows))
            self._unwritten.clear()

    def _mark_silent(self, *, is_link_up: bool) -> None:
        limit_us = self._ledger.time.steady_us() - SILENT_AFTER_US
        for agent in self._agents.values():
            if agent.is_connected and (not is_link_up or agent.heard_us < limit_us):
                agent.is_connected = False
                self._unwritten.add(agent.device)


def heads_of(hello: Hello) -> dict[bytes, int]:
    """How far the sessions are written that the agent still has to send, and the one it writes now."""
    heads = {position.session: position.through for position in hello.heads}
    if hello.head is not None:
        heads[hello.head.session] = max(hello.head.seq, heads.get(hello.head.session, 0))
    return heads


def _agent_of(row: tuple[object, ...]) -> Agent:
    names = Agent.__struct_fields__[: len(row)]
    values = dict(zip(names, row, strict=True))
    heads = values["heads"]
    values["heads"] = _heads.decode(heads) if isinstance(heads, bytes) else {}
    return msgspec.convert(values, Agent, strict=False)


def _row_of(agent: Agent) -> tuple[object, ...]:
    values = {name: getattr(agent, name) for name in Agent.__struct_fields__[: -len(_NOT_KEPT)]}
    return tuple((values | {"heads": _encode(agent.heads)}).values())
