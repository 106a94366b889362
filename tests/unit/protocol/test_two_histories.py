"""A machine that was woken from a snapshot of its memory, and its session that had gone on without it (REQ-04)."""

import pytest

from sync_protocol.machines import uplink_events as on
from sync_protocol.machines.uplink import RESEND_AFTER_US, Uplink
from sync_protocol.messages import Ack, Position, Welcome

OLD, NOW, AGAIN, NEXT = (letter.encode() * 16 for letter in "onax")

pytestmark = pytest.mark.fault(12)


def welcome(*positions: Position, strange: bytes = b"") -> on.Welcomed:
    told = Welcome(positions=positions, version=1)
    return on.Welcomed(welcome=told, now_us=0, strange=frozenset({strange} if strange else ()))


def at(session: bytes, through: int, compared: int) -> Position:
    """Central has the session through ``through``, and told the hash of its fact ``compared``."""
    return Position(session=session, through=through, at=compared, hash=b"h" * 32)


def ack(session: bytes, through: int, compared: int, *, is_strange: bool = False) -> on.Acked:
    told = Ack(session=session, through=through, version=2, at=compared, hash=b"h" * 32)
    return on.Acked(ack=told, now_us=0, is_strange=is_strange)


def woken(*lines: on.Line) -> Uplink:
    machine = Uplink(NOW, lines)
    machine.handle(on.Connected(now_us=0))
    return machine


def kinds(effects: list[on.Effect]) -> list[type]:
    return [type(effect) for effect in effects]


def test_without_a_fact_of_its_own_it_goes_on_in_a_session_of_its_own() -> None:
    machine = woken(on.Line(session=NOW, head=3, acked=2))
    assert machine.handle(welcome(at(NOW, 7, 3))) == [on.OpenSession(is_woken=True)]
    [hello] = machine.handle(on.Opened(session=NEXT, closed=3, now_us=0))
    assert isinstance(hello, on.SendHello)
    effects = machine.handle(welcome(at(NOW, 7, 3), at(NEXT, 0, 0)))
    assert on.Settle(session=NOW, through=3, version=1) in effects


def test_other_facts_under_its_numbers_are_no_ack_and_it_asks_where_they_begin() -> None:
    machine = woken(on.Line(session=NOW, head=9, acked=2))
    assert machine.handle(welcome(at(NOW, 7, 7), strange=NOW)) == [on.SendBatch(session=NOW, after=2, limit=500)]
    machine.handle(on.Sent(session=NOW, through=9, now_us=0))
    assert machine.handle(ack(NOW, 8, 8, is_strange=True)) == [], "it has asked already"
    parted = on.Parted(session=NOW, through=4, incarnation=0, now_us=0)
    assert machine.handle(parted) == [on.WriteAgain(session=NOW, through=4)]


def test_an_ack_of_another_life_s_facts_makes_it_ask() -> None:
    """Two machines of one session: the other one's facts were there first."""
    machine = woken(on.Line(session=NOW, head=3, acked=3))
    machine.handle(welcome(at(NOW, 3, 3)))
    machine.handle(on.Committed(session=NOW, through=5, now_us=0))
    machine.handle(on.Sent(session=NOW, through=4, now_us=0))
    machine.handle(ack(NOW, 4, 4))
    assert machine.handle(ack(NOW, 5, 5, is_strange=True)) == [on.SendBatch(session=NOW, after=4, limit=500)]


def test_what_is_written_again_follows_where_the_histories_part_and_is_sent() -> None:
    machine = woken(on.Line(session=NOW, head=9, acked=2))
    machine.handle(welcome(at(NOW, 7, 7), strange=NOW))
    machine.handle(on.Sent(session=NOW, through=9, now_us=0))
    machine.handle(on.Parted(session=NOW, through=4, incarnation=0, now_us=0))
    written = on.WrittenAgain(session=NOW, through=4, to=AGAIN, head=5, now_us=0)
    assert machine.handle(written) == [on.OpenSession(is_woken=True)]
    [hello] = machine.handle(on.Opened(session=NEXT, closed=5, now_us=0))
    assert isinstance(hello, on.SendHello)
    assert [(one.session, one.through) for one in hello.heads] == [(NOW, 4), (AGAIN, 5), (NEXT, 0)]
    effects = machine.handle(welcome(at(NOW, 7, 4), at(AGAIN, 0, 0), at(NEXT, 0, 0)))
    assert on.Settle(session=NOW, through=4, version=1) in effects
    assert effects[-1] == on.SendBatch(session=AGAIN, after=0, limit=500)


def test_facts_that_a_restart_has_left_in_an_older_session_are_sent_before_those_of_later_ones() -> None:
    machine = woken(on.Line(session=OLD, head=6, acked=2), on.Line(session=NOW, head=3))
    machine.handle(welcome(at(OLD, 9, 6), at(NOW, 0, 0), strange=OLD))
    machine.handle(on.Sent(session=OLD, through=6, now_us=0))
    machine.handle(on.Parted(session=OLD, through=3, incarnation=0, now_us=0))
    written = on.WrittenAgain(session=OLD, through=3, to=AGAIN, head=3, now_us=0)
    [hello] = machine.handle(written)
    assert isinstance(hello, on.SendHello)
    assert [one.session for one in hello.heads] == [OLD, AGAIN, NOW]
    effects = machine.handle(welcome(at(OLD, 9, 3), at(AGAIN, 0, 0), at(NOW, 0, 0)))
    assert effects[-1] == on.SendBatch(session=AGAIN, after=0, limit=500)
    machine.handle(on.Sent(session=AGAIN, through=3, now_us=0))
    assert machine.handle(ack(AGAIN, 3, 3))[-1] == on.SendBatch(session=NOW, after=0, limit=500)


def test_an_old_answer_changes_nothing_and_one_before_an_ack_is_an_alarm() -> None:
    machine = woken(on.Line(session=NOW, head=9, acked=5))
    machine.handle(welcome(at(NOW, 7, 7), strange=NOW))
    for through in (9, 12):
        assert machine.handle(on.Parted(session=NOW, through=through, incarnation=0, now_us=0)) == []
    assert machine.handle(on.Parted(session=OLD, through=1, incarnation=0, now_us=0)) == []
    assert kinds(machine.handle(on.Parted(session=NOW, through=4, incarnation=0, now_us=0))) == [on.Alarm]
    assert kinds(machine.handle(on.Parted(session=NOW, through=6, incarnation=9, now_us=0))) == [on.Adopt]


def test_other_facts_of_a_session_that_was_wholly_acked_are_an_alarm() -> None:
    machine = Uplink(NOW, settled=[Position(session=OLD, through=9)])
    machine.handle(on.Connected(now_us=0))
    effects = machine.handle(welcome(at(OLD, 9, 9), at(NOW, 0, 0), strange=OLD))
    assert kinds(effects) == [on.Alarm, on.Settle]


def test_what_central_has_beyond_what_was_compared_is_not_counted() -> None:
    """Facts were recorded since the HELLO, under numbers that central had already."""
    machine = woken(on.Line(session=NOW, head=3))
    machine.handle(on.Committed(session=NOW, through=5, now_us=0))
    effects = machine.handle(welcome(at(NOW, 9, 3)))
    assert on.Settle(session=NOW, through=3, version=1) in effects
    assert effects[-1] == on.SendBatch(session=NOW, after=3, limit=500)


def test_it_hears_from_an_ack_too_that_its_session_went_on() -> None:
    machine = woken(on.Line(session=NOW, head=3))
    machine.handle(welcome(at(NOW, 0, 0)))
    machine.handle(on.Sent(session=NOW, through=3, now_us=0))
    settle, opening = machine.handle(ack(NOW, 8, 3))
    assert settle == on.Settle(session=NOW, through=3, version=2)
    assert opening == on.OpenSession(is_woken=True)
    [again] = machine.handle(on.Tick(now_us=RESEND_AFTER_US))
    assert isinstance(again, on.SendHello), "it could not be opened: it asks once more"


def test_facts_written_again_are_owed_to_a_restored_ledger_all_the_same() -> None:
    machine = Uplink(NOW, [on.Line(session=NOW, head=9, acked=2)], incarnation=7, is_refilled=False)
    machine.handle(on.Connected(now_us=0))
    machine.handle(welcome_of(7, at(NOW, 7, 7), strange=NOW))
    machine.handle(on.Sent(session=NOW, through=9, now_us=0))
    machine.handle(on.Parted(session=NOW, through=4, incarnation=7, now_us=0))
    machine.handle(on.WrittenAgain(session=NOW, through=4, to=AGAIN, head=5, now_us=0))
    machine.handle(on.Opened(session=NEXT, closed=5, now_us=0))
    machine.handle(welcome_of(7, at(NOW, 7, 4), at(AGAIN, 0, 0), at(NEXT, 0, 0)))
    assert machine.is_refilling, "what stood past fact 4 is not there yet"
    machine.handle(on.Sent(session=AGAIN, through=5, now_us=0))
    told = Ack(session=AGAIN, through=5, version=9, incarnation=7, at=5, hash=b"h")
    assert on.Refilled(incarnation=7, version=9) in machine.handle(on.Acked(ack=told, now_us=0))


def welcome_of(incarnation: int, *positions: Position, strange: bytes = b"") -> on.Welcomed:
    told = Welcome(positions=positions, version=1, incarnation=incarnation)
    return on.Welcomed(welcome=told, now_us=0, strange=frozenset({strange} if strange else ()))
