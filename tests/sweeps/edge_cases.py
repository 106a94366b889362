"""Every transaction type of an agent."""

import asyncio
import os
import time
from collections.abc import Callable, Coroutine
from itertools import count
from pathlib import Path
from typing import Any

import msgspec

from edge_agent.errors import JournalCorruptError, StoreError
from edge_agent.store import schema, sqlite
from edge_agent.store.folder import JOURNAL, REPLICA
from edge_agent.store.journal import Journal
from edge_agent.store.opening import FACTS_FROM
from edge_agent.store.outgoing import read_batch
from edge_agent.store.replica import Replica
from edge_agent.store.salvage import salvage
from edge_agent.sync.pruning import DAY_US, prune
from edge_agent.sync.settling import LINGER_US, Settling
from sync_protocol.chain import SessionStart, link
from sync_protocol.codec import decode_fact, encode_fact
from sync_protocol.facts import Moment, What
from sync_protocol.items import State
from sync_protocol.machines.uplink_events import Settle
from sync_protocol.messages import Delta, Rows
from tests.sweeps.cases import Case, Say, Told, require_whole
from tests.unit.edge_core.shelf import DEVICE, NOON_US, Shelf, code, fact, piece, taken

Ready = Callable[[], None]
PIECES = 40
RESERVE = 1 << 16
_LIVES = 2
"""Sessions that a prepared journal has, with facts each."""
_FACTS = 3


async def _prepare(folder: Path) -> None:
    """Stock, and a journal of some sessions with facts."""
    for life in range(_LIVES):
        shelf = Shelf(folder, reserve_bytes=RESERVE)
        if not life:
            await shelf.load(*(piece(number) for number in range(PIECES)))
        for number in range(_FACTS):
            await shelf.recorder.record(taken(PIECES - 1 - life * _FACTS - number))
        shelf.close()


async def _recovered(folder: Path) -> tuple[Shelf, float]:
    """The restart, with everything asserted that must hold of any agent's folder."""
    began = time.perf_counter()
    shelf = Shelf(folder, reserve_bytes=RESERVE)
    took = time.perf_counter() - began
    _require_chain(shelf.journal)
    seen: set[str] = set()
    for each in shelf.facts():
        if each.what is What.TAKEN:
            assert not seen & set(each.codes), "nothing is in the journal twice"
            seen |= set(each.codes)
    if shelf.replica.version:
        for name in seen:
            item = shelf.stock.item(name)
            assert item is not None, f"{name}: nobody knows it any more"
            assert item.state is State.TAKEN, f"{name}: a fact says that it is taken, the stores say {item.state}"
    return shelf, took


async def _ended(shelf: Shelf) -> None:
    """Life goes on: one more fact, and the files are whole."""
    if shelf.replica.version:
        await shelf.recorder.observe(fact(What.COUNTED, code(1)))
    shelf.close()
    require_whole(shelf.path / JOURNAL, shelf.path / REPLICA)


def _require_chain(journal: Journal) -> None:
    """Every fact that is kept follows from the one before it: more than the start itself verifies."""
    for line in journal.lines.values():
        assert line.base <= line.head
        assert line.base <= line.acked <= line.head, "a watermark beyond the facts"
        previous, expected = line.base_hash, line.base
        for position, body, digest in journal.query(FACTS_FROM, line.position(0), line.position(line.head), 10_000):
            expected += 1
            previous = link(previous, body)
            assert (position, digest) == (line.position(expected), previous), "a fact without its place in the chain"
        assert expected == line.head


def _taken(shelf: Shelf) -> list[str]:
    return [each.codes[0] for each in shelf.facts() if each.what is What.TAKEN]


async def _tell(shelf: Shelf, say: Say, *numbers: int, is_physical: bool = False) -> None:
    """Record one fact each, at once, and say what became of each."""
    record = shelf.recorder.observe if is_physical else shelf.recorder.record
    waiting = [(number, record(taken(number, reason="r" * 200))) for number in numbers]
    answers = await asyncio.gather(*(answer for _, answer in waiting), return_exceptions=True)
    for number, answer in zip(numbers, answers, strict=True):
        if isinstance(answer, StoreError):
            say(f"REFUSED {code(number)}")
        elif isinstance(answer, BaseException):
            raise answer
        else:
            say(f"OK {code(number)}")


async def _scan(folder: Path, ready: Ready, say: Say) -> None:
    shelf = Shelf(folder, reserve_bytes=RESERVE)
    ready()
    for number in range(3):
        await _tell(shelf, say, number)
    shelf.close()


async def _group(folder: Path, ready: Ready, say: Say) -> None:
    shelf = Shelf(folder, reserve_bytes=RESERVE)
    ready()
    for first in (0, 8):
        await _tell(shelf, say, *range(first, first + 8))
    shelf.close()


async def _observe(folder: Path, ready: Ready, say: Say) -> None:
    shelf = Shelf(folder, reserve_bytes=RESERVE)
    ready()
    for number in range(3):
        await _tell(shelf, say, number, is_physical=True)
    shelf.close()


async def _check_scans(folder: Path, told: Told) -> float:
    shelf, took = await _recovered(folder)
    there = _taken(shelf)
    assert set(told.said) <= set(there), "OK was said for what is not there"
    assert told.is_disk_dead or not set(told.refused) & set(there), "what was refused is there"
    await _ended(shelf)
    return took


async def _check_groups(folder: Path, told: Told) -> float:
    shelf, _ = await _recovered(folder)
    there = len(_taken(shelf)) - _LIVES * _FACTS
    shelf.close()
    if not told.refused:
        assert there % 8 == 0, "a shared commit is whole or not there"
    return await _check_scans(folder, told)


def _shown(through: int) -> Delta:
    """What central says once it has the facts of the first session."""
    numbers = range(PIECES - _FACTS, PIECES)
    items = tuple(piece(number, state=State.TAKEN) for number in numbers)
    return Delta(after=1, to=through, rows=Rows(items=items), latest=through)


async def _settle(folder: Path, ready: Ready, say: Say) -> None:
    """The delta that shows the facts, then the ack, then the overlay lets go."""
    shelf = Shelf(folder, reserve_bytes=RESERVE)
    moments = count(step=LINGER_US)
    settling = Settling(shelf.journal, lambda: next(moments))
    session = next(iter(shelf.journal.lines))
    ready()
    try:
        await shelf.replica.apply(_shown(2), as_of_us=NOON_US)
        for through in range(1, _FACTS + 1):
            settle = Settle(session=session, through=through, version=2, exceptions=(), safe=through - 1)
            settling.add(settle)
            await settling.flush(shelf.replica)
            say(f"OK {through}")
    except StoreError:
        say("REFUSED the rest")
    shelf.close()


async def _check_settle(folder: Path, told: Told) -> float:
    shelf, took = await _recovered(folder)
    line = next(iter(shelf.journal.lines.values()))
    acked = max((int(each) for each in told.said), default=0)
    assert line.acked >= acked, "an ack went back"
    assert line.safe in {max(0, line.acked - 1), line.acked}
    assert line.acked_version in {0, 2}
    await _ended(shelf)
    return took


def _moved(version: int) -> Delta:
    items = tuple(piece(number, location=f"place-{version}") for number in range(20))
    return Delta(after=version - 1, to=version, rows=Rows(items=items), latest=version)


async def _delta(folder: Path, ready: Ready, say: Say) -> None:
    shelf = Shelf(folder, reserve_bytes=RESERVE)
    ready()
    for version in (2, 3, 4):
        try:
            await shelf.replica.apply(_moved(version), as_of_us=version)
        except StoreError:
            say(f"REFUSED {version}")
            break
        say(f"OK {version}")
    shelf.close()


async def _check_delta(folder: Path, told: Told) -> float:
    shelf, took = await _recovered(folder)
    version = shelf.replica.version
    if not told.has_lost_power:
        assert version >= max((int(each) for each in told.said), default=1)
    assert told.is_disk_dead or not told.refused or version < int(told.refused[0])
    places = {item.location for number in range(20) if (item := shelf.stock.item(code(number)))}
    assert places == ({f"place-{version}"} if version > 1 else {piece(0).location}), (
        "rows of one version, cursor of another"
    )
    while shelf.replica.version < 4:
        await shelf.replica.apply(_moved(shelf.replica.version + 1), as_of_us=NOON_US)
    await _ended(shelf)
    return took


def _anew(version: int) -> Delta:
    """A part of a ledger of another incarnation, in which every fact of the journal has been acted on."""
    first = (version - 1) * PIECES // 2
    taken_ones = range(PIECES - _LIVES * _FACTS, PIECES)
    items = tuple(
        piece(number, lot="L9", state=State.TAKEN if number in taken_ones else State.IN_STOCK)
        for number in range(first, first + PIECES // 2)
    )
    return Delta(after=version - 1, to=version, rows=Rows(items=items), latest=2, incarnation=9)


async def _rebuild(folder: Path, ready: Ready, say: Say) -> None:
    shelf = Shelf(folder, reserve_bytes=RESERVE)
    ready()
    try:
        shelf.replica.build()
        for version in (1, 2):
            await shelf.replica.build_on(_anew(version), as_of_us=NOON_US)
        shelf.replica.swap(as_of_us=NOON_US)
        say("OK swapped")
    except StoreError:
        say("REFUSED")
    shelf.close()


async def _check_rebuild(folder: Path, told: Told) -> float:
    shelf, took = await _recovered(folder)
    rows = shelf.replica.query("SELECT count(*) FROM item")[0][0]
    lots = {item.lot for number in range(10) if (item := shelf.stock.item(code(number)))}
    found = (shelf.replica.incarnation, shelf.replica.version, rows, lots)
    whole = [(0, 1, PIECES, {"L1"}), (9, 2, PIECES, {"L9"})]
    if told.is_unreadable:
        whole.append((0, 0, 0, set()))  # a cache with a page that cannot be read is fetched anew
    assert found in whole, "one of the two copies, whole"
    assert not told.said or told.is_unreadable or shelf.replica.incarnation == 9, "a swap that was done is undone"
    shelf.replica.build()
    for version in (1, 2):
        await shelf.replica.build_on(_anew(version), as_of_us=NOON_US)
    shelf.replica.swap(as_of_us=NOON_US)
    await _ended(shelf)
    return took


async def _adopt(folder: Path, ready: Ready, say: Say) -> None:
    shelf = Shelf(folder, reserve_bytes=RESERVE)
    session = next(iter(shelf.journal.lines))
    ready()
    try:
        shelf.journal.settle(session, _FACTS, 1, 1)
        say("OK 0")
        for incarnation in (7, 8):
            shelf.journal.adopt(incarnation)
            say(f"OK {incarnation}")
    except StoreError:
        say("REFUSED the rest")
    shelf.close()


async def _check_adopt(folder: Path, told: Told) -> float:
    shelf, took = await _recovered(folder)
    line, incarnation = next(iter(shelf.journal.lines.values())), shelf.journal.incarnation
    assert incarnation >= max((int(each) for each in told.said), default=0), "an incarnation went back"
    if incarnation:
        assert (line.acked, line.safe) == (0, 0), "what another central acked still counts"
    elif told.said:
        assert (line.acked, line.safe) == (_FACTS, 1)
    await _ended(shelf)
    return took


async def _again(folder: Path, ready: Ready, say: Say) -> None:
    shelf = Shelf(folder, reserve_bytes=RESERVE)
    await shelf.recorder.record(taken(0))
    first, *_, now = shelf.journal.lines
    ready()
    try:
        for each, session in enumerate((first, now)):
            shelf.journal.write_again(session, 1 - each)
            say(f"OK {each}")
    except StoreError:
        say("REFUSED the rest")
    shelf.close()


async def _check_again(folder: Path, told: Told) -> float:
    shelf, took = await _recovered(folder)
    old, *others = (line for line in shelf.journal.lines.values() if line.head)
    parted = [line.number for line in (old, *others) if line.parted]
    assert len(parted) >= len(told.said), "what was written again is not"
    assert (old.parted is None) == (len(others) == _LIVES), "a session ends early, and nothing follows it there"
    sent = [
        decode_fact(body).codes[0]
        for line in shelf.journal.lines.values()
        for body in read_batch(shelf.journal, line.start.session, after=0, limit=99).bodies
    ]
    assert sent == [code(PIECES - 1 - number) for number in range(_LIVES * _FACTS)] + [code(0)], "each once, in order"
    await _ended(shelf)
    return took


async def _prepare_prune(folder: Path) -> None:
    """Old facts, all of them in a backup of central."""
    journal = Journal.open(folder / JOURNAL, device=DEVICE, session=os.urandom(16), started_us=NOON_US)
    for number in range(12):
        at = Moment(wall_us=NOON_US + number * DAY_US, mono_us=0)
        journal.commit([encode_fact(msgspec.structs.replace(taken(number), at=at))], [])
    journal.settle(journal.start.session, 11, 1, 10)
    journal.close()
    Replica(folder / REPLICA).close()


async def _prune(folder: Path, ready: Ready, say: Say) -> None:
    shelf = Shelf(folder, reserve_bytes=RESERVE)
    ready()
    for day in (3, 6, 99):
        try:
            await prune(shelf.journal, older_than_us=NOON_US + day * DAY_US, may_go_on=lambda: True)
        except StoreError:
            say("REFUSED the rest")
            break
        say(f"OK {min(day, 10)}")
    shelf.close()


async def _check_prune(folder: Path, told: Told) -> float:
    shelf, took = await _recovered(folder)
    line = next(iter(shelf.journal.lines.values()))
    assert line.base in {0, 3, 6, 10}, "a slice leaves whole"
    assert line.base >= max((int(each) for each in told.said), default=0), "what was pruned came back"
    assert (line.head, line.acked, line.safe) == (12, 11, 10)
    assert _taken(shelf) == [code(number) for number in range(line.base, 12)], "only what is safe has left"
    await _ended(shelf)
    return took


async def _open(folder: Path, ready: Ready, say: Say) -> None:
    ready()
    shelf = Shelf(folder, reserve_bytes=RESERVE)
    say(f"OK session {shelf.journal.start.session.hex()}")
    if shelf.replica.version:
        await _tell(shelf, say, 0)
    shelf.close()


async def _check_open(folder: Path, told: Told) -> float:
    shelf, took = await _recovered(folder)
    sessions = {f"session {session.hex()}" for session in shelf.journal.lines}
    there = sessions | set(_taken(shelf))
    assert set(told.said) <= there, "a session that was begun is gone"
    assert told.is_disk_dead or not set(told.refused) & there
    await _ended(shelf)
    return took


async def _prepare_nothing(_folder: Path) -> None:
    """A new PC."""


async def _prepare_older(folder: Path) -> None:
    """A journal as the software before this one left it."""
    connection = sqlite.connect(folder / JOURNAL, is_durable=True)
    schema._apply(connection, "journal", [("tables", schema._JOURNAL)], 1)
    before, hashes = b"", []
    session = SessionStart(device=DEVICE, session=os.urandom(16), started_us=NOON_US)
    row = (1, session.session, DEVICE, b"", 0, b"", NOON_US)
    connection.execute(f"INSERT INTO session VALUES ({', '.join('?' * 7)}, 0, 0)", row)
    before = session.hash
    for number in range(_FACTS):
        body = encode_fact(taken(number + 10))
        before = link(before, body)
        hashes.append((1 << schema.SEQ_BITS | number + 1, body, before))
    connection.executemany("INSERT INTO fact VALUES (?, ?, ?)", hashes)
    connection.close()


async def _check_older(folder: Path, told: Told) -> float:
    shelf, _ = await _recovered(folder)
    assert _taken(shelf) == [code(number + 10) for number in range(_FACTS)], "an upgrade costs no fact"
    await _ended(shelf)
    return await _check_open(folder, told)


_SAVED = "saved.jsonl"


async def _salvage(folder: Path, ready: Ready, say: Say) -> None:
    ready()
    try:
        result = salvage(folder, folder / _SAVED)
    except StoreError:
        say("REFUSED")
    else:
        say(f"OK {result.proven}")


async def _check_salvage(folder: Path, told: Told) -> float:
    out = folder / _SAVED
    lines = out.read_bytes().splitlines() if out.exists() else []
    for line in lines:
        assert msgspec.json.decode(line)["is_proven"]
    assert len(lines) == _LIVES * _FACTS if told.said else len(lines) in {0, _LIVES * _FACTS}, "all of it, or nothing"
    if not lines:
        assert salvage(folder, out).proven == _LIVES * _FACTS, "it can be done again"
    shelf, took = await _recovered(folder)
    assert len(_taken(shelf)) == _LIVES * _FACTS, "salvage only reads"
    await _ended(shelf)
    return took


def _case(
    name: str,
    act: Callable[[Path, Ready, Say], Coroutine[Any, Any, None]],
    check: Callable[[Path, Told], Coroutine[Any, Any, float]],
    prepare: Callable[[Path], Coroutine[Any, Any, None]] = _prepare,
) -> Case:
    unreadable = (JournalCorruptError,)
    return Case(name=name, prepare=prepare, act=act, check=check, refused=(StoreError,), unreadable=unreadable)


CASES = {
    case.name: case
    for case in (
        _case("scan", _scan, _check_scans),
        _case("group", _group, _check_groups),
        _case("observe", _observe, _check_scans),
        _case("settle", _settle, _check_settle),
        _case("delta", _delta, _check_delta),
        _case("rebuild", _rebuild, _check_rebuild),
        _case("adopt", _adopt, _check_adopt),
        _case("again", _again, _check_again),
        _case("prune", _prune, _check_prune, _prepare_prune),
        _case("session", _open, _check_open),
        _case("first", _open, _check_open, _prepare_nothing),
        _case("upgrade", _open, _check_older, _prepare_older),
        _case("salvage", _salvage, _check_salvage),
    )
}
