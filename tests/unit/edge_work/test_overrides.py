"""A11: a code that cannot be read has one way through, the word of two people for that box."""

import datetime as dt

import pytest
from msgspec.structs import replace

from edge_agent.workflows.desk import Desk
from edge_agent.workflows.verdicts import Result, Step, StepReason
from sync_protocol.documents import OrderState, Pack
from sync_protocol.facts import Fact, How, What
from sync_protocol.items import State
from sync_protocol.lifecycle import Reason
from tests.unit.edge_work.test_handout import LOCKED, WAITING, handing_out, locked_boxes, scan
from tests.unit.edge_work.test_receive import receiving
from tests.unit.edge_work.ward import AMOXICILLIN, CEFTRIAXONE, LI, MORPHINE, Ward, box, box_code, order, units

TORN = "label torn"
ONE, TWO = box_code(CEFTRIAXONE, 1), box_code(CEFTRIAXONE, 2)


async def two_boxes(ward: Ward) -> Desk:
    await ward.load(items=locked_boxes(1, 2), orders=(order(2, CEFTRIAXONE, 2, LOCKED),))
    return await handing_out(ward, order_id="RX00002")


def said(fact: Fact) -> tuple[object, ...]:
    return fact.what, fact.codes, fact.how, fact.operator, fact.witness, fact.reason


async def test_the_box_that_cannot_be_read_is_a_fact_of_its_own(ward: Ward) -> None:
    desk = await two_boxes(ward)
    verdict = await desk.override(ONE, order="RX00002", reason=f" {TORN} ", witness=LI.id)
    assert (verdict.result, verdict.code, verdict.done, verdict.total) == (Result.PROGRESS, ONE, 1, 2)
    assert ward.facts() == [], "nothing is recorded before the last box"
    verdict = await desk.scan(scan(TWO))
    assert (verdict.result, verdict.units, desk.order) == (Result.DONE, 2, "")
    assert [said(fact) for fact in ward.facts()] == [
        (What.DISPENSED, (TWO,), How.SCAN, "P001", "", ""),
        (What.DISPENSED, (ONE,), How.CONSOLE, "P001", "P002", TORN),
    ]
    assert {item.state for item in ward.stock.items_of_order("RX00002")} == {State.DISPENSED}
    assert desk.steps.orders.queue() == []


async def test_the_last_box_by_two_people_hands_the_order_out(ward: Ward) -> None:
    desk = await two_boxes(ward)
    await desk.scan(scan(TWO))
    verdict = await desk.override(ONE, order="RX00002", reason=TORN, witness=LI.id)
    assert (verdict.result, verdict.code, verdict.product) == (Result.DONE, ONE, CEFTRIAXONE)
    assert [(fact.codes, fact.witness, fact.reason) for fact in ward.facts()] == [
        ((TWO,), "", ""),
        ((ONE,), "P002", TORN),
    ]


@pytest.mark.parametrize(
    ("code", "reason", "witness", "refused"),
    [
        (ONE, TORN, "", StepReason.TWO_PEOPLE),
        (ONE, TORN, "P001", StepReason.TWO_PEOPLE),
        (ONE, "  ", "P002", StepReason.WHY_MISSING),
        (box_code(CEFTRIAXONE, 9), TORN, "P002", Reason.WRONG_ORDER),
        ("", TORN, "P002", Reason.WRONG_ORDER),
    ],
)
async def test_no_scan_no_go_but_for_a_locked_box_with_a_reason_and_another_person(
    ward: Ward, code: str, reason: str, witness: str, refused: str
) -> None:
    desk = await two_boxes(ward)
    await ward.load(items=(box(CEFTRIAXONE, 9),))
    verdict = await desk.override(code, order="RX00002", reason=reason, witness=witness)
    assert (verdict.result, verdict.reason, verdict.order) == (Result.REFUSED, refused, "RX00002")
    assert (await desk.hand_out("RX00002")).found == "0 / 2"
    assert ward.facts() == []


@pytest.mark.parametrize(
    ("fields", "refused"),
    [
        ({"expiry": dt.date(2026, 1, 31)}, Reason.EXPIRED),
        ({"state": State.FROZEN, "before": State.LOCKED}, Reason.WRONG_ORDER),
        ({"location": "drug-store"}, StepReason.ELSEWHERE),
    ],
)
async def test_what_may_not_be_handed_out_may_not_by_two_people_either(
    ward: Ward, fields: dict[str, object], refused: str
) -> None:
    item = replace(box(CEFTRIAXONE, 1, State.LOCKED, order="RX00002"), **fields)
    await ward.load(items=(item,), orders=(order(2, CEFTRIAXONE, 1, LOCKED),))
    desk = await handing_out(ward, order_id="RX00002")
    assert (await desk.override(ONE, order="RX00002", reason=TORN, witness=LI.id)).reason == refused
    assert ward.facts() == []


async def test_units_and_orders_that_are_gone_have_nothing_to_override(ward: Ward) -> None:
    await ward.load(
        items=tuple(units(AMOXICILLIN, 1, locked=3, order="RX00001")), orders=(order(1, AMOXICILLIN, 3, LOCKED),)
    )
    desk = await handing_out(ward)
    unit = ward.stock.items_of_order("RX00001")[0].code
    assert (await desk.override(unit, order="RX00001", reason=TORN, witness=LI.id)).reason == StepReason.NEEDS_NO_SCAN
    assert (await desk.override(unit, order="RX00099", reason=TORN, witness=LI.id)).reason == StepReason.ORDER_GONE


async def test_a_box_that_can_be_read_after_all_was_scanned(ward: Ward) -> None:
    desk = await two_boxes(ward)
    await desk.override(ONE, order="RX00002", reason=TORN, witness=LI.id)
    assert (await desk.override(ONE, order="RX00002", reason=TORN, witness=LI.id)).result is Result.REPEAT
    assert (await desk.scan(scan(ONE))).result is Result.PROGRESS
    assert (await desk.override(ONE, order="RX00002", reason=TORN, witness=LI.id)).result is Result.REPEAT
    await desk.scan(scan(TWO))
    (fact,) = ward.facts()
    assert (fact.how, set(fact.codes), fact.reason) == (How.SCAN, {ONE, TWO}, "")


async def test_the_word_is_that_of_the_two_who_gave_it_whoever_scans_the_rest(ward: Ward) -> None:
    first = await two_boxes(ward)
    await first.override(ONE, order="RX00002", reason=TORN, witness=LI.id)
    second = Desk(first.steps, people=ward.people)
    second.sign_in(LI)
    second.choose(Step.HAND_OUT, order="RX00002")
    assert (await second.scan(scan(TWO))).result is Result.DONE
    assert [(fact.operator, fact.witness) for fact in ward.facts()] == [("P002", ""), ("P001", "P002")]


async def test_each_fact_of_a_controlled_drug_names_two_people(ward: Ward) -> None:
    items = tuple(box(MORPHINE, n, State.LOCKED, order="RX00004") for n in (1, 2))
    await ward.load(items=items, orders=(order(4, MORPHINE, 2, LOCKED),))
    desk = await handing_out(ward, order_id="RX00004")
    await desk.scan(scan(items[0].code))
    verdict = await desk.override(items[1].code, order="RX00004", reason=TORN, witness=LI.id)
    assert verdict.result is Result.DONE
    assert [(fact.how, fact.operator, fact.witness, fact.reason) for fact in ward.facts()] == [
        (How.SCAN, "P001", "P002", ""),
        (How.CONSOLE, "P001", "P002", TORN),
    ]


async def test_a_box_recalled_or_unlocked_after_the_override_leaves_the_tray(ward: Ward) -> None:
    desk = await two_boxes(ward)
    await desk.override(ONE, order="RX00002", reason=TORN, witness=LI.id)
    await ward.load(items=(box(CEFTRIAXONE, 1),), orders=(order(2, CEFTRIAXONE, 2, OrderState.PART_LOCKED),))
    verdict = await desk.scan(scan(TWO))
    assert (verdict.result, verdict.done, verdict.total) == (Result.PROGRESS, 1, 2)
    assert ward.facts() == [], "the word for a locked box is none for a free one"


async def test_a_late_scan_has_no_code_to_choose(ward: Ward) -> None:
    await ward.load(items=(box(CEFTRIAXONE, 1),), orders=(order(2, CEFTRIAXONE, 1, WAITING),))
    desk = await handing_out(ward, Step.LATE_SCAN, "RX00002")
    assert (await desk.override(ONE, order="RX00002", reason=TORN, witness=LI.id)).reason == Reason.WRONG_ORDER


async def test_an_emergency_keeps_the_reason_of_the_override(ward: Ward) -> None:
    desk = await two_boxes(ward)
    ward.hand.take_away()
    await desk.scan(scan(TWO))
    verdict = await desk.override(ONE, order="RX00002", reason=TORN, witness=LI.id)
    assert (verdict.reason, desk.order) == (Reason.NOT_LEASED, "RX00002")
    assert (await desk.hand_out("RX00002", emergency="bleeding", witness=LI.id)).result is Result.DONE
    assert [(fact.is_provisional, fact.reason, fact.witness) for fact in ward.facts()] == [
        (True, "bleeding", "P002"),
        (True, f"{TORN}; bleeding", "P002"),
    ]


async def test_an_unreadable_box_of_a_note_is_received_by_two_people(ward: Ward) -> None:
    desk = await receiving(ward)
    first, second, third = box_code(AMOXICILLIN, 1), box_code(AMOXICILLIN, 2), box_code(CEFTRIAXONE, 3)
    verdict = await desk.override(first, note="DN-1", reason=TORN, witness=LI.id)
    assert (verdict.result, verdict.done, verdict.product, desk.note) == (Result.PROGRESS, 1, AMOXICILLIN, "DN-1")
    assert (await desk.override(first, note="DN-1", reason=TORN, witness=LI.id)).result is Result.REPEAT
    await desk.scan(scan(second))
    assert ward.facts() == []
    verdict = await desk.override(third, note="DN-1", reason="scanner broken", witness=LI.id)
    assert (verdict.result, verdict.done, desk.note) == (Result.DONE, 3, "")
    assert [said(fact) for fact in ward.facts()] == [
        (What.RECEIVED, (second,), How.SCAN, "P001", "", ""),
        (What.RECEIVED, (first,), How.CONSOLE, "P001", "P002", TORN),
        (What.RECEIVED, (third,), How.CONSOLE, "P001", "P002", "scanner broken"),
    ]
    assert {item.state for item in ward.stock.items((first, second, third)).values()} == {State.IN_STOCK}


@pytest.mark.parametrize(
    ("code", "reason", "witness", "refused"),
    [
        (box_code(AMOXICILLIN, 1), TORN, "", StepReason.TWO_PEOPLE),
        (box_code(AMOXICILLIN, 1), TORN, "P001", StepReason.TWO_PEOPLE),
        (box_code(AMOXICILLIN, 1), "", "P002", StepReason.WHY_MISSING),
        (box_code(AMOXICILLIN, 77), TORN, "P002", StepReason.NOT_ON_NOTE),
    ],
)
async def test_nothing_else_is_received_without_a_scan(
    ward: Ward, code: str, reason: str, witness: str, refused: str
) -> None:
    desk = await receiving(ward)
    assert (await desk.override(code, note="DN-1", reason=reason, witness=witness)).reason == refused
    assert (await desk.override(code, note="DN-9", reason=reason, witness=witness)).reason == StepReason.NOTE_GONE
    (expected,) = desk.steps.receive.notes()
    assert desk.steps.receive.progress(expected).done == 0


async def test_what_the_pack_brings_needs_no_word(ward: Ward) -> None:
    pack = Pack(code="82000000000000000001", boxes=(0, 1, 2))
    desk = await receiving(ward)
    (expected,) = desk.steps.receive.notes()
    await desk.override(box_code(AMOXICILLIN, 1), note="DN-1", reason=TORN, witness=LI.id)
    assert desk.steps.receive.progress(expected).overridden == (box_code(AMOXICILLIN, 1),)
    await ward.load(notes=(replace(expected, packs=(pack,)),))
    verdict = await desk.scan(scan(pack.code))
    assert (verdict.result, verdict.boxes) == (Result.DONE, 2)
    (fact,) = ward.facts()
    assert (len(fact.codes), fact.how, fact.witness) == (3, How.SCAN, "")


async def test_accepting_what_is_here_keeps_each_reason_with_its_boxes(ward: Ward) -> None:
    desk = await receiving(ward)
    await desk.override(box_code(AMOXICILLIN, 1), note="DN-1", reason=TORN, witness=LI.id)
    await desk.scan(scan(box_code(AMOXICILLIN, 2)))
    verdict = await desk.accept("DN-1", reason="one is missing", witness=LI.id)
    assert (verdict.result, verdict.done, verdict.total) == (Result.DONE, 2, 3)
    assert [(fact.codes[0], fact.reason) for fact in ward.facts()] == [
        (box_code(AMOXICILLIN, 2), "one is missing"),
        (box_code(AMOXICILLIN, 1), TORN),
    ]
    again = await desk.override(box_code(AMOXICILLIN, 1), note="DN-1", reason=TORN, witness=LI.id)
    assert again.result is Result.REPEAT, "it is here already"
