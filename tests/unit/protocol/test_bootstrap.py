"""REQ-06: when a snapshot is asked for, taken, gone on with and given up."""

import msgspec
import pytest

from sync_protocol import replica_format
from sync_protocol.machines import bootstrap, downlink
from sync_protocol.machines.bootstrap import Bootstrap, Fetch, Fetched, Missed, Offered
from sync_protocol.machines.downlink import Adopt, Adopted, Apply, Connected, Discard, Downlink, Swap
from sync_protocol.messages import Delta, Offer, Rows

OFFER = Offer(
    path="/s",
    sha256=b"h" * 32,
    size=100,
    raw_size=1_000,
    version=900,
    incarnation=7,
    takes=replica_format.VERSION,
    ticket="t",
    for_s=60,
)


def other(**changes: object) -> Offer:
    return msgspec.structs.replace(OFFER, **changes)


def offered(offer: Offer = OFFER, now_us: int = 0) -> Offered:
    return Offered(offer=offer, now_us=now_us)


def missed(*, is_wrong: bool = False, fetched: int = 0, now_us: int = 0, offer: Offer = OFFER) -> Missed:
    return Missed(offer=offer, cause="cut", is_wrong=is_wrong, fetched=fetched, chance=1.0, now_us=now_us)


def delta(after: int, to: int, latest: int, incarnation: int = 7) -> downlink.Arrived:
    told = Delta(after=after, to=to, rows=Rows(), latest=latest, incarnation=incarnation)
    return downlink.Arrived(delta=told, now_us=0)


def behind(cursor: int = 10, *, latest: int = 900, part: bytes = b"") -> Downlink:
    machine = Downlink(cursor, incarnation=7, bootstrap=Bootstrap(is_able=True, part=part))
    [pull] = machine.handle(Connected(version=latest, now_us=0))
    assert isinstance(pull, downlink.SendPull)
    assert (pull.takes, pull.part) == (replica_format.VERSION, part)
    return machine


def test_it_takes_the_place_when_it_is_as_new_as_anything_heard_of() -> None:
    machine = behind()
    assert machine.handle(offered()) == [Fetch(offer=OFFER)]
    assert machine.handle(Fetched(offer=OFFER, now_us=0)) == [Adopt(offer=OFFER)]
    assert machine.handle(Adopted(offer=OFFER, now_us=0)) == [Swap()]
    machine.handle(downlink.Swapped(now_us=0))
    assert (machine.cursor, machine.is_rebuilding, machine.is_fetching) == (900, False, False)


def test_one_that_is_older_goes_on_by_deltas_first() -> None:
    """Overlay rows of own facts may have left because a newer replica showed them."""
    machine = behind(latest=950)
    machine.handle(offered())
    machine.handle(Fetched(offer=OFFER, now_us=0))
    [pull] = machine.handle(Adopted(offer=OFFER, now_us=0))
    assert isinstance(pull, downlink.SendPull)
    assert pull.after == 900
    [apply] = machine.handle(delta(900, 950, 950))
    assert isinstance(apply, Apply)
    assert apply.is_rebuild
    assert machine.handle(downlink.Applied(version=950, now_us=0)) == [Swap()]


def test_without_a_connection_it_waits_and_never_swaps_what_is_too_old() -> None:
    machine = behind(latest=950)
    machine.handle(offered())
    machine.handle(downlink.Disconnected())
    machine.handle(Fetched(offer=OFFER, now_us=0))
    assert machine.handle(Adopted(offer=OFFER, now_us=0)) == []
    [pull] = machine.handle(Connected(version=950, now_us=0))
    assert isinstance(pull, downlink.SendPull)
    assert pull.after == 900


@pytest.mark.parametrize(
    "offer",
    [
        other(version=10),
        other(version=9),
        other(incarnation=6),
        other(incarnation=8),
        other(takes=replica_format.VERSION + 1),
        other(size=0),
        other(size=bootstrap.MAX_SIZE + 1),
        other(raw_size=bootstrap.MAX_SIZE + 1),
    ],
)
def test_what_is_not_for_this_replica_is_not_taken(offer: Offer) -> None:
    assert behind().handle(offered(offer)) == []


def test_an_agent_that_cannot_reach_the_site_never_asks() -> None:
    machine = Downlink(10, incarnation=7)
    [pull] = machine.handle(Connected(version=900, now_us=0))
    assert isinstance(pull, downlink.SendPull)
    assert pull.takes == 0
    assert machine.handle(offered()) == []


def test_while_it_comes_the_old_one_is_pulled_at_the_pace_of_the_poll() -> None:
    machine = behind()
    machine.handle(offered())
    assert machine.handle(delta(899, 901, 901)) == [], "a broadcast of what is far ahead"
    assert machine.handle(downlink.Tick(now_us=downlink.POLL_AFTER_US - 1)) == []
    [pull] = machine.handle(downlink.Tick(now_us=downlink.POLL_AFTER_US))
    assert isinstance(pull, downlink.SendPull)
    assert (pull.after, pull.takes) == (10, 0)
    [apply] = machine.handle(delta(10, 20, 901))
    assert apply == Apply(delta=delta(10, 20, 901).delta)
    assert machine.handle(downlink.Applied(version=20, now_us=0)) == []


def test_deltas_that_were_faster_win() -> None:
    machine = behind()
    machine.handle(offered())
    machine.handle(delta(10, 900, 900))
    machine.handle(downlink.Applied(version=900, now_us=0))
    assert machine.handle(Fetched(offer=OFFER, now_us=0)) == [Discard(offer=OFFER)]
    assert not machine.is_fetching


def test_one_of_a_life_that_is_no_more_is_thrown_away() -> None:
    """Fault 32: central was restored while it came."""
    machine = behind()
    machine.handle(offered())
    machine.handle(downlink.Rebuild(incarnation=8, version=30, now_us=0))
    assert not machine.is_fetching
    effects = machine.handle(Fetched(offer=OFFER, now_us=0))
    assert effects[0] == Discard(offer=OFFER)
    assert machine.incarnation == 8
    assert not any(isinstance(effect, Adopt | Swap) for effect in effects)
    assert machine.handle(missed()) == []


def test_after_a_cut_deltas_go_on_and_after_a_wait_it_is_asked_for_again() -> None:
    machine = behind()
    machine.handle(offered())
    [pull] = machine.handle(missed(fetched=10, now_us=5))
    assert isinstance(pull, downlink.SendPull)
    assert pull.takes == 0
    machine.handle(delta(10, 20, 900))
    [later] = machine.handle(downlink.Applied(version=20, now_us=5 + bootstrap.FIRST_WAIT_US))
    assert isinstance(later, downlink.SendPull)
    assert (later.takes, later.part) == (replica_format.VERSION, OFFER.sha256)


def test_cuts_that_bring_nothing_are_waited_out_longer_and_longer_and_then_given_up() -> None:
    machine, now_us, waits = Bootstrap(is_able=True), 0, []
    for _ in range(bootstrap.MOST_CUTS):
        assert machine.offered(offered(now_us=now_us), at=0, incarnation=7)
        machine.missed(missed(now_us=now_us))
        began_us = now_us
        while not machine.takes(now_us):
            now_us += 500_000
        waits.append(now_us - began_us)
    assert waits == sorted(waits)
    assert waits[-1] == bootstrap.REST_US
    assert machine.has_given_up
    assert machine.offered(offered(now_us=now_us), at=0, incarnation=7), "it has rested"
    assert not machine.has_given_up


def test_progress_keeps_it_going_for_ever() -> None:
    machine, now_us = Bootstrap(is_able=True), 0
    for _ in range(10 * bootstrap.MOST_CUTS):
        now_us += 2 * bootstrap.FIRST_WAIT_US
        assert machine.offered(offered(now_us=now_us), at=0, incarnation=7)
        machine.missed(missed(fetched=1, now_us=now_us))
    assert not machine.has_given_up


def test_a_file_that_is_wrong_twice_is_not_tried_again() -> None:
    machine = Bootstrap(is_able=True, part=b"h" * 32)
    now_us = 0
    for _ in range(bootstrap.MOST_WRONGS):
        now_us += 10 * bootstrap.FIRST_WAIT_US
        assert machine.offered(offered(now_us=now_us), at=0, incarnation=7)
        machine.missed(missed(is_wrong=True, fetched=100, now_us=now_us))
        assert machine.part == b""
    assert machine.takes(now_us + bootstrap.REST_US // 2 - 1) == 0


def test_a_part_of_the_life_before_is_named_in_the_first_pull() -> None:
    behind(part=b"p" * 32)
