"""The journal: what is on the disk is verified at every start, and what is not right stops the agent."""

import os
import sqlite3
from pathlib import Path

import pytest

from edge_agent.errors import ConfigError, DataInUseError, Exit, JournalCorruptError, JournalNewerError, StoreError
from edge_agent.store import folder
from edge_agent.store.folder import JOURNAL, WITNESS, DataFolder
from edge_agent.store.journal import Journal
from edge_agent.store.outgoing import read_batch, settled_lines, unsent_lines, waiting
from sync_protocol.chain import link
from sync_protocol.codec import encode_fact
from sync_protocol.items import State
from sync_protocol.machines.ingest import admit
from sync_protocol.messages import Position
from tests.unit.edge_core.shelf import DEVICE, NOON_US, Shelf, code, piece, taken


def _open(path: Path, device: str = DEVICE) -> Journal:
    return Journal.open(path / JOURNAL, device=device, session=os.urandom(16), started_us=NOON_US)


def _filled(path: Path, facts: int) -> Journal:
    journal = _open(path)
    for number in range(facts):
        journal.commit([encode_fact(taken(number))], [])
    return journal


def test_a_session_follows_the_end_of_the_one_before(tmp_path: Path) -> None:
    first = _filled(tmp_path, 3)
    first.close()
    second = _open(tmp_path)
    assert second.start.parent_session == first.start.session
    assert (second.start.parent_seq, second.start.parent_hash) == (3, first.head_hash)
    assert (second.head, second.head_hash) == (0, second.start.hash)
    second.close()
    third = _open(tmp_path)
    assert third.start.parent_session == second.start.session
    assert (third.start.parent_seq, third.start.parent_hash) == (0, second.start.hash)
    third.close()


def test_batches_are_cut_by_count_and_by_bytes_and_admitted_in_order(tmp_path: Path) -> None:
    journal = _filled(tmp_path, 150)
    session = journal.start.session
    first = read_batch(journal, session, after=0, limit=100)
    second = read_batch(journal, session, after=100, limit=500)
    assert (first.last_seq, second.first_seq, second.last_seq) == (100, 101, 150)
    admitted = admit(first, None, lambda _: None)
    assert admit(second, admitted.state, lambda _: None).state.head == journal.head_hash
    size = len(first.bodies[0])
    small = read_batch(journal, session, after=10, limit=500, max_bytes=size * 7)
    assert small.first_seq == 11
    assert len(small.bodies) == 7
    assert len(read_batch(journal, session, after=10, limit=500, max_bytes=1).bodies) == 1
    journal.close()


def test_only_sessions_with_unacked_facts_are_to_be_sent_oldest_first(tmp_path: Path) -> None:
    for facts in (2, 0, 3):
        _filled(tmp_path, facts).close()
    journal = _filled(tmp_path, 1)
    sessions = list(journal.lines)
    assert [(line.head, line.acked) for line in unsent_lines(journal)] == [(2, 0), (3, 0), (1, 0)]
    assert waiting(journal).facts == 6
    assert waiting(journal).since_us == NOON_US
    heard = {sessions[0]: 2, sessions[2]: 1}
    assert waiting(journal, heard).facts == 3, "acks that are heard and not written down yet count"
    assert waiting(journal, dict.fromkeys(sessions, 9)) == waiting(journal, heard | {sessions[2]: 3, sessions[3]: 1})
    assert waiting(journal, dict.fromkeys(sessions, 9)).since_us is None
    journal.settle(sessions[0], 2, 7, 1)
    assert [line.session for line in unsent_lines(journal)] == [sessions[2], sessions[3]]
    assert settled_lines(journal) == [Position(session=sessions[0], through=2, safe=1)]
    journal.close()
    again = _open(tmp_path)
    assert waiting(again).facts == 4
    again.close()


async def test_overlay_rows_leave_by_fact_and_a_later_fact_keeps_its_row(shelf: Shelf) -> None:
    await shelf.recorder.record(taken(1), taken(2))
    await shelf.recorder.record(taken(3))
    session = shelf.journal.start.session
    assert shelf.journal.forget_settled(session, 2, 10) == 2
    assert shelf.overlay.known([taken(1).codes[0], taken(3).codes[0]]) == {taken(3).codes[0]}
    assert shelf.journal.forget_settled(session, 2, 10) == 0


@pytest.mark.parametrize("target", ["body", "hash"])
def test_an_edited_fact_is_found_at_the_next_start(tmp_path: Path, target: str) -> None:
    _filled(tmp_path, 20).close()
    with sqlite3.connect(tmp_path / JOURNAL) as raw:
        raw.execute(f"UPDATE fact SET {target} = zeroblob(length({target})) WHERE position & 0xff = 7")
    raw.close()
    with pytest.raises(JournalCorruptError, match="fact 7 of session 1 is missing or was changed"):
        _open(tmp_path)


def test_a_fact_that_was_cut_out_is_found_at_the_next_start(tmp_path: Path) -> None:
    _filled(tmp_path, 20).close()
    with sqlite3.connect(tmp_path / JOURNAL) as raw:
        raw.execute("DELETE FROM fact WHERE position & 0xff = 7")
    raw.close()
    with pytest.raises(JournalCorruptError, match="fact 7 of session 1 is missing or was changed"):
        _open(tmp_path)


def test_a_session_that_was_cut_out_is_found_at_the_next_start(tmp_path: Path) -> None:
    for _ in range(3):
        _filled(tmp_path, 2).close()
    with sqlite3.connect(tmp_path / JOURNAL) as raw:
        raw.execute("DELETE FROM fact WHERE position >> 32 = 2")
        raw.execute("DELETE FROM session WHERE number = 2")
    raw.close()
    with pytest.raises(JournalCorruptError, match="session 3 does not follow"):
        _open(tmp_path)


@pytest.mark.fault(5)
def test_every_damaged_page_is_found(tmp_path: Path) -> None:
    _filled(tmp_path, 200).close()
    whole = (tmp_path / JOURNAL).read_bytes()
    missed = []
    for page in range(len(whole) // 4096):
        damaged = whole[: page * 4096] + os.urandom(4096) + whole[(page + 1) * 4096 :]
        (tmp_path / JOURNAL).write_bytes(damaged)
        for suffix in ("-wal", "-shm"):
            (tmp_path / f"{JOURNAL}{suffix}").unlink(missing_ok=True)
        try:
            _open(tmp_path).close()
        except (JournalCorruptError, JournalNewerError, StoreError):
            continue
        missed.append(page)
    assert missed == []


@pytest.mark.fault(7)
def test_a_wal_file_that_was_deleted_is_noticed(tmp_path: Path) -> None:
    journal = _filled(tmp_path, 5)
    lost = {name: (tmp_path / name).read_bytes() for name in (JOURNAL, WITNESS)}
    journal.close()
    for name, content in lost.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(JournalCorruptError, match=r"is gone|damaged"):
        _open(tmp_path)


def test_an_older_copy_that_was_put_back_is_noticed(tmp_path: Path) -> None:
    _filled(tmp_path, 2).close()
    older = (tmp_path / JOURNAL).read_bytes()
    _filled(tmp_path, 2).close()
    (tmp_path / JOURNAL).write_bytes(older)
    with pytest.raises(JournalCorruptError, match="fact 2 of session 2 was recorded and is gone"):
        _open(tmp_path)


def test_a_missing_journal_beside_its_witness_is_not_started_empty(tmp_path: Path) -> None:
    _filled(tmp_path, 2).close()
    (tmp_path / JOURNAL).unlink()
    with pytest.raises(JournalCorruptError, match="the file is gone"):
        _open(tmp_path)
    assert not (tmp_path / JOURNAL).exists()


def test_a_torn_witness_proves_nothing_and_stops_nobody(tmp_path: Path) -> None:
    _filled(tmp_path, 2).close()
    (tmp_path / WITNESS).write_bytes(b"CPW1" + bytes(30))
    journal = _open(tmp_path)
    assert waiting(journal).facts == 2
    journal.close()


def test_a_journal_of_newer_software_is_not_touched(tmp_path: Path) -> None:
    _filled(tmp_path, 1).close()
    with sqlite3.connect(tmp_path / JOURNAL) as raw:
        raw.execute("PRAGMA user_version = 99")
    raw.close()
    before = (tmp_path / JOURNAL).read_bytes()
    with pytest.raises(JournalNewerError, match="found schema version 99, expected at most 7") as stopped:
        _open(tmp_path)
    assert stopped.value.exit_status is Exit.NEWER
    assert (tmp_path / JOURNAL).read_bytes() == before


def test_the_journal_of_another_device_is_refused(tmp_path: Path) -> None:
    _filled(tmp_path, 1).close()
    with pytest.raises(ConfigError, match=r"agent.device: found 'cabinet-2', expected 'cabinet-1'"):
        _open(tmp_path, device="cabinet-2")


def test_a_fact_that_was_changed_under_a_running_agent_is_not_sent(tmp_path: Path) -> None:
    journal = _filled(tmp_path, 5)
    journal.write("UPDATE fact SET body = ? WHERE position & 0xff = 3", [(encode_fact(taken(9)),)])
    with pytest.raises(JournalCorruptError, match="fact 3 of session 1 was changed"):
        read_batch(journal, journal.start.session, after=0, limit=10)
    journal.close()


@pytest.mark.fault(11)
def test_a_second_agent_on_one_folder_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    held = DataFolder.hold(tmp_path)
    assert folder.is_held(tmp_path)
    with pytest.raises(DataInUseError, match=rf"process {os.getpid()}"):
        DataFolder.hold(tmp_path)
    held.release()
    assert not folder.is_held(tmp_path)
    DataFolder.hold(tmp_path).release()


def test_a_reserve_that_does_not_fit_is_not_half_set_aside(tmp_path: Path) -> None:
    held = DataFolder.hold(tmp_path, reserve_bytes=1 << 60)
    assert not held.has_reserve
    assert {path.name for path in tmp_path.iterdir()} == {"lock"}
    held.release()


def test_facts_are_written_as_the_bytes_they_were_given_as(tmp_path: Path) -> None:
    journal = _open(tmp_path)
    body = b"\x93not even a fact"
    (identity,) = journal.commit([body], [])
    assert journal.query("SELECT device, session, seq, body, hash FROM written") == [
        (DEVICE, identity.session, 1, body, link(journal.start.hash, body))
    ]
    journal.close()


@pytest.mark.parametrize("remembered", [50_000, 2])
async def test_the_overlay_is_read_rightly_whether_its_codes_are_remembered_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, remembered: int
) -> None:
    monkeypatch.setattr("edge_agent.store.journal.REMEMBERED", remembered)
    shelf = Shelf(tmp_path)
    await shelf.load(*(piece(number) for number in range(8)))
    await shelf.recorder.record(*(taken(number) for number in range(4)))
    assert shelf.journal.forget_settled(shelf.journal.start.session, 1, 10) == 1
    for restarted in (False, True):
        if restarted:
            shelf.close()
            shelf = Shelf(tmp_path)
        codes = [code(number) for number in range(9)]
        assert [each in shelf.overlay.items(codes) for each in codes] == [False] + [True] * 3 + [False] * 5
        states = [item.state if (item := shelf.stock.item(each)) else None for each in codes]
        assert states == [State.IN_STOCK] + [State.TAKEN] * 3 + [State.IN_STOCK] * 4 + [None]
        assert {each: item.state for each, item in shelf.stock.items(codes).items()} == dict(
            zip(codes[:8], states[:8], strict=True)
        )
    shelf.close()
