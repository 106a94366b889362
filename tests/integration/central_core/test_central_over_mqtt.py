"""Central as a process, over a real broker: what is acked is there, what is not is sent again, nothing is twice."""

import asyncio
import datetime as dt
import resource
import sqlite3
from pathlib import Path
from random import Random

import pytest

from hardware_sims.broker import Brand, Broker
from sync_protocol.facts import Fact, How, Moment, What
from sync_protocol.messages import Batch, Delta, Refused
from tests.integration.central_core.processes import CentralProcess, WireAgent, connected, until
from tests.unit.central_core.desk import NOON_US, PLACE, HandAgent, piece

pytestmark = pytest.mark.mosquitto


def fact(what: What, *codes: str, document: str = "") -> Fact:
    at = Moment(wall_us=NOON_US, mono_us=1)
    return Fact(what=what, codes=codes, at=at, operator="n1", location=PLACE, how=How.RFID, document=document)


async def stocked(central: CentralProcess, count: int, agent: WireAgent) -> list[str]:
    """Pieces announced over the interface and received over the broker."""
    codes = [piece(number) for number in range(count)]
    stent = {"id": "STENT", "name": "支架", "kind": "piece", "route": "cabinet"}
    assert (await central.call("PUT", "/api/v1/products", {"products": [stent]}))[0] == 200
    line = {"product": "STENT", "lot": "L1", "expiry": "2028-12-31", "codes": codes}
    note = {"id": "N-1", "supplier": "S", "location": PLACE, "kind": "piece", "lines": [line]}
    assert (await central.call("POST", "/api/v1/delivery-notes", note))[0] == 201
    await agent.greet()
    await agent.deliver(agent.agent.batch(fact(What.RECEIVED, *codes, document="N-1")))
    return codes


async def holds(central: CentralProcess, facts: int) -> bool:
    return central.rows("SELECT count(*) FROM fact WHERE device = 'cabinet-1'") == [(facts,)]


async def is_unwell(central: CentralProcess) -> bool:
    return bool((await central.call("GET", "/healthz"))[1]["status"] != "ok")


async def test_facts_are_acked_and_everybody_hears_of_them(central: CentralProcess, broker: Broker) -> None:
    async with (
        connected(HandAgent("cabinet-1"), broker.port) as one,
        connected(HandAgent("cabinet-2"), broker.port) as other,
    ):
        codes = await stocked(central, 3, one)
        version = (await other.greet()).version
        ack = await one.deliver(one.agent.batch(fact(What.TAKEN, codes[0])))
        assert ack.exceptions == ()
        for agent in (one, other):
            while (delta := await agent.hear(Delta, is_broadcast=True)).to != ack.version:
                assert delta.to <= ack.version
            assert (delta.after, delta.rows.items[0].code) == (version, codes[0])
        pulled = await other.pull(0)
        assert {item.code for item in pulled.rows.items} == set(codes)
        status, health = await central.call("GET", "/healthz")
        assert (status, health["status"]) == (200, "ok")


async def test_two_agents_race_for_one_code_and_both_facts_are_kept(central: CentralProcess, broker: Broker) -> None:
    agents = [HandAgent("cabinet-1"), HandAgent("cabinet-2")]
    async with connected(agents[0], broker.port) as one, connected(agents[1], broker.port) as other:
        codes = await stocked(central, 40, one)
        await other.greet()
        acks = await asyncio.gather(
            *(agent.deliver(agent.agent.batch(*(fact(What.TAKEN, code) for code in codes))) for agent in (one, other))
        )
    refused = [len(ack.exceptions) for ack in acks]
    assert sum(refused) == 40
    assert central.rows("SELECT count(*) FROM fact WHERE what = 'taken'") == [(80,)]
    assert central.rows("SELECT count(*) FROM exception WHERE reason = 'wrong_state'") == [(40,)]


async def test_killed_between_commit_and_ack_nothing_is_lost_or_twice(central: CentralProcess, broker: Broker) -> None:
    random = Random(7)
    async with connected(HandAgent("cabinet-1"), broker.port) as agent:
        codes = await stocked(central, 50, agent)
        sent = 1
        for _ in range(4):
            batches = [
                agent.agent.batch(*(fact(random.choice([What.TAKEN, What.PUT_BACK]), code) for code in codes))
                for _ in range(4)
            ]
            for batch in batches:
                await agent.say(batch)
            await asyncio.sleep(random.uniform(0, 0.03))
            await central.kill()
            await central.start()
            await agent.greet()
            for batch in batches:
                await agent.deliver(batch)
            sent += 200
            ((count, distinct, through),) = central.rows(
                "SELECT count(*), count(DISTINCT seq), max(seq) FROM fact WHERE device = 'cabinet-1'"
            )
            assert count == distinct == through == sent
    connection = sqlite3.connect(central.folder / "data" / "ledger.db")
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


async def test_a_commit_without_its_ack_is_acked_at_the_resend(central: CentralProcess, broker: Broker) -> None:
    """The broker dies with the ack in it."""
    cabinet = HandAgent("cabinet-1")
    async with connected(cabinet, broker.port) as agent:
        codes = await stocked(central, 5, agent)
        batch = cabinet.batch(fact(What.TAKEN, codes[0]), fact(What.TAKEN, "9" * 24))
        await agent.say(batch)
        await until(lambda: holds(central, 3))
        await broker.kill()
    facts = central.rows("SELECT * FROM fact")
    await broker.start()
    async with connected(cabinet, broker.port) as agent:
        welcome = await agent.greet()
        assert welcome.positions[0].through == 3
        ack = await agent.deliver(batch)
    assert [verdict.seq for verdict in ack.exceptions] == [3]
    assert central.rows("SELECT * FROM fact") == facts


async def test_central_finds_its_broker_again_and_says_when_it_is_away(central: CentralProcess, broker: Broker) -> None:
    async with connected(HandAgent("cabinet-1"), broker.port) as agent:
        await agent.greet()
    await broker.kill()
    await until(lambda: is_unwell(central))
    _, health = await central.call("GET", "/healthz")
    (down,) = [part for part in health["parts"] if part["cause"]]
    assert down["part"] == "broker"
    assert "start the broker" in down["advice"]
    await broker.start()
    async with connected(HandAgent("cabinet-1"), broker.port) as agent:
        await agent.greet()


async def test_a_ledger_that_cannot_be_written_acks_nothing_says_so_and_recovers(
    central: CentralProcess, broker: Broker
) -> None:
    """The file may not grow: what a full or failing disk looks like to a process."""
    async with connected(HandAgent("cabinet-1"), broker.port) as agent:
        codes = await stocked(central, 30, agent)
        _, most = resource.prlimit(central.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(central.process.pid, resource.RLIMIT_FSIZE, (1024, most))
        batch = agent.agent.batch(*(fact(What.TAKEN, code) for code in codes))
        await agent.say(batch)
        await until(lambda: is_unwell(central))
        _, health = await central.call("GET", "/healthz")
        (ledger,) = [part for part in health["parts"] if part["part"] == "ledger"]
        assert "disk" in ledger["cause"]
        assert central.rows("SELECT count(*) FROM fact WHERE what = 'taken'") == [(0,)]
        resource.prlimit(central.process.pid, resource.RLIMIT_FSIZE, (most, most))
        assert (await agent.deliver(batch)).exceptions == ()
        assert (await central.call("GET", "/healthz"))[0] == 200


async def test_it_stops_as_asked_and_goes_on_where_it_was(central: CentralProcess, broker: Broker) -> None:
    async with connected(HandAgent("cabinet-1"), broker.port) as agent:
        codes = await stocked(central, 2, agent)
        await central.stop()
        assert central.process.status == 0
        await central.start()
        welcome = await agent.greet()
        assert welcome.positions[0].through == 1
        await agent.deliver(agent.agent.batch(fact(What.TAKEN, codes[0])))
    assert central.rows("SELECT count(*) FROM session WHERE device = 'central' AND parent_session = x''") == [(1,)]


async def test_it_works_with_the_broker_of_the_demo(tmp_path: Path) -> None:
    broker = Broker(Brand.AMQTT, tmp_path)
    await broker.start()
    central = CentralProcess(tmp_path, broker.url)
    await central.start()
    try:
        async with connected(HandAgent("cabinet-1"), broker.port) as agent:
            codes = await stocked(central, 10, agent)
            ack = await agent.deliver(agent.agent.batch(*(fact(What.TAKEN, code) for code in codes)))
            assert (ack.through, ack.exceptions) == (11, ())
            while (await agent.hear(Delta, is_broadcast=True)).to != ack.version:
                pass
    finally:
        await central.stop()
        await broker.stop()


async def test_rubbish_on_the_wire_is_answered_and_harms_nobody(central: CentralProcess, broker: Broker) -> None:
    random = Random(1)
    async with connected(HandAgent("cabinet-1"), broker.port) as agent:
        codes = await stocked(central, 2, agent)
        for size in (0, 1, 2, 50, 5_000, 900_000):
            await agent._client.publish("codepool/1/d/cabinet-1/up", random.randbytes(size), qos=1)
        await agent._client.publish("codepool/1/d/UPPER/up", b"x", qos=1)
        await agent.say(Batch(start=HandAgent("cabinet-9").start, first_seq=1, previous_hash=b"", bodies=(b"x",)))
        assert (await agent.deliver(agent.agent.batch(fact(What.TAKEN, codes[0])))).exceptions == ()
        assert "cannot read" in (await agent.hear(Refused)).cause
    assert central.rows("SELECT count(*) FROM fact WHERE what = 'unreadable'") == [(0,)]


async def test_a_usage_before_the_taking_and_an_order_before_its_stock_meet(
    central: CentralProcess, broker: Broker
) -> None:
    async with connected(HandAgent("cabinet-1"), broker.port) as agent:
        codes = await stocked(central, 2, agent)
        usage = {"id": "U-1", "codes": [codes[0]], "patient": "P", "operator": "n1", "wall_us": NOON_US}
        assert (await central.call("POST", "/api/v1/usages", usage))[0] in {200, 201}
        await agent.deliver(agent.agent.batch(fact(What.TAKEN, codes[0])))
    assert central.rows("SELECT state, count(*) FROM item GROUP BY state ORDER BY state") == [
        ("dispensed", 1),
        ("in_stock", 1),
    ]


async def test_dates_of_notes_reach_the_ledger(central: CentralProcess, broker: Broker) -> None:
    async with connected(HandAgent("cabinet-1"), broker.port) as agent:
        await stocked(central, 1, agent)
        (item,) = (await agent.pull(0)).rows.items
    assert item.expiry == dt.date(2028, 12, 31)
