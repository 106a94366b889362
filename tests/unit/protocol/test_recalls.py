"""The recall lane: REQ-07 and faults 43 and 44 of the fault list, as decisions."""

import datetime as dt

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sync_protocol.errors import WireError
from sync_protocol.facts import Fact, How, Moment, What
from sync_protocol.items import Item, Kind, State
from sync_protocol.lifecycle import Reason, fold
from sync_protocol.machines import recalls as lane
from sync_protocol.recalls import (
    REFUSED_WHEN_RECALLED,
    Recall,
    RecallSet,
    SignedRecalls,
    encode_recalls,
    open_recalls,
    signed_bytes,
)

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
PUBLIC = KEY.public_key().public_bytes_raw()
AT = Moment(wall_us=1_795_233_600_000_000, mono_us=0)
LOT = Recall(id="R1", version=1, product="P1", lot="L1", reason="particles seen")


def signed(version: int, *recalls: Recall, key: Ed25519PrivateKey = KEY) -> SignedRecalls:
    body = encode_recalls(RecallSet(version=version, recalls=recalls))
    return SignedRecalls(version=version, body=body, signature=key.sign(signed_bytes(body)))


def item(**changes: object) -> Item:
    fields: dict[str, object] = {
        "code": "c1",
        "kind": Kind.BOX,
        "product": "P1",
        "lot": "L1",
        "expiry": dt.date(2030, 1, 1),
        "state": State.IN_STOCK,
    }
    return Item(**(fields | changes))  # type: ignore[arg-type]  # fields by name


@pytest.mark.parametrize(
    ("recall", "thing", "is_covered"),
    [
        (LOT, item(), True),
        (LOT, item(lot="L2"), False),
        (LOT, item(product="P2"), False),
        (msgspec.structs.replace(LOT, lot=""), item(lot="L2"), True),
        (msgspec.structs.replace(LOT, is_active=False), item(), False),
        (msgspec.structs.replace(LOT, codes=("c1",)), item(), True),
        (msgspec.structs.replace(LOT, codes=("c1",)), item(code="c2"), False),
        (msgspec.structs.replace(LOT, codes=("b1",)), item(code="b1#001", kind=Kind.UNIT, box="b1"), True),
    ],
)
def test_what_a_recall_covers(recall: Recall, thing: Item, *, is_covered: bool) -> None:
    assert recall.covers(thing) is is_covered


@pytest.mark.parametrize("what", sorted(REFUSED_WHEN_RECALLED))
def test_no_step_towards_a_patient_is_made_with_a_recalled_item(what: What) -> None:
    """I5: once an agent holds the recall it permits nothing of the lot."""
    fact = Fact(
        what=what,
        codes=("c1",),
        at=AT,
        operator="n1",
        order="RX1",
        units=3,
        pouch="PO",
        document="T1",
        location="w",
        how=How.LATE_SCAN,
    )
    [refusal] = fold(fact, {"c1": item()}, RecallSet(version=1, recalls=(LOT,))).refusals
    assert refusal.reason is Reason.RECALLED
    assert "particles seen" in refusal.found


def test_a_recalled_item_can_still_be_frozen_and_written_off() -> None:
    for what in (What.FROZEN, What.WRITTEN_OFF, What.COUNTED, What.SENT_BACK):
        fact = Fact(what=what, codes=("c1",), at=AT, reason="recall R1", document="T1", operator="a", witness="b")
        assert fold(fact, {"c1": item()}, RecallSet(version=1, recalls=(LOT,))).refusals == ()


def test_only_the_recall_key_makes_a_recall() -> None:
    assert open_recalls(signed(1, LOT), [PUBLIC]).recalls == (LOT,)
    forged = signed(1, LOT, key=Ed25519PrivateKey.from_private_bytes(b"x" * 32))
    edited = msgspec.structs.replace(signed(1, LOT), body=encode_recalls(RecallSet(version=1, recalls=())))
    renamed = msgspec.structs.replace(signed(1, LOT), version=9)
    for bad in (forged, edited, renamed):
        with pytest.raises(WireError):
            open_recalls(bad, [PUBLIC])
    with pytest.raises(WireError):
        open_recalls(signed(1, LOT), [])


class TestLane:
    def test_a_higher_version_is_asked_for_kept_and_then_confirmed(self) -> None:
        machine = lane.Recalls(0)
        assert machine.handle(lane.Heard(version=2, now_us=0)) == [lane.Ask()]
        assert machine.handle(lane.Heard(version=2, now_us=1)) == []
        told = signed(2, LOT)
        assert machine.handle(lane.Arrived(signed=told, is_authentic=True)) == [lane.Keep(signed=told)]
        assert machine.version == 0, "nothing is confirmed before it is on the disk"
        assert machine.handle(lane.Kept(version=2)) == [lane.Confirm(version=2)]

    def test_an_unanswered_question_is_asked_again(self) -> None:
        machine = lane.Recalls(0)
        machine.handle(lane.Heard(version=1, now_us=0))
        assert machine.handle(lane.Tick(now_us=1)) == []
        assert machine.handle(lane.Tick(now_us=lane.ASK_AGAIN_AFTER_US)) == [lane.Ask()]

    @pytest.mark.fault(44)
    def test_the_highest_version_wins_whatever_the_order_of_arrival(self) -> None:
        machine = lane.Recalls(0)
        machine.handle(lane.Arrived(signed=signed(3, LOT), is_authentic=True))
        machine.handle(lane.Kept(version=3))
        assert machine.handle(lane.Arrived(signed=signed(2), is_authentic=True)) == []

    def test_a_forged_set_is_an_alarm_and_nothing_else(self) -> None:
        [alarm] = lane.Recalls(0).handle(lane.Arrived(signed=signed(9, LOT), is_authentic=False))
        assert isinstance(alarm, lane.Alarm)

    def test_a_restored_central_gets_its_recalls_back(self) -> None:
        assert lane.Recalls(5).handle(lane.Heard(version=3, now_us=0)) == [lane.GiveBack()]
