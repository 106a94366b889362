"""Undo at a seat: a person's own last hand-out or loan, once, soon, by facts that a return is made of."""

import asyncio

import pytest

from edge_agent.workflows.desk import Desk
from edge_agent.workflows.undoing import WITHIN_S
from edge_agent.workflows.verdicts import Result, Step, StepReason, Verdict
from sync_protocol.documents import OrderState
from sync_protocol.facts import UNDONE, Fact, How, What
from sync_protocol.items import State
from sync_protocol.lifecycle import Reason
from tests.unit.edge_work.test_handout import LOCKED, WAITING, handing_out, locked_boxes, scan
from tests.unit.edge_work.ward import (
    AMOXICILLIN,
    CEFTRIAXONE,
    LI,
    MORPHINE,
    WANG,
    Ward,
    box,
    box_code,
    order,
    units,
)

UNITS, BOXES, LATE, DRUG = "RX00001", "RX00002", "RX00003", "RX00004"
WARD = "急诊观察室"


@pytest.fixture
async def full(ward: Ward) -> Ward:
    await ward.load(
        items=(
            *units(AMOXICILLIN, 1, locked=3, order=UNITS),
            *locked_boxes(1, 2),
            box(AMOXICILLIN, 5),
            box(MORPHINE, 7, State.LOCKED, order=DRUG),
        ),
        orders=(
            order(1, AMOXICILLIN, 3, LOCKED),
            order(2, CEFTRIAXONE, 2, LOCKED),
            order(3, AMOXICILLIN, 6, WAITING),
            order(4, MORPHINE, 1, LOCKED),
        ),
    )
    return ward


def state(ward: Ward, code: str) -> State:
    item = ward.stock.item(code)
    assert item is not None
    return item.state


def told(fact: Fact) -> tuple[What, str, str, How, str]:
    return fact.what, fact.order, fact.reason, fact.how, fact.operator


async def undo(desk: Desk, verdict: Verdict, **fields: str) -> Verdict:
    return await desk.undo(verdict.number, **fields)


@pytest.mark.covers("A07", "A15")
async def test_an_undone_hand_out_is_a_return_that_says_so_and_the_order_is_in_the_queue_again(full: Ward) -> None:
    desk = await handing_out(full)
    assert desk.undoable() is None
    given = await desk.hand_out(UNITS)
    assert desk.undoable() == given
    undone = await undo(desk, given)
    assert (undone.result, undone.is_undone, undone.step) == (Result.DONE, True, Step.HAND_OUT)
    assert (undone.order, undone.units, undone.product) == (UNITS, 3, AMOXICILLIN)
    out, back = full.facts()
    assert told(back) == (What.RETURNED, UNITS, UNDONE, How.CONSOLE, WANG.id)
    assert (back.codes, back.source, back.location) == (out.codes, "screen", "pharmacy")
    assert {state(full, code) for code in out.codes} == {State.IN_STOCK}
    assert UNITS in {ticket.order.id for ticket in desk.steps.orders.queue()}
    assert desk.undoable() is None
    again = await undo(desk, given)
    assert (again.result, again.reason) == (Result.REFUSED, StepReason.NOTHING_TO_UNDO)
    assert len(full.facts()) == 2


async def test_what_was_opened_by_a_late_scan_stays_open(full: Ward) -> None:
    desk = await handing_out(full, Step.LATE_SCAN, LATE)
    given = await desk.scan(scan(box_code(AMOXICILLIN, 5)))
    assert (await undo(desk, given)).step is Step.LATE_SCAN
    _, out, back = full.facts()
    assert (back.what, back.codes) == (What.RETURNED, out.codes)
    assert state(full, box_code(AMOXICILLIN, 5)) is State.OPENED
    free = full.stock.items_at("pharmacy", states=(State.IN_STOCK,), product="amoxicillin", limit=100)
    assert len(free) == 24 + 21


async def test_a_hand_out_in_several_facts_is_undone_whole(full: Ward) -> None:
    """Of two boxes the code of one could not be read."""
    desk = await handing_out(full, order_id=BOXES)
    await desk.override(box_code(CEFTRIAXONE, 1), order=BOXES, reason="torn", witness=LI.id)
    given = await desk.scan(scan(box_code(CEFTRIAXONE, 2)))
    assert (await undo(desk, given)).is_undone
    *out, first, second = full.facts()
    assert len(out) == 2
    assert told(first) == told(second) == (What.RETURNED, BOXES, UNDONE, How.CONSOLE, WANG.id)
    assert {*first.codes, *second.codes} == {box_code(CEFTRIAXONE, 1), box_code(CEFTRIAXONE, 2)}


@pytest.mark.covers("A17")
async def test_an_undone_loan_is_given_back(full: Ward) -> None:
    desk = full.desk()
    desk.choose(Step.LEND, choice=WARD)
    lent = await desk.scan(scan(box_code(AMOXICILLIN, 5)))
    undone = await undo(desk, lent)
    assert (undone.is_undone, undone.step, undone.place) == (True, Step.LEND, WARD)
    assert told(full.facts()[-1]) == (What.GIVEN_BACK, "", UNDONE, How.CONSOLE, WANG.id)
    assert state(full, box_code(AMOXICILLIN, 5)) is State.IN_STOCK


async def test_it_is_offered_for_some_minutes(full: Ward) -> None:
    desk = await handing_out(full)
    given = await desk.hand_out(UNITS)
    full.clock.now_us += WITHIN_S * 1_000_000 - 1
    assert desk.undoable() == given
    full.clock.now_us += 1
    assert desk.undoable() is None
    assert (await undo(desk, given)).reason == StepReason.NOTHING_TO_UNDO
    assert len(full.facts()) == 1


async def test_it_is_nobody_elses_and_gone_once_she_has_left(full: Ward) -> None:
    desk, other = await handing_out(full), full.desk(LI)
    given = await desk.hand_out(UNITS)
    assert other.undoable() is None
    assert (await undo(other, given)).reason == StepReason.NOTHING_TO_UNDO
    for person in (LI, WANG):
        desk.sign_in(person)
        assert desk.undoable() is None
        assert (await undo(desk, given)).reason == StepReason.NOTHING_TO_UNDO
    desk.sign_in(None)
    assert desk.undoable() is None
    assert (await undo(desk, given)).reason == StepReason.NOBODY_SIGNED_IN
    assert len(full.facts()) == 1


async def test_a_badge_in_the_middle_of_a_hand_out_takes_the_undo_from_both(full: Ward) -> None:
    desk = await handing_out(full)
    given = asyncio.create_task(desk.hand_out(UNITS))
    await asyncio.sleep(0)  # it waits for its commit
    desk.sign_in(LI)
    assert (await given).result is Result.DONE
    assert desk.undoable() is None


async def test_only_the_last_step_that_was_recorded_is_undone(full: Ward) -> None:
    desk = await handing_out(full)
    first = await desk.hand_out(UNITS)
    await desk.scan(scan(box_code(CEFTRIAXONE, 1)))
    await desk.scan(scan("garbage"))
    assert desk.undoable() == first, "nothing was recorded since"
    second = await desk.scan(scan(box_code(CEFTRIAXONE, 2)))
    assert (await undo(desk, first)).reason == StepReason.NOTHING_TO_UNDO, "a page that is old undoes nothing else"
    assert desk.undoable() == second
    desk.choose(Step.PRESCAN)
    assert (await desk.scan(scan(box_code(AMOXICILLIN, 5)))).result is Result.DONE
    assert desk.undoable() is None


async def test_what_a_patient_brought_back_or_somebody_froze_is_not_undone(full: Ward) -> None:
    desk, other = await handing_out(full), full.desk(LI)
    given = await desk.hand_out(UNITS)
    other.choose(Step.RETURN)
    assert (await other.take(UNITS, 1)).result is Result.DONE
    assert desk.undoable() is None
    assert (await undo(desk, given)).reason == StepReason.NOTHING_TO_UNDO


async def test_a_controlled_drug_is_undone_by_two_people(full: Ward) -> None:
    desk = await handing_out(full, order_id=DRUG)
    await desk.scan(scan(box_code(MORPHINE, 7)))
    given = await desk.hand_out(DRUG, witness=LI.id)
    for witness in ("", WANG.id):
        assert (await undo(desk, given, witness=witness)).reason == Reason.SECOND_PERSON
    assert desk.undoable() == given
    assert (await undo(desk, given, witness=LI.id)).is_undone
    out, back = full.facts()
    assert (out.witness, back.witness, back.reason) == (LI.id, LI.id, UNDONE)
    assert full.stock.order(DRUG).state in {OrderState.LOCKED, OrderState.WAITING}  # type: ignore[union-attr]
