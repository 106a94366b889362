"""Central restored, doubled, and agents whose disks were set back, copied or lost: real processes, real files."""

import asyncio
import contextlib
import json
import shutil
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from central.app import KEY
from edge_agent.store import fact_rows
from edge_agent.store.identity import FILE, open_identity
from hardware_sims.broker import Broker
from sync_protocol.envelope import Voice
from sync_protocol.facts import Fact, FactId, How, Moment, What
from sync_protocol.items import State
from sync_protocol.machines.sending import sendings
from sync_protocol.machines.uplink_events import Line
from sync_protocol.messages import Hello, Position
from tests.integration.central_core.processes import CentralProcess, connected
from tests.integration.central_core.test_central_over_mqtt import stocked
from tests.integration.edge_core.test_sync_shell import Agent, until
from tests.unit.central_core.desk import NOON_US, PLACE, HandAgent, piece

pytestmark = pytest.mark.mosquitto
PIECES = 60


def fact(what: What, *numbers: int) -> Fact:
    codes = tuple(piece(number) for number in numbers)
    return Fact(
        what=what, codes=codes, at=Moment(wall_us=NOON_US, mono_us=1), operator="n1", location=PLACE, how=How.RFID
    )


async def command(*arguments: object) -> tuple[int, str]:
    """``codepool-central`` with these arguments: its exit status and all that it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "central.cli", *map(str, arguments)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def backup_of(central: CentralProcess, to: Path) -> Path:
    status, said = await command("backup", "--data", central.folder / "data", "--to", to)
    assert status == 0, said
    return Path(said.partition(": verified")[0].rpartition("\n")[2])


async def restore(central: CentralProcess, file: Path, *more: str) -> None:
    status, said = await command("restore", "--from", file, "--data", central.folder / "data", *more)
    assert status == 0, said


async def assert_whole(central: CentralProcess) -> None:
    status, said = await command("verify", "--data", central.folder / "data")
    assert status == 0, said


def counts(central: CentralProcess, device: str) -> tuple[int, int]:
    """Facts of a device, and how many of them are different ones."""
    ((found, different),) = central.rows(f"SELECT count(*), count(DISTINCT hash) FROM fact WHERE device = '{device}'")
    return found, different


def by_hand(path: Path) -> HandAgent:
    """Somebody who has the key of the agent in this folder."""
    agent = HandAgent("cabinet-1")
    agent.secret = open_identity(path)
    agent.voice = Voice(agent.start.session, agent.secret.sign)
    return agent


def incarnation(central: CentralProcess) -> int:
    return int(central.rows("SELECT value FROM meta WHERE key = 'incarnation'")[0][0])


async def clerk_returns(central: CentralProcess, broker: Broker) -> None:
    """The one who announced and received says that it holds nothing more."""
    async with connected(HandAgent("clerk"), broker.port, is_known=True) as clerk:
        await clerk.pull_of(incarnation(central))


@contextlib.asynccontextmanager
async def never_in_stock(agent: Agent, *numbers: int) -> AsyncIterator[None]:
    """Fails if the agent ever believes in stock what it has itself taken."""
    done, believed = asyncio.Event(), 0

    async def look() -> None:
        nonlocal believed
        while not done.is_set():
            for number in numbers:
                item = agent.shelf.stock.item(piece(number))
                believed += item is not None and item.state is State.IN_STOCK
            await asyncio.sleep(0.001)

    looking = asyncio.create_task(look())
    yield
    done.set()
    await looking
    assert believed == 0


async def in_step(agent: Agent) -> None:
    await until(lambda: agent.waiting == 0 and len(agent.shelf.overlay) == 0, within_s=40)


async def take(agent: Agent, *numbers: int) -> None:
    for number in numbers:
        await agent.shelf.recorder.record(fact(What.TAKEN, number))


async def imaged(folder: Path, broker: Broker, central: CentralProcess) -> None:
    """An agent whose ``image`` was made while it ran: the ledger has three facts more."""
    async with connected(HandAgent("clerk"), broker.port) as clerk:
        await stocked(central, PIECES, clerk)
    async with Agent(folder / "one", broker.port, "cabinet-1") as agent:
        await knows_pieces(agent)
        await take(agent, 0, 1)
        await in_step(agent)
        shutil.copytree(folder / "one", folder / "image")
        await take(agent, 2, 3, 4)
        await in_step(agent)


async def knows_pieces(agent: Agent) -> None:
    def is_there() -> bool:
        item = agent.shelf.stock.item(piece(PIECES - 1))
        return item is not None and item.state is not State.EXPECTED

    await until(is_there, within_s=40)


@pytest.mark.covers("E09")
async def test_a_ledger_restored_from_an_older_backup_is_whole_again_with_no_command(
    tmp_path: Path, broker: Broker, central: CentralProcess
) -> None:
    """REQ-03, faults 32 and 33: two agents hold more than the backup; acked, and gone from the overlay."""
    async with connected(HandAgent("clerk"), broker.port) as clerk:
        await stocked(central, PIECES, clerk)
    async with (
        Agent(tmp_path / "one", broker.port, "cabinet-1") as one,
        Agent(tmp_path / "two", broker.port, "cabinet-2") as two,
    ):
        await asyncio.gather(knows_pieces(one), knows_pieces(two))
        await take(one, 0, 1)
        await in_step(one)
        file = await backup_of(central, tmp_path / "to")
        await take(one, *range(2, 20))
        await take(two, *range(20, 40))
        await asyncio.gather(in_step(one), in_step(two))
        before, facts = incarnation(central), counts(central, "cabinet-1")
        await central.kill()
        await take(two, 40, 41)
        await restore(central, file, "--replace")
        began_s = time.monotonic()
        async with never_in_stock(one, *range(20)), never_in_stock(two, *range(20, 42)):
            await central.start()
            await clerk_returns(central, broker)
            await until(
                lambda: bool(one.shelf.replica.incarnation == two.shelf.replica.incarnation > before), within_s=60
            )
            await asyncio.gather(in_step(one), in_step(two))
        whole_s = time.monotonic() - began_s
        assert incarnation(central) == one.shelf.replica.incarnation
        assert one.shelf.stock.item(piece(25)) == two.shelf.stock.item(piece(25))
    assert (counts(central, "cabinet-1"), counts(central, "cabinet-2")) == (facts, (22, 22))
    assert central.rows("SELECT * FROM exception") == []
    assert central.rows("SELECT state, count(*) FROM item GROUP BY state") == [("in_stock", 18), ("taken", 42)]
    assert central.rows("SELECT 1 FROM meta WHERE key = 'refill_since_us'") == []
    await assert_whole(central)
    assert whole_s < 40


@pytest.mark.fault(33)
async def test_while_an_agent_is_missing_no_order_is_allocated_and_a_call_shows_why(
    tmp_path: Path, broker: Broker, central: CentralProcess
) -> None:
    async with connected(HandAgent("clerk"), broker.port) as clerk:
        await stocked(central, 3, clerk)
        box = {"id": "BOX", "name": "盒", "kind": "box", "drug_ids": ["8100002"]}
        assert (await central.call("PUT", "/api/v1/products", {"products": [box]}))[0] == 200
        code = "81000020000000000001"
        line = {"product": "BOX", "lot": "L1", "expiry": "2028-12-31", "codes": [code]}
        note = {"id": "N-2", "supplier": "S", "location": PLACE, "kind": "box", "lines": [line]}
        assert (await central.call("POST", "/api/v1/delivery-notes", note))[0] == 201
        at = Moment(wall_us=NOON_US, mono_us=1)
        await clerk.deliver(
            clerk.agent.batch(Fact(what=What.RECEIVED, codes=(code,), at=at, document="N-2", location=PLACE))
        )
    await asyncio.sleep(1.5)
    file = await backup_of(central, tmp_path / "to")
    await central.stop()
    await restore(central, file, "--replace")
    await central.start()
    order = {
        "resourceType": "MedicationRequest",
        "identifier": [{"system": "urn:codepool:order-item", "value": "O-1"}],
        "status": "active",
        "intent": "order",
        "priority": "stat",
        "medicationCodeableConcept": {"coding": [{"system": "urn:codepool:product", "code": "BOX"}]},
        "subject": {"reference": "Patient/pt-1"},
        "encounter": {"reference": "Encounter/v-1"},
        "authoredOn": "2026-11-21T08:00:00+08:00",
        "requester": {"identifier": {"value": "dr-7"}},
        "extension": [{"url": "urn:codepool:ward", "valueString": "W3"}],
        "dispenseRequest": {
            "quantity": {"value": 1},
            "performer": {"identifier": {"system": "urn:codepool:location", "value": PLACE}},
        },
    }
    status, placed = await central.call("POST", "/fhir/MedicationRequest", order)
    assert status in {200, 201}, placed
    assert central.rows("SELECT state FROM orders") == [("waiting",)]
    health = (await central.call("GET", "/healthz"))[1]
    (refill,) = [part for part in health["parts"] if part["part"] == "refill"]
    assert "restored" in refill["cause"]
    await clerk_returns(central, broker)
    await until(lambda: central.rows("SELECT state FROM orders") == [("locked",)])
    assert (await central.call("GET", "/healthz"))[0] == 200


@pytest.mark.fault(34)
async def test_of_two_centrals_alive_the_older_is_refused_by_agents_and_says_so_itself(
    tmp_path: Path, broker: Broker, central: CentralProcess
) -> None:
    """A failover that left the old one running."""
    async with connected(HandAgent("clerk"), broker.port) as clerk:
        await stocked(central, PIECES, clerk)
    async with Agent(tmp_path / "one", broker.port, "cabinet-1") as one:
        await knows_pieces(one)
        await take(one, 0)
        await in_step(one)
        file = await backup_of(central, tmp_path / "to")
        (tmp_path / "second").mkdir()
        second = CentralProcess(tmp_path / "second", broker.url, extra="")
        await restore(second, file)
        shutil.copy2(central.folder / "data" / KEY, second.folder / "data" / KEY)
        await second.start()
        try:
            await clerk_returns(second, broker)
            await until(
                lambda: one.shelf.journal.incarnation == incarnation(second) > incarnation(central), within_s=40
            )
            await take(one, *range(1, 30))
            await in_step(one)
            await central.call("PUT", "/api/v1/products", {"products": [{"id": "X", "name": "x", "kind": "piece"}]})
            await until(lambda: "older central" in one.shell.state.alarm, within_s=20)
            assert one.shelf.replica.query("SELECT count(*) FROM product WHERE id = 'X'") == [(0,)]
            await until(lambda: counts(second, "cabinet-1") == (30, 30))
            parts = {part["part"]: part["cause"] for part in (await central.call("GET", "/healthz"))[1]["parts"]}
            assert parts["life"] == "agents have met a newer central"
            parts = {part["part"]: part["cause"] for part in (await second.call("GET", "/healthz"))[1]["parts"]}
            assert parts["life"] == ""
        finally:
            await second.stop()


@pytest.mark.fault(12)
async def test_an_image_put_back_is_found_at_first_contact_and_its_loss_is_counted(
    tmp_path: Path, broker: Broker, central: CentralProcess
) -> None:
    """REQ-04."""
    async with connected(HandAgent("clerk"), broker.port) as clerk:
        await stocked(central, PIECES, clerk)
    path = tmp_path / "one"
    async with Agent(path, broker.port, "cabinet-1") as agent:
        await knows_pieces(agent)
        await take(agent, 0, 1)
        await in_step(agent)
    shutil.copytree(path, tmp_path / "image")
    async with Agent(path, broker.port, "cabinet-1") as agent:
        await take(agent, 2, 3, 4)
        await in_step(agent)
        lived = agent.shelf.journal.start
    async with connected(by_hand(path), broker.port) as wire:
        # Three more were recorded and told of with HELLO, and the disk died before they were sent.
        heads = (Position(session=lived.session, through=6),)
        head = FactId(device="cabinet-1", session=lived.session, seq=6)
        await wire.say(Hello(start=lived, head=head, head_hash=b"", pending=(), heads=heads, replica_version=0))
        await until(lambda: central.rows("SELECT facts_waiting FROM agent WHERE device = 'cabinet-1'") == [(3,)])
    shutil.rmtree(path)
    shutil.copytree(tmp_path / "image", path)
    async with Agent(path, broker.port, "cabinet-1") as agent:
        await until(lambda: bool(central.rows("SELECT 1 FROM exception")))
        assert counts(central, "cabinet-1") == (5, 5), "found before anything else"
        await take(agent, 5)
        await in_step(agent)
    ((device, reason, found),) = central.rows("SELECT device, reason, found FROM exception")
    assert (device, reason) == ("cabinet-1", "session_fork")
    assert "facts that it told of and that are lost: 3, last heard of before: 20" in found
    assert counts(central, "cabinet-1") == (6, 6)
    await assert_whole(central)


@pytest.mark.fault(12)
async def test_an_image_of_a_running_session_lacks_what_the_ledger_has(
    tmp_path: Path, broker: Broker, central: CentralProcess
) -> None:
    """The copy was made while the agent ran."""
    await imaged(tmp_path, broker, central)
    async with Agent(tmp_path / "image", broker.port, "cabinet-1"):
        await until(lambda: bool(central.rows("SELECT 1 FROM exception")))
    ((device, reason, found),) = central.rows("SELECT device, reason, found FROM exception")
    assert (device, reason) == ("cabinet-1", "journal_restored")
    expected = "facts that the ledger has and this journal has not: 3, facts that it told of and that are lost: 0"
    assert found.startswith(expected)


@pytest.mark.fault(12)
async def test_what_a_machine_woken_from_a_snapshot_wrote_under_taken_numbers_is_in_the_ledger_once(
    tmp_path: Path, broker: Broker, central: CentralProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on in the session that it was in, which has gone on without it."""
    await imaged(tmp_path, broker, central)
    monkeypatch.setattr(fact_rows, "begin", lambda _connection, lines, *_: lines.pop())
    woken = Agent(tmp_path / "image", broker.port, "cabinet-1")
    line = woken.shelf.journal.current
    known = Line(session=line.start.session, head=line.head, acked=line.acked)
    woken.shell._uplink._lines.update(sendings(line.start.session, [known]))
    await take(woken, 5, 6)
    async with woken:
        await in_step(woken)
        assert woken.shelf.journal.start.session != line.start.session
        await take(woken, 7)
        await in_step(woken)
    ((device, reason, found),) = central.rows("SELECT device, reason, found FROM exception")
    assert (device, reason) == ("cabinet-1", "journal_restored")
    assert found.startswith("facts that the ledger has and this journal has not: 3, facts that it told of and that are")
    assert "that are lost: 0" in found
    assert counts(central, "cabinet-1") == (8, 8)
    held = central.rows("SELECT count(*) FROM item WHERE state = 'taken'")
    assert held == [(8,)], "each piece that either life took, and no other"
    await assert_whole(central)
    monkeypatch.undo()
    async with Agent(tmp_path / "image", broker.port, "cabinet-1") as later:
        await take(later, 8)
        await in_step(later)
    assert counts(central, "cabinet-1") == (9, 9)
    await assert_whole(central)


@pytest.mark.fault(13)
async def test_a_cloned_computer_is_found_at_its_first_contact_and_both_are_kept(
    tmp_path: Path, broker: Broker, central: CentralProcess
) -> None:
    """REQ-04: both run at once, under one name."""
    async with connected(HandAgent("clerk"), broker.port) as clerk:
        await stocked(central, PIECES, clerk)
    async with Agent(tmp_path / "one", broker.port, "cabinet-1") as agent:
        await knows_pieces(agent)
        await take(agent, 0)
        await in_step(agent)
    shutil.copytree(tmp_path / "one", tmp_path / "clone")
    async with Agent(tmp_path / "one", broker.port, "cabinet-1") as one:
        await until(lambda: one.shell.state.is_welcome)
        await take(one, 1)
        await in_step(one)
        assert central.rows("SELECT reason FROM exception") == []
        async with Agent(tmp_path / "clone", broker.port, "cabinet-1") as clone:
            await until(lambda: central.rows("SELECT reason FROM exception") == [("session_fork",)], within_s=40)
            await take(clone, 2)
            await until(lambda: clone.waiting == 0, within_s=60)
    assert counts(central, "cabinet-1") == (3, 3)
    await assert_whole(central)


@pytest.mark.fault(14)
async def test_a_deleted_journal_is_found_and_its_loss_counted_from_the_last_hello(
    tmp_path: Path, broker: Broker, central: CentralProcess
) -> None:
    """REQ-04."""
    async with connected(HandAgent("clerk"), broker.port) as clerk:
        await stocked(central, PIECES, clerk)
    path = tmp_path / "one"
    async with Agent(path, broker.port, "cabinet-1") as agent:
        await knows_pieces(agent)
        await take(agent, 0)
        await in_step(agent)
        lived = agent.shelf.journal.start
    key = (path / FILE).read_bytes()
    async with connected(by_hand(path), broker.port) as wire:
        # Two more were recorded and told of with HELLO, and the disk was wiped before they were sent.
        heads = (Position(session=lived.session, through=3),)
        await wire.say(Hello(start=lived, head=None, head_hash=b"", pending=(), heads=heads, replica_version=0))
        await until(lambda: central.rows("SELECT facts_waiting FROM agent WHERE device = 'cabinet-1'") == [(2,)])
    shutil.rmtree(path)
    path.mkdir(mode=0o700)
    (path / FILE).write_bytes(key)
    (path / FILE).chmod(0o600)
    async with Agent(path, broker.port, "cabinet-1"):
        await until(lambda: bool(central.rows("SELECT 1 FROM exception")), within_s=40)
    ((device, reason, found),) = central.rows("SELECT device, reason, found FROM exception")
    assert (device, reason) == ("cabinet-1", "journal_lost")
    assert found.startswith("facts that it told of and that are lost: 2, last heard of before: 20")


async def test_a_backup_taken_under_load_holds_what_was_acked_before_it_and_restores_clean(
    tmp_path: Path, broker: Broker, central: CentralProcess
) -> None:
    """REQ-02."""
    async with connected(HandAgent("cabinet-1"), broker.port) as agent:
        codes = await stocked(central, PIECES, agent)
        is_done, acked = asyncio.Event(), 0

        async def load() -> None:
            nonlocal acked
            while not is_done.is_set():
                what = What.TAKEN if acked // 50 % 2 == 0 else What.PUT_BACK
                batch = agent.agent.batch(*(fact(what, number) for number in range(50)))
                await agent.deliver(batch)
                acked += 50

        loading = asyncio.create_task(load())
        await until(lambda: acked >= 500)
        before = acked
        file = await backup_of(central, tmp_path / "to")
        after = acked
        is_done.set()
        await loading
        assert after > before, "it was written to meanwhile"
        manifest = json.loads(file.with_name(f"{file.name}.json").read_text("utf-8"))
        through = manifest["sessions"][agent.agent.start.session.hex()][0]
        assert before + 1 <= through <= after + 51
        assert len(codes) == PIECES
        await until(lambda: central.rows("SELECT safe FROM session WHERE device = 'cabinet-1'") == [(through,)])
    (tmp_path / "other").mkdir()
    other = CentralProcess(tmp_path / "other", broker.url)
    await restore(other, file)
    await assert_whole(other)
    assert counts(other, "cabinet-1") == (through, through)
