"""REQ-06 over real HTTP and a real broker: a replica that is far behind comes as one file, whatever happens to it."""

import asyncio
import contextlib
import errno
import os
import re
import shutil
import sqlite3
import sys
import time
from pathlib import Path

import aiohttp
import pytest

from edge_agent.sync import fetching
from sync_protocol.facts import What
from sync_protocol.items import State
from sync_protocol.machines import bootstrap
from tests.integration.bootstrap.line import Line
from tests.integration.bootstrap.stocked import BOXES, NOTES, Agent, Stocked, box, items_of, until
from tests.integration.central_core.processes import TOKEN

pytestmark = [pytest.mark.mosquitto, pytest.mark.fault(6)]
ALL = NOTES * BOXES


def ranges(line: Line) -> list[int]:
    """From which byte each request wanted the file."""
    found = [re.search(r"\r\nRange: bytes=(\d+)-", head) for head in line.heads]
    return [int(one[1]) if one else 0 for one in found]


async def test_a_new_agent_gets_one_file_and_goes_on_by_deltas(house: Stocked, line: Line, tmp_path: Path) -> None:
    await house.stock()
    offer = await house.snapshot()
    with Agent(tmp_path, house.broker.port, site=line.url) as agent:
        async with agent.online():
            await until(lambda: house.is_copied(agent))
            assert line.bodies == [offer.size]
            await house.announce(box(ALL + 1))
            await until(lambda: agent.stock.item(box(ALL + 1)) is not None)
            assert agent.shell.state.snapshot is None
            assert agent.shell.state.snapshot_trouble == ""
    assert list((tmp_path / "station-1").glob("snapshot-*")) == []


async def test_it_works_on_its_old_replica_while_the_new_one_comes(house: Stocked, line: Line, tmp_path: Path) -> None:
    await house.announce(box(ALL + 1))
    with Agent(tmp_path, house.broker.port, site=line.url) as agent:
        async with agent.online():
            await until(lambda: agent.stock.item(box(ALL + 1)) is not None)
        await house.stock()
        await house.snapshot()
        line.is_held.clear()
        async with agent.online():
            await until(lambda: len(line.heads) == 1)
            await agent.recorder.record(agent.fact(What.RECEIVED, box(ALL + 1), document="N-1"))
            await until(lambda: agent.waiting == 0)
            assert items_of(agent) < ALL
            line.is_held.set()
            await until(lambda: items_of(agent) == ALL + 1)
            item = agent.stock.item(box(ALL + 1))
            assert item is not None
            assert item.state is State.IN_STOCK


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waits between attempts: deltas would be faster than they are, with so few items."""
    monkeypatch.setattr(bootstrap, "FIRST_WAIT_US", 0)


@pytest.mark.usefixtures("at_once")
async def test_cut_again_and_again_it_goes_on_from_where_it_was(house: Stocked, line: Line, tmp_path: Path) -> None:
    await house.stock()
    offer = await house.snapshot()
    third = offer.size // 3
    line.cut_after = [third, third]
    with Agent(tmp_path, house.broker.port, site=line.url) as agent:
        async with agent.online():
            await until(lambda: house.is_copied(agent))
    starts = ranges(line)
    assert 0 == starts[0] < starts[1] < starts[2]
    assert len(starts) == 3
    assert sum(line.bodies) == offer.size + sum(line.bodies[:2]) - starts[2], "only what was cut came twice"
    assert sum(line.bodies) < offer.size * 4 // 3


async def test_killed_in_the_middle_it_goes_on_at_the_next_start(house: Stocked, line: Line, tmp_path: Path) -> None:
    await house.stock()
    offer = await house.snapshot()
    half = offer.size // 2
    line.stop_after = half
    command = [
        sys.executable,
        "-m",
        "tests.integration.bootstrap.child",
        str(tmp_path),
        str(house.broker.port),
        line.url,
    ]
    child = await asyncio.create_subprocess_exec(*command)
    part = tmp_path / "station-1" / f"snapshot-{offer.sha256.hex()}.part"
    await until(lambda: part.exists() and part.stat().st_size >= half)
    child.kill()
    await child.wait()
    line.stop_after = None
    with Agent(tmp_path, house.broker.port, site=line.url) as agent:
        async with agent.online():
            await until(lambda: house.is_copied(agent))
    first, *again = ranges(line)
    assert (first, set(again)) == (0, {half}), "what it had was not asked for again"
    assert line.bodies[-1] == offer.size - half


@pytest.mark.usefixtures("at_once")
async def test_central_restarted_in_the_middle_gives_another_ticket(house: Stocked, line: Line, tmp_path: Path) -> None:
    await house.stock()
    offer = await house.snapshot()
    line.stop_after = offer.size // 2
    with Agent(tmp_path, house.broker.port, site=line.url) as agent:
        async with agent.online():
            await until(lambda: line.bodies == [offer.size // 2])
            line.stop_after = None
            await house.central.kill()
            await house.central.start()
            await until(lambda: house.is_copied(agent))
    assert ranges(line)[-1] == offer.size // 2
    tickets = [head.partition("Bearer ")[2][:40] for head in line.heads]
    assert tickets[0] not in tickets[1:], "a ticket is used once"
    assert tickets[-1] not in tickets[:-1], "what was asked of the central that died is not asked of the other"


async def test_central_restored_in_the_middle_is_copied_and_not_the_one_before(
    house: Stocked, line: Line, tmp_path: Path
) -> None:
    """Fault 32: the snapshot is of a life of the ledger that is no more."""
    ledger = house.folder / "data" / "ledger.db"
    await house.announce(box(ALL + 1))
    await house.central.stop()
    shutil.copy(ledger, tmp_path / "before.db")
    await house.central.start()
    await house.stock()
    await house.snapshot()
    line.is_held.clear()
    with Agent(tmp_path, house.broker.port, site=line.url) as agent:
        async with agent.online():
            await until(lambda: len(line.heads) == 1)
            await house.central.stop()
            shutil.copy(tmp_path / "before.db", ledger)
            await house.central.start()
            incarnation = int(house.central.rows("SELECT value FROM meta WHERE key = 'incarnation'")[0][0])
            line.is_held.set()
            await until(lambda: agent.replica.incarnation == incarnation)
            await until(lambda: agent.replica.version == house.version)
            assert items_of(agent) == 1


@pytest.mark.usefixtures("at_once")
async def test_what_is_not_what_was_offered_is_thrown_away_and_deltas_do_it(
    house: Stocked, line: Line, tmp_path: Path
) -> None:
    await house.stock()
    await house.snapshot()
    line.spoil = lambda data: data[:-1] + bytes([data[-1] ^ 1])
    with Agent(tmp_path, house.broker.port, site=line.url) as agent:
        async with agent.online():
            await until(lambda: house.is_copied(agent))
            assert "SHA-256" in agent.shell.state.snapshot_trouble
    assert len(line.heads) == bootstrap.MOST_WRONGS
    assert list((tmp_path / "station-1").glob("snapshot-*")) == []


@pytest.mark.parametrize("is_early", [True, False])
async def test_a_full_disk_leaves_the_old_replica_and_the_journal_in_peace(
    house: Stocked, line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_early: bool
) -> None:
    await house.stock()
    offer = await house.snapshot()
    with Agent(tmp_path, house.broker.port, site=line.url) as agent:
        if is_early:
            monkeypatch.setattr(fetching, "SPARE_BYTES", 1 << 60)
        else:  # the kernel's own words
            (tmp_path / "station-1" / f"snapshot-{offer.sha256.hex()}.part").symlink_to("/dev/full")
        async with agent.online():
            await until(lambda: agent.shell.state.snapshot_trouble != "")
            cause = agent.shell.state.snapshot_trouble
            await until(lambda: house.is_copied(agent))
    assert ("free" in cause) is is_early
    assert is_early or os.strerror(errno.ENOSPC) in cause


async def test_a_replica_with_a_corrupt_page_is_fetched_anew_and_no_fact_is_touched(
    house: Stocked, line: Line, tmp_path: Path
) -> None:
    """Fault 6: dd on replica.db."""
    await house.stock()
    with Agent(tmp_path, house.broker.port, site=line.url) as agent:
        async with agent.online():
            await until(lambda: house.is_copied(agent))
            await agent.recorder.record(agent.fact(What.RECEIVED, *(box(n) for n in range(BOXES)), document="N-1"))
            await until(lambda: agent.waiting == 0)
    await house.snapshot()
    path = tmp_path / "station-1" / "replica.db"
    with path.open("r+b") as file:
        file.seek(4096 * 20)
        file.write(os.urandom(4096))
    before = facts_of(tmp_path)
    with Agent(tmp_path, house.broker.port, site=line.url) as agent:
        assert agent.replica.version == 0
        began_s = time.perf_counter()
        async with agent.online():
            await until(lambda: house.is_copied(agent))
            print(f"fetched anew in {time.perf_counter() - began_s:.2f} s")  # noqa: T201 - a measured figure
            item = agent.stock.item(box(1))
            assert item is not None
            assert item.state is State.IN_STOCK
    assert facts_of(tmp_path) == before
    assert len(line.heads) >= 1


def facts_of(folder: Path) -> list[tuple[bytes, ...]]:
    with contextlib.closing(sqlite3.connect(folder / "station-1" / "journal.db")) as journal:
        return journal.execute("SELECT body, hash FROM fact ORDER BY position").fetchall()


async def test_an_agent_without_the_address_copies_by_deltas(house: Stocked, line: Line, tmp_path: Path) -> None:
    await house.stock()
    await house.snapshot()
    with Agent(tmp_path, house.broker.port) as agent:
        async with agent.online():
            await until(lambda: house.is_copied(agent))
    assert line.heads == []


async def test_without_a_good_ticket_there_is_no_file(house: Stocked) -> None:
    await house.stock()
    offer = await house.snapshot()
    good = {"Authorization": f"Bearer {offer.ticket}"}
    async with aiohttp.ClientSession() as http:

        async def get(path: str, headers: dict[str, str]) -> tuple[int, bytes]:
            async with http.get(f"{house.central.address}{path}", headers=headers) as response:
                return response.status, await response.read()

        for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": f"Bearer {TOKEN}"}):
            assert (await get(offer.path, headers))[0] == 401
        status, data = await get(offer.path, good | {"Range": "bytes=10-19"})
        assert (status, len(data)) == (206, 10)
        assert (await get(offer.path, good))[0] == 401, "it was used"
        other = await house.snapshot()
        secrets = {"Authorization": f"Bearer {other.ticket}"}
        assert (await get("/api/v1/snapshots/..%2f..%2fsigning.key", secrets))[0] == 401
