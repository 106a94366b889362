"""Leases: nobody issues what another may issue, whatever happens to wires, clocks, disks and processes (REQ-08)."""

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sync_protocol.documents import Route
from sync_protocol.facts import Fact, Moment, What, no_codes
from sync_protocol.leases import spent
from sync_protocol.machines import holding as holding_machine
from sync_protocol.machines import sharing
from sync_protocol.machines.asking_back import WAITS_US
from sync_protocol.machines.grants import Grants
from sync_protocol.machines.grants_events import (
    Asked,
    Committed,
    Doubted,
    Freed,
    Needed,
    Offer,
    Offered,
    Overridden,
    SendGrant,
    SendRelease,
    SendWithheld,
    Spent,
    Stated,
    Tick,
)
from sync_protocol.machines.holding import Granted, Holding, Keep, SendHolds, Used, Welcomed
from sync_protocol.messages import Ask, Grant, Holder, Holds, Position
from tests.unit.protocol.lease_world import World


@pytest.mark.covers("X01")
@pytest.mark.fault(9, 12, 41, 45)
@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_nobody_issues_what_another_may_issue(seed: int) -> None:
    world = World(seed)
    for _ in range(150):
        world.step()
    world.heal()


@pytest.mark.fault(33)
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
@example(seed=1083)
@example(seed=2235)
@example(seed=5891)
def test_a_restored_central_grants_nothing_that_is_held(seed: int) -> None:
    world = World(seed, is_restored=True)
    for _ in range(2):
        for _ in range(world.random.randrange(60)):
            world.step()
        world.back_up()
        for _ in range(world.random.randrange(60)):
            world.step()
        world.restore_central()
    for _ in range(60):
        world.step()
    world.heal()


PLACE = {"location": "pharmacy", "route": Route.STATION}
FREE = ("a", "b", "c", "d")


def statement(device: str, *, number: int = 1, seen: int = 0, codes: tuple[str, ...] = (), **more: object) -> Stated:
    fields: dict[str, object] = {"session": device.encode(), "number": number, "seen": seen, "incarnation": 1}
    fields |= {"spoken_to": 1, "sent_us": 0, "want": 4, "codes": codes} | PLACE | more
    holds = Holds(**fields)  # type: ignore[arg-type]  # fields by name
    return Stated(device=device, holds=holds, products=dict.fromkeys(FREE, "P"), committed={}, now_us=0)


def offer(grants: Grants, *codes: str, orders: tuple[tuple[str, ...], ...] = ()) -> dict[str, tuple[str, ...]]:
    """What each connected agent gets of an offer."""
    offered = Offer(location="pharmacy", route=Route.STATION, product="P", free=codes, ordered=orders)
    effects = grants.handle(Offered(offer=offered, connected=frozenset({"one", "two"}), now_us=0))
    return {effect.device: effect.codes for effect in effects if isinstance(effect, SendGrant)}


def granting(*devices: str) -> Grants:
    grants = Grants((), term_us=1_000, margin_us=100, incarnation=1)
    for device in devices:
        grants.handle(statement(device))
    return grants


def test_stock_is_split_evenly_and_a_lone_agent_gets_what_it_wants() -> None:
    assert offer(granting("one", "two"), *FREE) == {"one": ("a", "b"), "two": ("c", "d")}
    assert offer(granting("one"), *FREE) == {"one": FREE}
    assert offer(granting("three"), *FREE) == {}, "it is not connected"


def test_who_comes_later_gets_a_part_of_what_the_first_one_took() -> None:
    grants = granting("one")
    assert offer(grants, *FREE) == {"one": FREE}
    grants.handle(statement("two"))
    offered = Offer(location="pharmacy", route=Route.STATION, product="P")
    (release,) = grants.handle(Offered(offer=offered, connected=frozenset({"one", "two"}), now_us=0))
    assert release == SendRelease(device="one", codes=("c", "d"))
    grants.handle(statement("one", number=2, seen=2, codes=("a", "b")))
    assert offer(grants, "c", "d") == {"two": ("c", "d")}


def test_an_order_goes_whole_to_one_agent() -> None:
    grants = granting("one", "two")
    grants.handle(Asked(device="two", ask=Ask(session=b"two", seen=1, sent_us=0, codes=("b",)), products={"b": "P"},
                        now_us=0))  # fmt: skip
    assert offer(grants, orders=(("a", "b", "c"),)) == {"two": ("a", "c")}


def test_what_nobody_ordered_leaves_room_for_orders_and_both_for_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "SHARED", 1)
    monkeypatch.setattr(sharing, "MOST_HELD", 2)
    grants = granting("one")
    assert offer(grants, *FREE) == {"one": ("a",)}
    assert offer(grants, *FREE[1:]) == {}
    assert offer(grants, orders=(("b", "c"),)) == {"one": ("b",)}
    assert offer(grants, orders=(("b", "c"),)) == {}
    ask = Ask(session=b"one", seen=3, sent_us=0, codes=("c", "d"))
    (answer,) = grants.handle(Asked(device="one", ask=ask, products=dict.fromkeys(FREE, "P"), now_us=0))
    assert isinstance(answer, SendGrant)
    assert answer.codes == ("c", "d"), "a person stands there"


def test_what_is_held_beyond_all_bounds_is_not_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding_machine, "MOST_CLAIMED", 2)
    holding = Holding(b"one", ("box",), incarnation=1, spoken_to=1, deadline_us=50)
    holding.handle(Used(opened=(("box", ("a", "b", "c")),)))
    assert holding.codes == {"a", "b", "c"}
    keep, holds = holding.handle(Welcomed(session=b"one", incarnation=1, now_us=10))
    assert keep == Keep(removed=("c",)), "written down before central hears of it"
    assert isinstance(holds, SendHolds)
    assert (holds.codes, holding.may_issue("c", 10)) == (("a", "b"), False)


def test_what_was_given_back_is_free_when_its_holders_facts_are_in() -> None:
    grants = granting("one")
    offer(grants, *FREE)
    heads = (Position(session=b"one", through=7),)
    grants.handle(statement("one", number=2, seen=2, codes=("a", "b"), heads=heads))
    assert grants.holder("c") == "one", "a fact of it may be on its way"
    grants.handle(Committed(device="one", through={b"one": 6}))
    assert grants.holder("c") == "one"
    assert grants.handle(Committed(device="one", through={b"one": 7})) == [Freed(codes=("c", "d"))]
    assert (grants.holder("a"), grants.holder("c")) == ("one", "")


def test_a_silent_agents_codes_are_in_doubt_until_it_speaks_or_two_people_count() -> None:
    grants = granting("one")
    offer(grants, *FREE)
    assert grants.handle(Tick(now_us=1_200)) == []
    assert not grants.countable("one", 1_200)
    assert grants.handle(Tick(now_us=1_201)) == [Doubted(device="one", codes=4)]
    assert grants.holder("a") == "one"
    grants.handle(Overridden(device="one", found=("a", "b", "c"), now_us=1_201))
    assert [grants.holder(code) for code in FREE] == ["", "", "", "one"], "what was not there stays in doubt"


def restored(*unheard: str, over_us: int = 5_000) -> Grants:
    """The ledger of a backup that knew no lease, in its next life."""
    return Grants((), term_us=1_000, margin_us=100, incarnation=2, unheard=unheard, over_us=over_us)


@pytest.mark.fault(33, 41)
def test_what_was_issued_by_a_fact_that_a_restored_ledger_cannot_take_is_nobodys() -> None:
    """The order that it was locked to, and the lease, are of the life that was lost; the unit is with its patient."""
    grants = restored("one", "two")
    grants.handle(Spent(device="one", ended=("a",), unfit=frozenset({"a"})))
    for device in ("one", "two"):
        grants.handle(statement(device, spoken_to=2))
    assert not grants.is_frozen
    assert grants.holder("a") == "one"
    assert offer(grants, "b", "c") == {"one": ("b",), "two": ("c",)}
    ask = Ask(session=b"two", seen=2, sent_us=0, codes=("a",))
    effects = grants.handle(Asked(device="two", ask=ask, products={"a": "P"}, now_us=0))
    assert SendWithheld(device="two", by=(Holder(code="a", device="one"),)) in effects
    assert grants.countable("one", 0) == {"a"}
    grants.handle(Overridden(device="one", found=("a",), now_us=0))
    assert offer(grants, "a") == {"one": ("a",)}, "it was found"


def test_it_is_nobodys_even_if_the_ledger_takes_another_for_its_holder() -> None:
    grants = granting("one", "two")
    assert offer(grants, *FREE)["two"] == ("c", "d")
    grants.handle(Spent(device="one", ended=("c",), unfit=frozenset({"c"})))
    whole = grants.handle(statement("two", number=2, seen=2, codes=("c", "d")))[0]
    assert isinstance(whole, SendGrant)
    assert whole.codes == ("d",), "it may issue it until it has heard that"
    assert grants.countable("two", 0) == frozenset()
    assert grants.handle(statement("two", number=3, seen=whole.number, codes=("d",)))[0] == msgspec.structs.replace(
        whole, number=whole.number + 1, after=3
    )
    assert grants.countable("two", 0) == {"c"}, "until then nobody may give it to another"
    grants.handle(Spent(device="two", ended=("c",)))
    assert grants.holder("c") == "", "the ledger has it out by a fact that fits: nothing is left to find"


@pytest.mark.fault(33, 41, 45)
def test_a_restored_ledger_waits_for_a_silent_agent_until_two_people_answer_for_it() -> None:
    grants = restored("one", "two")
    grants.handle(statement("one", spoken_to=2))
    grants.handle(Tick(now_us=5_000))
    assert grants.unheard == {"two"}
    assert offer(grants, *FREE) == {}
    assert not grants.may_end("two", 5_000), "what it got before the restore may last until then"
    grants.handle(Tick(now_us=10**9))
    assert grants.unheard, "no time is enough: it may have issued long ago what is in stock here"
    assert grants.may_end("two", 5_001)
    grants.handle(Overridden(device="two", found=(), now_us=5_001))
    assert grants.unheard == frozenset()
    again = Grants(grants.leases.values(), term_us=1_000, margin_us=100, incarnation=2, unheard=("one", "two"))
    assert again.unheard == frozenset(), "who was heard is in the leases that are written down"


def test_nobody_counts_what_an_agent_of_a_newer_central_holds() -> None:
    """Of two centrals alive the newer one goes on to renew its lease."""
    grants = granting("one", "two")
    offer(grants, *FREE)
    assert grants.countable("one", 10**9)
    grants.handle(statement("one", number=2, spoken_to=2, codes=("a", "b")))
    assert grants.has_left("one")
    assert "one" in grants.changed_devices, "it must outlast a restart"
    assert not grants.countable("one", 10**9)
    assert not grants.may_end("one", 10**9)
    there = grants.serving("pharmacy", Route.STATION, frozenset({"one", "two"}))
    assert [lease.device for lease in there] == ["two"]


def test_what_another_holds_is_asked_back_and_its_holder_named() -> None:
    grants = granting("one", "two")
    offer(grants, *FREE)
    ask = Ask(session=b"two", seen=2, sent_us=0, codes=("a", "nowhere"))
    effects = grants.handle(Asked(device="two", ask=ask, products={"a": "P"}, now_us=0))
    assert SendRelease(device="one", codes=("a",)) in effects
    assert SendWithheld(device="two", by=(Holder(code="nowhere"),)) in effects
    (late,) = grants.handle(Tick(now_us=WAITS_US + 1))[:1]
    assert late in {SendWithheld(device="two", by=(Holder(code="a", device="one"),)),
                    Doubted(device="one", codes=2)}  # fmt: skip


def test_what_was_given_back_may_be_asked_back_from_the_next_one_at_once() -> None:
    grants = granting("one", "two")
    offer(grants, "a", "b")
    assert grants.handle(Needed(codes=("a",), now_us=0)) == [SendRelease(device="one", codes=("a",))]
    assert grants.handle(Needed(codes=("a",), now_us=1)) == [], "it is on its way"
    grants.handle(statement("one", number=2, seen=2))
    ask = Ask(session=b"two", seen=2, sent_us=0, codes=("a",))
    grants.handle(Asked(device="two", ask=ask, products={"a": "P"}, now_us=2))
    assert grants.handle(Needed(codes=("a",), now_us=3)) == [SendRelease(device="two", codes=("a",))]


def test_what_went_out_without_a_code_was_nobodys_to_issue() -> None:
    codes = ("8100", *no_codes("billing:7", 2))
    fact = Fact(what=What.DISPENSED, codes=codes, at=Moment(wall_us=1, mono_us=1), operator="p", order="o")
    assert spent(fact).ended == ("8100",)


def test_a_box_that_another_opened_is_its_holders_until_it_does_not_claim_it() -> None:
    grants = granting("one", "two")
    assert offer(grants, "8100", "c")["one"] == ("8100",)
    units = ("8100#001", "8100#002")
    grants.handle(Spent(device="two", opened=(("8100", units),)))
    grants.handle(statement("one", number=2, seen=2, codes=("8100",)))
    assert [grants.holder(unit) for unit in units] == ["one", "one"], "it may open the box all the same"
    grants.handle(statement("one", number=3, seen=3, codes=()))
    assert [grants.holder(unit) for unit in units] == ["", ""]


def test_units_of_a_box_stay_with_whoever_has_yet_to_hear_of_its_grant_of_the_box() -> None:
    grants = granting("one", "two")
    assert offer(grants, "8100", "c")["one"] == ("8100",)
    grants.handle(Spent(device="two", opened=(("8100", ("8100#001",)),)))
    grants.handle(statement("one", number=2, seen=1))
    assert grants.holder("8100#001") == "one", "once it has the box it may open it"
    grants.handle(statement("one", number=3, seen=2))
    assert grants.holder("8100#001") == ""


def test_units_of_a_box_that_its_holder_opened_are_not_free_before_its_facts_are_in() -> None:
    grants = granting("one", "two")
    assert offer(grants, "8100", "c")["one"] == ("8100",)
    heads = (Position(session=b"one", through=7),)
    grants.handle(statement("one", number=2, seen=2, codes=("8100#001",), heads=heads))
    grants.handle(Spent(device="two", opened=(("8100", ("8100#001",)),)))
    assert grants.holder("8100#001") == "one", "it says that it has it, and its own pre-scan is on its way"


@pytest.mark.fault(33)
def test_a_box_of_which_another_has_units_is_given_to_nobody() -> None:
    """It was opened by a fact that does not fit a restored ledger, which has the box in stock."""
    grants = restored("one", "two")
    grants.handle(statement("one", spoken_to=2, codes=("8100#001",)))
    grants.handle(statement("two", spoken_to=2))
    assert offer(grants, "8100") == {}
    ask = Ask(session=b"two", seen=1, sent_us=0, codes=("8100",))
    (answer, *_) = grants.handle(Asked(device="two", ask=ask, products={"8100": "P"}, now_us=0))
    assert isinstance(answer, SendGrant)
    assert answer.codes == ()
    grants.handle(statement("one", number=2, seen=1, spoken_to=2))
    assert offer(grants, "8100") == {"one": ("8100",)}, "nobody has a unit of it any more"


@pytest.mark.fault(33)
def test_what_came_back_after_an_old_fact_stays_with_its_holder_when_that_fact_comes_once_more() -> None:
    """The fact and the return are both after the backup; the agent says what it holds before it gives them back."""
    grants = restored("one")
    heads = (Position(session=b"older", through=9),)
    grants.handle(statement("one", spoken_to=2, codes=("a",), heads=heads))
    grants.handle(Spent(device="one", ended=("a",), is_told=True))
    assert grants.holder("a") == "one"
    grants.handle(Spent(device="one", ended=("a",)))
    assert grants.holder("a") == "", "this one it recorded since"


def test_what_does_not_fit_is_in_doubt_though_its_holder_told_of_it_before() -> None:
    """It opened the box and issued a unit, and said so; the unit is central's belief, and not what it claimed."""
    grants = granting("one", "two")
    assert offer(grants, "8100", "c")["one"] == ("8100",)
    grants.handle(statement("one", number=2, seen=2, heads=(Position(session=b"one", through=7),), codes=("8100",)))
    grants.handle(Spent(device="one", opened=(("8100", ("8100#001",)),), is_told=True))
    grants.handle(Spent(device="one", ended=("8100#001",), unfit=frozenset({"8100#001"}), is_told=True))
    grants.handle(statement("one", number=3, seen=3, codes=()))
    assert grants.leases["one"].missing == {"8100#001"}, "nobody gets it before it is found"


def test_what_came_back_after_a_fact_that_does_not_fit_is_its_holders_as_long_as_it_claims_it() -> None:
    """Nobody may count it away from under who still issues it; it is missing once that one has let it go."""
    grants = granting("one", "two")
    assert offer(grants, "a", "b")["one"] == ("a",)
    heads = (Position(session=b"one", through=7),)
    grants.handle(statement("one", number=2, seen=2, heads=heads, codes=("a",)))
    grants.handle(Spent(device="one", ended=("a",), unfit=frozenset({"a"}), is_told=True))
    assert grants.countable("one", 0) == frozenset()
    (grant,) = grants.handle(statement("one", number=3, seen=3, codes=("a",)))
    assert isinstance(grant, SendGrant)
    assert grant.codes == (), "it hears that it has it no more"
    grants.handle(statement("one", number=4, seen=4, codes=()))
    assert grants.countable("one", 0) == {"a"}


def known_to_the_backup(*, is_given_up: bool = False) -> Grants:
    """The ledger of a backup by which "one" has "a", or gave it back a moment before, in its next life."""
    grants = granting("one", "two")
    offer(grants, "a")
    if is_given_up:
        heads = (Position(session=b"one", through=7),)
        grants.handle(statement("one", number=2, seen=2, heads=heads))
    return Grants(
        grants.leases.values(), term_us=1_000, margin_us=100, incarnation=2, unheard=("one", "two"), over_us=5_000
    )


@pytest.mark.fault(33)
def test_a_claim_of_now_counts_more_than_the_holder_of_a_backup() -> None:
    grants = known_to_the_backup()
    grants.handle(statement("two", number=2, spoken_to=2, codes=("a",)))
    assert grants.holder("a") == "two", "it got it after the backup"
    grants.handle(statement("one", number=3, seen=2, spoken_to=2))
    assert grants.holder("a") == "two"
    heads = (Position(session=b"two", through=1),)
    grants.handle(statement("two", number=3, spoken_to=2, heads=heads))
    assert grants.holder("a") == "two", "it may have issued it: its fact is on its way"
    grants.handle(Committed(device="two", through={b"two": 1}))
    assert grants.holder("a") == ""


@pytest.mark.fault(33)
def test_what_was_given_back_before_a_backup_and_got_again_after_it_is_its_holders() -> None:
    grants = known_to_the_backup(is_given_up=True)
    grants.handle(statement("one", number=3, seen=2, spoken_to=2, codes=("a",)))
    grants.handle(Committed(device="one", through={b"one": 7}))
    assert grants.holder("a") == "one"


def test_an_older_central_grants_nothing() -> None:
    holding = Holding(b"one", spoken_to=7)
    holding.handle(Welcomed(session=b"one", incarnation=7, now_us=0))
    grant = Grant(session=b"one", number=1, after=1, incarnation=6, codes=("a",), is_whole=True, sent_us=1, left_us=9)
    assert holding.handle(Granted(grant=grant, now_us=2)) == []
    assert not holding.may_issue("a", 2)


def test_a_lease_on_the_disk_is_nobodys_before_central_gave_it_to_this_start() -> None:
    # No mutant of the simulation: cut off at the start, and others get just these codes, is too rare for 200 seeds.
    holding = Holding(b"two", ("a",), incarnation=1, spoken_to=1)
    assert not holding.may_issue("a", 0)
    assert (holding.deadline_us, holding.has("a")) == (None, True)
    went_on = Holding(b"two", ("a",), incarnation=1, spoken_to=1, deadline_us=50)
    assert (went_on.may_issue("a", 50), went_on.may_issue("a", 51)) == (True, False), "of a computer that stayed on"


def test_a_lease_is_counted_from_the_question_not_from_the_answer() -> None:
    holding = Holding(b"one", ("a",), incarnation=1, spoken_to=1)
    holding.handle(Welcomed(session=b"one", incarnation=1, now_us=100))
    assert not holding.may_issue("a", 100), "an earlier session had it: central has not given it to this one"
    grant = Grant(session=b"one", number=1, after=1, incarnation=1, codes=("a",), is_whole=True, sent_us=100,
                  left_us=50)  # fmt: skip
    holding.handle(Granted(grant=grant, now_us=140))
    assert holding.may_issue("a", 150)
    assert not holding.may_issue("a", 151)
