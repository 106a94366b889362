"""A16: what is broken at the shelf is frozen there; which one it is, where no scan can say."""

import pytest
from msgspec.structs import replace

from edge_agent.workflows.damage import UNREAD
from edge_agent.workflows.desk import Desk
from edge_agent.workflows.verdicts import Result, Step, StepReason
from sync_protocol.documents import OrderState
from sync_protocol.facts import How, What
from sync_protocol.items import State
from tests.unit.edge_work.test_handout import scan
from tests.unit.edge_work.ward import AMOXICILLIN, CEFTRIAXONE, LI, WANG, Ward, box, box_code, order, units


async def test_a_unit_that_a_ward_has_is_not_what_broke_at_the_shelf(ward: Ward) -> None:
    opened, *made = units(AMOXICILLIN, 9, locked=2, order="RX00001")
    lent = [replace(unit, state=State.LENT, holder="呼吸内科") for unit in made[2:]]
    await ward.load(items=(opened, *made[:2], *lent), orders=(order(1, AMOXICILLIN, 2, OrderState.LOCKED),))
    desk = ward.desk()
    desk.choose(Step.DAMAGE, choice="broken")
    asked = await desk.scan(scan(box_code(AMOXICILLIN, 9)))
    assert (asked.result, asked.total) == (Result.PROGRESS, len(made)), "one that came back broken can be registered"
    verdict = await desk.take(asked.asks, 1)
    assert (verdict.result, verdict.code) == (Result.DONE, made[1].code)
    assert [(fact.what, fact.codes) for fact in ward.facts()] == [(What.FROZEN, (made[1].code,))]
    assert {unit.state for unit in ward.stock.items([one.code for one in lent]).values()} == {State.LENT}


BOXES = (box(CEFTRIAXONE, 31), box(CEFTRIAXONE, 32, State.DISPENSED), box(CEFTRIAXONE, 33, location="store"))


async def unreadable(ward: Ward) -> Desk:
    await ward.load(items=(*BOXES, *units(AMOXICILLIN, 9)))
    desk = ward.desk()
    desk.choose(Step.DAMAGE, choice="label_unreadable")
    return desk


async def test_what_no_scanner_reads_is_frozen_by_its_digits_and_two_people(ward: Ward) -> None:
    desk, code = await unreadable(ward), box_code(CEFTRIAXONE, 31)
    for witness in ("", WANG.id):
        assert (await desk.take(f"{UNREAD}{code}", 1, witness=witness)).reason == StepReason.TWO_PEOPLE
    verdict = await desk.take(f"{UNREAD} {code[-8:-4]} {code[-4:]} ", 1, witness=LI.id)
    assert (verdict.result, verdict.code, desk.picked) == (Result.DONE, code, "")
    said = [(fact.what, fact.codes, fact.how, fact.operator, fact.witness, fact.reason) for fact in ward.facts()]
    assert said == [(What.FROZEN, (code,), How.CONSOLE, WANG.id, LI.id, "label_unreadable")]
    assert (await desk.take(f"{UNREAD}{code}", 1, witness=LI.id)).reason == StepReason.NONE_ENDS_SO


@pytest.mark.parametrize(
    ("digits", "reason"),
    [
        ("", StepReason.TOO_FEW_DIGITS),
        ("00031", StepReason.TOO_FEW_DIGITS),
        ("%%%%%%", StepReason.TOO_FEW_DIGITS),
        ("000032", StepReason.NONE_ENDS_SO),
        ("000033", StepReason.NONE_ENDS_SO),
        ("999999", StepReason.NONE_ENDS_SO),
    ],
)
async def test_digits_that_name_nothing_here(ward: Ward, digits: str, reason: StepReason) -> None:
    desk = await unreadable(ward)
    verdict = await desk.take(f"{UNREAD}{digits}", 1, witness=LI.id)
    assert (verdict.reason, verdict.found, ward.facts()) == (reason, digits, [])


async def test_digits_that_name_several_are_not_enough(ward: Ward) -> None:
    await ward.load(items=(box(CEFTRIAXONE, 31), box(AMOXICILLIN, 31)))
    desk = ward.desk()
    desk.choose(Step.DAMAGE, choice="label_unreadable")
    ending = box_code(CEFTRIAXONE, 31)[-6:]
    assert box_code(AMOXICILLIN, 31).endswith(ending)
    assert (await desk.take(f"{UNREAD}{ending}", 1, witness=LI.id)).reason == StepReason.SEVERAL_END_SO
    # One of them was frozen here, and central has not said so yet: the other one is the only one left.
    await desk.scan(scan(box_code(AMOXICILLIN, 31)))
    verdict = await desk.take(f"{UNREAD}{ending}", 1, witness=LI.id)
    assert (verdict.result, verdict.code) == (Result.DONE, box_code(CEFTRIAXONE, 31))


async def test_of_an_opened_box_it_is_asked_how_many_units(ward: Ward) -> None:
    desk, opened = await unreadable(ward), box_code(AMOXICILLIN, 9)
    asked = await desk.take(f"{UNREAD}{opened[-10:]}", 1, witness=LI.id)
    assert (asked.result, asked.asks, desk.picked, ward.facts()) == (Result.PROGRESS, opened, opened, [])
    verdict = await desk.take(asked.asks, 3)
    assert (verdict.result, verdict.units, desk.picked) == (Result.DONE, 3, "")
