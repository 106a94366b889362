"""One agent of a swarm: the shipped stores, recorder, sync shell and link, without a screen and without devices.

``python tests/scale/agent.py FOLDER NAME PORT`` is one that scans twice a second until SIGTERM, and prints for each
scan when it was (UTC µs) and how long its durable commit took (ms).
"""

import asyncio
import os
import shutil
import sys
import time
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from edge_agent.check import Stock  # noqa: E402 - a script of the tree, too
from edge_agent.clock import SystemClock, Watch  # noqa: E402
from edge_agent.recorder import Recorder  # noqa: E402
from edge_agent.rights import Rights  # noqa: E402
from edge_agent.store.folder import JOURNAL, REPLICA, DataFolder  # noqa: E402
from edge_agent.store.identity import open_identity  # noqa: E402
from edge_agent.store.journal import Journal  # noqa: E402
from edge_agent.store.overlay import Overlay  # noqa: E402
from edge_agent.store.replica import Replica  # noqa: E402
from edge_agent.sync.leasing import Share  # noqa: E402
from edge_agent.sync.link import Heard, LinkEvent, MqttLink  # noqa: E402
from edge_agent.sync.shell import SyncShell  # noqa: E402
from sync_protocol import envelope  # noqa: E402
from sync_protocol.codec import decode_down  # noqa: E402
from sync_protocol.documents import NoteState, Route  # noqa: E402
from sync_protocol.facts import Fact, How, What  # noqa: E402
from sync_protocol.machines.holding import Holding  # noqa: E402
from sync_protocol.messages import Ack, Welcome  # noqa: E402

PIECES = 20
_EVERY_S = 0.5
"""Each scan is broadcast to all agents, and those of a swarm share one process."""
_POLL_S = 0.1


def location(name: str) -> str:
    return f"room-{name}"


class Agent:
    """``through``: as far as it heard that the ledger has its facts; ``welcome_s``: when it was last welcomed."""

    def __init__(self, folder: Path, name: str, port: int, *, model: Path | None = None) -> None:
        """``model``: a replica that is up to date, for an agent that worked here yesterday."""
        clock = SystemClock()
        folder.mkdir()
        if model is not None:
            shutil.copy(model, folder / REPLICA)
        self.name = name
        self._identity = open_identity(folder)
        self.welcome_s = 0.0
        self.through = 0
        self._watch = Watch(clock, ZoneInfo("Asia/Shanghai"))
        self._data = DataFolder.hold(folder)
        session, now_us = os.urandom(16), clock.wall_us()
        self.journal = Journal.open(folder / JOURNAL, device=name, session=session, started_us=now_us)
        self.replica = Replica(folder / REPLICA)
        self.stock = Stock(Overlay(self.journal), self.replica, clock.wall_us)
        self._rights = Rights(Holding(session), clock.mono_us)
        self.recorder = Recorder(
            journal=self.journal,
            stock=self.stock,
            watch=self._watch,
            data=self._data,
            rights=self._rights,
            location=location(name),
            device=name,
        )
        if model is not None:
            self.journal.adopt(self.replica.incarnation)
        self._port = port
        self._is_out: set[str] = set()

    def close(self) -> None:
        self.replica.close()
        self.journal.close()
        self._data.release()

    @property
    def written(self) -> dict[bytes, int]:
        return {self.journal.start.session: self.journal.head}

    async def copied(self) -> None:
        """Connect for as long as the replica needs to hold the note."""
        await self._online(lambda: bool(self._codes()))

    async def drained(self) -> None:
        """Connect for as long as facts wait."""
        await self._online(lambda: self.through == self.journal.head)

    async def work(self, facts: int) -> None:
        """Receive the note if it is open, then take and put back."""
        codes = self._codes()
        if self.stock.notes(location=location(self.name), state=NoteState.EXPECTED):
            await self.recorder.record(self._fact(What.RECEIVED, *codes, document=f"SN-{self.name}"))
            facts -= 1
        for number in range(facts):
            code = codes[number % len(codes)]
            what = What.PUT_BACK if code in self._is_out else What.TAKEN
            self._is_out ^= {code}
            await self.recorder.record(self._fact(what, code))

    async def go_on(self) -> None:
        """Connected, scan for ever and say how long each took."""
        await self.copied()
        running = asyncio.create_task(self._shell().run())
        try:
            await self.work(1)
            for _ in count():
                began_s, at_us = time.perf_counter(), time.time_ns() // 1000
                await self.work(1)
                sys.stdout.write(f"scan {at_us} {(time.perf_counter() - began_s) * 1000:.3f}\n")
                sys.stdout.flush()
                await asyncio.sleep(_EVERY_S)
        finally:
            running.cancel()

    def _codes(self) -> list[str]:
        note = self.stock.note(f"SN-{self.name}")
        return list(note.codes) if note else []

    def _fact(self, what: What, *codes: str, document: str = "") -> Fact:
        return Fact(
            what=what,
            codes=codes,
            at=self.recorder.moment(),
            operator="N1",
            location=location(self.name),
            document=document,
            how=How.RFID,
        )

    async def _online(self, is_done: Callable[[], bool]) -> None:
        running = asyncio.create_task(self._shell().run())
        try:
            while not is_done():
                if running.done():
                    running.result()
                await asyncio.sleep(_POLL_S)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    def _shell(self) -> SyncShell:
        link = _TimedLink(MqttLink(host="127.0.0.1", port=self._port, device=self.name, random=Random(self.name)), self)
        shell = SyncShell(
            link=link,
            journal=self.journal,
            replica=self.replica,
            watch=self._watch,
            tell=lambda _rows: None,
            software="swarm",
            rights=self._rights,
            stock=self.stock,
            share=Share(location=location(self.name), route=Route.CABINET, want=0),
            recalls=self.recorder.recalls,
            recall_keys=(),
            identity=self._identity,
        )
        self.recorder.listen(lambda _items: shell.committed())
        return shell


class _TimedLink:
    """The shipping link; notes when the welcome and the acks come."""

    def __init__(self, link: MqttLink, agent: Agent) -> None:
        self._link = link
        self._agent = agent

    def send(self, data: bytes) -> None:
        self._link.send(data)

    async def run(self, hear: Callable[[LinkEvent], Awaitable[None]]) -> None:
        async def note(event: LinkEvent) -> None:
            await hear(event)
            if isinstance(event, Heard):
                self._note(event.data)

        await self._link.run(note)

    def _note(self, data: bytes) -> None:
        match decode_down(envelope.read(data).message):
            case Welcome():
                self._agent.welcome_s = time.perf_counter()
            case Ack(session=session, through=through) if session == self._agent.journal.start.session:
                self._agent.through = max(self._agent.through, through)


async def _scan(folder: Path, name: str, port: int) -> None:
    agent = Agent(folder, name, port)
    try:
        await agent.go_on()
    finally:
        agent.close()


if __name__ == "__main__":
    asyncio.run(_scan(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
