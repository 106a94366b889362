"""Agents and central of different versions, over a real broker: nothing is changed or lost that can be kept."""

import asyncio
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from edge_agent.health import Sentence
from hardware_sims.broker import Broker
from sync_protocol import codec, envelope
from sync_protocol.facts import Fact, How, Moment, What
from sync_protocol.messages import SCHEMA, Batch, Delta, Down, Hello, Refused, Rows, Up
from tests.integration.central_core.processes import CentralProcess, WireAgent, connected
from tests.integration.central_core.test_central_over_mqtt import stocked
from tests.integration.edge_core.test_sync_shell import Agent, until
from tests.integration.edge_core.tiny_central import TinyCentral
from tests.integration.versions.dialects import new_fact, newer, old_fact, older
from tests.unit.central_core.desk import NOON_US, PLACE, HandAgent
from tests.unit.edge_core.shelf import code, piece, taken

pytestmark = [pytest.mark.mosquitto, pytest.mark.fault(37)]


def fact(what: What, *codes: str, product: str = "STENT") -> Fact:
    at = Moment(wall_us=NOON_US, mono_us=1)
    return Fact(what=what, codes=codes, at=at, operator="n1", location=PLACE, how=How.RFID, product=product)


async def pieces(central: CentralProcess, broker: Broker) -> list[str]:
    async with connected(HandAgent("cabinet-9"), broker.port) as agent:
        return await stocked(central, 3, agent)


def states(central: CentralProcess) -> list[str]:
    return [state for (state,) in central.rows("SELECT state FROM item ORDER BY code")]


async def verified(central: CentralProcess) -> str:
    await central.stop()
    config = central.folder / "central.toml"
    command = [sys.executable, "-m", "central.cli", "verify", "--config", str(config)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def delivered(agent: WireAgent, batch: Batch, central: CentralProcess) -> list[int]:
    """Sent until it is acked: the facts that are exceptions. Its bytes are in the ledger as they came."""
    ack = await agent.deliver(batch)
    device = agent.agent.device
    kept = central.rows(f"SELECT body FROM fact WHERE device = '{device}' ORDER BY seq")
    assert [body for (body,) in kept][batch.first_seq - 1 :] == list(batch.bodies)
    return [verdict.seq for verdict in ack.exceptions]


async def test_an_older_agent_goes_on_beside_a_newer_central(
    central: CentralProcess, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = await pieces(central, broker)
    monkeypatch.setattr(envelope, "encode", older)
    async with connected(HandAgent("cabinet-1"), broker.port) as agent:
        await agent.greet()
        batch = agent.agent.batch(*(old_fact(fact(what, codes[0])) for what in (What.TAKEN, What.PUT_BACK, What.TAKEN)))
        assert await delivered(agent, batch, central) == []
    assert states(central) == ["taken", "in_stock", "in_stock"]
    assert "whole" in await verified(central)
    assert central.rows("SELECT schema FROM agent WHERE device = 'cabinet-1'") == [(1,)]


async def test_what_a_newer_agent_says_besides_is_kept_in_the_bytes(
    central: CentralProcess, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = await pieces(central, broker)
    monkeypatch.setattr(envelope, "encode", newer)
    async with connected(HandAgent("cabinet-1"), broker.port) as agent:
        await agent.greet()
        batch = agent.agent.batch(
            new_fact(fact(What.TAKEN, codes[0])),
            new_fact(fact(What.TAKEN, codes[1]), what="sterilised"),
            new_fact(fact(What.TAKEN, codes[2])),
        )
        assert await delivered(agent, batch, central) == [2], "kept, on the work list, and in nobody's way"
    assert states(central) == ["taken", "in_stock", "taken"]
    assert "whole" in await verified(central)


async def test_an_agent_of_a_newer_schema_waits_for_central_and_goes_on_after_a_rollback(
    central: CentralProcess, broker: Broker
) -> None:
    codes = await pieces(central, broker)
    one = HandAgent("cabinet-1")
    async with connected(one, broker.port) as agent:
        tomorrow = Hello(
            start=one.start, head=None, head_hash=one.head, pending=(), replica_version=0, schema=SCHEMA + 1
        )
        await agent.say(tomorrow)
        refused = await agent.hear(Refused)
        assert (str(SCHEMA + 1) in refused.cause, refused.advice) == (True, "update central first, then the agents")
        # The older software is put back: what was recorded meanwhile is still there, and goes up.
        await agent.greet()
        assert await delivered(agent, one.batch(fact(What.TAKEN, codes[0])), central) == []
    assert states(central)[0] == "taken"


async def test_an_agent_works_with_a_central_that_says_more(
    tmp_path: Path, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def speak(message: Up | Down) -> bytes:
        return codec.encode(message) if isinstance(message, Hello | Batch) else newer(message)

    monkeypatch.setattr(envelope, "encode", speak)
    there = TinyCentral(*(piece(number) for number in range(9)))
    async with there.on(broker.port), Agent(tmp_path / "a", broker.port) as agent:
        await until(lambda: agent.shelf.replica.version == 1)
        await agent.shelf.recorder.record(taken(7))
        await until(lambda: agent.waiting == 0 and agent.shelf.replica.version == there.version)
        item = agent.shelf.stock.item(code(7))
        assert item is not None
        assert item.state == "taken"
        assert agent.health.snapshot().sentence_key is Sentence.ALL_IN_LEDGER


async def test_an_agent_that_cannot_read_a_newer_delta_says_so_and_its_facts_still_go_up(
    tmp_path: Path, broker: Broker
) -> None:
    there = TinyCentral(*(piece(number) for number in range(9)))
    async with there.on(broker.port), Agent(tmp_path / "a", broker.port) as agent:
        await until(lambda: agent.shelf.replica.version == 1)
        odd = msgspec.structs.replace(piece(8))
        msgspec.structs.force_setattr(odd, "state", "sterilised")
        there.is_broadcasting = False
        delta = Delta(after=1, to=2, rows=Rows(items=(odd,)), latest=2)
        await there.say(agent.shelf.recorder.device, delta)
        await until(lambda: bool(agent.shell.state.alarm))
        report = agent.health.snapshot()
        assert report.sentence_key is Sentence.CENTRAL_REFUSED
        assert "what this version cannot read" in report.cause
        before = agent.shelf.stock.item(code(7))
        await agent.shelf.recorder.record(taken(7))
        await until(lambda: agent.waiting == 0)
        assert before == piece(7), "it goes on with the copy that it can read"
        assert [sealed.id.device for sealed in there.ledger] == [agent.shelf.recorder.device]
