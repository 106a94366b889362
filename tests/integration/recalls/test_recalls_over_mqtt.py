"""REQ-07 with a real central and a real broker: in seconds, confirmed by each agent, and offline (X10)."""

import asyncio
import shutil
import time
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from central.stock.recall_key import RecallKey
from edge_agent.errors import Refused
from edge_agent.sync.state import RecallTrouble
from sync_protocol import topics
from sync_protocol.envelope import Voice
from sync_protocol.facts import How, What
from sync_protocol.lifecycle import Reason
from sync_protocol.recalls import RecallSet, encode_recalls
from tests.integration.recalls.house import LOT, Agent, House, box, until
from tests.unit.central_core.desk import secret_of

pytestmark = pytest.mark.mosquitto
WITHIN_S = 1.0
BACKLOG = 60


async def all_confirm(house: House, agents: int, recall_id: str = "R1") -> float:
    """Seconds until central has heard it of every agent."""
    began_s = time.perf_counter()
    async with asyncio.timeout(20):
        while True:
            cover = await house.cover(recall_id)
            if sum(agent["is_confirmed"] for agent in cover["agents"]) == agents:
                return time.perf_counter() - began_s
            await asyncio.sleep(0.01)


@pytest.mark.covers("X10")
async def test_three_agents_confirm_within_a_second(house: House, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        agents = []
        for number in range(3):
            agent = stack.enter_context(Agent(tmp_path, house.broker.port, house.key, device=f"station-{number}"))
            agents.append(await stack.enter_async_context(agent.online()))
        await agents[0].receive(house, box(1), box(2))
        await until(lambda: all(agent.stock.item(box(1)) is not None for agent in agents))
        began_s = time.perf_counter()
        await house.recall()
        await all_confirm(house, 3)
        took_s = time.perf_counter() - began_s
        print(f"issued to confirmed by 3 agents: {took_s * 1000:.0f} ms")  # noqa: T201 - a measured figure
        assert took_s < WITHIN_S
        for agent in agents:
            with pytest.raises(Refused) as refused:
                await agent.recorder.record(agent.fact(What.LENT, box(1)))
            assert refused.value.refusals[0].reason is Reason.RECALLED
        cover = await house.cover()
        assert cover["items"] == {"frozen": 2}
        assert all(agent["since_us"] >= cover["recall"]["issued_us"] for agent in cover["agents"])
        assert cover["exposed"] == []
        lift = {"reason": "cleared", "operator": "N2", "witness": "N1"}
        await house.call("POST", "/recalls/R1/lift", lift)
        await all_confirm(house, 3)
        await until(lambda: all(agent.recorder.recalls.active == () for agent in agents))


@pytest.mark.fault(43)
@pytest.mark.covers("X10")
async def test_an_agent_that_was_cut_off_applies_it_first_and_its_patients_are_found(
    house: House, tmp_path: Path
) -> None:
    """Exposed patients found are those that got one, before and after the recall."""
    with Agent(tmp_path, house.broker.port, house.key) as agent:
        async with agent.online():
            await agent.receive(house, *(box(n) for n in range(1, 7)))
            await agent.receive(house, box(1, 2), product="CEF")
        before = {box(1): "O-1", box(2): "O-2"}
        for code, order in before.items():
            await hand_out(agent, code, order)
        await house.recall()
        await house.recall("R2", product="CEF")
        after = {box(3): "O-3", f"{box(1, 2)}#001": "O-4"}
        await agent.recorder.record(agent.fact(What.PRESCANNED, box(1, 2), units=10))
        for code, order in after.items():
            await hand_out(agent, code, order)
        for number in range(BACKLOG):  # what central told meanwhile, delta by delta
            await house.announce(box(1000 + number), lot="L9")
        agent.seen.clear()
        async with agent.online():
            await until(lambda: agent.waiting == 0 and len(agent.seen) > 0)
            await all_confirm(house, 1, "R2")
            assert min(agent.seen) == agent.version > 0
            for code in (box(4), f"{box(1, 2)}#002"):
                with pytest.raises(Refused) as refused:
                    await hand_out(agent, code, "O-9")
                assert refused.value.refusals[0].reason is Reason.RECALLED
    first, second = await house.cover(), await house.cover("R2")
    found = {(each["code"], each["order"], each["is_after_recall"]) for each in first["exposed"] + second["exposed"]}
    truth = {(code, order, False) for code, order in before.items()}
    assert found == truth | {(code, order, True) for code, order in after.items()}
    assert first["items"] == {"dispensed": 3, "frozen": 3}
    assert second["items"] == {"dispensed": 1, "frozen": 10}
    exceptions = house.central.rows("SELECT code FROM exception WHERE reason = 'recalled' ORDER BY code")
    assert {code for (code,) in exceptions} == set(after)


async def hand_out(agent: Agent, code: str, order: str) -> None:
    await agent.recorder.record(agent.fact(What.DISPENSED, code, order=order, how=How.LATE_SCAN))


@pytest.mark.covers("X10")
async def test_restarted_without_a_network_it_still_refuses(house: House, tmp_path: Path) -> None:
    with Agent(tmp_path, house.broker.port, house.key) as agent:
        async with agent.online():
            await agent.receive(house, box(1))
            await house.recall()
            await all_confirm(house, 1)
    with Agent(tmp_path, house.broker.port) as again, pytest.raises(Refused) as refused:
        await hand_out(again, box(1), "O-1")
    assert refused.value.refusals[0].reason is Reason.RECALLED


async def test_a_broker_that_lost_it_does_not_unrecall_a_drug(house: House, tmp_path: Path) -> None:
    await house.recall()
    await house.publish(b"")
    with Agent(tmp_path, house.broker.port, house.key) as agent:
        async with agent.online():
            await until(lambda: agent.version > 0)
            await all_confirm(house, 1)


async def test_a_broker_that_comes_back_empty_gets_it_from_central(house: House, tmp_path: Path) -> None:
    await house.recall()
    await house.broker.kill()
    await house.broker.start()
    async with asyncio.timeout(30):
        while (await house.central.call("GET", "/healthz"))[0] != 200:  # noqa: ASYNC110 -- another process
            await asyncio.sleep(0.05)
    with Agent(tmp_path, house.broker.port, house.key) as agent:
        async with agent.online():
            await until(lambda: agent.version > 0)


@pytest.mark.covers("X10")
async def test_a_forged_set_is_refused_with_an_alarm(house: House, tmp_path: Path) -> None:
    await house.recall()
    forger = RecallKey(Ed25519PrivateKey.generate().private_bytes_raw())
    empty = encode_recalls(RecallSet(version=2**40, recalls=()))
    with Agent(tmp_path, house.broker.port, house.key) as agent:
        async with agent.online():
            await all_confirm(house, 1)
            voice = Voice(bytes(16), secret_of("forger").sign)
            await house.publish(voice.say(forger.sign(2**40, empty), topics.RECALLS))
            await until(lambda: agent.shell.state.recall_trouble is RecallTrouble.FORGED)
            assert [recall.lot for recall in agent.recorder.recalls.active] == [LOT]


async def test_an_agent_without_a_key_says_so_and_shows_what_it_cannot_verify(house: House, tmp_path: Path) -> None:
    await house.recall()
    with Agent(tmp_path, house.broker.port) as agent:
        async with agent.online():
            await until(lambda: agent.shell.state.recall_trouble is RecallTrouble.NO_KEY)
            assert [recall.id for recall in agent.shell.state.unverified.recalls] == ["R1"]
            async with asyncio.timeout(10):
                while not (agents := (await house.cover())["agents"]):  # noqa: ASYNC110 -- another process
                    await asyncio.sleep(0.05)
            assert [each["is_confirmed"] for each in agents] == [False]


@pytest.mark.covers("X10")
async def test_a_restored_central_gets_its_recalls_back_from_its_agents(house: House, tmp_path: Path) -> None:
    """Issued, backed up over, lost: and issued anew under the same roof before anyone gave it back."""
    with ExitStack() as stack:
        agent = stack.enter_context(Agent(tmp_path, house.broker.port, house.key))
        async with agent.online():
            await agent.receive(house, box(1))
            await house.central.stop()
            for name in ("ledger.db", "recall.key"):
                shutil.copy2(house.folder / "data" / name, tmp_path / name)
            await house.central.start()
            await house.recall()
            await all_confirm(house, 1)
        await house.central.stop()
        for path in (house.folder / "data").glob("ledger.db*"):
            path.unlink()
        shutil.copy2(tmp_path / "ledger.db", house.folder / "data" / "ledger.db")
        await house.publish(b"")
        await house.central.start()
        assert (await house.call("GET", "/recalls"))["recalls"] == []
        await house.recall("R2", lot="L2")
        async with agent.online():
            await all_confirm(house, 1, "R2")
            await until(lambda: len(agent.recorder.recalls.signed) == 1)
            assert {recall.id for recall in agent.recorder.recalls.active} == {"R1", "R2"}
            found = (await house.call("GET", "/recalls"))["recalls"]
    assert {(row["id"], row["is_active"], row["given_back_by"]) for row in found} == {
        ("R1", True, "station-1"),
        ("R2", True, ""),
    }
    assert (await house.cover())["items"] == {"frozen": 1}
