"""The sync machines alone: no wire, no store, time as numbers."""

from datetime import date

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_protocol.chain import SessionStart, link, links
from sync_protocol.items import Item, Kind, State
from sync_protocol.machines import downlink, uplink
from sync_protocol.machines import uplink_events as on
from sync_protocol.machines.incarnation import Mark, wake
from sync_protocol.machines.ingest import SessionState, admit, begin
from sync_protocol.machines.lineage import Finding, Judgement, Past, judge
from sync_protocol.machines.sending import MOST_SETTLED
from sync_protocol.machines.uplink import Uplink
from sync_protocol.machines.uplink_events import Alarm, Line, OpenSession, SendBatch, SendHello, Settle
from sync_protocol.messages import Ack, Batch, Delta, Position, Rows, Welcome

OLDER, OLD, NOW, NEXT = b"p" * 16, b"o" * 16, b"n" * 16, b"x" * 16
START = SessionStart(device="d", session=NOW)


def batch(first: int, *bodies: bytes, previous: bytes | None = None) -> Batch:
    head = START.hash
    for seq in range(1, first):
        head = link(head, b"%d" % seq)
    return Batch(start=START, first_seq=first, previous_hash=previous or head, bodies=bodies)


def bodies(first: int, last: int) -> tuple[bytes, ...]:
    return tuple(b"%d" % seq for seq in range(first, last + 1))


def stored(seq: int) -> bytes:
    """Hash of the fact ``seq`` of ``bodies``."""
    head = START.hash
    for each in range(1, seq + 1):
        head = link(head, b"%d" % each)
    return head


def committed(through: int) -> SessionState:
    return admit(batch(1, *bodies(1, through)), None, stored).state if through else begin(START)


class TestIngest:
    def test_a_new_session_starts_at_one(self) -> None:
        admission = admit(batch(1, *bodies(1, 3)), None, stored)
        assert [fact.id.seq for fact in admission.facts] == [1, 2, 3]
        assert admission.state.through == 3
        assert admission.state.head == admission.facts[-1].hash

    def test_a_replay_admits_nothing_and_moves_nothing(self) -> None:
        admission = admit(batch(1, *bodies(1, 3)), committed(5), stored)
        assert (len(admission.facts), admission.state, admission.conflict) == (0, committed(5), "")

    def test_after_a_gap_nothing_is_admitted(self) -> None:
        """REQ-01: the ack stays at the highest contiguous seq."""
        admission = admit(batch(5, *bodies(5, 9)), committed(3), stored)
        assert (len(admission.facts), admission.state.through) == (0, 3)

    def test_an_overlap_admits_its_new_part_only(self) -> None:
        admission = admit(batch(2, *bodies(2, 6)), committed(4), stored)
        assert [fact.id.seq for fact in admission.facts] == [5, 6]
        assert admission.state == committed(6)

    def test_other_bytes_under_a_known_identity_are_a_conflict(self) -> None:
        admission = admit(batch(4, b"forged", previous=b"x" * 32), committed(3), stored)
        assert not admission.facts
        assert "fact 3 is not the one" in admission.conflict
        assert admission.common is None, "the histories part before this batch"

    @pytest.mark.fault(12)
    def test_other_facts_under_known_numbers_are_no_replay(self) -> None:
        """A virtual machine set back while it ran writes other facts with the same identities."""
        assert "not the one" in admit(batch(3, b"other", previous=stored(2)), committed(5), stored).conflict
        assert "not the one" in admit(batch(2, b"2", b"other", previous=stored(1)), committed(3), stored).conflict
        assert admit(batch(2, b"2", b"3", previous=stored(1)), committed(3), stored).conflict == ""

    @pytest.mark.fault(12)
    @given(st.integers(1, 30), st.integers(0, 29), st.integers(1, 30))
    def test_where_two_histories_part_is_told(self, first: int, same: int, through: int) -> None:
        """Whatever part of both is looked at, and however long the batch is."""
        written = [*bodies(1, same), *(b"other %d" % seq for seq in range(1 + same, 31))]
        hashes = [START.hash, *links(START.hash, written)]
        sent = batch(first, *written[first - 1 :], previous=hashes[first - 1])
        admission = admit(sent, committed(through), stored)
        is_apart = same < through and first <= through + 1
        assert bool(admission.conflict) == is_apart
        is_told = is_apart and first <= same + 1
        assert admission.common == ((same, stored(same) or START.hash) if is_told else None)
        assert not (is_apart and admission.facts)

    def test_a_session_has_one_parent(self) -> None:
        other = msgspec.structs.replace(batch(1, b"1"), start=msgspec.structs.replace(START, started_us=9))
        assert admit(other, committed(0), stored).conflict

    @given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 10)), max_size=40))
    def test_any_order_of_any_batches_yields_each_fact_once_in_order(self, cuts: list[tuple[int, int]]) -> None:
        state: SessionState | None = None
        seen: list[int] = []
        for first, count in [*cuts, (1, 29)]:
            admission = admit(batch(first, *bodies(first, first + count)), state, stored)
            assert not admission.conflict
            state = admission.state
            seen += [fact.id.seq for fact in admission.facts]
        assert seen == list(range(1, len(seen) + 1))
        assert state == committed(len(seen))


def welcome(*positions: tuple[bytes, int], version: int = 1) -> on.Welcomed:
    told = tuple(Position(session=session, through=through) for session, through in positions)
    return on.Welcomed(welcome=Welcome(positions=told, version=version), now_us=0)


def ack(session: bytes, through: int, now_us: int = 0) -> on.Acked:
    return on.Acked(ack=Ack(session=session, through=through, version=2), now_us=now_us)


def welcomed(head: int = 0) -> Uplink:
    machine = Uplink(NOW)
    machine.handle(on.Connected(now_us=0))
    machine.handle(welcome((NOW, 0)))
    if head:
        machine.handle(on.Committed(session=NOW, through=head, now_us=0))
    return machine


class TestUplink:
    def test_nothing_but_hello_leaves_before_the_welcome(self) -> None:
        machine = Uplink(NOW)
        assert machine.handle(on.Committed(session=NOW, through=1, now_us=0)) == []
        [hello] = machine.handle(on.Connected(now_us=0))
        assert hello == SendHello(
            pending=(Position(session=NOW, through=0),), heads=(Position(session=NOW, through=1),)
        )
        effects = machine.handle(welcome((NOW, 0)))
        assert SendBatch(session=NOW, after=0, limit=500) in effects

    def test_a_lone_scan_leaves_at_once_and_a_burst_gathers_behind_it(self) -> None:
        machine = welcomed()
        assert machine.handle(on.Committed(session=NOW, through=1, now_us=0)) == [
            SendBatch(session=NOW, after=0, limit=500)
        ]
        assert machine.handle(on.Sent(session=NOW, through=1, now_us=0)) == []
        for head in range(2, 9):
            assert machine.handle(on.Committed(session=NOW, through=head, now_us=0)) == []
        settle, send = machine.handle(ack(NOW, 1))
        assert settle == Settle(session=NOW, through=1, version=2)
        assert send == SendBatch(session=NOW, after=1, limit=500)

    def test_a_backlog_fills_the_window_and_no_more(self) -> None:
        machine = welcomed()
        [send] = machine.handle(on.Committed(session=NOW, through=uplink.WINDOW * 500, now_us=0))
        sent = 0
        for _ in range(uplink.WINDOW):
            assert send == SendBatch(session=NOW, after=sent, limit=500)
            sent += 500
            answer = machine.handle(on.Sent(session=NOW, through=sent, now_us=0))
            send = answer[0] if answer else None  # type: ignore[assignment]  # None: the window is full
        assert send is None

    def test_a_session_that_has_grown_to_a_backlog_is_closed_and_what_happens_now_passes_it(self) -> None:
        machine = welcomed()
        assert machine.handle(on.Committed(session=NOW, through=10_000, now_us=0)) == [OpenSession()]
        assert machine.handle(on.Opened(session=NEXT, closed=10_000, now_us=0)) == [
            SendBatch(session=NOW, after=0, limit=500)
        ]
        answer: list[object] = [None]
        for sent in range(500, uplink.WINDOW * 500, 500):
            answer = list(machine.handle(on.Sent(session=NOW, through=sent, now_us=0)))
        assert answer == [], "one place of the window is for what happens now"
        [live] = machine.handle(on.Committed(session=NEXT, through=2, now_us=0))
        assert live == SendBatch(session=NEXT, after=0, limit=500, is_early=True)
        machine.handle(on.Sent(session=NEXT, through=2, now_us=0))
        machine.handle(on.Committed(session=NEXT, through=3, now_us=0))
        held = Ack(session=NEXT, through=0, version=2, held=2, incarnation=0)
        effects = machine.handle(on.Acked(ack=held, now_us=0))
        assert effects[-1] == SendBatch(session=NEXT, after=2, limit=500, is_early=True)
        assert effects[0] == Settle(session=NEXT, through=0, version=2), "what is held is not committed"

    def test_what_is_held_is_not_sent_again_while_something_comes_before_it_and_is_afterwards(self) -> None:
        machine = Uplink(NEXT, [Line(session=NOW, head=3), Line(session=NEXT, head=2)])
        machine.handle(on.Connected(now_us=0))
        positions = (Position(session=NOW, through=0), Position(session=NEXT, through=0, held=2))
        effects = machine.handle(on.Welcomed(welcome=Welcome(positions=positions, version=1), now_us=0))
        assert effects[-1] == SendBatch(session=NOW, after=0, limit=500)
        assert machine.handle(on.Sent(session=NOW, through=3, now_us=0)) == []
        effects = machine.handle(ack(NOW, 3))
        assert [effect for effect in effects if isinstance(effect, SendBatch)] == []
        assert machine.wake_us is not None, "the ack of what is held may be lost"
        assert machine.handle(on.Tick(now_us=machine.wake_us)) == [SendBatch(session=NEXT, after=0, limit=500)]

    def test_no_more_is_in_flight_than_central_has_given_credit_for(self) -> None:
        machine = welcomed(head=2_000)
        machine.handle(on.Sent(session=NOW, through=500, now_us=0))
        small = Ack(session=NOW, through=500, version=2, credit=50)
        effects = machine.handle(on.Acked(ack=small, now_us=0))
        assert effects[-1] == SendBatch(session=NOW, after=500, limit=50)
        assert machine.handle(on.Sent(session=NOW, through=550, now_us=0)) == []

    def test_older_sessions_drain_first_and_in_order(self) -> None:
        machine = Uplink(NOW, [Line(session=OLD, head=3, acked=1), Line(session=NOW, head=0)])
        machine.handle(on.Committed(session=NOW, through=2, now_us=0))
        machine.handle(on.Connected(now_us=0))
        effects = machine.handle(welcome((OLD, 1), (NOW, 0)))
        assert effects[-1] == SendBatch(session=OLD, after=1, limit=500)
        machine.handle(on.Sent(session=OLD, through=3, now_us=0))
        effects = machine.handle(ack(OLD, 3))
        assert effects[-1] == SendBatch(session=NOW, after=0, limit=500)

    def test_a_central_that_says_it_is_there_gets_at_once_what_a_silent_one_was_to_wait_for(self) -> None:
        machine = welcomed()
        ring = on.Told(incarnation=0, now_us=uplink.RESEND_AFTER_US + 1, is_empty=True)
        assert machine.handle(ring) == []
        machine.handle(on.Committed(session=NOW, through=1, now_us=0))
        machine.handle(on.Sent(session=NOW, through=1, now_us=0))
        machine.handle(on.Tick(now_us=uplink.RESEND_AFTER_US))
        machine.handle(on.Sent(session=NOW, through=1, now_us=uplink.RESEND_AFTER_US))
        [again] = machine.handle(ring)
        assert again == on.SendBatch(session=NOW, after=0, limit=uplink.BATCH_FACTS)
        assert machine.wake_us == ring.now_us + uplink.RESEND_AFTER_US

    def test_the_news_of_a_busy_central_do_not_make_it_busier(self) -> None:
        machine = welcomed()
        machine.handle(on.Committed(session=NOW, through=1, now_us=0))
        machine.handle(on.Sent(session=NOW, through=1, now_us=0))
        machine.handle(on.Tick(now_us=uplink.RESEND_AFTER_US))
        machine.handle(on.Sent(session=NOW, through=1, now_us=uplink.RESEND_AFTER_US))
        assert machine.handle(on.Told(incarnation=0, now_us=uplink.RESEND_AFTER_US + 1)) == []

    def test_what_was_not_acked_is_sent_again_with_growing_patience(self) -> None:
        machine = welcomed(head=1)
        machine.handle(on.Sent(session=NOW, through=1, now_us=0))
        assert machine.handle(on.Tick(now_us=1_000_000)) == []
        assert machine.wake_us == uplink.RESEND_AFTER_US
        again = machine.handle(on.Tick(now_us=uplink.RESEND_AFTER_US))
        assert again == [SendBatch(session=NOW, after=0, limit=500)]
        machine.handle(on.Sent(session=NOW, through=1, now_us=uplink.RESEND_AFTER_US))
        assert machine.wake_us == 3 * uplink.RESEND_AFTER_US

    def test_a_batch_that_found_no_room_is_tried_again_soon_though_nothing_else_happens(self) -> None:
        machine = welcomed(head=1)
        for now_us in (0, uplink.ROOM_AFTER_US, 2 * uplink.ROOM_AFTER_US):
            assert machine.handle(on.Sent(session=NOW, through=0, now_us=now_us)) == []
            assert machine.wake_us == now_us + uplink.ROOM_AFTER_US
            again = machine.handle(on.Tick(now_us=now_us + uplink.ROOM_AFTER_US))
            assert again == [SendBatch(session=NOW, after=0, limit=500)]
        left_us = 3 * uplink.ROOM_AFTER_US
        machine.handle(on.Sent(session=NOW, through=1, now_us=left_us))
        assert machine.wake_us == left_us + uplink.RESEND_AFTER_US, "its ack gets its usual time"

    def test_a_batch_that_found_no_room_behind_others_waits_for_their_ack(self) -> None:
        machine = welcomed(head=1_000)
        machine.handle(on.Sent(session=NOW, through=500, now_us=0))
        assert machine.handle(on.Sent(session=NOW, through=500, now_us=1)) == []
        assert machine.wake_us == uplink.RESEND_AFTER_US

    def test_an_unanswered_hello_is_said_again(self) -> None:
        machine = Uplink(NOW)
        machine.handle(on.Connected(now_us=0))
        [again] = machine.handle(on.Tick(now_us=uplink.RESEND_AFTER_US))
        assert isinstance(again, SendHello)

    def test_an_ack_never_moves_back_or_past_the_journal(self) -> None:
        """I8: watermarks are monotone while the connection lasts."""
        machine = welcomed(head=5)
        machine.handle(on.Sent(session=NOW, through=5, now_us=0))
        assert machine.handle(ack(NOW, 4))[0] == Settle(session=NOW, through=4, version=2)
        assert machine.handle(ack(NOW, 2)) == []
        assert machine.handle(ack(NOW, 6)) == []

    def test_a_reconnect_offers_again_what_central_lacks(self) -> None:
        machine = welcomed(head=5)
        machine.handle(on.Sent(session=NOW, through=5, now_us=0))
        machine.handle(ack(NOW, 5))
        machine.handle(on.Disconnected())
        machine.handle(on.Connected(now_us=0))
        effects = machine.handle(welcome((NOW, 2)))
        assert effects[-1] == SendBatch(session=NOW, after=2, limit=500)

    def test_central_knowing_more_than_the_journal_is_an_alarm(self) -> None:
        machine = Uplink(NOW, [Line(session=OLD, head=3, acked=1), Line(session=NOW, head=0)])
        machine.handle(on.Connected(now_us=0))
        assert any(isinstance(effect, Alarm) for effect in machine.handle(welcome((OLD, 4), (NOW, 0))))

    def test_an_ack_for_more_than_a_disk_that_was_set_back_has_ends_its_session(self) -> None:
        """Central had it in hand at the HELLO, and took it in when the facts before it had come."""
        machine = Uplink(NOW, [Line(session=OLD, head=3), Line(session=NOW, head=1)])
        machine.handle(on.Connected(now_us=0))
        [*_, sending] = machine.handle(welcome((OLD, 0), (NOW, 0)))
        assert sending == SendBatch(session=OLD, after=0, limit=500)
        machine.handle(on.Sent(session=OLD, through=3, now_us=0))
        more = Ack(session=OLD, through=4, version=2, at=3, hash=b"3")
        settle, *_, sending = machine.handle(on.Acked(ack=more, now_us=0))
        assert settle == Settle(session=OLD, through=3, version=2, exceptions=(), safe=0)
        assert sending == SendBatch(session=NOW, after=0, limit=500)
        machine.handle(on.Sent(session=NOW, through=1, now_us=0))
        assert machine.handle(ack(NOW, 2)) == [], "what it does not have it cannot compare"

    def test_a_later_session_waits_until_all_of_the_one_before_is_acked(self) -> None:
        """A lost batch of the older one must not let the newer one into the ledger first."""
        machine = Uplink(NOW, [Line(session=OLDER, head=2), Line(session=OLD, head=3)])
        machine.handle(on.Connected(now_us=0))
        effects = machine.handle(welcome((OLDER, 0), (OLD, 0), (NOW, 0)))
        assert effects[-1] == SendBatch(session=OLDER, after=0, limit=500)
        assert machine.handle(on.Sent(session=OLDER, through=2, now_us=0)) == []
        assert machine.handle(ack(OLDER, 1))[1:] == []
        assert machine.handle(ack(OLDER, 2))[1:] == [SendBatch(session=OLD, after=0, limit=500)]

    def test_an_old_disk_offers_its_new_session_though_central_has_more_of_the_old_one(self) -> None:
        """What an image lacks is gone with its disk; what is recorded since must not wait for it."""
        machine = Uplink(NOW, [Line(session=OLD, head=3, acked=1)])
        machine.handle(on.Committed(session=NOW, through=2, now_us=0))
        machine.handle(on.Connected(now_us=0))
        effects = machine.handle(welcome((OLD, 7), (NOW, 0)))
        assert any(isinstance(effect, Alarm) for effect in effects)
        assert Settle(session=OLD, through=3, version=1) in effects
        assert effects[-1] == SendBatch(session=NOW, after=0, limit=500)

    def test_a_session_that_could_not_be_opened_is_opened_when_central_has_answered_again(self) -> None:
        machine = Uplink(NOW, [Line(session=NOW, head=3)])
        machine.handle(on.Connected(now_us=0))
        assert machine.handle(welcome((NOW, 7))) == [OpenSession(is_woken=True)]
        [again] = machine.handle(on.Tick(now_us=uplink.RESEND_AFTER_US))
        assert isinstance(again, SendHello)
        assert machine.handle(welcome((NOW, 7))) == [OpenSession(is_woken=True)]

    def test_facts_recorded_while_a_session_is_closed_are_sent(self) -> None:
        """They were written before the new session, and nobody had told of them yet."""
        machine = welcomed()
        machine.handle(on.Committed(session=NOW, through=2_001, now_us=0))
        machine.handle(on.Opened(session=NEXT, closed=2_003, now_us=0))
        machine.handle(on.Sent(session=NOW, through=2_001, now_us=0))
        answer = machine.handle(ack(NOW, 2_001))
        assert answer[-1] == SendBatch(session=NOW, after=2_001, limit=500)

    def test_a_second_welcome_moves_nothing_back(self) -> None:
        machine = welcomed(head=5)
        machine.handle(on.Sent(session=NOW, through=5, now_us=0))
        machine.handle(ack(NOW, 5))
        assert machine.handle(welcome((NOW, 2))) == []

    def test_a_late_ack_does_not_end_the_wait_for_the_welcome(self) -> None:
        machine = welcomed(head=1)
        machine.handle(on.Sent(session=NOW, through=1, now_us=0))
        machine.handle(on.Connected(now_us=0))
        machine.handle(ack(NOW, 1))
        [again] = machine.handle(on.Tick(now_us=uplink.RESEND_AFTER_US))
        assert isinstance(again, SendHello)


def delta(after: int, to: int, latest: int | None = None) -> downlink.Arrived:
    return downlink.Arrived(delta=Delta(after=after, to=to, rows=Rows(), latest=latest or to), now_us=0)


def piece(number: int, state: State = State.IN_STOCK) -> Item:
    expiry = date(2027, 1, 1)
    return Item(code=str(number), kind=Kind.PIECE, product="p", lot="l", expiry=expiry, state=state, location="ward")


class TestDownlink:
    def connected(self, cursor: int = 5, version: int = 5) -> downlink.Downlink:
        machine = downlink.Downlink(cursor)
        machine.handle(downlink.Connected(version=version, now_us=0))
        machine.handle(downlink.Arrived(delta=Delta(after=cursor, to=cursor, rows=Rows(), latest=version), now_us=0))
        return machine

    def page(self, after: int, to: int, latest: int, items: tuple[Item, ...]) -> downlink.Arrived:
        return downlink.Arrived(delta=Delta(after=after, to=to, rows=Rows(items=items), latest=latest), now_us=0)

    def test_a_delta_at_the_cursor_is_applied_and_the_cursor_follows_the_commit(self) -> None:
        machine = self.connected()
        [apply] = machine.handle(delta(5, 6))
        assert isinstance(apply, downlink.Apply)
        assert machine.cursor == 5
        assert machine.handle(downlink.Applied(version=6, now_us=0)) == []
        assert machine.cursor == 6

    @pytest.mark.parametrize(("after", "to"), [(6, 7), (3, 7)])
    def test_a_delta_that_does_not_start_at_the_cursor_is_pulled_instead(self, after: int, to: int) -> None:
        """REQ-05."""
        machine = self.connected()
        assert machine.handle(delta(after, to)) == [downlink.SendPull(after=5, incarnation=0)]
        assert machine.handle(delta(to, to + 1)) == [], "one pull at a time"

    def test_an_old_delta_is_ignored(self) -> None:
        machine = self.connected()
        assert machine.handle(delta(2, 5)) == []

    def test_pages_are_pulled_until_the_latest(self) -> None:
        machine = downlink.Downlink(0)
        assert machine.handle(downlink.Connected(version=9, now_us=0)) == [downlink.SendPull(after=0, incarnation=0)]
        assert machine.handle(delta(0, 4, latest=9)) == [downlink.SendPull(after=4, incarnation=0)]
        [apply] = machine.handle(delta(4, 9, latest=9))
        assert isinstance(apply, downlink.Apply)
        assert (apply.delta.after, apply.delta.to) == (0, 9), "pages are written together"
        assert machine.handle(downlink.Applied(version=9, now_us=0)) == []

    def test_of_a_row_in_two_pages_the_later_is_written(self) -> None:
        machine = self.connected()
        machine.handle(self.page(5, 8, latest=9, items=(piece(1), piece(2))))
        assert (machine.cursor, machine.is_whole) == (5, True), "what is only gathered is not shown"
        [apply] = machine.handle(self.page(8, 9, latest=9, items=(piece(2, State.DISPENSED), piece(3))))
        assert isinstance(apply, downlink.Apply)
        assert apply.delta.rows == Rows(items=(piece(1), piece(2, State.DISPENSED), piece(3)))

    def test_no_more_is_gathered_than_is_good_for_the_memory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(downlink, "GATHERED", 3)
        machine = self.connected()
        assert machine.handle(self.page(5, 6, latest=20, items=(piece(1), piece(2)))) == [
            downlink.SendPull(after=6, incarnation=0)
        ]
        [apply] = machine.handle(self.page(6, 7, latest=20, items=(piece(3),)))
        assert isinstance(apply, downlink.Apply)
        assert machine.handle(downlink.Applied(version=7, now_us=0)) == [downlink.SendPull(after=7, incarnation=0)]

    @pytest.mark.parametrize("is_cut", [True, False])
    def test_what_was_gathered_is_written_when_no_more_comes(self, *, is_cut: bool) -> None:
        machine = self.connected()
        machine.handle(delta(5, 8, latest=12))
        if is_cut:
            machine.handle(downlink.Disconnected())
        due_us = machine.wake_us
        assert due_us == (0 if is_cut else downlink.PULL_AGAIN_AFTER_US)
        [apply] = machine.handle(downlink.Tick(now_us=due_us))
        assert isinstance(apply, downlink.Apply)
        assert (apply.delta.to, machine.is_whole) == (8, False)
        pulled = [downlink.SendPull(after=8, incarnation=0)]
        assert machine.handle(downlink.Applied(version=8, now_us=due_us)) == ([] if is_cut else pulled)

    def test_between_two_pages_it_is_not_whole(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What changed before the cut and again after it is shown as it was before both, with the line cut, too."""
        monkeypatch.setattr(downlink, "GATHERED", 0)
        machine = self.connected(cursor=5, version=5)
        found = [machine.is_whole]
        for page in (delta(5, 8, latest=12), delta(8, 11, latest=15)):
            machine.handle(page)
            machine.handle(downlink.Applied(version=page.delta.to, now_us=0))
            found.append(machine.is_whole)
        machine.handle(downlink.Disconnected())
        machine.handle(downlink.Connected(version=15, now_us=0))
        found.append(machine.is_whole)
        assert found == [True, False, False, False]
        for last in (delta(11, 15), delta(15, 16)):
            machine.handle(last)
            machine.handle(downlink.Applied(version=last.delta.to, now_us=0))
            assert machine.is_whole

    def test_a_late_broadcast_behind_a_page_does_not_make_it_whole(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The page lacks what changed again by 9, and the broadcast of 7 was made before anybody knew of that."""
        monkeypatch.setattr(downlink, "GATHERED", 2)
        machine = self.connected()
        machine.handle(self.page(5, 6, latest=9, items=(piece(1),)))
        [apply] = machine.handle(self.page(6, 7, latest=7, items=(piece(2),)))
        assert isinstance(apply, downlink.Apply)
        assert apply.delta.latest == 9
        machine.handle(downlink.Applied(version=7, now_us=0))
        assert not machine.is_whole

    def test_a_process_that_just_started_does_not_know_whether_it_is_whole(self) -> None:
        machine, known = downlink.Downlink(5), []
        for event in (downlink.Connected(version=7, now_us=0), delta(5, 7), downlink.Applied(version=7, now_us=0)):
            known.append(machine.is_whole)
            machine.handle(event)
        assert [*known, machine.is_whole] == [False, False, False, True]

    def test_a_lost_answer_is_pulled_again_and_silence_is_broken_by_a_poll(self) -> None:
        machine = downlink.Downlink(0)
        machine.handle(downlink.Connected(version=9, now_us=0))
        assert machine.handle(downlink.Tick(now_us=downlink.PULL_AGAIN_AFTER_US)) == [
            downlink.SendPull(after=0, incarnation=0)
        ]
        quiet = self.connected()
        assert quiet.wake_us == downlink.POLL_AFTER_US
        assert quiet.handle(downlink.Tick(now_us=downlink.POLL_AFTER_US)) == [downlink.SendPull(after=5, incarnation=0)]

    def test_broadcasts_do_not_put_the_poll_off(self) -> None:
        """A workplace that only listens must still be heard of by central."""
        machine = self.connected()
        for version in range(6, 20):
            machine.handle(downlink.Arrived(delta=delta(version - 1, version).delta, now_us=version * 1_000_000))
            machine.handle(downlink.Applied(version=version, now_us=version * 1_000_000))
        assert machine.wake_us == downlink.POLL_AFTER_US
        assert machine.handle(downlink.Tick(now_us=downlink.POLL_AFTER_US)) == [
            downlink.SendPull(after=19, incarnation=0)
        ]

    def test_nothing_is_pulled_while_the_link_is_down(self) -> None:
        machine = self.connected()
        machine.handle(downlink.Disconnected())
        assert machine.wake_us is None
        assert machine.handle(delta(7, 8)) == []


def restored(*positions: tuple[bytes, int], incarnation: int = 7) -> on.Welcomed:
    told = tuple(Position(session=session, through=through) for session, through in positions)
    return on.Welcomed(welcome=Welcome(positions=told, version=1, incarnation=incarnation), now_us=0)


class TestIncarnation:
    """REQ-03: a restored central is recognised, and refilled with whatever it lacks."""

    def adopted(self) -> Uplink:
        machine = Uplink(NOW, [Line(session=NOW, head=4, acked=4)], incarnation=6)
        machine.handle(on.Connected(now_us=0))
        assert machine.handle(restored((NOW, 2))) == [on.Adopt(incarnation=7)]
        return machine

    def test_nothing_is_sent_to_a_new_incarnation_before_it_is_written_down(self) -> None:
        machine = self.adopted()
        assert machine.handle(on.Committed(session=NOW, through=5, now_us=0)) == []

    def test_sessions_long_done_are_offered_again(self) -> None:
        machine = self.adopted()
        lines = (Line(session=OLD, head=9, acked=3, kept=3), Line(session=NOW, head=4))
        [hello] = machine.handle(on.Adopted(incarnation=7, lines=lines, now_us=0))
        assert hello == SendHello(
            pending=(Position(session=OLD, through=0), Position(session=NOW, through=0)),
            heads=(Position(session=OLD, through=9), Position(session=NOW, through=4)),
        ), "nothing is claimed of an incarnation that has said nothing yet"
        effects = machine.handle(restored((OLD, 5), (NOW, 2)))
        assert effects[-1] == SendBatch(session=OLD, after=5, limit=500)

    def test_it_says_once_when_the_ledger_has_all_that_was_owed(self) -> None:
        machine = self.adopted()
        lines = (Line(session=OLD, head=3), Line(session=NOW, head=4))
        machine.handle(on.Adopted(incarnation=7, lines=lines, now_us=0))
        effects = machine.handle(restored((OLD, 3), (NOW, 2)))
        assert not any(isinstance(effect, on.Refilled) for effect in effects)
        done = machine.handle(on.Acked(ack=Ack(session=NOW, through=4, version=9, incarnation=7), now_us=0))
        assert on.Refilled(incarnation=7, version=9) in done
        assert not machine.is_refilling
        machine.handle(on.Committed(session=NOW, through=5, now_us=0))
        later = machine.handle(on.Acked(ack=Ack(session=NOW, through=5, version=10, incarnation=7), now_us=0))
        assert not any(isinstance(effect, on.Refilled) for effect in later)

    def test_an_agent_started_in_the_middle_of_it_owes_what_is_not_acked_yet(self) -> None:
        machine = Uplink(NOW, [Line(session=OLD, head=3, acked=1)], incarnation=7, is_refilled=False)
        machine.handle(on.Connected(now_us=0))
        machine.handle(restored((OLD, 1), (NOW, 0)))
        assert machine.is_refilling
        done = machine.handle(on.Acked(ack=Ack(session=OLD, through=3, version=9, incarnation=7), now_us=0))
        assert on.Refilled(incarnation=7, version=9) in done

    def test_one_that_owes_nothing_hears_so_with_the_welcome(self) -> None:
        machine = Uplink(NOW, incarnation=7, is_refilled=False)
        machine.handle(on.Connected(now_us=0))
        assert on.Refilled(incarnation=7, version=1) in machine.handle(restored((NOW, 0)))

    def test_a_delta_of_a_restored_central_is_enough_to_know_it(self) -> None:
        machine = Uplink(NOW, incarnation=6)
        assert machine.handle(on.Told(incarnation=6, now_us=0)) == []
        assert machine.handle(on.Told(incarnation=7, now_us=0)) == [on.Adopt(incarnation=7)]
        assert [type(effect) for effect in machine.handle(on.Told(incarnation=5, now_us=0))] == [Alarm]

    def test_a_ledger_that_lacks_what_is_pruned_is_an_alarm_and_blocks_no_other_session(self) -> None:
        """REQ-02: pruned facts were in a verified backup; this ledger was made from an older one."""
        machine = self.adopted()
        lines = (Line(session=OLD, head=9, acked=3, kept=3), Line(session=NOW, head=4))
        machine.handle(on.Adopted(incarnation=7, lines=lines, now_us=0))
        alarm, _, send = machine.handle(restored((OLD, 2), (NOW, 0)))
        assert alarm == Alarm(cause="central lacks facts 3 to 3, which are pruned here")
        assert send == SendBatch(session=NOW, after=0, limit=500)

    def test_an_answer_that_comes_late_takes_nothing_back(self) -> None:
        """I8: inside an incarnation acked never regresses; what may be missing is sent again all the same."""
        machine = Uplink(NOW, [Line(session=NOW, head=4)], incarnation=7)
        machine.handle(on.Connected(now_us=0))
        machine.handle(restored((NOW, 4)))
        machine.handle(on.Connected(now_us=0))
        effects = machine.handle(restored((NOW, 2)))
        assert effects == [SendBatch(session=NOW, after=2, limit=500)]
        [hello] = machine.handle(on.Connected(now_us=0))
        assert isinstance(hello, SendHello)
        assert hello.pending == (Position(session=NOW, through=4),)


def safe(session: bytes, through: int, safe_through: int) -> on.Acked:
    return on.Acked(ack=Ack(session=session, through=through, version=3, safe=safe_through), now_us=0)


class TestSafe:
    """REQ-02: what a verified backup holds."""

    def test_it_comes_with_acks_and_never_beyond_them(self) -> None:
        machine = welcomed(head=5)
        assert machine.handle(safe(NOW, 4, 9))[0] == Settle(session=NOW, through=4, version=3, safe=4)

    def test_sessions_long_acked_are_asked_about_and_told_of(self) -> None:
        machine = Uplink(NOW, settled=[Position(session=OLD, through=9, safe=2)])
        [hello] = machine.handle(on.Connected(now_us=0))
        assert isinstance(hello, SendHello)
        assert hello.pending[0] == Position(session=OLD, through=9, safe=2)
        assert machine.handle(safe(OLD, 9, 7)) == [Settle(session=OLD, through=9, version=3, safe=7)]
        assert machine.handle(safe(OLD, 9, 7)) == []

    def test_the_question_is_bounded_and_keeps_the_oldest_and_the_newest(self) -> None:
        names = [b"%016d" % number for number in range(100)]
        machine = Uplink(NOW, [Line(session=name, head=1) for name in names])
        machine.handle(on.Connected(now_us=0))
        machine.handle(welcome(*((name, 1) for name in names)))
        [hello] = machine.handle(on.Connected(now_us=0))
        assert isinstance(hello, SendHello)
        asked = [position.session for position in hello.pending]
        assert asked == [*names[: MOST_SETTLED - 1], names[-1], NOW]

    def test_an_older_central_is_refused_with_an_alarm(self) -> None:
        machine = Uplink(NOW, incarnation=7)
        machine.handle(on.Connected(now_us=0))
        [alarm] = machine.handle(restored((NOW, 0), incarnation=6))
        assert isinstance(alarm, Alarm)
        assert machine.handle(on.Committed(session=NOW, through=1, now_us=0)) == []

    def test_an_old_ack_settles_nothing(self) -> None:
        machine = Uplink(NOW, [Line(session=NOW, head=4)], incarnation=7)
        machine.handle(on.Connected(now_us=0))
        machine.handle(restored((NOW, 0)))
        effects = machine.handle(on.Acked(ack=Ack(session=NOW, through=4, version=9, incarnation=6), now_us=0))
        assert [type(effect) for effect in effects] == [Alarm]

    @pytest.mark.parametrize(
        ("ledger", "outside", "is_new"),
        [
            (Mark(incarnation=5, position=10, head=b"a"), Mark(incarnation=5, position=10, head=b"a"), False),
            (Mark(incarnation=5, position=12, head=b"c"), Mark(incarnation=5, position=10, head=b"a"), False),
            (Mark(incarnation=5, position=9, head=b"x"), Mark(incarnation=5, position=10, head=b"a"), True),
            (Mark(incarnation=5, position=10, head=b"x"), Mark(incarnation=5, position=10, head=b"a"), True),
            (Mark(incarnation=4, position=10, head=b"a"), Mark(incarnation=5, position=10, head=b"a"), True),
            (Mark(incarnation=5, position=10, head=b"a"), None, True),
        ],
    )
    def test_a_restored_ledger_wakes_with_a_higher_incarnation(
        self, ledger: Mark, outside: Mark | None, *, is_new: bool
    ) -> None:
        woken = wake(ledger, outside, now_us=0)
        assert (woken > max(ledger.incarnation, outside.incarnation if outside else 0)) is is_new
        assert is_new or woken == ledger.incarnation

    def test_of_two_restored_lives_the_later_begun_is_higher(self) -> None:
        lost = Mark(incarnation=5, position=1, head=b"")
        assert wake(lost, None, now_us=2_000) > wake(lost, None, now_us=1_000)


class TestRebuild:
    """REQ-06: the old replica serves until the new one is complete."""

    def of(self, after: int, to: int, latest: int, incarnation: int = 7) -> downlink.Arrived:
        told = Delta(after=after, to=to, rows=Rows(), latest=latest, incarnation=incarnation)
        return downlink.Arrived(delta=told, now_us=0)

    def test_pages_go_beside_the_old_replica_until_the_last_and_then_take_its_place(self) -> None:
        machine = downlink.Downlink(50, incarnation=6)
        machine.handle(downlink.Connected(version=50, now_us=0))
        assert machine.handle(downlink.Rebuild(incarnation=7, version=0, now_us=0)) == [
            downlink.SendPull(after=0, incarnation=7)
        ]
        assert machine.handle(self.of(0, 30, latest=40)) == [downlink.SendPull(after=30, incarnation=7)]
        [apply] = machine.handle(self.of(30, 40, latest=40))
        assert isinstance(apply, downlink.Apply)
        assert apply.is_rebuild
        assert machine.cursor == 50
        assert machine.handle(downlink.Applied(version=40, now_us=0)) == [downlink.Swap()]
        assert machine.cursor == 50
        assert machine.handle(downlink.Swapped(now_us=0)) == []
        assert (machine.cursor, machine.is_rebuilding) == (40, False)

    def test_what_was_gathered_for_the_old_replica_is_not_written_into_the_new(self) -> None:
        machine = downlink.Downlink(50, incarnation=6)
        machine.handle(downlink.Connected(version=60, now_us=0))
        machine.handle(self.of(50, 55, latest=60, incarnation=6))
        assert machine.handle(downlink.Rebuild(incarnation=7, version=0, now_us=0)) == [
            downlink.SendPull(after=0, incarnation=7)
        ]
        [apply] = machine.handle(self.of(0, 40, latest=40))
        assert isinstance(apply, downlink.Apply)
        assert (apply.delta.after, apply.delta.to) == (0, 40)

    def test_an_empty_ledger_is_swapped_in_too(self) -> None:
        machine = downlink.Downlink(50, incarnation=6)
        machine.handle(downlink.Connected(version=50, now_us=0))
        machine.handle(downlink.Rebuild(incarnation=7, version=0, now_us=0))
        assert machine.handle(self.of(0, 0, latest=0)) == [downlink.Swap()]

    def test_a_delta_of_another_life_is_ignored(self) -> None:
        machine = downlink.Downlink(50, incarnation=7)
        machine.handle(downlink.Connected(version=50, now_us=0))
        assert machine.handle(self.of(50, 51, latest=51, incarnation=6)) == []

    @pytest.mark.fault(32)
    def test_what_was_said_before_all_was_refilled_is_not_the_whole(self) -> None:
        """A late delta of a ledger that still lacked own facts must not become the replica."""
        machine = downlink.Downlink(50, incarnation=6)
        machine.handle(downlink.Rebuild(incarnation=7, version=40, now_us=0))
        [first] = machine.handle(self.of(0, 30, latest=30))
        assert isinstance(first, downlink.Apply)
        assert machine.handle(downlink.Applied(version=30, now_us=0)) == [downlink.SendPull(after=30, incarnation=7)]
        machine.handle(self.of(30, 41, latest=41))
        assert machine.handle(downlink.Applied(version=41, now_us=0)) == [downlink.Swap()]


class TestLineage:
    """REQ-04, faults 12 to 14: what a session that was never heard of proves."""

    PARENT = SessionStart(device="d", session=OLD)

    def child(self, seq: int = 3, head: bytes = b"h") -> SessionStart:
        return SessionStart(device="d", session=NOW, parent_session=OLD, parent_seq=seq, parent_hash=head)

    def test_the_next_session_of_a_whole_journal_is_well(self) -> None:
        past = Past(is_known=True, parent=(3, b"h"), heads={OLD: 3}, through={OLD: 3})
        assert judge(self.child(), {}, past) is None
        behind = Past(is_known=True, parent=(1, b"x"), heads={OLD: 3}, through={OLD: 1})
        assert judge(self.child(), {OLD: 3}, behind) is None
        assert judge(self.child(), {}, Past(is_known=True)) is None, "its parent wrote nothing that was sent"
        assert judge(SessionStart(device="d", session=NOW), {}, Past(is_known=False)) is None

    @pytest.mark.fault(12)
    def test_a_journal_that_was_set_back_lacks_what_the_ledger_has_and_may_have_lost_more(self) -> None:
        past = Past(is_known=True, parent=(9, b"h"), heads={OLD: 12}, through={OLD: 9})
        found = judge(self.child(3), {}, past)
        assert found == Judgement(finding=Finding.ROLLED_BACK, beyond=6, lost=3)

    def test_a_journal_that_has_other_facts_under_known_numbers_is_another_journal(self) -> None:
        """A machine was woken from a snapshot and wrote before it heard of its original."""
        past = Past(is_known=True, parent=(9, b"x"), heads={OLD: 9}, through={OLD: 9})
        assert judge(self.child(3), {}, past) == Judgement(finding=Finding.FORKED, beyond=6)

    @pytest.mark.fault(13)
    def test_two_children_of_one_parent_are_two_journals(self) -> None:
        past = Past(is_known=True, parent=(3, b"h"), siblings=1)
        assert judge(self.child(), {}, past) == Judgement(finding=Finding.FORKED)
        other = Past(is_known=True, parent=(3, b"other"))
        assert judge(self.child(), {}, other) == Judgement(finding=Finding.FORKED)

    @pytest.mark.fault(14)
    def test_a_journal_that_is_gone_lost_what_it_told_of_and_never_sent(self) -> None:
        past = Past(is_known=True, heads={OLD: 12, b"p" * 16: 4}, through={OLD: 9, b"p" * 16: 4})
        found = judge(SessionStart(device="d", session=NOW), {}, past)
        assert found == Judgement(finding=Finding.LOST, lost=3)

    def test_the_first_session_of_a_journal_may_come_late(self) -> None:
        start = SessionStart(device="d", session=NOW)
        assert judge(start, {}, Past(is_known=True, is_held=True)) is None, "as the journal that was judged holds it"
        assert judge(start, {}, Past(is_known=True, children=1)) is None, "as a session follows it that is known"

    def test_a_session_that_a_known_one_follows_says_nothing_of_what_was_written_since(self) -> None:
        late = Past(is_known=True, children=1, heads={b"n" * 16: 2}, through={b"n" * 16: 0})
        assert judge(self.child(), {}, late) is None

    @pytest.mark.fault(14)
    def test_a_journal_begins_once(self) -> None:
        past = Past(is_known=True, is_held=True, children=1, roots=1)
        found = judge(SessionStart(device="d", session=NOW), {}, past)
        assert found == Judgement(finding=Finding.LOST)

    def test_what_the_journal_still_holds_is_not_lost(self) -> None:
        past = Past(is_known=True, parent=(9, b"h"), siblings=1, heads={OLD: 12}, through={OLD: 9})
        found = judge(self.child(11, b"later"), {OLD: 11}, past)
        assert found is not None
        assert found.lost == 1
