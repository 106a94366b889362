"""REQ-06: a replica is compared with the ledger at one and the same version, and only that."""

import pytest

from sync_protocol import digests
from sync_protocol.machines import comparing
from sync_protocol.machines.comparing import ALL, Comparing, Compute, CopyAnew, Effect, Place, Repair, Send
from sync_protocol.messages import AskBucket, Bucket, Compare, Differ, Digest, Mended

SUMS = digests.pack(digests.empty())


def at(version: int, incarnation: int = 7) -> Place:
    return Place(version=version, incarnation=incarnation)


def compare(version: int, incarnation: int = 7) -> Compare:
    return Compare(version=version, incarnation=incarnation)


def differ(*buckets: int, incarnation: int = 7) -> Differ:
    return Differ(version=50, incarnation=incarnation, buckets=buckets)


def bucket(number: int, version: int = 50, *, after: str = "", to: str = "", incarnation: int = 7) -> Bucket:
    return Bucket(bucket=number, version=version, incarnation=incarnation, after=after, to=to, items=())


def said(effects: list[Effect]) -> Digest | AskBucket | Mended:
    [send] = effects
    assert isinstance(send, Send)
    return send.message


def test_who_is_there_says_what_it_holds() -> None:
    machine = Comparing(at(50))
    assert machine.asked(compare(50)) == [Compute(place=at(50))]
    assert said(machine.computed(at(50), SUMS)) == Digest(version=50, incarnation=7, sums=SUMS)


def test_who_is_behind_waits_until_it_is_exactly_there() -> None:
    machine = Comparing(at(48))
    assert machine.asked(compare(50)) == []
    assert machine.moved(at(49)) == []
    assert machine.moved(at(50)) == [Compute(place=at(50))]
    assert machine.moved(at(50)) == [], "once"


def test_who_went_past_it_or_is_of_another_life_says_nothing() -> None:
    machine = Comparing(at(48))
    machine.asked(compare(50))
    assert machine.moved(at(51)) == []
    assert machine.moved(at(50)) == []
    assert Comparing(at(51)).asked(compare(50)) == []
    assert Comparing(at(50)).asked(compare(50, incarnation=6)) == []
    waiting = Comparing(at(48))
    waiting.asked(compare(50))
    assert waiting.moved(at(50, incarnation=8)) == []


def test_buckets_are_asked_for_one_by_one_page_by_page_and_the_count_is_told() -> None:
    machine = Comparing(at(50))
    assert said(machine.differ(differ(3, 9), 0)) == AskBucket(bucket=3, after="", incarnation=7)
    page = bucket(3, to="m")
    assert machine.came(page, 0) == [Repair(bucket=page)]
    assert said(machine.repaired(page, 2, 0)) == AskBucket(bucket=3, after="m", incarnation=7)
    rest = bucket(3, after="m")
    assert machine.came(rest, 0) == [Repair(bucket=rest)]
    assert said(machine.repaired(rest, 0, 0)) == AskBucket(bucket=9, after="", incarnation=7)
    assert machine.came(bucket(9), 0) == [Repair(bucket=bucket(9))]
    assert said(machine.repaired(bucket(9), 1, 0)) == Mended(version=50, incarnation=7, items=3)
    assert machine.wake_us is None


def test_a_bucket_at_another_version_is_never_written() -> None:
    machine = Comparing(at(50))
    machine.differ(differ(3), 0)
    assert said(machine.came(bucket(3, version=49), 0)) == AskBucket(bucket=3, after="", incarnation=7)
    assert machine.came(bucket(3, version=51), 0) == [], "the delta to it is on its way: asked for again when it is due"
    assert machine.came(bucket(3, incarnation=6), 0) == []
    assert machine.came(bucket(4), 0) == []
    assert said(machine.tick(comparing.ASK_AGAIN_AFTER_US)) == AskBucket(bucket=3, after="", incarnation=7)


def test_questions_are_bounded() -> None:
    machine, now_us, asked = Comparing(at(50)), 0, 1
    machine.differ(differ(3), now_us)
    while machine.wake_us is not None:
        now_us = machine.wake_us
        asked += len(machine.tick(now_us))
    assert asked == comparing.MOST_ASKED
    assert machine.differ(differ(3), now_us) != [], "the next round may"


def test_where_nearly_all_differs_it_is_copied_anew() -> None:
    told, copy = Comparing(at(50)).differ(differ(*range(comparing.MOST_BUCKETS + 1)), 0)
    assert isinstance(told, Send)
    assert told.message == Mended(version=50, incarnation=7, items=ALL)
    assert copy == CopyAnew(place=at(50))


def test_after_a_cut_nothing_is_waited_for() -> None:
    machine = Comparing(at(50))
    machine.differ(differ(3), 0)
    machine.disconnected()
    assert machine.wake_us is None
    assert machine.came(bucket(3), 0) == []


def test_digests_travel_as_they_are() -> None:
    sums = digests.empty()
    digests.spoil(sums, "c")
    assert digests.unpack(digests.pack(sums)) == tuple(sums)
    assert any(sums)
    with pytest.raises(ValueError, match="expected 2048"):
        digests.unpack(b"short")
