"""What central knows of each agent: when it was heard, what waits there, how far its replica and its clock are.

Kept in memory and written every second: a restart of central may lose a second of it, and no fact.
"""

import asyncio
from collections.abc import Callable

import msgspec

from central.errors import BusyError
from central.ledger import statements
from central.ledger.write import Ledger
from sync_protocol.messages import Batch, Hello

SILENT_AFTER_US = 45_000_000
"""Three polls of an agent that has nothing to send."""
WRITE_EVERY_S = 1.0


class Agent(msgspec.Struct, kw_only=True, array_like=True):
    device: str
    last_seen_us: int = 0
    software: str = ""
    schema: int = 0
    replica_version: int = 0
    facts_waiting: int = 0
    clock_offset_us: int | None = None
    session: bytes | None = None
    is_connected: bool = False
    recall_version: int = 0
    """REQ-07: of the recall set that it says it holds."""
    heard_seq: int = 0
    """The highest seq of ``session`` that central heard of."""


class Agents:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        known = ledger.connection.execute(statements.AGENTS).fetchall()
        self._agents = {row[0]: msgspec.convert((*row, 0), Agent, strict=False) for row in known}
        self._unwritten: set[str] = set()

    def heard(self, device: str) -> Agent:
        agent = self._agents.setdefault(device, Agent(device=device))
        agent.last_seen_us = self._ledger.time.now_us()
        agent.is_connected = True
        self._unwritten.add(device)
        return agent

    def said_hello(self, device: str, hello: Hello) -> None:
        agent = self.heard(device)
        if agent.session != hello.start.session:
            agent.session, agent.heard_seq, agent.facts_waiting = hello.start.session, 0, 0
        if hello.head is not None and hello.head.session == hello.start.session:
            agent.heard_seq = max(agent.heard_seq, hello.head.seq)
        agent.software, agent.schema, agent.replica_version = hello.software, hello.schema, hello.replica_version
        if hello.sent_us:
            agent.clock_offset_us = agent.last_seen_us - hello.sent_us

    def sent(self, device: str, batch: Batch) -> None:
        agent = self.heard(device)
        if agent.session == batch.start.session:
            agent.heard_seq = max(agent.heard_seq, batch.last_seq)

    def pulled(self, device: str, after: int) -> None:
        self.heard(device).replica_version = after

    def committed(self, device: str, session: bytes, through: int) -> None:
        """The ledger holds the session's facts up to ``through``."""
        agent = self._agents.get(device)
        if agent is not None and agent.session == session:
            agent.facts_waiting = max(0, agent.heard_seq - through)
            self._unwritten.add(device)

    def holds_recalls(self, device: str, version: int) -> bool:
        """The agent says which recall set it holds. Whether that is news."""
        agent = self.heard(device)
        is_news = agent.recall_version != version
        agent.recall_version = version
        return is_news

    async def run(self, *, is_link_up: Callable[[], bool]) -> None:
        """Write what changed, and mark those who fell silent, until cancelled."""
        while True:
            await asyncio.sleep(WRITE_EVERY_S)
            self._mark_silent(is_link_up=is_link_up())
            try:
                self.write()
            except BusyError:
                continue  # the ledger says so itself; the next round writes it

    def write(self) -> None:
        """Raises BusyError."""
        rows = [msgspec.structs.astuple(self._agents[device])[:-1] for device in sorted(self._unwritten)]
        if rows:
            self._ledger.write(lambda connection: connection.executemany(statements.WRITE_AGENT, rows))
            self._unwritten.clear()

    def _mark_silent(self, *, is_link_up: bool) -> None:
        limit_us = self._ledger.time.now_us() - SILENT_AFTER_US
        for agent in self._agents.values():
            if agent.is_connected and (not is_link_up or agent.last_seen_us < limit_us):
                agent.is_connected = False
                self._unwritten.add(agent.device)
