"""Leases at central: written down before they are told, kept through restarts, refused to a second holder."""

import sqlite3

import pytest

from central.errors import ConflictError, InvalidError, NotFoundError
from central.ledger.transaction import Holding, Transaction
from central.stock.services import UNHEARD, EndLease
from central.sync import relief
from central.sync.lease_desk import LeaseDesk
from sync_protocol.documents import Person, Route
from sync_protocol.facts import FactId, How, What
from sync_protocol.items import State
from sync_protocol.messages import Ask, Batch, Fence, Grant, Hello, Holds, Position, Release, Withheld
from tests.unit.central_core.desk import PLACE, SPLIT, WHOLE, Desk, HandAgent, an_order, box

BOXES = tuple(box(WHOLE, n) for n in range(1, 9))


class Workplace(HandAgent):
    """An agent that says HELLO and states what it holds."""

    number = 0
    seen = 0
    held: frozenset[str] = frozenset()
    incarnation = 0

    def hello(self, desk: Desk) -> Hello:
        head = FactId(device=self.device, session=self.start.session, seq=self.seq) if self.seq else None
        position = Position(session=self.start.session, through=self.seq)
        return Hello(
            start=self.start,
            head=head,
            head_hash=self.head,
            pending=(),
            replica_version=0,
            heads=(position,),
            incarnation=desk.ledger.incarnation,
        )

    def holds(self, desk: Desk, *codes: str, **more: object) -> Holds:
        self.number += 1
        fields: dict[str, object] = {
            "session": self.start.session,
            "number": self.number,
            "seen": self.seen,
            "incarnation": self.incarnation,
            "spoken_to": desk.ledger.incarnation,
            "sent_us": 5,
            "location": PLACE,
            "route": Route.STATION,
            "want": 100,
            "codes": codes,
            "heads": (Position(session=self.start.session, through=self.seq),) if self.seq else (),
        }
        return Holds(**(fields | more))  # type: ignore[arg-type]  # fields by name

    async def meet(self, desk: Desk, *codes: str, **more: object) -> frozenset[str]:
        """Say HELLO and state; all that was granted since."""
        await desk.send(self, self.hello(desk), self.holds(desk, *codes, **more))
        desk.leases.turn()
        return self.take(desk)

    def take(self, desk: Desk) -> frozenset[str]:
        for grant in desk.post.to(self.device, Grant):
            if grant.session == self.start.session and grant.number > self.seen:
                self.held = frozenset(grant.codes) | (frozenset() if grant.is_whole else self.held)
                self.seen, self.incarnation = grant.number, grant.incarnation
        return self.held

    def dispensed(self, desk: Desk, code: str, order: str = "RX") -> Batch:
        return self.batch(desk.fact(What.DISPENSED, code, order=order, how=How.LATE_SCAN))


@pytest.fixture
async def stocked(desk: Desk) -> Desk:
    await desk.catalogue()
    await desk.in_stock(WHOLE, BOXES, note="N-1")
    return desk


async def test_a_lone_station_gets_the_stock_and_what_is_locked_for_its_orders(stocked: Desk) -> None:
    station = Workplace("station-1")
    assert await station.meet(stocked) == set(BOXES)
    await stocked.orders.place(an_order("RX-1", WHOLE, 2))
    stocked.leases.turn()
    assert station.take(stocked) == set(BOXES), "what it held is locked for its workplace"
    assert stocked.rows("SELECT count(*), count(DISTINCT device) FROM leased") == [(8, 1)]


async def test_a_lease_does_not_fill_up_with_what_was_ordered_once(
    stocked: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relief, "SHARED", 4)
    station = Workplace("station-1")
    assert await station.meet(stocked, want=0) == set()
    await stocked.orders.place(an_order("RX-1", WHOLE, 5))
    await stocked.orders.place(an_order("RX-2", WHOLE, 1))
    stocked.leases.turn()
    held = station.take(stocked)
    assert len(held) == 6
    stocked.clock.us += relief.LOOK_US
    await stocked.send(station, station.holds(stocked, *held, want=2))
    stocked.leases.turn()
    assert stocked.post.to("station-1", Release) == [], "all of it is ordered"
    await stocked.orders.cancel("RX-1")
    stocked.clock.us += relief.LOOK_US
    stocked.leases.turn()
    (release,) = stocked.post.to("station-1", Release)
    ordered = set(stocked.orders.get("RX-2").codes)
    assert (len(release.codes), ordered & set(release.codes)) == (3, set())
    kept = held - set(release.codes)
    await stocked.send(station, station.holds(stocked, *kept, want=2))
    stocked.clock.us += relief.LOOK_US
    stocked.leases.turn()
    assert station.take(stocked) == kept, "what it wants, and what is ordered"
    assert stocked.rows("SELECT count(*) FROM leased") == [(3,)]


async def test_two_stations_get_disjoint_parts_and_each_other_s_only_by_asking(stocked: Desk) -> None:
    first, second = Workplace("station-1"), Workplace("station-2")
    await stocked.send(first, first.hello(stocked), first.holds(stocked))
    ours, theirs = await second.meet(stocked), first.take(stocked)
    assert ours | theirs == set(BOXES)
    assert not ours & theirs
    wanted = min(theirs)
    await stocked.send(second, Ask(session=second.start.session, seen=second.seen, sent_us=9, codes=(wanted,)))
    (release,) = stocked.post.to("station-1", Release)
    assert release.codes == (wanted,)
    await stocked.send(first, first.holds(stocked, *theirs - {wanted}))
    stocked.leases.turn()
    assert wanted in second.take(stocked)


async def test_the_database_refuses_a_second_holder(stocked: Desk) -> None:
    await Workplace("station-1").meet(stocked)
    with sqlite3.connect(stocked.path) as connection, pytest.raises(sqlite3.IntegrityError):
        connection.execute("INSERT INTO leased (code, device) VALUES (?, 'station-2')", (BOXES[0],))


async def test_leases_outlive_central(stocked: Desk) -> None:
    station = Workplace("station-1")
    await station.meet(stocked)
    stocked.ledger.close()
    later = Desk(stocked.path.parent)
    assert all(later.leases.grants.holder(code) == "station-1" for code in BOXES)
    later.close()


async def test_issued_codes_leave_the_lease_and_a_return_is_free_for_all(stocked: Desk) -> None:
    station = Workplace("station-1")
    await station.meet(stocked)
    await stocked.send(station, station.dispensed(stocked, BOXES[0]))
    stocked.leases.turn()
    assert stocked.leases.grants.holder(BOXES[0]) == ""
    assert stocked.rows("SELECT count(*) FROM leased WHERE code = ?", BOXES[0]) == [(0,)]


async def test_units_of_a_box_that_was_held_are_held(stocked: Desk) -> None:
    await stocked.in_stock(SPLIT, [box(SPLIT, 1)], note="N-2")
    station = Workplace("station-1")
    await station.meet(stocked, route=SPLIT.route)
    await stocked.send(station, station.batch(stocked.fact(What.PRESCANNED, box(SPLIT, 1), units=10)))
    stocked.leases.turn()
    assert stocked.leases.grants.holder(f"{box(SPLIT, 1)}#007") == "station-1"
    assert stocked.leases.grants.holder(box(SPLIT, 1)) == ""


async def test_what_facts_do_to_a_lease_is_written_with_them(stocked: Desk) -> None:
    await stocked.in_stock(SPLIT, [box(SPLIT, 1)], note="N-2")
    station = Workplace("station-1")
    await station.meet(stocked, route=SPLIT.route)
    await stocked.send(station, station.batch(stocked.fact(What.PRESCANNED, box(SPLIT, 1), units=10)))
    unfit = stocked.fact(What.DISPENSED, f"{box(SPLIT, 1)}#007", order="RX-nobody")
    await stocked.send(station, station.batch(unfit))
    stocked.ledger.close()  # before a word of it was said
    later = Desk(stocked.path.parent)
    lease = later.leases.grants.leases["station-1"]
    assert f"{box(SPLIT, 1)}#001" in lease.codes
    assert lease.missing == {f"{box(SPLIT, 1)}#007"}, "its holder handed it out, the ledger has it in stock: nobody's"
    later.close()


async def test_a_commit_that_is_not_done_leaves_the_lease_as_it_was(stocked: Desk) -> None:
    station = Workplace("station-1")
    await station.meet(stocked)

    def fail(transaction: Transaction) -> None:
        assert not transaction.folded, "the disk"

    stocked.ledger.follow(fail)
    with pytest.raises(AssertionError, match="the disk"):
        await stocked.send(station, station.dispensed(stocked, BOXES[0]))
    assert stocked.leases.held_by(BOXES[0]) is not Holding.FREE
    assert stocked.leases.grants.holder(BOXES[0]) == "station-1"


async def test_central_locks_nothing_that_a_silent_agent_may_be_issuing(stocked: Desk) -> None:
    station = Workplace("station-1")
    await station.meet(stocked)
    stocked.clock.us += 60_000_000
    stocked.agents._mark_silent(is_link_up=True)
    await stocked.orders.place(an_order("RX-1", WHOLE, 2))
    assert stocked.states() == {State.IN_STOCK: 8}
    again = Workplace("station-1", parent=station)
    again.incarnation = station.incarnation
    await again.meet(stocked, *BOXES)
    (release,) = stocked.post.to("station-1", Release)
    assert stocked.states() == {State.IN_STOCK: 8}, "it is back and asked; it may be issuing at this moment"
    kept = [code for code in BOXES if code not in release.codes]
    await stocked.send(again, again.holds(stocked, *kept))
    stocked.leases.turn()
    assert stocked.states() == {State.IN_STOCK: 6, State.LOCKED: 2}
    stocked.leases.turn()
    assert again.take(stocked) == set(BOXES), "what is locked for its workplace is its own again"


async def test_a_wall_clock_that_is_set_makes_no_agent_silent(stocked: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    station = Workplace("station-1")
    await station.meet(stocked)
    wall_us = stocked.clock.wall_us()
    monkeypatch.setattr(stocked.clock, "wall_us", lambda: wall_us + 86_400_000_000)
    stocked.agents._mark_silent(is_link_up=True)
    assert stocked.agents.is_connected("station-1")


@pytest.mark.fault(12, 13)
async def test_a_journal_that_was_set_back_ends_the_lease(stocked: Desk) -> None:
    station = Workplace("station-1")
    await station.meet(stocked)
    child, twin = Workplace("station-1", parent=station), Workplace("station-1", parent=station)
    assert await child.meet(stocked, *BOXES) == set(BOXES)
    assert await twin.meet(stocked, *BOXES) == set()
    assert stocked.post.to("station-1", Fence)
    assert stocked.rows("SELECT standing FROM lease") == [("fenced",)]
    assert all(stocked.leases.grants.holder(code) == "station-1" for code in BOXES), "nobody else gets them"


async def test_nobody_ends_the_lease_of_an_agent_that_answers_to_a_newer_central(stocked: Desk) -> None:
    station = Workplace("station-1")
    await station.meet(stocked)
    await stocked.people.put([Person(id="n1", name="李"), Person(id="n2", name="王")])
    newer = station.holds(stocked, *BOXES[:6], spoken_to=stocked.ledger.incarnation + 1)
    await stocked.ingest.take([station.letter(newer)])
    stocked.clock.us += 621_000_000
    stocked.agents._mark_silent(is_link_up=True)
    stocked.leases.turn()
    desk = LeaseDesk(stocked.ledger, stocked.leases)
    assert not desk.views()[0].may_end
    with pytest.raises(ConflictError, match="newer one"):
        desk.end(EndLease(device="station-1", operator="n1", witness="n2", reason="PC stolen", found=BOXES[:6]))
    assert stocked.rows("SELECT count(*) FROM fact WHERE what = 'lease_ended'") == [(0,)]


@pytest.mark.fault(45)
async def test_a_silent_lease_is_doubted_and_ended_by_two_people_who_counted(stocked: Desk) -> None:
    station = Workplace("station-1")
    await station.meet(stocked)
    await stocked.people.put([Person(id="n1", name="李"), Person(id="n2", name="王")])
    desk = LeaseDesk(stocked.ledger, stocked.leases)
    counted = EndLease(device="station-1", operator="n1", witness="n2", reason="PC stolen", found=BOXES[:6])
    with pytest.raises(ConflictError):
        desk.end(counted)
    stocked.clock.us += 621_000_000
    stocked.agents._mark_silent(is_link_up=True)
    stocked.leases.turn()
    assert desk.views()[0].standing == "doubt"
    assert desk.views()[0].may_end
    for mistaken in (
        {"witness": "n1"},
        {"witness": "nobody"},
        {"reason": " "},
        {"found": ("elsewhere",)},
    ):
        with pytest.raises(InvalidError):
            desk.end(EndLease(**{**{f: getattr(counted, f) for f in counted.__struct_fields__}, **mistaken}))
    with pytest.raises(NotFoundError):
        desk.end(EndLease(device="station-9", operator="n1", witness="n2", reason="gone"))
    assert desk.end(counted) == 6
    assert stocked.rows("SELECT what, operator, device FROM fact WHERE what = 'lease_ended'") == [
        ("lease_ended", "n1", "central")
    ]
    assert [stocked.leases.grants.holder(code) for code in BOXES] == [""] * 6 + ["station-1"] * 2
    other = Workplace("station-2")
    assert await other.meet(stocked) == set(BOXES[:6])


async def test_who_asks_for_what_is_nowhere_is_told_so(stocked: Desk) -> None:
    station = Workplace("station-1")
    await station.meet(stocked)
    await stocked.send(station, Ask(session=station.start.session, seen=station.seen, sent_us=1, codes=("nowhere",)))
    (withheld,) = stocked.post.to("station-1", Withheld)
    assert [(holder.code, holder.device) for holder in withheld.by] == [("nowhere", "")]


@pytest.mark.fault(33)
async def test_a_restored_ledger_grants_nothing_before_its_agents_said_what_they_hold(stocked: Desk) -> None:
    silent = Workplace("station-9")
    await silent.meet(stocked)
    stocked.agents.write()
    stocked.refill.went_back()
    station = Workplace("station-1")
    assert await station.meet(stocked) == set()
    assert stocked.leases.grants.is_frozen
    await silent.meet(stocked, *BOXES)
    assert not stocked.leases.grants.is_frozen


@pytest.mark.fault(33)
async def test_two_people_answer_for_an_agent_that_a_restored_ledger_waits_for(stocked: Desk) -> None:
    await stocked.people.put([Person(id="n1", name="李"), Person(id="n2", name="王")])
    silent, station = Workplace("station-9"), Workplace("station-1")
    await silent.meet(stocked)
    stocked.agents.write()
    stocked.refill.went_back()
    assert await station.meet(stocked) == set()
    desk = LeaseDesk(stocked.ledger, stocked.leases)
    answer = EndLease(device="station-9", operator="n1", witness="n2", reason="PC scrapped", found=BOXES)
    with pytest.raises(ConflictError):
        desk.end(answer)
    stocked.clock.us += 10_000_000_000
    stocked.leases.turn()
    assert {view.device: (view.standing, view.may_end) for view in desk.views()}["station-9"] == (UNHEARD, True)
    assert desk.end(answer) == len(BOXES)
    assert not stocked.leases.grants.is_frozen
    assert await station.meet(stocked) == set(BOXES)


async def test_a_device_whose_key_was_taken_away_is_not_waited_for(stocked: Desk) -> None:
    await Workplace("station-1").meet(stocked)
    revoke = "UPDATE device_key SET state = 'revoked' WHERE device = ?"
    stocked.ledger.commit(lambda transaction: transaction.execute(revoke, [("station-1",)]))
    stocked.agents.write()
    stocked.refill.went_back()
    stocked.leases.turn()
    assert not stocked.leases.grants.is_frozen


async def test_a_refused_workplace_that_holds_nothing_comes_back_by_two_people(stocked: Desk) -> None:
    await stocked.people.put([Person(id="n1", name="李"), Person(id="n2", name="王")])
    station = Workplace("station-1")
    await station.meet(stocked)
    await stocked.send(station, station.batch(stocked.fact(What.DISPENSED, *BOXES, order="RX", how=How.LATE_SCAN)))
    child, twin = Workplace("station-1", parent=station), Workplace("station-1", parent=station)
    await child.meet(stocked)
    await twin.meet(stocked)
    desk = LeaseDesk(stocked.ledger, stocked.leases)
    (view,) = desk.views()
    assert (view.standing, view.held, view.may_end) == ("fenced", 0, True)
    assert desk.end(EndLease(device="station-1", operator="n1", witness="n2", reason="one PC kept")) == 0
    (view,) = desk.views()
    assert view.standing == "gone"
