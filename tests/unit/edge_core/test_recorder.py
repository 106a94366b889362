"""Check, commit, verdict: what is recorded is on the disk, what is refused is nowhere."""

import asyncio
from pathlib import Path

import pytest

from edge_agent.errors import JournalCorruptError, Refused, StoreError, StoreFullError
from edge_agent.recorder import Recorded
from sync_protocol.chain import link
from sync_protocol.facts import How, What
from sync_protocol.items import State
from sync_protocol.lifecycle import Reason
from tests.unit.edge_core.shelf import Shelf, box, code, fact, piece, put_back, taken

_ROOM = "PRAGMA max_page_count = 100000"


async def test_a_recorded_fact_is_in_the_journal_and_changes_the_stock(shelf: Shelf) -> None:
    recorded = await shelf.recorder.record(taken(1))
    assert [(fact.what, fact.codes) for fact in shelf.facts()] == [(What.TAKEN, (code(1),))]
    assert recorded.ids[0].seq == 1
    assert recorded.items[0].state is State.TAKEN
    believed = shelf.stock.item(code(1))
    assert believed == recorded.items[0]
    assert believed.holder == "n1"


async def test_the_replica_version_of_the_check_is_written_into_the_fact(shelf: Shelf) -> None:
    await shelf.load()
    await shelf.recorder.record(taken(1))
    assert shelf.facts()[0].checked_at == 2


async def test_a_refused_fact_leaves_no_trace(shelf: Shelf) -> None:
    with pytest.raises(Refused) as refused:
        await shelf.recorder.record(put_back(1))
    assert refused.value.refusals[0].reason is Reason.WRONG_STATE
    assert shelf.facts() == []
    assert shelf.journal.head == 0
    assert list(shelf.recorder.recent_refusals) == list(refused.value.refusals)


async def test_facts_of_one_call_see_each_other_and_are_all_or_nothing(shelf: Shelf) -> None:
    await shelf.recorder.record(taken(1), put_back(1))
    assert shelf.journal.head == 2
    back = shelf.stock.item(code(1))
    assert back is not None
    assert back.state is State.IN_STOCK
    with pytest.raises(Refused):
        await shelf.recorder.record(taken(2), taken(2))
    untouched = shelf.stock.item(code(2))
    assert untouched is not None
    assert untouched.state is State.IN_STOCK
    assert shelf.journal.head == 2


async def test_opening_and_dispensing_a_box_in_one_call_issues_its_first_units(shelf: Shelf) -> None:
    await shelf.load(box(50))
    opened = fact(What.PRESCANNED, code(50), units=10, how=How.SCAN)
    units = tuple(f"{code(50)}#{number:03d}" for number in (1, 2))
    issued = fact(What.DISPENSED, *units, order="o1", how=How.LATE_SCAN)
    await shelf.recorder.record(opened, issued)
    here = shelf.stock.items_at("ward-3", states={State.IN_STOCK}, product="aspirin", limit=100)
    assert len(here) == 8
    assert [item.code for item in shelf.stock.items_of_order("o1")] == list(units)


async def test_of_two_who_want_the_same_piece_exactly_one_gets_it_and_all_others_are_served(shelf: Shelf) -> None:
    await shelf.load(*(piece(number) for number in range(100, 163)))
    shared: list[asyncio.Task[Recorded]] = []
    async with asyncio.TaskGroup() as tasks:
        others = [tasks.create_task(shelf.recorder.record(taken(number))) for number in range(100, 131)]
        shared.append(asyncio.create_task(shelf.recorder.record(taken(5, operator="anna"))))
        others += [tasks.create_task(shelf.recorder.record(taken(number))) for number in range(131, 162)]
        shared.append(asyncio.create_task(shelf.recorder.record(taken(5, operator="bert"))))
    results = await asyncio.gather(*shared, return_exceptions=True)
    winners = [result for result in results if isinstance(result, Recorded)]
    losers = [result for result in results if isinstance(result, Refused)]
    assert (len(winners), len(losers)) == (1, 1)
    assert sum(fact.codes == (code(5),) for fact in shelf.facts()) == 1
    assert shelf.journal.head == 63
    assert len({task.result().ids[0].seq for task in others}) == 62


async def test_calls_of_one_turn_share_one_commit(shelf: Shelf) -> None:
    commits: list[int] = []
    shelf.recorder.listen(lambda items: commits.append(len(items)))
    await asyncio.gather(*(shelf.recorder.record(taken(number)) for number in range(10)))
    assert commits == [10]


async def test_a_call_that_was_cancelled_before_its_commit_is_not_recorded(shelf: Shelf) -> None:
    task = asyncio.create_task(shelf.recorder.record(taken(1)))
    other = asyncio.create_task(shelf.recorder.record(taken(2)))
    asyncio.get_running_loop().call_soon(task.cancel)
    await asyncio.wait({task, other})
    in_journal = {codes for fact in shelf.facts() for codes in fact.codes}
    assert code(2) in in_journal
    assert (code(1) in in_journal) is not task.cancelled()


async def test_what_physically_happened_is_kept_even_if_it_does_not_fit(shelf: Shelf) -> None:
    recorded = await shelf.recorder.observe(fact(What.TAKEN, code(1), "unknown-tag"))
    assert [refusal.reason for refusal in recorded.refusals] == [Reason.UNKNOWN_CODE]
    assert [item.code for item in recorded.items] == [code(1)]
    assert shelf.facts()[0].codes == (code(1), "unknown-tag")


async def test_a_full_disk_refuses_visibly_and_loses_nothing(shelf: Shelf) -> None:
    await shelf.recorder.record(taken(1))
    _limit_pages(shelf)
    number, error = await _fill(shelf)
    assert "the disk is full; nothing was recorded" in str(error)
    assert shelf.journal.trouble == str(error)
    refused = shelf.stock.item(code(number))
    assert refused is not None
    assert refused.state is State.IN_STOCK
    shelf.journal.query(_ROOM)
    await shelf.recorder.record(taken(number))
    assert shelf.journal.trouble == ""
    assert len(shelf.facts()) == number


async def test_on_a_full_disk_what_physically_happened_gets_the_reserve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = Shelf(tmp_path, reserve_bytes=65_536)
    await shelf.load(*(piece(number) for number in range(40)))
    assert (tmp_path / "reserve").stat().st_size == 65_536
    _limit_pages(shelf)
    give = shelf.data.give_reserve
    # The pages that SQLite may use stand for the blocks of the disk: they grow when the reserve is given.
    monkeypatch.setattr(shelf.data, "give_reserve", lambda: bool(shelf.journal.query(_ROOM)) and give())
    texts = {"reason": "x" * 256, "document": "y" * 256}
    outcomes = []
    for number in range(40):
        calls = (shelf.recorder.record(taken(number, **texts)), shelf.recorder.observe(fact(What.COUNTED, code(39))))
        outcomes.append(await asyncio.gather(*calls, return_exceptions=True))
        if isinstance(outcomes[-1][0], StoreError):
            break
    refused, observed = outcomes[-1]
    assert isinstance(refused, StoreFullError)
    assert isinstance(observed, Recorded)
    assert not (tmp_path / "reserve").exists()
    assert len(shelf.facts()) == 2 * len(outcomes) - 1
    assert shelf.data.keep_reserve()
    assert (tmp_path / "reserve").exists()
    shelf.close()


async def test_everyone_who_waits_is_told_when_the_journal_is_damaged_and_the_agent_stops(shelf: Shelf) -> None:
    watching = asyncio.create_task(shelf.recorder.watch_journal())
    shelf.journal.query("PRAGMA wal_checkpoint(TRUNCATE)")
    shelf.journal.query("PRAGMA shrink_memory")
    pages = shelf.journal.path.read_bytes()
    shelf.journal.path.write_bytes(pages[:4096] + b"\xff" * (len(pages) - 4096))
    outcomes = await asyncio.gather(
        *(shelf.recorder.record(taken(number)) for number in range(3)), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [JournalCorruptError] * 3
    with pytest.raises(JournalCorruptError, match="codepool-edge salvage"):
        await watching


@pytest.mark.fault(8)
async def test_running_out_of_memory_in_a_commit_leaves_nothing_half_done(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(*_: object) -> bytes:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr("edge_agent.store.overlay_rows._encode", no_memory)
        with pytest.raises(MemoryError):
            await shelf.recorder.record(taken(1))
    await shelf.recorder.record(taken(1))
    assert shelf.journal.head == 1


async def test_the_chain_of_what_was_recorded_can_be_followed_from_the_session_start(shelf: Shelf) -> None:
    for number in range(5):
        await shelf.recorder.record(taken(number))
    previous = shelf.journal.start.hash
    for body, digest in shelf.journal.query("SELECT body, hash FROM fact ORDER BY position"):
        previous = link(previous, body)
        assert digest == previous


def _limit_pages(shelf: Shelf) -> None:
    """SQLite itself answers SQLITE_FULL, as it does on a full disk."""
    ((pages,),) = shelf.journal.query("PRAGMA page_count")
    shelf.journal.query(f"PRAGMA max_page_count = {pages + 3}")


async def _fill(shelf: Shelf) -> tuple[int, StoreFullError]:
    """Take pieces from number 2 on until the disk is full; which one it was."""
    for number in range(2, 20):
        try:
            await shelf.recorder.record(taken(number, reason="x" * 256, document="y" * 256, witness="z" * 256))
        except StoreFullError as error:
            return number, error
    raise AssertionError("the disk never was full")
