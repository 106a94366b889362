"""Recalls at an agent: on its disk, in force before the first check, and never less than what was once known."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge_agent.errors import JournalCorruptError, Refused, StoreError
from edge_agent.recall_notice import RecallNotices
from edge_agent.store import schema
from edge_agent.store.folder import JOURNAL
from edge_agent.store.journal import Journal
from edge_agent.store.recalls import HeldRecalls
from edge_agent.sync.recall_lane import RecallLane
from edge_agent.sync.state import RecallTrouble, SyncState
from sync_protocol import topics
from sync_protocol.envelope import Voice
from sync_protocol.facts import What
from sync_protocol.items import State
from sync_protocol.lifecycle import Reason
from sync_protocol.messages import Ack, AskRecalls, Confirm, Up, Welcome
from sync_protocol.recalls import NO_RECALLS, Recall, RecallSet, SignedRecalls, encode_recalls, signed_bytes
from tests.unit.edge_core.shelf import DEVICE, NOON_US, PLACE, Shelf, code, fact, piece, taken

KEY, OTHER = (Ed25519PrivateKey.from_private_bytes(letter * 32) for letter in (b"k", b"o"))
PUBLIC = KEY.public_key().public_bytes_raw()
LOT = Recall(id="R1", version=1, product="stent", lot="L1", reason="particles")


def envelope_of(message: SignedRecalls | Ack) -> bytes:
    """Left at the broker by somebody: the set in it is signed itself."""
    return Voice(bytes(16), KEY.sign).say(message, topics.RECALLS)


def signed(version: int, *recalls: Recall, key: Ed25519PrivateKey = KEY) -> SignedRecalls:
    body = encode_recalls(RecallSet(version=version, recalls=recalls))
    return SignedRecalls(version=version, body=body, signature=key.sign(signed_bytes(body)))


class Lane:
    """The lane of a shelf, and what it says to central."""

    def __init__(self, shelf: Shelf, *keys: bytes) -> None:
        self.said: list[Up] = []
        self.state = SyncState()
        self.told = 0
        self.held = shelf.recorder.recalls
        self.lane = RecallLane(
            self.held, keys, state=self.state, send=self.said.append, tell=self._tell, now_us=shelf.clock.mono_us
        )

    def _tell(self) -> None:
        self.told += 1

    def hear(self, recalls: SignedRecalls) -> None:
        self.lane.hear(envelope_of(recalls))

    def acked(self, version: int) -> list[Up]:
        before = len(self.said)
        self.lane.take(Ack(session=bytes(16), through=1, version=1, recall_version=version))
        return self.said[before:]


async def test_a_recalled_piece_is_refused_before_and_after_a_restart(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    await shelf.load(*(piece(number) for number in range(3)))
    lane = Lane(shelf, PUBLIC)
    await shelf.recorder.record(taken(1))
    lane.hear(signed(1, LOT))
    assert lane.said == [Confirm(recall_version=1)]
    with pytest.raises(Refused) as refused:
        await shelf.recorder.record(taken(2))
    assert refused.value.refusals[0].reason is Reason.RECALLED
    assert "particles" in refused.value.refusals[0].found
    shelf.close()
    again = Shelf(tmp_path)
    assert again.recorder.recalls.version == 1
    with pytest.raises(Refused):
        await again.recorder.record(taken(2))
    again.close()


async def test_what_physically_happened_moves_the_item_and_is_told(shelf: Shelf) -> None:
    await shelf.load(piece(1))
    Lane(shelf, PUBLIC).hear(signed(1, LOT))
    recorded = await shelf.recorder.observe(taken(1))
    assert [refusal.reason for refusal in recorded.refusals] == [Reason.RECALLED]
    item = shelf.stock.item(code(1))
    assert item is not None
    assert item.state is State.TAKEN


async def test_a_recalled_piece_may_be_counted_frozen_and_written_off(shelf: Shelf) -> None:
    await shelf.load(piece(1))
    Lane(shelf, PUBLIC).hear(signed(1, LOT))
    await shelf.recorder.record(fact(What.COUNTED, code(1)), fact(What.WRITTEN_OFF, code(1), reason="recall"))


@pytest.mark.fault(44)
async def test_sets_out_of_order_the_highest_version_wins(shelf: Shelf) -> None:
    lane = Lane(shelf, PUBLIC)
    ended = Recall(id="R1", version=3, product="stent", lot="L1", is_active=False)
    other = Recall(id="R2", version=2, product="stent", lot="L2")
    for recalls in (signed(3, ended, other), signed(2, LOT, other), signed(1, LOT)):
        lane.hear(recalls)
    assert (lane.held.version, [recall.id for recall in lane.held.active]) == (3, ["R2"])


async def test_a_forged_set_is_refused_with_an_alarm_and_asked_for_anew(shelf: Shelf) -> None:
    lane = Lane(shelf, PUBLIC)
    lane.hear(signed(1, LOT))
    lane.hear(signed(2, key=OTHER))
    assert lane.state.recall_trouble is RecallTrouble.FORGED
    assert lane.held.active == (LOT,)
    assert lane.acked(2) == [AskRecalls()]
    lane.hear(signed(2, LOT))
    assert lane.held.version == 2
    assert not lane.state.recall_trouble


async def test_without_a_key_recalls_are_shown_and_not_applied(shelf: Shelf) -> None:
    await shelf.load(piece(1, lot="L7"))
    lane = Lane(shelf)
    assert lane.acked(1) == [AskRecalls()]
    recall = Recall(id="R7", version=1, product="stent", lot="L7")
    lane.hear(signed(1, recall))
    assert lane.state.recall_trouble is RecallTrouble.NO_KEY
    assert lane.acked(1) == []
    notices = RecallNotices(lane.held, shelf.stock, lane.state, location=PLACE, now_us=shelf.clock.mono_us)
    (notice,) = notices.here()
    assert (notice.recall, notice.items, notice.is_verified) == (recall, 1, False)
    await shelf.recorder.record(taken(1))
    assert lane.held.version == 0


async def test_the_banner_names_recalls_of_what_is_here(shelf: Shelf) -> None:
    await shelf.load(piece(1, lot="L7"), piece(2, lot="L7"), piece(3, lot="L7", location="elsewhere"))
    lane = Lane(shelf, PUBLIC)
    notices = RecallNotices(lane.held, shelf.stock, lane.state, location=PLACE, now_us=shelf.clock.mono_us)
    assert notices.here() == ()
    lane.hear(signed(1, Recall(id="R7", version=1, product="stent", lot="L7"), Recall(id="R2", version=1, product="x")))
    assert [(notice.recall.id, notice.items) for notice in notices.here()] == [("R7", 2)]


async def test_a_newer_set_of_a_restored_central_takes_nothing_away(shelf: Shelf) -> None:
    lane = Lane(shelf, PUBLIC)
    lane.hear(signed(5, LOT))
    second = Recall(id="R2", version=6, product="aspirin")
    lane.hear(signed(6, second))
    assert {recall.id for recall in lane.held.active} == {"R1", "R2"}
    assert signed(5, LOT) in lane.said
    lane.lane.disconnected()
    lane.said.clear()
    lane.lane.take(Welcome(positions=(), version=1, recall_version=6))
    assert lane.said == [signed(5, LOT)]
    assert {recall.id for recall in HeldRecalls(shelf.journal).active} == {"R1", "R2"}
    whole = signed(7, LOT, second)
    lane.hear(whole)
    assert lane.held.signed == HeldRecalls(shelf.journal).signed == (whole,)


async def test_a_central_that_names_an_older_set_gets_it_back_but_not_with_every_ack(shelf: Shelf) -> None:
    lane = Lane(shelf, PUBLIC)
    lane.hear(signed(5, LOT))
    assert lane.acked(4) == [signed(5, LOT)]
    assert lane.acked(4) == []
    shelf.clock.now_us += 3_000_000
    assert lane.acked(4) == [signed(5, LOT)]


async def test_a_central_that_sends_an_older_set_to_an_idle_agent_gets_it_back(shelf: Shelf) -> None:
    """Who has nothing to send hears no ack: what it gave back once may have gone with central's process."""
    lane = Lane(shelf, PUBLIC)
    lane.hear(signed(5, LOT))
    lane.said.clear()
    lane.lane.take(signed(4))
    lane.lane.take(signed(4))
    assert lane.said == [signed(5, LOT)]
    assert lane.held.active == (LOT,)


async def test_a_set_said_again_is_confirmed_again(shelf: Shelf) -> None:
    lane = Lane(shelf, PUBLIC)
    lane.hear(signed(5, LOT))
    lane.hear(signed(5, LOT))
    assert lane.said == [Confirm(recall_version=5)] * 2


async def test_another_set_under_the_version_held_is_not_confirmed_but_answered_by_ours(shelf: Shelf) -> None:
    """Two centrals were alive in one second: the one that is left makes one set of both."""
    lane = Lane(shelf, PUBLIC)
    lane.hear(signed(2, LOT))
    lane.said.clear()
    lane.hear(signed(2, Recall(id="R2", version=2, product="stent", lot="L2")))
    assert lane.said == [signed(2, LOT)]
    lane.hear(signed(2, LOT))
    assert lane.said[1:] == [Confirm(recall_version=2)]


async def test_a_full_disk_does_not_keep_a_recall_from_being_in_force(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    lane = Lane(shelf, PUBLIC)
    monkeypatch.setattr(Journal, "write", _full)
    lane.hear(signed(1, LOT))
    assert lane.held.active == (LOT,)
    assert (lane.said, lane.lane.version, lane.state.store_trouble) == ([AskRecalls()], 0, "the disk is full")
    monkeypatch.undo()
    lane.hear(signed(1, LOT))
    assert lane.said[-1] == Confirm(recall_version=1)
    assert HeldRecalls(shelf.journal).version == 1


def _full(*_: object) -> None:
    raise StoreError("the disk is full")


async def test_noise_on_the_recall_topic_is_passed_over(shelf: Shelf) -> None:
    lane = Lane(shelf, PUBLIC)
    lane.lane.hear(b"\x01\x00garbage")
    lane.lane.hear(envelope_of(Ack(session=bytes(16), through=1, version=1)))
    assert (lane.said, lane.state.recall_trouble, lane.held.version) == ([], None, 0)


async def test_a_journal_of_the_first_version_opens_and_holds_no_recalls(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / JOURNAL, isolation_level=None)) as old:
        schema._apply(old, "journal", [("tables", schema._JOURNAL)], 1)
        assert schema.version_of(old) == 1
    shelf = Shelf(tmp_path)
    assert shelf.recorder.recalls.signed == ()
    shelf.recorder.recalls.keep(signed(1, LOT), RecallSet(version=1, recalls=(LOT,)))
    shelf.close()
    again = Shelf(tmp_path)
    assert again.recorder.recalls.active == (LOT,)
    again.close()


async def test_a_set_that_cannot_be_read_stops_the_agent(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.recorder.recalls.keep(signed(1, LOT), NO_RECALLS)
    shelf.journal.write("UPDATE recall_set SET body = ?", [(b"\xc1",)])
    shelf.close()
    journal = Journal.open(tmp_path / JOURNAL, device=DEVICE, session=bytes(15) + b"2", started_us=NOON_US)
    with pytest.raises(JournalCorruptError, match="recalls"):
        HeldRecalls(journal)
    journal.close()
