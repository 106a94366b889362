"""A journal whose session has gone on without it: what it has past that is written again, once, and whole (REQ-04)."""

import os
import sqlite3
from pathlib import Path

import msgspec
import pytest

from edge_agent.errors import JournalCorruptError
from edge_agent.store import sheets
from edge_agent.store.folder import JOURNAL
from edge_agent.store.journal import Journal, Touched
from edge_agent.store.outgoing import is_strange, read_batch, settled_lines, unsent_lines, waiting
from edge_agent.store.overlay import Overlay
from edge_agent.store.salvage import Saved, salvage
from edge_agent.store.schema import SEQ_BITS
from edge_agent.store.sheet_rows import taking_in
from edge_agent.store.status import read_status
from edge_agent.sync.pruning import DAY_US, prune
from sync_protocol.chain import link
from sync_protocol.codec import encode_fact
from sync_protocol.facts import Moment, Paper
from sync_protocol.items import State
from tests.unit.edge_core.shelf import DEVICE, NOON_US, code, piece, taken

pytestmark = pytest.mark.fault(12)


def opened(path: Path) -> Journal:
    return Journal.open(path / JOURNAL, device=DEVICE, session=os.urandom(16), started_us=NOON_US)


def bodies(*numbers: int) -> list[bytes]:
    at = Moment(wall_us=NOON_US, mono_us=0)
    return [encode_fact(msgspec.structs.replace(taken(number), at=at)) for number in numbers]


def journal_of(path: Path, count: int) -> Journal:
    """A session with so many facts, of which two are acked and each took an item."""
    journal = opened(path)
    touched = [Touched(item=piece(number, state=State.TAKEN), index=number) for number in range(count)]
    journal.commit(bodies(*range(count)), touched)
    journal.settle(journal.start.session, 2, 1, 2)
    return journal


def content(journal: Journal, session: bytes) -> tuple[bytes, ...]:
    return read_batch(journal, session, after=0, limit=99).bodies


def test_the_session_ends_where_the_histories_part_and_the_rest_is_the_next_one(tmp_path: Path) -> None:
    journal = journal_of(tmp_path, 5)
    session = journal.start.session
    digest = journal.query("SELECT hash FROM written WHERE seq = 3")[0][0]
    again = journal.write_again(session, 3)
    start = again.start
    assert (start.parent_session, start.parent_seq, start.parent_hash) == (session, 3, digest)
    assert (journal.start, journal.head) == (start, 2)
    assert [(line.session, line.head) for line in unsent_lines(journal)] == [(session, 3), (start.session, 2)]
    assert content(journal, session) == tuple(bodies(0, 1, 2))
    assert content(journal, start.session) == tuple(bodies(3, 4))
    assert waiting(journal).facts == 3
    assert journal.write_again(session, 3) == again, "central said it twice"
    journal.commit(bodies(7), [])
    assert content(journal, start.session) == tuple(bodies(3, 4, 7))
    journal.close()


def test_it_is_found_so_after_a_restart_and_its_chain_verifies(tmp_path: Path) -> None:
    journal = journal_of(tmp_path, 5)
    session = journal.start.session
    again = journal.write_again(session, 3).start.session
    journal.close()
    later = opened(tmp_path)
    assert [line.session for line in unsent_lines(later)] == [session, again]
    assert later.start.parent_session == again
    later.settle(session, 3, 2, 3)
    assert [position.session for position in settled_lines(later)] == [session]
    later.close()
    assert read_status(tmp_path, now_us=NOON_US).facts_waiting == 2


def test_what_an_older_session_has_too_much_goes_before_what_was_recorded_since(tmp_path: Path) -> None:
    """The machine was started anew before it heard of it."""
    first = journal_of(tmp_path, 5)
    old = first.start.session
    first.close()
    second = opened(tmp_path)
    second.commit(bodies(6), [])
    middle = second.start.session
    second.close()
    journal = opened(tmp_path)
    now = journal.start.session
    journal.commit(bodies(7), [])
    again = journal.write_again(old, 4).start.session
    assert journal.start.session == now
    assert [line.session for line in unsent_lines(journal)] == [old, again, middle, now]
    twice = journal.write_again(middle, 0).start.session
    assert list(journal.lines) == [old, again, middle, twice, now]
    journal.close()
    later = opened(tmp_path)
    assert list(later.lines) == [old, again, middle, twice, now, later.start.session]
    assert later.start.parent_session == now
    later.close()


def test_histories_that_part_once_more_and_earlier(tmp_path: Path) -> None:
    """Central was restored to what it had long before, and another machine was there first again."""
    journal = journal_of(tmp_path, 6)
    session = journal.start.session
    late = journal.write_again(session, 5).start.session
    journal.commit(bodies(8), [])
    early = journal.write_again(session, 3).start.session
    assert list(journal.lines) == [session, early, late]
    assert [content(journal, each) for each in journal.lines] == [
        tuple(bodies(0, 1, 2)),
        tuple(bodies(3, 4)),
        tuple(bodies(5, 8)),
    ]
    assert journal.start.session == late
    journal.close()
    later = opened(tmp_path)
    assert list(later.lines) == [session, early, late, later.start.session]
    later.close()


@pytest.mark.parametrize("wrong", [9 << SEQ_BITS | 4, 2 << SEQ_BITS | 4, 1 << SEQ_BITS | 3])
def test_a_session_whose_place_is_damaged_is_not_passed_over(tmp_path: Path, wrong: int) -> None:
    """Its facts are for central."""
    journal = journal_of(tmp_path, 5)
    again = journal.write_again(journal.start.session, 3).start.session
    journal.close()
    with sqlite3.connect(tmp_path / JOURNAL) as raw:
        raw.execute("UPDATE session SET again_from = ? WHERE number = 2", (wrong,))
    raw.close()
    if wrong >> SEQ_BITS < 9:
        with pytest.raises(JournalCorruptError, match="session 2 does not follow"):
            opened(tmp_path)
    else:
        later = opened(tmp_path)
        assert again in [line.session for line in unsent_lines(later)]
        later.close()


def test_the_same_disk_put_back_comes_to_the_same_session(tmp_path: Path) -> None:
    """What the ledger has of it already it has once."""
    starts = []
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    journal = journal_of(tmp_path / "one", 5)
    session = journal.start.session
    journal.close()
    (tmp_path / "two" / JOURNAL).write_bytes((tmp_path / "one" / JOURNAL).read_bytes())
    for folder in ("one", "two"):
        journal = opened(tmp_path / folder)
        starts.append(journal.write_again(session, 3).start)
        journal.close()
    assert starts[0] == starts[1]
    assert starts[0].session != session


def test_items_and_lines_of_paper_follow_their_facts(tmp_path: Path) -> None:
    journal = journal_of(tmp_path, 5)
    session = journal.start.session
    paper = Paper(sheet="S", line=4, by="nurse-1", at_us=NOON_US)
    [(statement, rows)] = taking_in([(0, paper)], journal.current.position(4))
    journal.write(statement, rows)
    again = journal.write_again(session, 3).start.session
    assert journal.forget_settled(session, 9, limit=9) == 3
    overlay = Overlay(journal)
    assert overlay.items(map(code, range(5))) == {code(n): piece(n, state=State.TAKEN) for n in (3, 4)}
    assert sheets.HeldSheets(journal).facts("S") == {4: taken(3)}
    assert journal.forget_settled(again, 2, limit=9) == 2
    assert overlay.is_empty
    journal.close()


def test_a_hash_tells_other_facts_from_its_own(tmp_path: Path) -> None:
    journal = journal_of(tmp_path, 5)
    session = journal.start.session
    hashes = [digest for (digest,) in journal.query("SELECT hash FROM written ORDER BY seq")]
    assert not any(is_strange(journal, session, seq, digest) for seq, digest in enumerate(hashes, 1))
    assert is_strange(journal, session, 4, link(hashes[2], b"other"))
    for seq in (-1, 0, 6):
        assert not is_strange(journal, session, seq, b"other"), "it has none to compare"
    assert not is_strange(journal, os.urandom(16), 1, b"other")
    journal.write_again(session, 3)
    assert not is_strange(journal, session, 4, b"other"), "that one is not for central any more"
    journal.close()


async def test_what_is_not_for_central_any_more_holds_no_pruning_up_and_is_saved_as_such(tmp_path: Path) -> None:
    journal = journal_of(tmp_path, 5)
    session = journal.start.session
    again = journal.write_again(session, 3).start.session
    for each, through in ((session, 3), (again, 2)):
        journal.settle(each, through, 2, through)
    assert await prune(journal, older_than_us=NOON_US + DAY_US, may_go_on=lambda: True) == 5
    assert (journal.lines[session].base, journal.lines[again].base) == (3, 2)
    journal.commit(bodies(9), [])
    journal.close()
    later = opened(tmp_path)
    assert [line.session for line in unsent_lines(later)] == [again]
    later.close()
    saved = salvage(tmp_path, tmp_path / "saved")
    assert (saved.unproven, saved.missing) == (0, 0)
    lines = (tmp_path / "saved").read_text().splitlines()
    found = [msgspec.json.decode(line, type=Saved) for line in lines]
    marks = {(one.session, one.seq): one.is_again for one in found if one.seq > 2}
    assert marks[session.hex(), 4]
    assert marks[session.hex(), 5]
    assert not marks[again.hex(), 3]
