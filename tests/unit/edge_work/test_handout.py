import datetime as dt

import pytest

from drivers.readings import Scan
from edge_agent.workflows.desk import Desk
from edge_agent.workflows.orders import Need
from edge_agent.workflows.verdicts import Result, Step, StepReason
from sync_protocol.documents import OrderKind, OrderState
from sync_protocol.facts import How, What
from sync_protocol.items import State
from sync_protocol.lifecycle import Reason
from tests.unit.edge_work.ward import (
    AMOXICILLIN,
    CEFTRIAXONE,
    LI,
    METOPROLOL,
    MORPHINE,
    Ward,
    box,
    box_code,
    order,
    units,
)

LOCKED, WAITING = OrderState.LOCKED, OrderState.WAITING


def scan(text: str) -> Scan:
    return Scan(source="scanner-1", data=text.encode())


async def handing_out(ward: Ward, step: Step = Step.HAND_OUT, order_id: str = "") -> Desk:
    desk = ward.desk()
    desk.choose(step, order=order_id)
    return desk


async def test_locked_units_of_a_split_drug_are_written_off_with_no_scan(ward: Ward) -> None:
    await ward.load(
        items=tuple(units(AMOXICILLIN, 1, locked=3, order="RX00001")), orders=(order(1, AMOXICILLIN, 3, LOCKED),)
    )
    desk = await handing_out(ward)
    verdict = await desk.hand_out("RX00001")
    assert (verdict.result, verdict.units, verdict.order) == (Result.DONE, 3, "RX00001")
    (fact,) = ward.facts()
    assert (fact.what, fact.how, fact.order, len(fact.codes)) == (What.DISPENSED, How.AUTOMATIC, "RX00001", 3)
    assert (await desk.hand_out("RX00001")).reason == StepReason.ORDER_GONE
    assert ward.steps().orders.queue() == []


async def test_a_scan_for_an_order_that_needs_none_is_not_swallowed(ward: Ward) -> None:
    await ward.load(
        items=(*units(AMOXICILLIN, 1, locked=3, order="RX00001"), box(AMOXICILLIN, 2)),
        orders=(order(1, AMOXICILLIN, 3, LOCKED),),
    )
    desk = await handing_out(ward, order_id="RX00001")
    assert (await desk.scan(scan(box_code(AMOXICILLIN, 2)))).reason == StepReason.NEEDS_NO_SCAN


def locked_boxes(*serials: int) -> tuple[object, ...]:
    return tuple(box(CEFTRIAXONE, serial, State.LOCKED, order="RX00002") for serial in serials)


async def test_each_locked_box_of_a_whole_box_drug_must_be_scanned(ward: Ward) -> None:
    await ward.load(items=locked_boxes(1, 2), orders=(order(2, CEFTRIAXONE, 2, LOCKED),))
    desk = await handing_out(ward)
    assert (await desk.hand_out("RX00002")).reason == StepReason.SCAN_MISSING
    first = await desk.scan(scan(box_code(CEFTRIAXONE, 1)))
    assert (first.result, first.order, first.done, first.total) == (Result.PROGRESS, "RX00002", 1, 2)
    assert (await desk.scan(scan(box_code(CEFTRIAXONE, 1)))).result is Result.REPEAT
    assert (await desk.hand_out("RX00002")).reason == StepReason.SCAN_MISSING
    assert ward.facts() == []
    last = await desk.scan(scan(box_code(CEFTRIAXONE, 2)))
    assert (last.result, last.units) == (Result.DONE, 2)
    (fact,) = ward.facts()
    assert (fact.how, set(fact.codes)) == (How.SCAN, {box_code(CEFTRIAXONE, 1), box_code(CEFTRIAXONE, 2)})


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (box(CEFTRIAXONE, 9), Reason.WRONG_ORDER),
        (box(CEFTRIAXONE, 9, State.LOCKED, order="RX00099"), Reason.WRONG_ORDER),
        (box(AMOXICILLIN, 9), Reason.WRONG_PRODUCT),
        (box(CEFTRIAXONE, 9, State.DISPENSED), Reason.ALREADY_DISPENSED),
        (box(CEFTRIAXONE, 9, State.FROZEN, before=State.IN_STOCK), Reason.FROZEN),
        (box(CEFTRIAXONE, 9, expiry=dt.date(2026, 1, 31)), Reason.EXPIRED),
        (box(CEFTRIAXONE, 9, location="drug-store"), StepReason.ELSEWHERE),
    ],
)
async def test_another_box_than_the_locked_one_is_refused_by_what_disagrees(
    ward: Ward, other: object, reason: str
) -> None:
    await ward.load(items=(*locked_boxes(1), other), orders=(order(2, CEFTRIAXONE, 1, LOCKED),))
    desk = await handing_out(ward, order_id="RX00002")
    verdict = await desk.scan(scan(other.code))  # type: ignore[attr-defined]
    assert verdict.reason == reason
    if reason is Reason.WRONG_ORDER:
        assert verdict.expected == box_code(CEFTRIAXONE, 1)
    assert ward.facts() == []


async def test_a_box_that_is_locked_to_nothing_chooses_no_order(ward: Ward) -> None:
    await ward.load(items=(box(CEFTRIAXONE, 1), box(CEFTRIAXONE, 2, State.DISPENSED)))
    desk = await handing_out(ward)
    assert (await desk.scan(scan(box_code(CEFTRIAXONE, 1)))).reason == StepReason.NO_ORDER_CHOSEN
    assert (await desk.scan(scan(box_code(CEFTRIAXONE, 2)))).reason == Reason.ALREADY_DISPENSED


async def test_a_late_scan_opens_the_box_and_hands_out_its_first_units(ward: Ward) -> None:
    await ward.load(items=(box(AMOXICILLIN, 5),), orders=(order(3, AMOXICILLIN, 6, WAITING),))
    desk = await handing_out(ward, Step.LATE_SCAN, "RX00003")
    assert ward.steps().orders.queue()[0].need is Need.LATE_SCANS
    verdict = await desk.scan(scan(box_code(AMOXICILLIN, 5)))
    assert (verdict.result, verdict.step, verdict.units) == (Result.DONE, Step.LATE_SCAN, 6)
    opened, dispensed = ward.facts()
    assert (opened.what, opened.units) == (What.PRESCANNED, 24)
    assert (dispensed.how, dispensed.codes[0], len(dispensed.codes)) == (
        How.LATE_SCAN,
        box_code(AMOXICILLIN, 5) + "#001",
        6,
    )
    left = ward.stock.items_at("pharmacy", states=(State.IN_STOCK,), product="amoxicillin", limit=100)
    assert len(left) == 18


async def test_a_late_scan_of_more_than_a_box_waits_for_the_second_box(ward: Ward) -> None:
    await ward.load(items=(box(AMOXICILLIN, 5), box(AMOXICILLIN, 6)), orders=(order(3, AMOXICILLIN, 30, WAITING),))
    desk = await handing_out(ward, Step.LATE_SCAN, "RX00003")
    first = await desk.scan(scan(box_code(AMOXICILLIN, 5)))
    assert (first.result, first.done, first.total) == (Result.PROGRESS, 1, 2)
    assert ward.facts() == []
    assert (await desk.scan(scan(box_code(AMOXICILLIN, 6)))).result is Result.DONE
    assert [fact.what for fact in ward.facts()] == [What.PRESCANNED, What.PRESCANNED, What.DISPENSED]


async def test_a_part_locked_order_gets_its_locked_units_and_the_rest_late(ward: Ward) -> None:
    await ward.load(
        items=(*units(AMOXICILLIN, 1, locked=2, order="RX00003"), box(AMOXICILLIN, 5)),
        orders=(order(3, AMOXICILLIN, 5, OrderState.PART_LOCKED),),
    )
    desk = await handing_out(ward, Step.LATE_SCAN, "RX00003")
    verdict = await desk.scan(scan(box_code(AMOXICILLIN, 5)))
    assert (verdict.result, verdict.units) == (Result.DONE, 5)
    assert [(fact.how, len(fact.codes)) for fact in ward.facts()[1:]] == [(How.AUTOMATIC, 2), (How.LATE_SCAN, 3)]


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (box(CEFTRIAXONE, 9), Reason.WRONG_PRODUCT),
        (box(AMOXICILLIN, 9, expiry=dt.date(2026, 1, 31)), Reason.EXPIRED),
        (box(AMOXICILLIN, 9, State.OPENED, units=24), Reason.ALREADY_OPENED),
        (box(AMOXICILLIN, 9, State.EXPECTED), Reason.WRONG_STATE),
    ],
)
async def test_a_late_scan_of_a_wrong_box_is_refused(ward: Ward, other: object, reason: Reason) -> None:
    await ward.load(items=(other,), orders=(order(3, AMOXICILLIN, 6, WAITING),))
    desk = await handing_out(ward, Step.LATE_SCAN, "RX00003")
    assert (await desk.scan(scan(other.code))).reason == reason  # type: ignore[attr-defined]


async def test_a_whole_box_drug_is_scanned_late_without_being_opened(ward: Ward) -> None:
    await ward.load(items=(box(CEFTRIAXONE, 1),), orders=(order(2, CEFTRIAXONE, 1, WAITING),))
    desk = await handing_out(ward, Step.LATE_SCAN, "RX00002")
    assert (await desk.scan(scan(box_code(CEFTRIAXONE, 1)))).result is Result.DONE
    (fact,) = ward.facts()
    assert (fact.what, fact.how) == (What.DISPENSED, How.LATE_SCAN)


async def test_a_controlled_drug_needs_a_second_person(ward: Ward) -> None:
    item = box(MORPHINE, 1, State.LOCKED, order="RX00004")
    await ward.load(items=(item,), orders=(order(4, MORPHINE, 1, LOCKED),))
    desk = await handing_out(ward, order_id="RX00004")
    assert (await desk.scan(scan(item.code))).reason == Reason.SECOND_PERSON
    assert (await desk.hand_out("RX00004", witness="P001")).reason == Reason.SECOND_PERSON
    assert ward.facts() == []
    assert (await desk.hand_out("RX00004", witness=LI.id)).result is Result.DONE
    assert (ward.facts()[0].operator, ward.facts()[0].witness) == ("P001", "P002")


async def test_a_box_recalled_between_scan_and_hand_out_leaves_the_tray(ward: Ward) -> None:
    await ward.load(items=locked_boxes(1, 2), orders=(order(2, CEFTRIAXONE, 2, LOCKED),))
    desk = await handing_out(ward, order_id="RX00002")
    await desk.scan(scan(box_code(CEFTRIAXONE, 1)))
    frozen = box(CEFTRIAXONE, 1, State.FROZEN, before=State.LOCKED, order="RX00002")
    await ward.load(items=(frozen, box(CEFTRIAXONE, 3, State.LOCKED, order="RX00002")))
    await desk.scan(scan(box_code(CEFTRIAXONE, 2)))
    verdict = await desk.scan(scan(box_code(CEFTRIAXONE, 3)))
    assert (verdict.result, verdict.units) == (Result.DONE, 2)
    assert set(ward.facts()[0].codes) == {box_code(CEFTRIAXONE, 2), box_code(CEFTRIAXONE, 3)}


async def test_stat_orders_come_first_then_discharge_then_the_oldest(ward: Ward) -> None:
    await ward.load(
        orders=(
            order(1, AMOXICILLIN, 1, WAITING),
            order(2, AMOXICILLIN, 1, WAITING, kind=OrderKind.DISCHARGE),
            order(3, AMOXICILLIN, 1, WAITING, kind=OrderKind.STAT),
            order(4, METOPROLOL, 1, WAITING),
            order(5, AMOXICILLIN, 1, OrderState.CANCELLED),
            order(6, AMOXICILLIN, 1, WAITING, location="elsewhere"),
        )
    )
    assert [ticket.order.id for ticket in ward.steps().orders.queue()] == ["RX00003", "RX00002", "RX00001"]


async def test_the_tally_counts_refusals_by_reason(ward: Ward) -> None:
    desk = await handing_out(ward)
    await desk.scan(scan(box_code(CEFTRIAXONE, 1)))
    assert desk.steps.tally.refusals == {Reason.UNKNOWN_CODE: 1}


async def test_boxes_scanned_late_are_put_aside_when_central_locks_others_meanwhile(ward: Ward) -> None:
    await ward.load(items=(box(CEFTRIAXONE, 7), box(CEFTRIAXONE, 8)), orders=(order(2, CEFTRIAXONE, 2, WAITING),))
    desk = await handing_out(ward, Step.LATE_SCAN, "RX00002")
    await desk.scan(scan(box_code(CEFTRIAXONE, 7)))
    await ward.load(items=locked_boxes(1, 2), orders=(order(2, CEFTRIAXONE, 2, LOCKED),))
    assert (await desk.hand_out("RX00002")).found == "0 / 2"
    await desk.scan(scan(box_code(CEFTRIAXONE, 1)))
    await desk.scan(scan(box_code(CEFTRIAXONE, 2)))
    (fact,) = ward.facts()
    assert set(fact.codes) == {box_code(CEFTRIAXONE, 1), box_code(CEFTRIAXONE, 2)}
