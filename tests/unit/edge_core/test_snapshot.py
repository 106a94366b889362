"""REQ-06: a file is let in only if it is, to the bit, what was offered, and the old replica stays until then."""

import hashlib
import sqlite3
import threading
import tracemalloc
from collections.abc import Callable
from contextlib import closing
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import msgspec
import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge_agent.store import schema
from edge_agent.store.replica import Replica
from edge_agent.store.snapshot import UnwantedError, WrongSnapshotError, prepare
from sync_protocol import replica_format
from sync_protocol.messages import Offer, Rows
from tests.unit.edge_core.shelf import NOON_US, Shelf, code, piece

pytestmark = pytest.mark.fault(6)
PIECES, VERSION, INCARNATION = 300, 40, 9
Spoil = Callable[[sqlite3.Connection], object]


def a_file(folder: Path, spoil: Spoil = lambda _: None) -> Path:
    """What central makes, before it is packed."""
    path = folder / "made.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as made:
        schema.create_replica(made)
        rows = Rows(items=tuple(piece(number, location="new") for number in range(PIECES)))
        for statement, values in replica_format.writes(rows):
            made.execute(statement, values)
        made.execute(replica_format.MOVE, (VERSION, 0, INCARNATION))
        spoil(made)
    return path


def packed(path: Path) -> tuple[bytes, Offer]:
    return offered(zstandard.ZstdCompressor(level=3, write_checksum=True).compress(path.read_bytes()), path)


def offered(data: bytes, path: Path) -> tuple[bytes, Offer]:
    offer = Offer(
        path="/x",
        sha256=hashlib.sha256(data).digest(),
        size=len(data),
        raw_size=path.stat().st_size,
        version=VERSION,
        incarnation=INCARNATION,
        takes=replica_format.VERSION,
        ticket="t",
        for_s=60,
    )
    return data, offer


@cache
def good() -> tuple[bytes, Offer]:
    return packed(a_file(Path(mkdtemp(prefix="codepool-test-"))))


def tried(folder: Path, data: bytes, offer: Offer) -> Path:
    """Raises WrongSnapshotError, and then asserts that nothing is left that could be taken for a replica."""
    part, target = folder / "part", folder / "whole"
    part.write_bytes(data)
    try:
        prepare(part, target, offer, threading.Event())
    except WrongSnapshotError:
        assert not target.exists()
        raise
    return target


async def test_what_was_offered_takes_the_place_and_answers(tmp_path: Path, shelf: Shelf) -> None:
    await shelf.load(piece(1), piece(PIECES + 5))
    shelf.replica.adopt(tried(tmp_path, *good()))
    assert shelf.stock.item(code(PIECES + 5)) is not None, "the old one serves until the swap"
    shelf.replica.swap(as_of_us=NOON_US)
    item = shelf.stock.item(code(1))
    assert item is not None
    assert (item.location, shelf.replica.version, shelf.replica.incarnation) == ("new", VERSION, INCARNATION)
    assert shelf.stock.item(code(PIECES + 5)) is None


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_flipped_bit_is_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    content, offer = good()
    at = data.draw(st.integers(0, len(content) - 1))
    spoilt = bytearray(content)
    spoilt[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(WrongSnapshotError, match="SHA-256"):
        tried(tmp_path_factory.mktemp("flip"), bytes(spoilt), offer)


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_any_flipped_bit_is_refused_even_if_central_hashed_it(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Bytes spoilt on central's disk before they were hashed: the frame has a sum of its own."""
    content, offer = good()
    spoilt = bytearray(content)
    spoilt[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    lying = msgspec.structs.replace(offer, sha256=hashlib.sha256(spoilt).digest())
    folder = tmp_path_factory.mktemp("lie")
    try:
        target = tried(folder, bytes(spoilt), lying)
    except WrongSnapshotError:
        return
    whole = zstandard.ZstdDecompressor().decompress(content)
    assert target.read_bytes() == whole, "a bit that means nothing to who unpacks"


_SUM = 4
"""Bytes behind the last block of a zstd frame; the hash that was offered is over them, too."""


@given(st.integers(0, 10_000))
@example(-1)
@settings(max_examples=40, deadline=None)
def test_any_truncation_is_refused(tmp_path_factory: pytest.TempPathFactory, length: int) -> None:
    content, offer = good()
    shorter = content[: length % len(content)]
    with pytest.raises(WrongSnapshotError):
        tried(tmp_path_factory.mktemp("cut"), shorter, offer)
    lying = msgspec.structs.replace(offer, size=len(shorter), sha256=hashlib.sha256(shorter).digest())
    try:
        target = tried(tmp_path_factory.mktemp("lie"), shorter, lying)
    except WrongSnapshotError:
        return
    assert len(shorter) >= len(content) - _SUM, "only the frame's own sum may be missing"
    assert target.read_bytes() == zstandard.ZstdDecompressor().decompress(content)


@pytest.mark.parametrize(
    "change",
    [
        {"version": VERSION + 1},
        {"version": VERSION - 1},
        {"incarnation": INCARNATION + 1},
        {"incarnation": 0},
        {"raw_size": 4096},
        {"sha256": bytes(32)},
    ],
    ids=str,
)
def test_another_than_was_offered_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    content, offer = good()
    with pytest.raises(WrongSnapshotError):
        tried(tmp_path, content, msgspec.structs.replace(offer, **change))


SPOILS: dict[str, Spoil] = {
    "another format": lambda made: made.execute("PRAGMA user_version = 99"),
    "another application": lambda made: made.execute("PRAGMA application_id = 1"),
    "a trigger": lambda made: made.execute("CREATE TRIGGER t AFTER UPDATE ON cursor BEGIN DELETE FROM item; END"),
    "a table more": lambda made: made.execute("CREATE TABLE more(a)"),
    "an index less": lambda made: made.execute("DROP INDEX item_place"),
    "no cursor": lambda made: made.execute("DELETE FROM cursor"),
}


@pytest.mark.parametrize("spoil", SPOILS.values(), ids=SPOILS)
def test_a_file_that_is_no_replica_is_refused(tmp_path: Path, spoil: Spoil) -> None:
    with pytest.raises(WrongSnapshotError):
        tried(tmp_path, *packed(a_file(tmp_path, spoil)))


def test_a_file_with_a_damaged_page_is_refused(tmp_path: Path) -> None:
    path = a_file(tmp_path)
    content = bytearray(path.read_bytes())
    content[4096 * 8 : 4096 * 9] = bytes(4096)
    path.write_bytes(content)
    with pytest.raises(WrongSnapshotError, match=r"whole|read"):
        tried(tmp_path, *packed(path))


@pytest.mark.fault(60)
def test_a_bomb_goes_off_in_a_box(tmp_path: Path) -> None:
    """A hundred megabytes of nothing: neither memory nor disk is taken beyond what was offered."""
    bomb = zstandard.ZstdCompressor(level=3).compress(bytes(100 << 20))
    data, offer = offered(bomb, a_file(tmp_path))
    tracemalloc.start()
    with pytest.raises(WrongSnapshotError, match="unpacked"):
        tried(tmp_path, data, offer)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 << 20


def test_who_is_not_waited_for_stops_and_leaves_nothing(tmp_path: Path) -> None:
    data, offer = good()
    (tmp_path / "part").write_bytes(data)
    is_unwanted = threading.Event()
    is_unwanted.set()
    with pytest.raises(UnwantedError):
        prepare(tmp_path / "part", tmp_path / "whole", offer, is_unwanted)
    assert not (tmp_path / "whole").exists()


async def test_a_swap_ends_a_reading_of_the_old_one(tmp_path: Path) -> None:
    """Else its connection would keep the old file, and the swap would wait for ever."""
    replica = Replica(tmp_path / "replica.db")
    scan = replica.scan()
    replica.adopt(tried(tmp_path, *good()))
    replica.swap(as_of_us=NOON_US)
    assert scan.is_closed
    assert replica.version == VERSION
    replica.close()
