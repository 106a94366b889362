"""Every transaction type of central."""

import shutil
import sqlite3
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import tenacity
from alembic import command

from central import backup
from central.errors import BusyError, DiskError, LedgerCorruptError
from central.ledger import migrations, store
from central.stock.recalls import NewRecall
from central.sync.ingest import Ingest
from central.sync.safe import Safe
from sync_protocol.documents import Person
from sync_protocol.facts import What
from sync_protocol.items import State
from sync_protocol.messages import Ack, Batch
from tests.sweeps.cases import Case, Say, Told, require_whole
from tests.unit.central_core.desk import (
    NOON_US,
    SPLIT,
    STENT,
    WHOLE,
    Desk,
    HandAgent,
    a_note,
    an_order,
    box,
    piece,
)

Ready = Callable[[], None]
QUIET = backup.Bars(copying=lambda *_: None, verifying=lambda *_: None)
DATA, SAVED = "data", "saved"
_PIECES = 30
_REFUSED = (BusyError, DiskError)


async def _prepare(folder: Path) -> None:
    """Pieces and units in stock, and an agent that was heard."""
    desk = Desk(folder / DATA)
    await desk.catalogue()
    await desk.in_stock(STENT, [piece(number) for number in range(_PIECES)], note="N-P")
    await desk.units(1, 2)
    agent = _agent()
    await desk.send(agent, agent.batch(desk.fact(What.COUNTED, piece(0))))
    desk.close()


def _agent() -> HandAgent:
    """The same one in every process, before its first fact."""
    return HandAgent("cabinet-1", session=b"one session long")


def _batches(desk: Desk) -> list[tuple[HandAgent, Batch]]:
    """What two agents send: three batches each, the first fact of one is in the ledger already."""
    known, other = _agent(), HandAgent("cabinet-2", session=b"another session.")
    known.batch(desk.fact(What.COUNTED, piece(0)))
    batches = []
    for number in range(3):
        for first, agent in ((1, known), (11, other)):
            codes = [piece(first + number * 3 + each) for each in range(3)]
            batches.append((agent, agent.batch(*(desk.fact(What.TAKEN, code) for code in codes))))
    return batches


def _desk(folder: Path) -> Desk:
    Ingest._append.retry.wait = tenacity.wait_none()  # as often as ever, without a pause
    return Desk(folder / DATA)


async def _recovered(folder: Path) -> tuple[Desk, float]:
    """The restart, with everything asserted that must hold of any ledger."""
    began = time.perf_counter()
    desk = _desk(folder)
    took = time.perf_counter() - began
    report = backup.check(desk.path, folder / DATA, lambda *_: None)
    assert report.is_whole, str(report)
    rows = desk.rows("SELECT session, max(seq), count(*), count(DISTINCT seq) FROM fact GROUP BY session")
    assert all(last == count == distinct for _, last, count, distinct in rows), "a gap, or a fact twice"
    return desk, took


async def _ended(desk: Desk) -> None:
    """Life goes on, and the file is whole."""
    desk.record(What.COUNTED, piece(0))
    desk.close()
    require_whole(desk.path)


def _stands(desk: Desk, folder: Path) -> None:
    """The same life of the ledger as before: a crash is no restore."""
    known = (folder / "incarnation").read_text("ascii")
    assert str(desk.ledger.incarnation) == known, "a crash is taken for a restore"


async def _prepare_known(folder: Path) -> None:
    """As prepared, with the incarnation written down for the check."""
    await _prepare(folder)
    desk = Desk(folder / DATA)
    (folder / "incarnation").write_text(str(desk.ledger.incarnation), "ascii")
    desk.close()


async def _ingest(folder: Path, ready: Ready, say: Say) -> None:
    desk = _desk(folder)
    batches = _batches(desk)
    ready()
    for first in range(0, len(batches), 2):
        desk.post.sent.clear()
        await desk.ingest.take([agent.letter(batch) for agent, batch in batches[first : first + 2]])
        for agent in (batches[0][0], batches[1][0]):
            for ack in desk.post.to(agent.device, Ack):
                say(f"OK {agent.device} {ack.through}")
    desk.close()


async def _check_ingest(folder: Path, told: Told) -> float:
    desk, took = await _recovered(folder)
    _stands(desk, folder)
    through = dict(desk.rows("SELECT device, through FROM session"))
    for line in told.said:
        device, acked = line.split()
        assert through.get(device, 0) >= int(acked), "acked, and not there"
    for agent, batch in _batches(desk):
        acks = await desk.send(agent, batch)
        assert acks, "a batch that is sent again is acked"
        assert acks[-1].through >= batch.last_seq
        assert not acks[-1].exceptions, "sent twice, and counted twice"
    assert desk.states()[State.TAKEN] == 18, "each of the takings once"
    assert desk.rows("SELECT count(*) FROM exception") == [(0,)]
    await _ended(desk)
    return took


async def _do(say: Say, name: str, act: Callable[[], Awaitable[object]]) -> bool:
    try:
        await act()
    except BusyError:
        say(f"REFUSED {name}")
        return False
    say(f"OK {name}")
    return True


async def _acts(folder: Path, ready: Ready, say: Say) -> None:
    """What people do at central: facts of its own, documents, orders with what follows from them."""
    desk = _desk(folder)
    ready()
    done = {name: await _do(say, name, act) for name, act in _works(desk).items() if name != "cancel"}
    if done["order"]:
        await _do(say, "cancel", lambda: desk.orders.cancel("O-1"))
    desk.close()


def _works(desk: Desk) -> dict[str, Callable[[], Awaitable[object]]]:
    async def freeze() -> None:
        desk.record(What.FROZEN, piece(5), reason="a test")

    async def receive() -> None:
        desk.record(What.RECEIVED, box(WHOLE, 1), document="N-2")

    return {
        "freeze": freeze,
        "note": lambda: desk.receiving.announce(a_note(WHOLE, (box(WHOLE, 1),), note="N-2")),
        "receive": receive,
        "order": lambda: desk.orders.place(an_order("O-1", SPLIT, 4)),
    }


def _done(desk: Desk) -> set[str]:
    """Which of the works the ledger shows."""
    orders = dict(desk.rows("SELECT id, state FROM orders"))
    shown = {
        "freeze": desk.rows("SELECT 1 FROM item WHERE state = 'frozen'"),
        "note": desk.rows("SELECT 1 FROM note WHERE id = 'N-2'"),
        "receive": desk.rows("SELECT 1 FROM item WHERE code = ? AND state = 'in_stock'", box(WHOLE, 1)),
        "order": orders.get("O-1"),
        "cancel": orders.get("O-1") == "cancelled",
    }
    return {name for name, is_so in shown.items() if is_so}


async def _check_acts(folder: Path, told: Told) -> float:
    desk, took = await _recovered(folder)
    _stands(desk, folder)
    done = _done(desk)
    assert set(told.said) - {"cancel", "receive"} <= done, (told.said, done)
    assert "receive" not in told.said or "note" not in told.said or "receive" in done
    assert told.is_disk_dead or not set(told.refused) & done, ("BusyError promises: nothing was changed", told, done)
    locked = desk.states().get(State.LOCKED, 0)
    assert locked == (4 if "order" in done and "cancel" not in done else 0), "an order and its items, both or neither"
    await _ended(desk)
    return took


_RECALL = NewRecall(id="R-1", product=STENT.id, lot="L1", reason="particles", operator="n1", witness="n2")
_PEOPLE = [Person(id="n1", name="李敏"), Person(id="n2", name="王强")]


async def _prepare_people(folder: Path) -> None:
    """As known, with the two people whom a recall needs."""
    await _prepare_known(folder)
    desk = Desk(folder / DATA)
    await desk.people.put(_PEOPLE)
    desk.close()


async def _recall(folder: Path, ready: Ready, say: Say) -> None:
    """Issued and lifted: the set that is signed, and the items that it freezes and releases."""
    desk = _desk(folder)
    ready()
    if await _do(say, "issued", lambda: desk.recalls.issue(_RECALL)):
        await _do(say, "lifted", lambda: desk.recalls.lift(_RECALL.id, operator="n2", witness="n1", reason="a mistake"))
    desk.close()


async def _check_recall(folder: Path, told: Told) -> float:
    desk, took = await _recovered(folder)
    _stands(desk, folder)
    found = dict(desk.rows("SELECT id, is_active FROM recall"))
    assert not told.said or _RECALL.id in found, "a recall that was in force is gone"
    assert "lifted" not in told.said or not found[_RECALL.id]
    await desk.recalls.issue(_RECALL)
    await desk.recalls.finish()
    is_active = dict(desk.rows("SELECT id, is_active FROM recall"))[_RECALL.id]
    assert (desk.states().get(State.FROZEN, 0) > 0) == bool(is_active), "frozen by a recall that is not in force"
    await _ended(desk)
    return took


async def _life(folder: Path, ready: Ready, say: Say) -> None:
    desk = _desk(folder)
    ready()
    for _ in range(2):
        try:
            desk.ledger.begin_life()
        except BusyError:
            say("REFUSED")
        else:
            say(f"OK {desk.ledger.incarnation}")
    desk.close()


async def _check_life(folder: Path, told: Told) -> float:
    desk, took = await _recovered(folder)
    assert desk.ledger.incarnation >= max((int(each) for each in told.said), default=0), (
        "a life that was told is undone"
    )
    assert desk.refill.is_on == (desk.ledger.incarnation > int((folder / "incarnation").read_text("ascii")))
    await _ended(desk)
    return took


async def _refill_ends(folder: Path, ready: Ready, say: Say) -> None:
    desk = _desk(folder)
    ready()
    await _do(say, "ended", _as_task(lambda: desk.refill.end("a test")))
    desk.close()


def _as_task(act: Callable[[], object]) -> Callable[[], Awaitable[object]]:
    async def run() -> object:
        return act()

    return run


async def _prepare_refill(folder: Path) -> None:
    """A ledger that was set back, with an order that waits for that to end."""
    await _prepare(folder)
    desk = Desk(folder / DATA)
    desk.ledger.begin_life()
    desk.refill.look()
    await desk.orders.place(an_order("O-1", SPLIT, 4))
    (folder / "incarnation").write_text(str(desk.ledger.incarnation), "ascii")
    desk.close()


async def _check_refill(folder: Path, told: Told) -> float:
    desk, took = await _recovered(folder)
    _stands(desk, folder)
    assert not (told.said and desk.refill.is_on), "what was ended goes on"
    if desk.refill.is_on:
        assert desk.states().get(State.LOCKED, 0) == 0
    desk.refill.end("the test again")
    desk.record(What.COUNTED, piece(0))
    await _ended(desk)
    return took


async def _prepare_saved(folder: Path) -> None:
    """A backup, the manifest of which lies in the inbox."""
    await _prepare_known(folder)
    backup.backup(folder / DATA, folder / SAVED, now_us=NOON_US, bars=QUIET)


async def _safe(folder: Path, ready: Ready, say: Say) -> None:
    desk = _desk(folder)
    ready()
    safe = Safe(desk.ledger, desk.publisher, folder / DATA)
    for _ in range(2):
        try:
            safe.take_in()
        except (BusyError, OSError):
            say("REFUSED")
    for ack in desk.post.to("cabinet-1", Ack):
        say(f"OK {ack.safe}")
    desk.close()


async def _check_safe(folder: Path, told: Told) -> float:
    desk, took = await _recovered(folder)
    _stands(desk, folder)
    ((safe,),) = desk.rows("SELECT safe FROM session WHERE device = 'cabinet-1'")
    assert safe >= max((int(each) for each in told.said), default=0), "said to be safe, and not so"
    Safe(desk.ledger, desk.publisher, folder / DATA).take_in()
    assert desk.rows("SELECT safe FROM session WHERE device = 'cabinet-1'") == [(1,)]
    await _ended(desk)
    return took


async def _witnesses(folder: Path, ready: Ready, say: Say) -> None:
    desk = _desk(folder)
    ready()
    try:
        for _ in range(2):
            desk.record(What.COUNTED, piece(0))
            desk.ledger.keep_witnesses()
            desk.clock.us += 86_400_000_000
        say("OK kept")
    except (BusyError, OSError):
        say("REFUSED")
    desk.close()


async def _check_known(folder: Path, _told: Told) -> float:
    desk, took = await _recovered(folder)
    _stands(desk, folder)
    desk.ledger.keep_witnesses()
    assert backup.check(desk.path, folder / DATA, lambda *_: None).is_whole
    await _ended(desk)
    return took


async def _backup(folder: Path, ready: Ready, say: Say) -> None:
    ready()
    try:
        manifest = backup.backup(folder / DATA, folder / SAVED, now_us=NOON_US, bars=QUIET)
    except (DiskError, OSError) as error:
        say(f"REFUSED {error}".replace("\n", " "))
    else:
        say(f"OK {manifest.file}")


async def _check_backup(folder: Path, told: Told) -> float:
    saved, inbox = folder / SAVED, folder / DATA / backup.INBOX
    for manifest in [*saved.glob("*.json"), *inbox.glob("*.json")]:
        file = saved / backup.read_manifest(manifest).file
        assert backup.check(file, folder / DATA, lambda *_: None).is_whole, "a manifest of what is no backup"
        assert backup._sha256(file) == backup.read_manifest(manifest).sha256
    for name in told.said:
        assert (saved / f"{name}.json").exists(), "a backup that was told is gone"
        assert (inbox / f"{name}.json").exists()
    desk, took = await _recovered(folder)
    Safe(desk.ledger, desk.publisher, folder / DATA).take_in()
    _stands(desk, folder)
    backup.backup(folder / DATA, folder / SAVED, now_us=NOON_US + 60_000_000, bars=QUIET)
    await _ended(desk)
    return took


async def _restore(folder: Path, ready: Ready, say: Say) -> None:
    (file,) = (folder / SAVED).glob("*.db")
    shutil.__dict__["_USE_CP_SENDFILE"] = False  # so that the trace shows what a copy holds
    ready()
    try:
        backup.restore(folder / DATA, file, replace=True, now_us=NOON_US, bars=QUIET)
    except (DiskError, OSError) as error:
        say(f"REFUSED {error}".replace("\n", " "))
    else:
        say("OK restored")


async def _check_restore(folder: Path, told: Told) -> float:
    (file,) = (folder / SAVED).glob("*.db")
    known = int((folder / "incarnation").read_text("ascii"))
    is_half = (folder / DATA / store.RESTORING).exists()
    assert not (told.said and is_half)
    if is_half:
        try:
            Desk(folder / DATA)
        except LedgerCorruptError:
            backup.restore(folder / DATA, file, replace=True, now_us=NOON_US + 1, bars=QUIET)
        else:
            raise AssertionError("central starts on half a restore")
    desk, took = await _recovered(folder)
    is_restored = bool(told.said) or is_half
    assert not is_restored or desk.ledger.incarnation > known, "a restored ledger is another life"
    assert desk.ledger.incarnation >= known
    await _ended(desk)
    return took


async def _start(folder: Path, ready: Ready, say: Say) -> None:
    ready()
    desk = _desk(folder)
    say(f"OK {desk.ledger.incarnation}")
    desk.close()


async def _prepare_nothing(_folder: Path) -> None:
    """A new machine."""


async def _check_first(folder: Path, told: Told) -> float:
    desk, took = await _recovered(folder)
    if told.said:
        assert desk.ledger.incarnation == int(told.said[0]), "a start that was told is another life"
    await desk.catalogue()
    await desk.in_stock(STENT, [piece(0)], note="N-P")
    await _ended(desk)
    return took


async def _prepare_older(folder: Path) -> None:
    """A ledger as the software before this one left it."""
    path = folder / DATA / store.FILE
    path.parent.mkdir(parents=True)
    command.upgrade(migrations.config(path), "0001")


def _case(
    name: str,
    act: Callable[[Path, Ready, Say], Coroutine[Any, Any, None]],
    check: Callable[[Path, Told], Coroutine[Any, Any, float]],
    prepare: Callable[[Path], Coroutine[Any, Any, None]] = _prepare_known,
) -> Case:
    return Case(
        name=name,
        prepare=prepare,
        act=act,
        check=check,
        refused=_REFUSED,
        unreadable=(LedgerCorruptError, sqlite3.DatabaseError),
    )


CASES = {
    case.name: case
    for case in (
        _case("ingest", _ingest, _check_ingest),
        _case("acts", _acts, _check_acts),
        _case("recall", _recall, _check_recall, _prepare_people),
        _case("life", _life, _check_life),
        _case("refill", _refill_ends, _check_refill, _prepare_refill),
        _case("safe", _safe, _check_safe, _prepare_saved),
        _case("witnesses", _witnesses, _check_known),
        _case("backup", _backup, _check_backup),
        _case("restore", _restore, _check_restore, _prepare_saved),
        _case("start", _start, _check_known),
        _case("first", _start, _check_first, _prepare_nothing),
        _case("migration", _start, _check_first, _prepare_older),
    )
}
