"""Facts up and deltas down over a real broker that is killed, and a central whose acks get lost."""

import asyncio
import contextlib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Self

import pytest

from edge_agent.clock import SystemClock
from edge_agent.errors import LinkDownError
from edge_agent.health import Health, Sentence
from edge_agent.safe_mode import SafeMode
from edge_agent.store.outgoing import waiting
from edge_agent.sync.leasing import Share
from edge_agent.sync.link import TURNS_TO_LEAVE, MqttLink
from edge_agent.sync.sessions import Sessions
from edge_agent.sync.shell import SyncShell
from hardware_sims.broker import Broker
from sync_protocol.documents import Route
from sync_protocol.facts import Fact
from sync_protocol.items import State
from sync_protocol.machines import uplink
from sync_protocol.machines import uplink_events as on
from sync_protocol.messages import Batch, Hello, Pull, Refused, Rows
from tests.integration.edge_core.tiny_central import TinyCentral
from tests.unit.edge_core.shelf import DEVICE, Shelf, code, piece, put_back, taken

pytestmark = pytest.mark.mosquitto
PIECES = 40


class Agent:
    """Stores and sync of one agent, without screens and devices."""

    def __init__(self, path: Path, port: int, device: str = DEVICE) -> None:
        self.shelf = Shelf(path, clock=SystemClock(), device=device)
        self.told: list[Rows | None] = []
        self.shell = SyncShell(
            link=MqttLink(host="127.0.0.1", port=port, device=device, random=Random(1)),
            journal=self.shelf.journal,
            replica=self.shelf.replica,
            watch=self.shelf.watch,
            tell=self.told.append,
            software="test",
            rights=self.shelf.hand.rights,
            stock=self.shelf.stock,
            share=Share(location="ward", route=Route.CABINET, want=0),
            recalls=self.shelf.recorder.recalls,
            identity=self.shelf.identity,
        )
        self.shelf.recorder.listen(lambda _items: self.shell.committed())
        self.health = Health(
            journal=self.shelf.journal,
            stock=self.shelf.stock,
            recorder=self.shelf.recorder,
            sync=self.shell.state,
            devices=(),
            now_us=self.shelf.clock.wall_us,
            safe_mode=SafeMode(tell=lambda: None),
        )
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._running = asyncio.create_task(self.shell.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._running is not None
        self._running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._running
        self.shelf.close()

    @property
    def waiting(self) -> int:
        return waiting(self.shelf.journal).facts


@pytest.fixture
def central() -> TinyCentral:
    return TinyCentral(*(piece(number) for number in range(PIECES)))


async def until(is_so: Callable[[], bool], *, within_s: float = 15.0) -> None:
    async with asyncio.timeout(within_s):
        while not is_so():  # noqa: ASYNC110 -- it is asked of stores and another process, which tell nobody
            await asyncio.sleep(0.01)


async def _stocked(path: Path, *facts: Fact) -> None:
    """One more start of the agent, without a network: some stock that central does not know, and facts on it."""
    shelf = Shelf(path)
    await shelf.load(*(piece(number) for number in range(PIECES + 1)))
    for each in facts:
        await shelf.recorder.record(each)
    shelf.close()


def _heard(central: TinyCentral, kind: type) -> int:
    return sum(isinstance(message, kind) for message in central.heard)


def _is_whole(central: TinyCentral, facts: int) -> bool:
    """The ledger has every fact once, each session's in order and without a gap."""
    seqs: dict[bytes, list[int]] = {}
    for sealed in central.ledger:
        seqs.setdefault(sealed.id.session, []).append(sealed.id.seq)
    assert all(found == list(range(1, len(found) + 1)) for found in seqs.values())
    return len(central.ledger) == facts and not central.conflicts


async def test_the_replica_is_pulled_facts_reach_the_ledger_and_the_overlay_goes(
    tmp_path: Path, broker: Broker, central: TinyCentral
) -> None:
    async with central.on(broker.port), Agent(tmp_path / "a", broker.port) as agent:
        await until(lambda: agent.shelf.replica.version == 1)
        assert agent.shelf.stock.item(code(7)) == piece(7)
        await agent.shelf.recorder.record(taken(7))
        assert len(agent.shelf.overlay) == 1
        await until(lambda: agent.waiting == 0 and len(agent.shelf.overlay) == 0)
        item = agent.shelf.stock.item(code(7))
        assert item is not None
        assert item.state is State.TAKEN
        assert (agent.shelf.replica.version, _is_whole(central, 1)) == (2, True)
        assert agent.shelf.watch.offset_us == pytest.approx(central.offset_us, abs=500_000)
        report = agent.health.snapshot()
        assert (report.sentence_key, report.is_connected, report.cause) == (Sentence.ALL_IN_LEDGER, True, "")


async def test_many_facts_are_sent_in_few_batches(tmp_path: Path, broker: Broker, central: TinyCentral) -> None:
    await _stocked(tmp_path / "a")
    async with Agent(tmp_path / "a", broker.port) as agent:
        for _ in range(30):
            await asyncio.gather(*(agent.shelf.recorder.record(taken(n), put_back(n)) for n in range(PIECES)))
        async with central.on(broker.port):
            await until(lambda: _is_whole(central, 30 * PIECES * 2))
            await until(lambda: agent.waiting == 0)
            assert _heard(central, Batch) <= 30 * PIECES * 2 / uplink.BATCH_FACTS + 5


async def test_a_batch_leaves_while_the_next_one_is_put_together(
    tmp_path: Path, broker: Broker, central: TinyCentral, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _stocked(
        tmp_path / "a", *(move(number) for _ in range(25) for move in (taken, put_back) for number in range(PIECES))
    )
    turn, turns = 0, []

    async def count() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    put_together = Sessions.batch

    def batch(sessions: Sessions, effect: on.SendBatch) -> Batch:
        turns.append(turn)
        return put_together(sessions, effect)

    monkeypatch.setattr(Sessions, "batch", batch)
    async with central.on(broker.port), asyncio.timeout(30), Agent(tmp_path / "a", broker.port) as agent:
        counting = asyncio.create_task(count())
        await until(lambda: agent.waiting == 0)
        counting.cancel()
    assert len(turns) >= 25 * 2 * PIECES / uplink.BATCH_FACTS
    assert all(later - earlier >= TURNS_TO_LEAVE for earlier, later in pairwise(turns))


async def test_lost_acks_are_made_good_by_sending_again(
    tmp_path: Path, broker: Broker, central: TinyCentral, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uplink, "RESEND_AFTER_US", 300_000)
    central.acks_to_lose = 3
    async with central.on(broker.port), Agent(tmp_path / "a", broker.port) as agent:
        await until(lambda: agent.shelf.replica.version == 1)
        for number in range(10):
            await agent.shelf.recorder.record(taken(number))
        await until(lambda: agent.waiting == 0, within_s=30)
        assert _is_whole(central, 10)
        assert _heard(central, Batch) > 3


async def test_a_batch_that_found_the_queue_to_the_broker_full_is_sent_though_nothing_else_happens(
    tmp_path: Path, broker: Broker, central: TinyCentral, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uplink, "RESEND_AFTER_US", 300_000)
    async with central.on(broker.port), Agent(tmp_path / "a", broker.port) as agent:
        await until(lambda: agent.shelf.replica.version == 1)

        def full(_link: MqttLink, _data: bytes) -> None:
            raise LinkDownError("32 messages wait for the broker already")

        with monkeypatch.context() as patch:
            patch.setattr(MqttLink, "send", full)
            await agent.shelf.recorder.record(taken(1))
            await asyncio.sleep(0.1)
        await until(lambda: agent.waiting == 0)
        assert _is_whole(central, 1)


async def test_a_broker_that_is_killed_costs_nothing_but_time(
    tmp_path: Path, broker: Broker, central: TinyCentral
) -> None:
    async with central.on(broker.port), Agent(tmp_path / "a", broker.port) as agent:
        await until(lambda: agent.shelf.replica.version == 1)
        recorded = 0
        for outage in range(3):
            await broker.kill()
            for number in range(outage * 10, outage * 10 + 10):
                await agent.shelf.recorder.record(taken(number))
                recorded += 1
            await until(lambda: not agent.shell.state.is_connected)
            assert agent.health.snapshot().sentence_key is Sentence.WAITING_FOR_BROKER
            assert agent.health.snapshot().facts_waiting == 10
            await broker.start()
            await until(lambda: agent.waiting == 0, within_s=30)
        assert _is_whole(central, recorded)
        await until(lambda: agent.shelf.replica.version == central.version)


async def test_a_delta_that_was_not_heard_is_pulled_and_one_that_was_costs_no_pull(
    tmp_path: Path, broker: Broker, central: TinyCentral
) -> None:
    async with central.on(broker.port), Agent(tmp_path / "a", broker.port) as agent:
        await until(lambda: agent.shelf.replica.version == 1)
        pulls = _heard(central, Pull)
        await central.change(piece(1, location="elsewhere"))
        await until(lambda: agent.shelf.replica.version == 2)
        assert _heard(central, Pull) == pulls
        central.is_broadcasting = False
        await central.change(piece(2, location="elsewhere"))
        central.is_broadcasting = True
        await central.change(piece(3, location="elsewhere"))
        await until(lambda: agent.shelf.replica.version == 4)
        assert _heard(central, Pull) == pulls + 1
        moved = agent.shelf.stock.items_at("elsewhere", states={State.IN_STOCK}, limit=9)
        assert [item.code for item in moved] == [code(1), code(2), code(3)]


async def test_a_deleted_replica_is_built_anew_and_own_facts_still_count(
    tmp_path: Path, broker: Broker, central: TinyCentral
) -> None:
    await _stocked(tmp_path / "a", taken(5))
    for name in ("replica.db", "replica.db-wal", "replica.db-shm"):
        (tmp_path / "a" / name).unlink(missing_ok=True)
    central.is_deaf = True
    async with central.on(broker.port), Agent(tmp_path / "a", broker.port) as agent:
        assert agent.shelf.stock.item(code(6)) is None
        own = agent.shelf.stock.item(code(5))
        assert own is not None
        assert own.state is State.TAKEN
        central.is_deaf = False
        await until(lambda: agent.shelf.replica.version == central.version == 2, within_s=30)
        assert agent.shelf.stock.item(code(6)) == piece(6)
        await until(lambda: len(agent.shelf.overlay) == 0)


async def test_a_replica_larger_than_a_delta_is_pulled_in_pieces(tmp_path: Path, broker: Broker) -> None:
    central = TinyCentral()
    async with central.on(broker.port):
        for first in range(0, 400, 40):
            await central.change(*(piece(number) for number in range(first, first + 40)))
        async with Agent(tmp_path / "a", broker.port) as agent:
            await until(lambda: agent.shelf.replica.version == central.version)
            assert len(agent.shelf.stock.items_at("ward-3", states={State.IN_STOCK}, limit=999)) == 400
            assert _heard(central, Pull) >= 5


async def test_a_replica_damaged_under_the_running_agent_is_built_anew(
    tmp_path: Path, broker: Broker, central: TinyCentral
) -> None:
    async with central.on(broker.port), Agent(tmp_path / "a", broker.port) as agent:
        await until(lambda: agent.shelf.replica.version == 1)
        agent.shelf.replica.is_damaged = True
        await agent.shelf.recorder.record(taken(3))
        await until(lambda: agent.shelf.replica.version == central.version == 2)
        assert not agent.shelf.replica.is_damaged
        await until(lambda: len(agent.shelf.overlay) == 0)
        item = agent.shelf.stock.item(code(3))
        assert item is not None
        assert item.state is State.TAKEN


async def test_sessions_that_were_never_sent_are_drained_in_the_order_they_were_written(
    tmp_path: Path, broker: Broker, central: TinyCentral
) -> None:
    for session in range(4):
        await _stocked(tmp_path / "a", *(taken(number) for number in range(session * 5, session * 5 + 5)))
    async with central.on(broker.port), Agent(tmp_path / "a", broker.port) as agent:
        await until(lambda: agent.waiting == 0)
        assert _is_whole(central, 20)
        sessions = list(dict.fromkeys(sealed.id.session for sealed in central.ledger))
        assert sessions == list(agent.shelf.journal.lines)[:4]


async def test_what_central_refuses_or_garbles_is_said_and_does_not_stop_sync(
    tmp_path: Path, broker: Broker, central: TinyCentral
) -> None:
    async with central.on(broker.port), Agent(tmp_path / "a", broker.port) as agent:
        await until(lambda: agent.shelf.replica.version == 1)
        await central.say(DEVICE, Refused(cause="two chains", advice="call the administrator"))
        await until(lambda: agent.shell.state.alarm == "two chains; call the administrator")
        assert agent.health.snapshot().sentence_key is Sentence.CENTRAL_REFUSED
        await central.send(DEVICE, b"\x01\x00garbage")
        await until(lambda: "cannot read" in agent.shell.state.alarm)
        await agent.shelf.recorder.record(taken(1))
        await until(lambda: agent.waiting == 0)
        assert agent.shell.state.alarm == ""


async def test_a_central_that_starts_late_is_greeted_when_it_is_first_heard(
    tmp_path: Path, broker: Broker, central: TinyCentral
) -> None:
    async with Agent(tmp_path / "a", broker.port) as agent:
        await until(lambda: agent.shell.state.is_connected)
        await asyncio.sleep(1.2)
        async with central.on(broker.port):
            await asyncio.sleep(0.3)
            await central.change(piece(1, location="elsewhere"))
            await until(lambda: agent.shell.state.is_welcome, within_s=2)
            assert _heard(central, Hello) == 1
            await until(lambda: agent.shelf.replica.version == 2)


async def test_no_scan_waits_for_a_broker_that_is_not_there(tmp_path: Path) -> None:
    await _stocked(tmp_path / "a")
    async with Agent(tmp_path / "a", 1) as agent:
        async with asyncio.timeout(5):
            for number in range(PIECES):
                await agent.shelf.recorder.record(taken(number))
        assert agent.health.snapshot().facts_waiting == PIECES
        await until(lambda: "refused" in agent.shell.state.cause.lower())
