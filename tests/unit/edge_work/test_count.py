"""A count by hand: what is counted, what is asked, what is recorded."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edge_agent.workflows.count import Spot
from edge_agent.workflows.desk import Desk
from edge_agent.workflows.verdicts import Result, Step, StepReason, Verdict
from sync_protocol.facts import MAX_CODES, What
from sync_protocol.items import Kind, State
from sync_protocol.lifecycle import Reason
from tests.unit.edge_work.ward import (
    AMOXICILLIN,
    CEFTRIAXONE,
    LI,
    MORPHINE,
    PHARMACY,
    WANG,
    Ward,
    box,
    box_code,
    units,
)

STORE = "store"


@pytest.fixture
async def ward(tmp_path: Path) -> AsyncIterator[Ward]:
    ward = Ward(tmp_path)
    opened, *made = units(AMOXICILLIN, 9, locked=2, order="RX00001")
    boxes = [box(CEFTRIAXONE, serial) for serial in range(1, 5)]
    gone = [box(MORPHINE, 7, State.DISPENSED), box(AMOXICILLIN, 8, location=STORE)]
    await ward.load(items=(opened, *made, *boxes, *gone), **Ward.catalogue())
    yield ward
    ward.close()


def at(ward: Ward, place: str = PHARMACY) -> Desk:
    desk = ward.desk()
    desk.choose(Step.COUNT, choice=place)
    return desk


async def scan(desk: Desk, text: str) -> Verdict:
    return await desk.enter(text, source="pda")


async def test_a_place_is_chosen_first_this_one_before_others(ward: Ward) -> None:
    desk = at(ward, "")
    assert desk.steps.count.spots(WANG.id) == [Spot(place=PHARMACY), Spot(place=STORE)]
    assert (await scan(desk, box_code(CEFTRIAXONE, 1))).reason == StepReason.NO_PLACE_CHOSEN
    assert (await desk.count({})).reason == StepReason.NO_PLACE_CHOSEN
    lines = [(line.product.id, line.kind) for line in desk.steps.count.lines(WANG.id, STORE)]
    assert lines == [(AMOXICILLIN.id, Kind.BOX)]


async def test_lines_name_what_may_be_there_and_no_figure_of_the_books(ward: Ward) -> None:
    desk = at(ward)
    lines = desk.steps.count.lines(WANG.id, PHARMACY)
    assert [(line.key, line.scanned) for line in lines] == [("box:ceftriaxone", 0), ("unit:amoxicillin", 0)]
    verdict = await scan(desk, box_code(MORPHINE, 7))
    assert (verdict.result, verdict.done, verdict.state) == (Result.PROGRESS, 1, None), "not that it was handed out"
    assert (await scan(desk, box_code(MORPHINE, 7))).result is Result.REPEAT
    assert "box:morphine" in {line.key for line in desk.steps.count.lines(WANG.id, PHARMACY)}
    assert desk.steps.count.lines(LI.id, PHARMACY) == lines


async def test_units_of_an_opened_box_are_counted_by_number_and_labelled_ones_by_scan(ward: Ward) -> None:
    desk, opened = at(ward), box_code(AMOXICILLIN, 9)
    await scan(desk, f"{opened}#024")
    assert (await scan(desk, opened)).asks == opened
    assert (await desk.take(opened, 25)).reason == StepReason.WRONG_QUANTITY
    await scan(desk, opened)
    await desk.take(opened, 5)
    await scan(desk, opened)
    verdict = await desk.take(opened, 2)
    assert (verdict.result, verdict.done) == (Result.PROGRESS, 3), "said again, it is counted anew"
    await desk.count({"unit:amoxicillin": "3"})
    (fact,) = ward.facts()
    assert set(fact.codes) == {f"{opened}#{number:03d}" for number in (24, 23, 22)}
    assert (await scan(at(ward), f"{opened}#025")).is_refused is False, "a unit that the books do not know"


async def test_what_nobody_knows_is_counted_by_its_label_or_set_aside(ward: Ward) -> None:
    desk = at(ward)
    assert (await scan(desk, box_code(CEFTRIAXONE, 99))).done == 1
    assert (await scan(desk, "81999990000000000001")).reason == Reason.UNKNOWN_CODE
    await desk.count({"box:ceftriaxone": "1"})
    (fact,) = ward.facts()
    assert (fact.codes, fact.units, fact.kind) == ((box_code(CEFTRIAXONE, 99),), 1, Kind.BOX)


@pytest.mark.parametrize("number", ["", "-1", "1.5", "10000", "十"])
async def test_the_objects_of_what_was_scanned_are_asked_for(ward: Ward, number: str) -> None:
    desk = at(ward)
    await scan(desk, box_code(CEFTRIAXONE, 1))
    verdict = await desk.count({"box:ceftriaxone": number})
    expected = StepReason.WRONG_QUANTITY if number else StepReason.OBJECTS_MISSING
    assert (verdict.reason, desk.choice, ward.facts()) == (expected, PHARMACY, [])


async def test_only_what_was_counted_is_recorded_and_nothing_of_it_moves(ward: Ward) -> None:
    desk = at(ward)
    assert (await desk.count({})).reason == StepReason.OBJECTS_MISSING
    await scan(desk, box_code(CEFTRIAXONE, 1))
    desk.count_again()
    verdict = await desk.count({"box:ceftriaxone": "0", "unit:amoxicillin": " "})
    assert (verdict.result, verdict.place, desk.choice) == (Result.DONE, PHARMACY, "")
    (fact,) = ward.facts()
    assert (fact.what, fact.codes, fact.units, fact.product) == (What.COUNTED, (), 0, CEFTRIAXONE.id)
    item = ward.stock.item(box_code(CEFTRIAXONE, 1))
    assert item is not None
    assert item.state is State.IN_STOCK


async def test_what_a_person_counted_is_kept_though_nobody_asks_for_it_any_more(ward: Ward) -> None:
    desk = at(ward)
    asked = [line.key for line in desk.steps.count.lines(WANG.id, PHARMACY)]
    assert "box:morphine" not in asked
    verdict = await desk.count({"box:morphine": "0", "unit:amoxicillin": "22", "box:nothing": "1", "again": "1"})
    assert verdict.result is Result.DONE
    counted = [(fact.product, fact.kind, fact.codes, fact.units, fact.document) for fact in ward.facts()]
    assert counted == [(AMOXICILLIN.id, Kind.UNIT, (), 22, ""), (MORPHINE.id, Kind.BOX, (), 0, "")]


async def test_a_count_of_more_codes_than_a_fact_holds_is_cut_in_full_pieces(ward: Ward) -> None:
    desk = at(ward)
    for serial in range(100, 100 + MAX_CODES + 1):
        await scan(desk, box_code(CEFTRIAXONE, serial))
    await desk.count({"box:ceftriaxone": str(MAX_CODES + 1)})
    facts = ward.facts()
    assert [(len(fact.codes), fact.units) for fact in facts] == [(MAX_CODES, MAX_CODES + 1), (1, MAX_CODES + 1)]
