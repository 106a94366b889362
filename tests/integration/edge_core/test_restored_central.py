"""An agent meets a central that was restored from an older backup: REQ-03, REQ-06, faults 32 and 34."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edge_agent.sync.pruning import prune
from hardware_sims.broker import Broker
from sync_protocol.items import State
from sync_protocol.machines import downlink
from tests.integration.edge_core.test_sync_shell import Agent, until
from tests.integration.edge_core.tiny_central import TinyCentral
from tests.unit.edge_core.shelf import NOON_US, code, piece, put_back, taken

pytestmark = pytest.mark.mosquitto
PIECES = 40
LATER_US = NOON_US + 100 * 86_400_000_000


@pytest.fixture
def central() -> TinyCentral:
    central = TinyCentral(*(piece(number) for number in range(PIECES)))
    central.incarnation = 5
    return central


def state_of(agent: Agent, number: int) -> State:
    item = agent.shelf.stock.item(code(number))
    assert item is not None
    return item.state


@contextlib.asynccontextmanager
async def watching(agent: Agent, *numbers: int) -> AsyncIterator[None]:
    """Fails if the agent ever believes in stock what it has itself taken."""
    seen: list[State] = []
    done = asyncio.Event()

    async def look() -> None:
        while not done.is_set():
            for number in numbers:
                item = agent.shelf.stock.item(code(number))
                seen.extend([item.state] if item else [])
            await asyncio.sleep(0)

    looking = asyncio.create_task(look())
    yield
    done.set()
    await looking
    assert len(seen) > 100
    assert set(seen) == {State.TAKEN}


async def settled(agent: Agent, central: TinyCentral) -> None:
    await until(lambda: agent.waiting == 0 and len(agent.shelf.overlay) == 0, within_s=30)
    assert agent.shelf.replica.version == central.version


@pytest.mark.fault(32)
@pytest.mark.parametrize("is_restarted", [False, True])
async def test_the_ledger_is_refilled_and_what_was_issued_is_never_believed_in_stock(
    tmp_path: Path, broker: Broker, central: TinyCentral, *, is_restarted: bool
) -> None:
    """Acked and forgotten facts, overlay gone, and a ledger from before them."""
    backup = central.backup()
    async with Agent(tmp_path / "a", broker.port) as agent:
        async with central.on(broker.port):
            await until(lambda: agent.shelf.replica.incarnation == 5)
            for number in range(10):
                await agent.shelf.recorder.record(taken(number))
            await settled(agent, central)
        if not is_restarted:
            async with watching(agent, *range(10)), backup.on(broker.port):
                await until(lambda: agent.shelf.replica.incarnation == 6, within_s=30)
                await settled(agent, backup)
    if is_restarted:
        async with Agent(tmp_path / "a", broker.port) as agent, watching(agent, *range(10)), backup.on(broker.port):
            await until(lambda: agent.shelf.replica.incarnation == 6, within_s=30)
            await settled(agent, backup)
    assert len(backup.ledger) == len({sealed.hash for sealed in backup.ledger}) == 10
    assert not backup.conflicts


@pytest.mark.fault(32)
async def test_facts_made_meanwhile_stay_hidden_until_the_new_replica_shows_them(
    tmp_path: Path, broker: Broker, central: TinyCentral
) -> None:
    """Versions of the restored ledger are lower than those of the replica that still serves."""
    backup = central.backup()
    async with Agent(tmp_path / "a", broker.port) as agent:
        async with central.on(broker.port):
            await until(lambda: agent.shelf.replica.incarnation == 5)
            for number in range(20, 30):
                await agent.shelf.recorder.record(taken(number))
                await agent.shelf.recorder.record(put_back(number))
            await settled(agent, central)
        await agent.shelf.recorder.record(taken(1))
        async with watching(agent, 1), backup.on(broker.port):
            await until(lambda: agent.shell.state.is_welcome)
            await agent.shelf.recorder.record(taken(2))
            assert state_of(agent, 2) is State.TAKEN
            await until(lambda: agent.shelf.replica.incarnation == 6, within_s=30)
            await settled(agent, backup)
            assert state_of(agent, 2) is State.TAKEN


@pytest.mark.fault(6, 32)
async def test_a_replica_lost_during_the_refill_is_not_copied_from_a_ledger_that_lacks_own_facts(
    tmp_path: Path, broker: Broker, central: TinyCentral, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unknown is safe, in stock is not."""
    monkeypatch.setattr(downlink, "PULL_AGAIN_AFTER_US", 100_000)
    backup = central.backup()
    async with Agent(tmp_path / "a", broker.port) as agent:
        async with central.on(broker.port):
            await until(lambda: agent.shelf.replica.incarnation == 5)
            await agent.shelf.recorder.record(taken(1))
            await settled(agent, central)
        backup.acks_to_lose = 1
        async with backup.on(broker.port):
            await until(lambda: agent.shell.is_refilling)
            agent.shelf.replica.is_damaged = True
            await until(lambda: agent.shelf.replica.version == 0)
            assert agent.shelf.stock.item(code(1)) is None
            await until(lambda: agent.shelf.replica.incarnation == 6, within_s=30)
            assert state_of(agent, 1) is State.TAKEN


async def test_an_agent_started_in_the_middle_of_the_refill_goes_on_with_it(
    tmp_path: Path, broker: Broker, central: TinyCentral
) -> None:
    backup = central.backup()
    async with Agent(tmp_path / "a", broker.port) as agent, central.on(broker.port):
        await until(lambda: agent.shelf.replica.incarnation == 5)
        await agent.shelf.recorder.record(taken(1))
        await settled(agent, central)
    backup.acks_to_lose = 1_000
    async with Agent(tmp_path / "a", broker.port) as agent, backup.on(broker.port):
        await until(lambda: agent.shelf.journal.incarnation == 6)
    assert agent.shelf.replica.incarnation == 5
    backup.acks_to_lose = 0
    async with Agent(tmp_path / "a", broker.port) as agent, watching(agent, 1), backup.on(broker.port):
        assert agent.shell.is_refilling
        await until(lambda: agent.shelf.replica.incarnation == 6, within_s=30)
        await settled(agent, backup)


@pytest.mark.fault(34)
async def test_of_two_centrals_the_older_is_refused_with_an_alarm(
    tmp_path: Path, broker: Broker, central: TinyCentral
) -> None:
    """It cannot ack, it cannot change the replica, and it does not stop the right one."""
    async with Agent(tmp_path / "a", broker.port) as agent:
        async with central.on(broker.port):
            await until(lambda: agent.shelf.replica.incarnation == 5)
        older = central.backup()
        older.incarnation = 4
        await older.change(piece(1, location="elsewhere"))
        async with older.on(broker.port):
            await until(lambda: "older central" in agent.shell.state.alarm)
            await agent.shelf.recorder.record(taken(2))
            await until(lambda: len(older.ledger) == 1 or bool(older.heard))
            await asyncio.sleep(0.5)
        assert agent.waiting == 1
        item = agent.shelf.stock.item(code(1))
        assert item is not None
        assert item.location != "elsewhere"
        async with central.on(broker.port):
            await until(lambda: agent.waiting == 0, within_s=30)
            assert agent.shell.state.alarm == ""


async def test_what_is_safe_and_old_is_pruned_but_not_while_central_is_refilled(
    tmp_path: Path, broker: Broker, central: TinyCentral
) -> None:
    """REQ-02."""
    async with Agent(tmp_path / "a", broker.port) as agent:
        async with central.on(broker.port):
            await until(lambda: agent.shelf.replica.incarnation == 5)
            for number in range(6):
                await agent.shelf.recorder.record(taken(number))
            session = agent.shelf.journal.start.session
            await until(lambda: agent.waiting == 0)
            assert await prune(agent.shelf.journal, older_than_us=LATER_US, may_go_on=lambda: True) == 0
            central.safe[session] = 4
            await agent.shelf.recorder.record(taken(6))
            await until(lambda: agent.shelf.journal.lines[session].safe == 4)
        assert await prune(agent.shelf.journal, older_than_us=LATER_US, may_go_on=lambda: False) == 0
        assert await prune(agent.shelf.journal, older_than_us=LATER_US, may_go_on=lambda: True) == 4
        backup = central.backup()
        async with backup.on(broker.port):
            await until(lambda: agent.shelf.replica.incarnation == 6, within_s=30)
            await settled(agent, backup)
        assert len(backup.ledger) == 7


async def test_a_session_that_is_all_pruned_goes_on_after_its_central_was_restored(
    tmp_path: Path, broker: Broker, central: TinyCentral
) -> None:
    """REQ-02, REQ-03: what is written next is sent from where the journal was cut."""
    async with Agent(tmp_path / "a", broker.port) as agent:
        async with central.on(broker.port):
            await until(lambda: agent.shelf.replica.incarnation == 5)
            session = agent.shelf.journal.start.session
            central.safe[session] = 2
            await agent.shelf.recorder.record(taken(0))
            await agent.shelf.recorder.record(taken(1))
            await until(lambda: agent.shelf.journal.lines[session].safe == 2)
        assert await prune(agent.shelf.journal, older_than_us=LATER_US, may_go_on=lambda: True) == 2
        async with central.backup().on(broker.port) as backup:
            await until(lambda: agent.shelf.replica.incarnation == 6, within_s=30)
            await agent.shelf.recorder.record(taken(2))
            await settled(agent, backup)
        assert [sealed.id.seq for sealed in backup.ledger] == [1, 2, 3]


async def test_a_ledger_older_than_what_was_pruned_is_an_alarm_and_the_old_replica_stays(
    tmp_path: Path, broker: Broker, central: TinyCentral
) -> None:
    """REQ-02: facts were in a verified backup, and somebody restored an older one."""
    ancient = central.backup()
    async with Agent(tmp_path / "a", broker.port) as agent:
        async with central.on(broker.port):
            await until(lambda: agent.shelf.replica.incarnation == 5)
            for number in range(6):
                await agent.shelf.recorder.record(taken(number))
            session = agent.shelf.journal.start.session
            central.safe[session] = 4
            await agent.shelf.recorder.record(taken(6))
            await until(lambda: agent.shelf.journal.lines[session].safe == 4)
            await settled(agent, central)
        await prune(agent.shelf.journal, older_than_us=LATER_US, may_go_on=lambda: True)
        async with ancient.on(broker.port):
            await until(lambda: "lacks facts 1 to 4" in agent.shell.state.alarm)
            await asyncio.sleep(0.3)
            assert state_of(agent, 1) is State.TAKEN
            assert agent.shell.is_refilling
