"""REQ-06 at central: who is offered what, against which ticket, and what a snapshot holds."""

import asyncio
import contextlib
import sqlite3
import threading
from pathlib import Path
from random import Random

import msgspec
import pytest
import zstandard

from central.ledger import snapshot
from central.sync import snapshots
from central.sync.comparing import Comparing
from central.sync.snapshots import Policy, Snapshots
from edge_agent.store.replica import Replica
from sync_protocol import digests, replica_format
from sync_protocol.facts import What
from sync_protocol.messages import AskBucket, Compare, Delta, Differ, Digest, Offer, Pull
from tests.unit.central_core.desk import STENT, Desk, HandAgent, an_order, piece

PIECES = 40
WANTS = Pull(after=0, takes=replica_format.VERSION)
TABLES = ("item", "place", "orders", "note", "product", "product_code", "person")


async def stocked(desk: Desk) -> None:
    await desk.catalogue()
    await desk.in_stock(STENT, [piece(number) for number in range(PIECES)], note="N-P")
    cabinet = HandAgent("cabinet-1")
    await desk.send(cabinet, cabinet.batch(*(desk.fact(What.TAKEN, piece(number)) for number in range(5))))
    await desk.orders.place(an_order("O-1", quantity=2))


async def offered(shelf: Snapshots, pull: Pull = WANTS) -> Offer:
    """Asked until it is made."""
    running = asyncio.create_task(shelf.run())
    try:
        async with asyncio.timeout(20):
            while (offer := shelf.offer(pull)) is None:  # noqa: ASYNC110 -- as agents do
                await asyncio.sleep(0.01)
        return offer
    finally:
        running.cancel()
        await asyncio.wait({running})


def content(path: Path) -> list[list[tuple[object, ...]]]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return [connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall() for table in TABLES]


async def test_it_is_what_an_agent_would_have_copied(desk: Desk, tmp_path: Path) -> None:
    await stocked(desk)
    offer = await offered(Snapshots(desk.ledger, tmp_path, Policy(rows=10)))
    (packed,) = (tmp_path / snapshots.FOLDER).glob("*.zst")
    (tmp_path / "made.db").write_bytes(zstandard.ZstdDecompressor().decompress(packed.read_bytes()))
    with contextlib.closing(Replica(tmp_path / "copied.db")) as replica:
        while replica.version < desk.ledger.version:
            await replica.apply(desk.publisher.delta(replica.version), as_of_us=1)
        assert (offer.version, offer.incarnation) == (replica.version, replica.incarnation)
    assert content(tmp_path / "made.db") == content(tmp_path / "copied.db")
    assert offer.raw_size == (tmp_path / "made.db").stat().st_size


@pytest.mark.fault(22)
async def test_who_lacks_little_or_wants_none_gets_deltas(desk: Desk, tmp_path: Path) -> None:
    await stocked(desk)
    shelf = Snapshots(desk.ledger, tmp_path, Policy(rows=10))
    await offered(shelf)
    assert shelf.offer(Pull(after=0)) is None
    assert shelf.offer(Pull(after=0, takes=replica_format.VERSION + 1)) is None
    assert shelf.offer(Pull(after=desk.ledger.version - 1, takes=replica_format.VERSION)) is None
    assert Snapshots(desk.ledger, tmp_path, Policy(rows=0)).offer(WANTS) is None
    assert Snapshots(desk.ledger, tmp_path, Policy(rows=10_000)).offer(WANTS) is None


async def test_it_is_used_again_also_after_a_restart_until_it_is_old(desk: Desk, tmp_path: Path) -> None:
    await stocked(desk)
    first = await offered(Snapshots(desk.ledger, tmp_path, Policy(rows=10)))
    again = Snapshots(desk.ledger, tmp_path, Policy(rows=10))
    second = again.offer(WANTS)
    assert second is not None
    assert second.sha256 == first.sha256
    assert second.ticket != first.ticket
    old = Snapshots(desk.ledger, tmp_path, Policy(rows=10, age_s=-1.0))
    assert old.offer(WANTS) is None
    resumed = old.offer(msgspec.structs.replace(WANTS, part=first.sha256))
    assert resumed is not None, "who has a part of it goes on with it"
    assert resumed.sha256 == first.sha256


async def test_one_of_a_life_before_is_never_offered(desk: Desk, tmp_path: Path) -> None:
    """REQ-03."""
    await stocked(desk)
    shelf = Snapshots(desk.ledger, tmp_path, Policy(rows=10))
    first = await offered(shelf)
    desk.ledger.begin_life()
    assert shelf.offer(msgspec.structs.replace(WANTS, part=first.sha256)) is None
    second = await offered(shelf)
    assert second.incarnation == desk.ledger.incarnation > first.incarnation
    assert len(list((tmp_path / snapshots.FOLDER).glob("*.zst"))) == 1


async def test_a_ticket_is_for_one_file_and_one_time_and_not_for_long(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stocked(desk)
    shelf = Snapshots(desk.ledger, tmp_path, Policy(rows=10))
    offer = await offered(shelf)
    file = offer.path.rpartition("/")[2]
    assert shelf.redeem("guessed", file) is None
    assert shelf.redeem(offer.ticket, "kept.json") is None
    assert shelf.redeem(offer.ticket, file) is None, "it was shown for another file"
    good = shelf.offer(WANTS)
    assert good is not None
    assert shelf.redeem(good.ticket, file) == tmp_path / snapshots.FOLDER / file
    assert shelf.redeem(good.ticket, file) is None
    monkeypatch.setattr(snapshots, "TICKET_S", -1)
    late = shelf.offer(WANTS)
    assert late is not None
    assert shelf.redeem(late.ticket, file) is None


async def test_a_disk_that_is_full_is_said_and_deltas_go_on(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stocked(desk)
    shelf = Snapshots(desk.ledger, tmp_path, Policy(rows=10))
    (tmp_path / snapshots.FOLDER / "making.zst").symlink_to("/dev/full")
    running = asyncio.create_task(shelf.run())
    async with asyncio.timeout(20):
        while not shelf.trouble:
            assert shelf.offer(WANTS) is None
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.wait({running})
    assert "No space left" in shelf.trouble
    assert isinstance(desk.publisher.delta(0), Delta)
    monkeypatch.setattr(snapshots, "REST_US", 0)
    shelf._not_before_us = 0
    assert (await offered(shelf)).version == desk.ledger.version


class Waits(threading.Event):
    """Asked between the parts of a snapshot, it holds the making up until somebody has committed."""

    def __init__(self) -> None:
        super().__init__()
        self.is_reading, self.has_committed = threading.Event(), threading.Event()

    def is_set(self) -> bool:
        self.is_reading.set()
        assert self.has_committed.wait(timeout=30)
        return super().is_set()


async def test_commits_go_on_while_it_is_made(desk: Desk, tmp_path: Path) -> None:
    await stocked(desk)
    before, waits = desk.ledger.version, Waits()
    making = asyncio.create_task(
        asyncio.to_thread(snapshot.make, desk.ledger.path, tmp_path, now_us=0, is_stopped=waits)
    )
    assert await asyncio.to_thread(waits.is_reading.wait, 30)
    cabinet = HandAgent("cabinet-2")
    await desk.send(cabinet, cabinet.batch(desk.fact(What.TAKEN, piece(10))))
    assert desk.ledger.version > before
    waits.has_committed.set()
    assert (await making).version == before


async def a_round(desk: Desk) -> tuple[Comparing, Compare]:
    comparing = Comparing(desk.ledger, desk.publisher, every_s=0.0, random=Random(1))
    desk.post.sent.clear()
    await comparing.hold_round()
    [compare] = [message for _, message in desk.post.sent if isinstance(message, Compare)]
    return comparing, compare


def digest(desk: Desk, compare: Compare, *, without: str = "") -> Digest:
    items = [item for item in desk.publisher.delta(0).rows.items if item.code != without]
    return Digest(
        version=compare.version, incarnation=compare.incarnation, sums=digests.pack(digests.digests_of(items))
    )


async def test_a_replica_that_lacks_an_item_hears_in_which_bucket(desk: Desk) -> None:
    await stocked(desk)
    comparing, compare = await a_round(desk)
    assert compare == Compare(version=desk.ledger.version, incarnation=desk.ledger.incarnation)
    comparing.take("cabinet-1", digest(desk, compare))
    assert desk.post.to("cabinet-1", Differ) == []
    comparing.take("cabinet-1", digest(desk, compare, without=piece(3)))
    [differ] = desk.post.to("cabinet-1", Differ)
    assert differ.buckets == (digests.bucket_of(piece(3)),)
    desk.record(What.TAKEN, piece(20))
    late = msgspec.structs.replace(digest(desk, compare), version=desk.ledger.version)
    comparing.take("cabinet-1", late)
    assert len(desk.post.to("cabinet-1", Differ)) == 1, "another version is not compared"


async def test_a_bucket_is_answered_whole_at_the_present_version_page_by_page(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stocked(desk)
    comparing, _ = await a_round(desk)
    monkeypatch.setattr("central.sync.comparing.MOST_ITEMS", 1)
    found: list[str] = []
    ask = AskBucket(bucket=digests.bucket_of(piece(3)), after="", incarnation=desk.ledger.incarnation)
    while True:
        desk.record(What.TAKEN, piece(6 + len(found)))
        page = await comparing.bucket(ask)
        assert page.version == desk.ledger.version
        found += [item.code for item in page.items]
        if not page.to:
            break
        ask = msgspec.structs.replace(ask, after=page.to)
    everything = (item.code for item in desk.publisher.delta(0).rows.items)
    assert found == sorted(code for code in everything if digests.bucket_of(code) == ask.bucket)
