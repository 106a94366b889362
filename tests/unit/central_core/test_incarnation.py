"""A ledger that went back in time knows it and is refilled before anything follows from it: REQ-03, faults 32 to 34."""

import shutil
from pathlib import Path

import msgspec
import pytest

from central.errors import DiskError, LedgerCorruptError
from central.ledger import mark
from central.sync.agents import heads_of
from central.sync.lineage import BEYOND, LOST
from sync_protocol.chain import SessionStart
from sync_protocol.documents import OrderState
from sync_protocol.facts import FactId, What
from sync_protocol.items import State
from sync_protocol.messages import Ack, Delta, Hello, Parted, Position, Pull, Welcome
from tests.unit.central_core.desk import SPLIT, STENT, Desk, HandAgent, an_order, piece


def hello(agent: HandAgent, desk: Desk | None = None, **fields: object) -> Hello:
    head = FactId(device=agent.device, session=agent.start.session, seq=agent.seq) if agent.seq else None
    known = {
        "start": agent.start,
        "head": head,
        "head_hash": agent.head,
        "pending": (Position(session=agent.start.session, through=0),),
        "replica_version": 0,
        "incarnation": desk.ledger.incarnation if desk else 0,
    }
    return Hello(**(known | fields))  # type: ignore[arg-type]  # the fields of a HELLO by name


def copy_of(desk: Desk, folder: Path) -> Path:
    """The ledger as it is now, as somebody would copy its file while central stands still."""
    desk.ledger.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return Path(shutil.copy(desk.path, folder / "older.db"))


def put_back(older: Path, folder: Path) -> None:
    for suffix in ("-wal", "-shm"):
        (folder / f"ledger.db{suffix}").unlink(missing_ok=True)
    shutil.copy(older, folder / "ledger.db")


async def restored(desk: Desk, tmp_path: Path, *agents: HandAgent) -> Desk:
    """Central as it wakes on a copy from before the last facts of the agents."""
    desk.agents.write()
    older = copy_of(desk, tmp_path)
    for number, agent in enumerate(agents):
        await desk.send(agent, agent.batch(desk.fact(What.TAKEN, piece(number))))
    desk.clock.us += 1_000_000
    desk.close()
    put_back(older, tmp_path / "data")
    return Desk(tmp_path / "data")


def test_a_start_without_a_mark_on_the_disk_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who was told of this life would meet another one at the next start, as if the ledger had been restored."""

    def full(_file: mark.MarkFile, _mark: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(mark.MarkFile, "write", full)
        with pytest.raises(DiskError, match=r"No space left.*\n.*start again"):
            Desk(tmp_path / "data")
    desk = Desk(tmp_path / "data")
    incarnation = desk.ledger.incarnation
    desk.close()
    again = Desk(tmp_path / "data")
    assert again.ledger.incarnation == incarnation
    again.close()


def test_a_mark_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "data" / mark.FILE).mkdir(parents=True)
    with pytest.raises(DiskError, match=r"ledger\.mark"):
        Desk(tmp_path / "data")


async def with_pieces(desk: Desk) -> None:
    await desk.in_stock(STENT, [piece(number) for number in range(9)], note="N-P")


async def met(desk: Desk, *devices: str) -> list[HandAgent]:
    """Agents that central has heard of."""
    agents = [HandAgent(device) for device in devices]
    for agent in agents:
        await desk.send(agent, hello(agent, desk))
        await desk.send(agent, agent.batch(desk.fact(What.COUNTED, piece(8))))
    return agents


def test_a_new_ledger_has_an_incarnation_of_its_own_and_waits_for_nobody(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "data")
    incarnation = desk.ledger.incarnation
    assert incarnation > 0
    assert not desk.refill.is_on
    desk.close()
    again = Desk(tmp_path / "data")
    assert (again.ledger.incarnation, again.refill.is_on) == (incarnation, False)
    again.close()


@pytest.mark.parametrize("is_torn", [False, True])
def test_a_ledger_whose_mark_is_gone_may_be_a_restored_one(tmp_path: Path, *, is_torn: bool) -> None:
    desk = Desk(tmp_path / "data")
    incarnation = desk.ledger.incarnation
    desk.close()
    path = tmp_path / "data" / mark.FILE
    path.write_bytes(path.read_bytes()[:-1] + b"?" if is_torn else b"")
    again = Desk(tmp_path / "data")
    assert again.ledger.incarnation > incarnation
    again.close()


@pytest.mark.fault(32)
async def test_any_commit_that_is_missing_makes_another_life(desk: Desk, tmp_path: Path) -> None:
    """Not only facts count, an order without one is a loss too."""
    older = copy_of(desk, tmp_path)
    incarnation = desk.ledger.incarnation
    await desk.orders.place(an_order("O-1"))
    desk.close()
    put_back(older, tmp_path / "data")
    again = Desk(tmp_path / "data")
    assert again.ledger.incarnation > incarnation
    again.close()


async def test_a_ledger_that_was_restored_elsewhere_and_ran_on_is_another_life(desk: Desk, tmp_path: Path) -> None:
    """That its numbers went up proves nothing."""
    older = copy_of(desk, tmp_path)
    (tmp_path / "elsewhere").mkdir()
    put_back(older, tmp_path / "elsewhere")
    elsewhere = Desk(tmp_path / "elsewhere")
    for number in range(5):
        await elsewhere.orders.place(an_order(f"O-{number}"))
    elsewhere.ledger.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    elsewhere.close()
    incarnation = max(desk.ledger.incarnation, elsewhere.ledger.incarnation)
    desk.close()
    put_back(tmp_path / "elsewhere" / "ledger.db", tmp_path / "data")
    again = Desk(tmp_path / "data")
    assert again.ledger.incarnation > incarnation
    again.close()


async def test_a_mark_that_lags_behind_is_no_restore(desk: Desk, tmp_path: Path) -> None:
    """A power cut loses what was not synced of the mark, and no commit."""
    path = tmp_path / "data" / mark.FILE
    lagging = path.read_bytes()
    await desk.units(1)
    incarnation = desk.ledger.incarnation
    desk.close()
    path.write_bytes(lagging)
    again = Desk(tmp_path / "data")
    assert again.ledger.incarnation == incarnation
    again.close()


@pytest.mark.fault(32)
@pytest.mark.parametrize("evidence", ["acked", "replica"])
async def test_an_agent_that_was_told_more_proves_that_the_ledger_went_back(desk: Desk, evidence: str) -> None:
    """A whole machine was set back, mark and all; the first HELLO shows it."""
    await with_pieces(desk)
    (agent,) = await met(desk, "cabinet-1")
    incarnation = desk.ledger.incarnation
    acked = Position(session=agent.start.session, through=5 if evidence == "acked" else 1)
    version = desk.ledger.version + (3 if evidence == "replica" else 0)
    desk.post.sent.clear()
    await desk.send(agent, hello(agent, desk, pending=(acked,), replica_version=version))
    assert desk.ledger.incarnation > incarnation
    assert desk.refill.is_on
    assert desk.post.to("cabinet-1", Welcome)[0].incarnation == desk.ledger.incarnation
    assert desk.post.broadcast[-1].incarnation == desk.ledger.incarnation
    again = desk.ledger.incarnation
    await desk.send(agent, hello(agent, desk, pending=(acked,), replica_version=version))
    assert desk.ledger.incarnation == again, "once a start: an agent that goes on claiming is wrong itself"


async def test_claims_of_another_incarnation_prove_nothing(desk: Desk) -> None:
    await with_pieces(desk)
    (agent,) = await met(desk, "cabinet-1")
    incarnation = desk.ledger.incarnation
    acked = Position(session=agent.start.session, through=5)
    await desk.send(agent, hello(agent, incarnation=incarnation - 1, pending=(acked,), replica_version=999))
    assert (desk.ledger.incarnation, desk.refill.is_on) == (incarnation, False)


@pytest.mark.fault(34)
async def test_an_agent_that_met_a_newer_central_shows_that_this_is_the_older(desk: Desk) -> None:
    agent = HandAgent("cabinet-1")
    await desk.send(agent, hello(agent, incarnation=desk.ledger.incarnation + 7))
    assert desk.refill.superseded == desk.ledger.incarnation + 7
    assert desk.post.to("cabinet-1", Welcome)[0].incarnation == desk.ledger.incarnation, "so that the agent alarms"


@pytest.mark.fault(33)
async def test_nothing_is_pulled_broadcast_or_allocated_until_all_have_given_back(desk: Desk, tmp_path: Path) -> None:
    """A unit that looks free may be issued by a fact that is on its way back."""
    await with_pieces(desk)
    await desk.units(1)
    one, other = await met(desk, "cabinet-1", "cabinet-2")
    again = await restored(desk, tmp_path, one, other)
    incarnation = again.ledger.incarnation
    assert again.refill.waiting_for == ("cabinet-1", "cabinet-2")
    order = await again.orders.place(an_order("O-1", SPLIT, 3))
    assert (order.state, again.post.broadcast) == (OrderState.WAITING, [])
    for agent in (one, other):
        await again.send(agent, hello(agent, again))
        agent.seq, agent.head = 1, agent.head
        (welcome,) = again.post.to(agent.device, Welcome)
        assert [position.through for position in welcome.positions] == [1]
        await again.send(agent, Pull(after=0))
        assert again.post.to(agent.device, Delta) == []
    assert again.refill.waiting_for == ("cabinet-1", "cabinet-2")
    for agent in (one, other):
        await again.send(agent, Pull(after=0, incarnation=incarnation))
    again.refill._end_if_due()
    assert not again.refill.is_on
    assert again.orders.get("O-1").state is OrderState.LOCKED
    assert again.post.broadcast[-1].latest == again.ledger.version
    await again.send(one, Pull(after=0, incarnation=incarnation))
    assert again.post.to("cabinet-1", Delta)
    again.close()


async def test_who_speaks_to_another_life_of_the_ledger_is_told_which_one_this_is(desk: Desk, tmp_path: Path) -> None:
    """What was broadcast when it woke may be lost, and nothing may be committed for long."""
    await with_pieces(desk)
    (agent,) = await met(desk, "cabinet-1")
    before = desk.ledger.incarnation
    again = await restored(desk, tmp_path, agent)
    batch = agent.batch(desk.fact(What.TAKEN, piece(3)))
    await again.send(agent, Pull(after=0, incarnation=before), msgspec.structs.replace(batch, incarnation=before))
    deltas = again.post.to("cabinet-1", Delta)
    assert [(delta.rows.count, delta.incarnation) for delta in deltas] == [(0, again.ledger.incarnation)] * 2
    again.close()


async def test_a_batch_that_was_on_its_way_to_another_life_of_the_ledger_is_not_taken(
    desk: Desk, tmp_path: Path
) -> None:
    """A late copy of it would come before the facts that the restored ledger lacks of an earlier start."""
    await with_pieces(desk)
    (first,) = await met(desk, "cabinet-1")
    before = desk.ledger.incarnation
    again = await restored(desk, tmp_path, first)
    second = HandAgent("cabinet-1", parent=first)
    late = msgspec.structs.replace(second.batch(desk.fact(What.TAKEN, piece(3))), incarnation=before)
    assert await again.send(second, late) == []
    assert again.rows("SELECT count(*) FROM fact WHERE session = ?", second.start.session) == [(0,)]
    (ack,) = await again.send(second, msgspec.structs.replace(late, incarnation=again.ledger.incarnation))
    assert ack.through == 1
    again.close()


async def test_what_was_given_back_is_there_once_and_is_asked_of_the_insurer_not_sent(
    desk: Desk, tmp_path: Path
) -> None:
    """Faults 32 and 49."""
    await desk.units(1)
    await desk.orders.place(an_order("O-1", SPLIT, 2))
    codes = desk.orders.get("O-1").codes
    agent = HandAgent("station-1")
    await desk.send(agent, hello(agent, desk))
    desk.agents.write()
    older = copy_of(desk, tmp_path)
    batch = agent.batch(desk.fact(What.DISPENSED, codes[0], order="O-1"))
    await desk.send(agent, batch)
    desk.close()
    put_back(older, tmp_path / "data")
    again = Desk(tmp_path / "data")
    await again.send(agent, hello(agent, again))
    (ack,) = await again.send(agent, batch)
    assert (ack.through, ack.incarnation, ack.exceptions) == (1, again.ledger.incarnation, ())
    (ack,) = await again.send(agent, batch)
    assert again.rows("SELECT count(*) FROM fact WHERE device = 'station-1'") == [(1,)]
    assert again.state(codes[0]) is State.DISPENSED
    assert again.rows("SELECT state FROM insurer_row") == [("unknown",)]
    again.close()


async def test_the_phase_ends_when_its_time_is_over_or_a_person_says_so(desk: Desk, tmp_path: Path) -> None:
    await with_pieces(desk)
    agents = await met(desk, "cabinet-1")
    again = await restored(desk, tmp_path, *agents)
    seen = []
    for us in (again.refill.ends_us - 1, again.refill.ends_us):
        again.clock.us = us
        again.refill._end_if_due()
        seen.append(again.refill.is_on)
    assert seen == [True, False]
    again.close()
    once_more = Desk(tmp_path / "data")
    seen = [once_more.refill.is_on]
    for change in (once_more.refill.went_back, lambda: once_more.refill.end("ended by n1")):
        change()
        seen.append(once_more.refill.is_on)
    assert seen == [False, True, False]
    once_more.close()


async def test_the_phase_goes_on_through_a_restart_and_remembers_who_is_done(desk: Desk, tmp_path: Path) -> None:
    await with_pieces(desk)
    one, other = await met(desk, "cabinet-1", "cabinet-2")
    again = await restored(desk, tmp_path, one, other)
    await again.send(one, Pull(after=0, incarnation=again.ledger.incarnation))
    again.agents.write()
    again.close()
    third = Desk(tmp_path / "data")
    assert third.refill.waiting_for == ("cabinet-2",)
    third.close()


async def test_agents_that_were_silent_for_a_week_before_the_backup_are_not_waited_for(
    desk: Desk, tmp_path: Path
) -> None:
    await with_pieces(desk)
    (gone,) = await met(desk, "cabinet-1")
    desk.clock.us += 8 * 86_400_000_000
    (alive,) = await met(desk, "cabinet-2")
    again = await restored(desk, tmp_path, gone, alive)
    assert again.refill.waiting_for == ("cabinet-2",)
    again.close()


@pytest.mark.fault(39)
async def test_a_ledger_without_its_seal_is_not_started(desk: Desk, tmp_path: Path) -> None:
    desk.ledger.connection.execute("DELETE FROM seal")
    desk.close()
    with pytest.raises(LedgerCorruptError, match="the seal is gone"):
        Desk(tmp_path / "data")


async def imaged(desk: Desk) -> tuple[HandAgent, HandAgent]:
    """A cabinet that sent one fact, and the image of its disk that was taken then; the cabinet lives on."""
    await with_pieces(desk)
    lived = HandAgent("cabinet-1")
    await desk.send(lived, lived.batch(desk.fact(What.TAKEN, piece(0))))
    return lived, HandAgent("cabinet-1", parent=lived)


class TestJournals:
    """REQ-04, faults 12 to 14: what the first contact of a journal proves."""

    @pytest.mark.fault(12)
    async def test_a_restored_image_is_found_at_hello_and_its_loss_is_counted(self, desk: Desk) -> None:
        """The ledger has two facts more, and one more was told of and never came."""
        lived, image = await imaged(desk)
        await desk.send(lived, lived.batch(desk.fact(What.TAKEN, piece(1)), desk.fact(What.TAKEN, piece(2))))
        lived.batch(desk.fact(What.TAKEN, piece(3)))
        await desk.send(lived, hello(lived, desk))
        await desk.send(image, hello(image, desk))
        found = desk.rows("SELECT device, reason, found FROM exception")
        expected = (
            "facts that the ledger has and this journal has not: 2, facts that it told of and that are lost: 1,"
            " last heard of before: 2026-03-02 12:00:00"
        )
        assert found == [("cabinet-1", "journal_restored", expected)]
        (ack,) = await desk.send(image, image.batch(desk.fact(What.TAKEN, piece(4))))
        assert (ack.through, ack.exceptions) == (1, ())
        await desk.send(image, hello(image, desk))
        assert len(desk.rows("SELECT 1 FROM exception")) == 1

    @pytest.mark.fault(12)
    async def test_what_was_sent_to_a_life_before_was_told_all_the_same(self, desk: Desk) -> None:
        """Of what a journal held, a batch that is meant for another central tells as much as any."""
        lived, image = await imaged(desk)
        batch = lived.batch(desk.fact(What.TAKEN, piece(1)))
        await desk.send(lived, msgspec.structs.replace(batch, incarnation=desk.ledger.incarnation - 1))
        assert desk.rows("SELECT count(*) FROM fact WHERE device = 'cabinet-1'") == [(1,)]
        await desk.send(image, hello(image, desk))
        ((reason, found),) = desk.rows("SELECT reason, found FROM exception")
        assert (reason, "that are lost: 1," in found) == ("journal_restored", True)

    @pytest.mark.fault(12)
    async def test_a_hello_is_not_judged_by_what_was_sent_after_it(self, desk: Desk) -> None:
        """They came together: the HELLO of a session, and the first batch of the one that follows it."""
        await with_pieces(desk)
        first = HandAgent("cabinet-1")
        first.batch(desk.fact(What.TAKEN, piece(0)))
        greeting = hello(first, desk)
        second = HandAgent("cabinet-1", parent=first)
        batch = second.batch(desk.fact(What.TAKEN, piece(1)))
        await desk.take([first.letter(greeting), second.letter(batch)])
        assert desk.rows("SELECT reason, found FROM exception") == []
        assert desk.agents.before("cabinet-1").heads[second.start.session] == 1, "and it is not forgotten"

    @pytest.mark.fault(12)
    async def test_what_was_told_of_and_is_gone_is_counted_though_the_chain_fits(self, desk: Desk) -> None:
        """The image has all that the ledger has, and not all that the agent had written."""
        lived, image = await imaged(desk)
        early = hello(lived, desk)
        lived.batch(desk.fact(What.TAKEN, piece(1)), desk.fact(What.TAKEN, piece(2)))
        await desk.send(lived, hello(lived, desk))
        await desk.send(lived, early)  # it was on its way for long
        await desk.send(image, hello(image))  # it has not met this life of the ledger, and may leave out sessions
        assert desk.rows("SELECT reason FROM exception") == []
        await desk.send(image, hello(image, desk))
        ((reason, found),) = desk.rows("SELECT reason, found FROM exception")
        assert (reason, "that are lost: 2," in found) == ("journal_restored", True)
        assert desk.rows("SELECT facts_waiting FROM agent") == []
        desk.agents.write()
        assert desk.rows("SELECT facts_waiting FROM agent") == [(0,)]

    @pytest.mark.fault(13)
    async def test_a_clone_is_found_at_its_hello_and_both_are_kept(self, desk: Desk) -> None:
        await with_pieces(desk)
        parent = HandAgent("cabinet-1")
        await desk.send(parent, parent.batch(desk.fact(What.TAKEN, piece(0))))
        for number in (1, 2):
            child = HandAgent("cabinet-1", parent=parent)
            await desk.send(child, hello(child, desk))
            assert len(desk.rows("SELECT 1 FROM exception WHERE reason = 'session_fork'")) == number - 1
            await desk.send(child, child.batch(desk.fact(What.TAKEN, piece(number))))
        assert desk.rows("SELECT count(*) FROM fact WHERE device = 'cabinet-1'") == [(3,)]

    @pytest.mark.fault(13)
    async def test_a_clone_is_found_when_its_original_goes_on_without_a_restart(self, desk: Desk) -> None:
        """The copy follows a fact that was the last one when it said HELLO."""
        await with_pieces(desk)
        original = HandAgent("cabinet-1")
        await desk.send(original, original.batch(desk.fact(What.TAKEN, piece(0))))
        clone = HandAgent("cabinet-1", parent=original)
        await desk.send(clone, hello(clone, desk))
        await desk.send(clone, clone.batch(desk.fact(What.TAKEN, piece(1))))
        assert desk.rows("SELECT reason FROM exception") == []
        for number in (2, 3):
            await desk.send(original, original.batch(desk.fact(What.TAKEN, piece(number))))
        counts = "facts that the ledger has and this journal has not: 1, facts that it told of and that are lost: 0"
        assert desk.rows("SELECT session, reason, found FROM exception") == [
            (clone.start.session, "session_fork", counts)
        ]
        assert desk.rows("SELECT count(*) FROM fact WHERE device = 'cabinet-1'") == [(4,)]

    @pytest.mark.fault(13)
    async def test_a_clone_that_comes_back_is_found_again(self, desk: Desk) -> None:
        """Two people had kept the original, and had not found the copy."""
        await with_pieces(desk)
        parent = HandAgent("cabinet-1")
        await desk.send(parent, parent.batch(desk.fact(What.TAKEN, piece(0))))
        copy, original = HandAgent("cabinet-1", parent=parent), HandAgent("cabinet-1", parent=parent)
        await desk.send(copy, hello(copy, desk))
        await desk.send(original, hello(original, desk))
        found = "SELECT session FROM exception WHERE reason = 'session_fork' ORDER BY id"
        assert desk.rows(found) == [(original.start.session,)]
        kept = HandAgent("cabinet-1", parent=original)
        await desk.send(kept, hello(kept, desk))
        assert len(desk.rows(found)) == 1, "who goes on from what was kept is the one that was kept"
        back = HandAgent("cabinet-1", parent=copy)
        await desk.send(back, hello(back, desk))
        assert desk.rows(found) == [(original.start.session,), (back.start.session,)]

    @pytest.mark.fault(13)
    async def test_a_hello_that_comes_after_that_of_its_successor_is_no_copy(self, desk: Desk) -> None:
        await with_pieces(desk)
        first = HandAgent("cabinet-1")
        await desk.send(first, hello(first, desk))
        second = HandAgent("cabinet-1", parent=first)
        third = HandAgent("cabinet-1", parent=second)
        fourth = HandAgent("cabinet-1", parent=third)
        for agent in (fourth, third, second):
            await desk.send(agent, hello(agent, desk))
        assert desk.rows("SELECT reason FROM exception") == []

    @pytest.mark.fault(14)
    async def test_a_deleted_journal_is_counted_from_the_last_hello(self, desk: Desk) -> None:
        await with_pieces(desk)
        first = HandAgent("cabinet-1")
        await desk.send(first, first.batch(desk.fact(What.TAKEN, piece(0))))
        first.batch(*(desk.fact(What.TAKEN, piece(number)) for number in range(1, 5)))
        await desk.send(first, hello(first, desk))
        desk.agents.write()
        assert desk.rows("SELECT facts_waiting FROM agent") == [(4,)]
        fresh = HandAgent("cabinet-1")
        await desk.send(fresh, hello(fresh))
        await desk.send(fresh, hello(fresh, desk))
        assert desk.rows("SELECT reason, found FROM exception") == [
            (
                "journal_lost",
                "facts that it told of and that are lost: 4, last heard of before: 2026-03-02 12:00:00",
            )
        ]

    @pytest.mark.fault(14)
    async def test_a_journal_whose_hello_was_of_a_life_before_is_not_a_new_one(self, desk: Desk) -> None:
        """It is met by its facts first: the HELLO for this life of the ledger was lost on the way."""
        await with_pieces(desk)
        first = HandAgent("cabinet-1")
        batch = first.batch(desk.fact(What.TAKEN, piece(0)))
        second = HandAgent("cabinet-1", parent=first)
        heads = (Position(session=first.start.session, through=1), Position(session=second.start.session, through=0))
        await desk.send(second, hello(second, heads=heads))
        (ack,) = await desk.send(first, batch)
        assert (ack.through, desk.rows("SELECT reason FROM exception")) == (1, [])

    @pytest.mark.fault(14)
    async def test_what_was_counted_as_lost_is_not_counted_again_when_a_batch_of_it_comes_late(
        self, desk: Desk
    ) -> None:
        await with_pieces(desk)
        first = HandAgent("cabinet-1")
        batch = first.batch(*(desk.fact(What.TAKEN, piece(number)) for number in range(3)))
        late = msgspec.structs.replace(batch, incarnation=desk.ledger.incarnation - 1)
        await desk.send(first, hello(first, desk))
        fresh = HandAgent("cabinet-1")
        await desk.send(fresh, hello(fresh, desk))
        ((reason, found),) = desk.rows("SELECT reason, found FROM exception")
        assert (reason, "that are lost: 3," in found) == ("journal_lost", True)
        await desk.send(first, late)
        restarted = HandAgent("cabinet-1", parent=fresh)
        await desk.send(restarted, hello(restarted, desk))
        assert desk.rows("SELECT count(*) FROM exception") == [(1,)], "a healthy restart is blamed for nothing"

    @pytest.mark.fault(14)
    @pytest.mark.parametrize("is_known", [True, False], ids=["met", "never met"])
    async def test_a_new_disk_whose_first_word_follows_a_restart_of_central_is_found(
        self, desk: Desk, tmp_path: Path, *, is_known: bool
    ) -> None:
        """It tells of itself before it is judged, and central has forgotten whom it heard last."""
        await with_pieces(desk)
        first = HandAgent("cabinet-1")
        first.batch(*(desk.fact(What.TAKEN, piece(number)) for number in range(4)))
        await desk.send(first, hello(first, desk if is_known else None))
        desk.agents.write()
        desk.close()
        again = Desk(tmp_path / "data")
        fresh = HandAgent("cabinet-1")
        fresh.batch(desk.fact(What.TAKEN, piece(5)))
        await again.send(fresh, hello(fresh))
        await again.send(fresh, hello(fresh, again))
        ((reason, found),) = again.rows("SELECT reason, found FROM exception")
        assert reason == "journal_lost"
        assert found.startswith("facts that it told of and that are lost: 4, ")
        again.close()

    async def test_restarts_leave_no_trace_on_the_work_list(self, desk: Desk) -> None:
        """Sessions with and without facts, whose HELLO came or did not."""
        await with_pieces(desk)
        agent = HandAgent("cabinet-1")
        for number in range(12):
            if number % 3:
                await desk.send(agent, hello(agent, desk))
            if number % 2:
                await desk.send(agent, agent.batch(desk.fact(What.COUNTED, piece(0))))
            agent = HandAgent("cabinet-1", parent=agent)
        await desk.send(agent, hello(agent, desk))
        assert desk.rows("SELECT reason FROM exception") == []

    async def test_earlier_starts_that_were_never_heard_of_leave_no_trace_either(self, desk: Desk) -> None:
        await with_pieces(desk)
        journal = [HandAgent("cabinet-1")]
        batches = []
        for number in range(3):
            batches.append((journal[-1], journal[-1].batch(desk.fact(What.TAKEN, piece(number)))))
            journal.append(HandAgent("cabinet-1", parent=journal[-1]))
        heads = tuple(Position(session=agent.start.session, through=agent.seq) for agent in journal)
        await desk.send(journal[-1], hello(journal[-1], desk, heads=heads))
        for agent, batch in batches:
            await desk.send(agent, batch)
        assert desk.rows("SELECT reason FROM exception") == []

    @pytest.mark.fault(12)
    async def test_other_facts_under_known_numbers_are_not_acked_as_a_replay(self, desk: Desk) -> None:
        """A virtual machine that was set back while it ran."""
        await with_pieces(desk)
        agent = HandAgent("cabinet-1")
        await desk.send(agent, agent.batch(desk.fact(What.TAKEN, piece(0))))
        seq, head = agent.seq, agent.head
        await desk.send(agent, agent.batch(desk.fact(What.TAKEN, piece(1))))
        agent.seq, agent.head = seq, head
        woken = agent.batch(desk.fact(What.TAKEN, piece(2)))
        assert await desk.send(agent, woken) == []
        session, incarnation = agent.start.session, desk.ledger.incarnation
        told = Parted(session=session, seq=1, hash=head, incarnation=incarnation)
        assert desk.post.to("cabinet-1", Parted) == [told]
        assert desk.post.to("cabinet-1", Ack)[-1].through == 2
        later = agent.batch(desk.fact(What.TAKEN, piece(3)))
        assert await desk.send(agent, later) == [], "it was on its way when that was told"
        assert desk.rows("SELECT reason FROM exception") == []

    @pytest.mark.fault(12)
    async def test_what_is_written_again_after_that_is_not_lost_and_what_the_journal_lacks_is_counted(
        self, desk: Desk
    ) -> None:
        await with_pieces(desk)
        agent = HandAgent("cabinet-1")
        await desk.send(agent, agent.batch(desk.fact(What.TAKEN, piece(0))))
        seq, head = agent.seq, agent.head
        await desk.send(agent, agent.batch(desk.fact(What.TAKEN, piece(1))))
        agent.seq, agent.head = seq, head
        tail = [desk.fact(What.TAKEN, piece(number)) for number in (2, 3, 4)]
        await desk.send(agent, hello(agent, desk), agent.batch(*tail))
        agent.seq, agent.head = seq, desk.post.to("cabinet-1", Parted)[-1].hash
        own = HandAgent("cabinet-1", parent=agent)
        own.batch(*tail)
        await desk.send(own, hello(own, desk))
        ((reason, found),) = desk.rows("SELECT reason, found FROM exception")
        assert (reason, found.split(", last")[0]) == ("journal_restored", f"{BEYOND}: 1, {LOST}: 0")
        own.seq, own.head = 0, own.start.hash
        (ack,) = await desk.send(own, own.batch(*tail))
        assert (ack.through, ack.at, ack.hash, ack.exceptions) == (3, 3, own.head, ())
        assert all(desk.state(piece(number)) is State.TAKEN for number in range(5))

    @pytest.mark.fault(12)
    async def test_a_welcome_tells_by_hashes_what_of_a_journal_it_is_about(self, desk: Desk) -> None:
        await with_pieces(desk)
        agent = HandAgent("cabinet-1")
        await desk.send(agent, agent.batch(desk.fact(What.TAKEN, piece(0))))
        head = agent.head
        await desk.send(agent, agent.batch(desk.fact(What.TAKEN, piece(1))))
        for seq, digest in ((1, head), (2, agent.head), (3, agent.head)):
            agent.seq = seq
            await desk.send(agent, hello(agent, desk))
            (position,) = desk.post.to("cabinet-1", Welcome)[-1].positions
            assert (position.through, position.at, position.hash) == (2, min(seq, 2), digest)


def test_heads_are_of_all_sessions_that_are_named() -> None:
    start = SessionStart(device="d", session=b"n" * 16)
    told = Hello(
        start=start,
        head=FactId(device="d", session=b"n" * 16, seq=4),
        head_hash=b"",
        pending=(),
        replica_version=0,
        heads=(Position(session=b"o" * 16, through=9), Position(session=b"n" * 16, through=3)),
    )
    assert heads_of(told) == {b"o" * 16: 9, b"n" * 16: 4}
