"""The replica is a cache: damage costs a pull, never a fact."""

import asyncio
import contextlib
import os
import sqlite3
import time
from functools import partial, partialmethod
from pathlib import Path
from typing import Any

import pytest

from edge_agent.errors import StoreError
from edge_agent.store import writing
from edge_agent.store.folder import sync
from edge_agent.store.replica import Replica
from sync_protocol.messages import Delta, Rows
from sync_protocol.sql import AT_ONCE
from tests.unit.edge_core.shelf import NOON_US, Shelf, code, piece


async def _filled(path: Path, items: int = 500) -> Replica:
    replica = Replica(path)
    rows = Rows(items=tuple(piece(number) for number in range(items)))
    await replica.apply(Delta(after=0, to=7, rows=rows, latest=7), as_of_us=NOON_US)
    return replica


def _count(replica: Replica) -> int:
    ((count,),) = replica.query("SELECT count(*) FROM item")
    return int(count)


async def test_rows_and_cursor_survive_a_restart_together(tmp_path: Path) -> None:
    (await _filled(tmp_path / "replica.db")).close()
    replica = Replica(tmp_path / "replica.db")
    assert (replica.version, replica.as_of_us, _count(replica)) == (7, NOON_US, 500)
    replica.close()


async def test_readers_see_the_old_version_until_a_delta_is_whole(tmp_path: Path) -> None:
    replica = await _filled(tmp_path / "replica.db", 10)
    rows = Rows(items=tuple(piece(number, location="elsewhere") for number in range(5_000)))
    applying = asyncio.create_task(replica.apply(Delta(after=7, to=8, rows=rows, latest=8), as_of_us=NOON_US))
    seen = []
    while not applying.done():
        await asyncio.sleep(0)
        seen.append((replica.version, _count(replica)))
    # Between the commit and its news the rows may be newer than the version they are said to have, never older.
    assert set(seen) <= {(7, 10), (7, 5_000), (8, 5_000)}
    assert seen.count((7, 10)) > 3
    assert (_count(replica), replica.version) == (5_000, 8)
    replica.close()


async def test_a_writer_that_nobody_reads_beside_does_not_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "PAUSE_S", 3_600.0)
    async with asyncio.timeout(30):
        replica = await _filled(tmp_path / "replica.db", 5_000)
    assert _count(replica) == 5_000
    replica.close()


async def test_a_writer_rests_between_slices_while_somebody_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica = await _filled(tmp_path / "replica.db", 10)
    monkeypatch.setattr(writing, "PAUSE_S", 0.01)
    monkeypatch.setattr(writing, "GIVES_WAY", 5)
    rows = Rows(items=tuple(piece(number, location="elsewhere") for number in range(8_000)))
    began_s = time.monotonic()
    applying = asyncio.create_task(replica.apply(Delta(after=7, to=8, rows=rows, latest=8), as_of_us=NOON_US))
    while not applying.done():
        assert _count(replica) in {10, 8_000}
        await asyncio.sleep(0.001)
    slices = 8_000 / AT_ONCE
    # A quarter of them: on a busy machine the first read may come late.
    assert time.monotonic() - began_s > 0.01 * slices / 4, "each read makes the next five slices wait"
    replica.close()


async def test_a_delta_that_was_interrupted_is_not_there_at_all(tmp_path: Path) -> None:
    replica = await _filled(tmp_path / "replica.db", 10)
    rows = Rows(items=tuple(piece(number) for number in range(20_000)))
    applying = asyncio.create_task(replica.apply(Delta(after=7, to=8, rows=rows, latest=8), as_of_us=NOON_US))
    for _ in range(3):
        await asyncio.sleep(0)
    applying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await applying
    assert (_count(replica), replica.version) == (10, 7)
    await replica.apply(Delta(after=7, to=8, rows=rows, latest=8), as_of_us=NOON_US)
    assert (_count(replica), replica.version) == (20_000, 8)
    replica.close()


@pytest.mark.fault(6)
@pytest.mark.parametrize("page", [0, 1, 5, 20])
async def test_a_damaged_replica_is_emptied_at_the_start(tmp_path: Path, page: int) -> None:
    path = tmp_path / "replica.db"
    (await _filled(path)).close()
    content = path.read_bytes()
    path.write_bytes(content[: page * 4096] + os.urandom(4096) + content[(page + 1) * 4096 :])
    replica = Replica(path)
    assert (replica.version, _count(replica)) == (0, 0)
    await replica.apply(Delta(after=0, to=1, rows=Rows(items=(piece(1),)), latest=1), as_of_us=NOON_US)
    assert _count(replica) == 1
    replica.close()


async def test_a_replica_of_other_software_is_emptied_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "replica.db"
    (await _filled(path)).close()
    with sqlite3.connect(path) as raw:
        raw.execute("PRAGMA user_version = 99")
    raw.close()
    replica = Replica(path)
    assert replica.version == 0
    replica.close()


async def test_damage_met_while_running_is_marked_and_mended_by_a_reset(shelf: Shelf) -> None:
    await shelf.load(*(piece(number) for number in range(2000)))
    shelf.replica.query("PRAGMA wal_checkpoint(TRUNCATE)")
    shelf.replica.query("PRAGMA shrink_memory")
    path = shelf.replica.path
    path.write_bytes(path.read_bytes()[:4096] + b"\xff" * (path.stat().st_size - 4096))
    with pytest.raises(StoreError, match="it is fetched anew"):
        shelf.stock.item(code(1))
    damaged_before = shelf.replica.is_damaged
    shelf.replica.reset()
    assert (damaged_before, shelf.replica.is_damaged) == (True, False)
    assert (shelf.replica.version, shelf.stock.item(code(1))) == (0, None)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "replica.db").mkdir()
    with pytest.raises(StoreError, match="check the disk"):
        Replica(tmp_path / "replica.db")


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def _built(replica: Replica, *, incarnation: int = 9) -> None:
    replica.build()
    rows = Rows(items=tuple(piece(number, location="new") for number in range(20)))
    await replica.build_on(Delta(after=0, to=3, rows=rows, latest=3, incarnation=incarnation), as_of_us=NOON_US)


async def test_a_new_replica_is_built_beside_and_takes_the_place_at_once(tmp_path: Path) -> None:
    """REQ-06."""
    replica = await _filled(tmp_path / "replica.db", 10)
    await _built(replica)
    assert (_count(replica), replica.version, replica.incarnation) == (10, 7, 0)
    replica.swap(as_of_us=NOON_US + 1)
    assert (_count(replica), replica.version, replica.incarnation, replica.as_of_us) == (20, 3, 9, NOON_US + 1)
    replica.close()
    assert _names(tmp_path) == {"replica.db"}
    again = Replica(tmp_path / "replica.db")
    assert (_count(again), again.version, again.incarnation) == (20, 3, 9)
    again.close()


async def test_while_another_program_reads_the_old_replica_it_stays_and_the_new_one_waits(tmp_path: Path) -> None:
    replica = await _filled(tmp_path / "replica.db", 10)
    await _built(replica)
    reading = sqlite3.connect(tmp_path / "replica.db")
    reading.execute("SELECT count(*) FROM item").fetchone()
    with pytest.raises(StoreError, match=r"another program|locked"):
        replica.swap(as_of_us=NOON_US)
    assert (_count(replica), replica.version) == (10, 7)
    assert reading.execute("SELECT count(*) FROM item").fetchone() == (10,)
    reading.close()
    replica.swap(as_of_us=NOON_US)
    assert (_count(replica), replica.version) == (20, 3)
    replica.close()


async def test_a_crash_at_any_moment_of_the_swap_leaves_one_of_the_two_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = set()
    for step in range(6):
        folder = tmp_path / str(step)
        folder.mkdir()
        replica = await _filled(folder / "replica.db", 10)
        await _built(replica)
        calls = 0

        def dying(path: Path, *arguments: object, real: Any, at: int = step) -> Any:
            nonlocal calls
            calls += 1
            if calls > at:
                raise _PowerCutError
            return real(path, *arguments)

        with monkeypatch.context() as patch:
            patch.setattr("edge_agent.store.replica.sync", partial(dying, real=sync))
            patch.setattr(Path, "replace", partialmethod(dying, real=Path.replace))
            patch.setattr(Replica, "_reopen", lambda _self: None)
            with contextlib.suppress(_PowerCutError):
                replica.swap(as_of_us=NOON_US)
        replica._reader.close()
        replica._writer.close()
        again = Replica(folder / "replica.db")
        seen.add((_count(again), again.version))
        again.close()
    assert seen == {(10, 7), (20, 3)}


class _PowerCutError(BaseException):
    pass


async def test_what_was_left_of_a_build_is_thrown_away_at_the_start(tmp_path: Path) -> None:
    replica = await _filled(tmp_path / "replica.db", 10)
    await _built(replica)
    replica._reader.close()
    replica._writer.close()
    again = Replica(tmp_path / "replica.db")
    assert not (tmp_path / "replica.db.new").exists()
    assert again.version == 7
    again.close()
