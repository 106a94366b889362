import pytest
from msgspec.structs import replace

from drivers.readings import Scan
from edge_agent.workflows.desk import Desk
from edge_agent.workflows.verdicts import Refuse, Result, Step, StepReason
from sync_protocol.documents import Pack
from sync_protocol.facts import What
from sync_protocol.items import Item, State
from sync_protocol.lifecycle import Reason
from tests.unit.edge_work.ward import AMOXICILLIN, CEFTRIAXONE, LI, Ward, box, box_code, note


def scan(text: str) -> Scan:
    return Scan(source="scanner-1", data=text.encode())


def delivered() -> list[Item]:
    return [box(AMOXICILLIN, serial, State.EXPECTED) for serial in (1, 2)] + [box(CEFTRIAXONE, 3, State.EXPECTED)]


async def receiving(ward: Ward, **more: object) -> Desk:
    items = delivered()
    await ward.load(items=tuple(items), notes=(note("DN-1", items),), **more)
    desk = ward.desk()
    desk.choose(Step.RECEIVE)
    return desk


async def test_the_whole_note_becomes_one_fact_with_its_last_box_and_nothing_before(ward: Ward) -> None:
    desk = await receiving(ward)
    chosen = await desk.scan(scan("DN-1"))
    assert (chosen.result, chosen.note, chosen.total) == (Result.PROGRESS, "DN-1", 3)
    first = await desk.scan(scan(box_code(AMOXICILLIN, 1)))
    assert (first.result, first.done, first.total) == (Result.PROGRESS, 1, 3)
    assert (await desk.scan(scan(box_code(AMOXICILLIN, 1)))).result is Result.REPEAT
    await desk.scan(scan(box_code(AMOXICILLIN, 2)))
    assert ward.facts() == []
    last = await desk.scan(scan(box_code(CEFTRIAXONE, 3)))
    assert (last.result, last.done, last.total) == (Result.DONE, 3, 3)
    (fact,) = ward.facts()
    assert (fact.what, fact.document, len(fact.codes), fact.operator) == (What.RECEIVED, "DN-1", 3, "P001")
    item = ward.stock.item(box_code(CEFTRIAXONE, 3))
    assert item is not None
    assert item.state is State.IN_STOCK


async def test_extra_unknown_and_wrong_boxes_are_refused_by_name(ward: Ward) -> None:
    desk = await receiving(ward)
    await ward.load(items=(box(AMOXICILLIN, 9, State.EXPECTED, document="DN-2"),))
    await desk.scan(scan("DN-1"))
    extra = await desk.scan(scan(box_code(AMOXICILLIN, 9)))
    assert (extra.reason, extra.found, extra.expected) == (StepReason.NOT_ON_NOTE, "DN-2", "DN-1")
    assert (await desk.scan(scan(box_code(AMOXICILLIN, 77)))).reason == Reason.UNKNOWN_CODE


async def test_a_label_of_another_product_than_the_note_says_is_refused(ward: Ward) -> None:
    mislabelled = replace(box(AMOXICILLIN, 1, State.EXPECTED), product="ceftriaxone")
    await ward.load(items=tuple(delivered()), notes=(note("DN-1", [mislabelled]),))
    desk = ward.desk()
    desk.choose(Step.RECEIVE, note="DN-1")
    wrong = await desk.scan(scan(box_code(AMOXICILLIN, 1)))
    assert (wrong.reason, wrong.found, wrong.expected) == (Reason.WRONG_PRODUCT, "amoxicillin", "ceftriaxone")


async def test_two_people_work_through_one_note(ward: Ward) -> None:
    items = delivered()
    await ward.load(items=tuple(items), notes=(note("DN-1", items),))
    steps = ward.steps()
    desks = [Desk(steps, people=ward.people) for _ in range(2)]
    for desk, person in zip(desks, (LI, LI), strict=True):
        desk.sign_in(person)
        desk.choose(Step.RECEIVE, note="DN-1")
    await desks[0].scan(scan(box_code(AMOXICILLIN, 1)))
    await desks[1].scan(scan(box_code(AMOXICILLIN, 2)))
    assert (await desks[0].scan(scan(box_code(CEFTRIAXONE, 3)))).result is Result.DONE


async def test_no_scan_no_go(ward: Ward) -> None:
    desk = await receiving(ward)
    await desk.scan(scan("DN-1"))
    await desk.scan(scan(box_code(AMOXICILLIN, 1)))
    verdict = await desk.receive("DN-1")
    assert (verdict.reason, verdict.found) == (StepReason.SCAN_MISSING, "1 / 3")
    assert box_code(AMOXICILLIN, 2) in verdict.expected
    assert ward.facts() == []


async def test_a_received_note_cannot_be_received_again(ward: Ward) -> None:
    desk = await receiving(ward)
    for text in ("DN-1", *(item.code for item in delivered())):
        await desk.scan(scan(text))
    assert (await desk.scan(scan("DN-1"))).reason == StepReason.NOTE_GONE
    with pytest.raises(Refuse):
        desk.choose(Step.RECEIVE, note="DN-1")
    assert ward.steps().receive.notes() == []


async def test_a_box_without_a_note_says_to_choose_one(ward: Ward) -> None:
    desk = await receiving(ward)
    assert (await desk.scan(scan(box_code(AMOXICILLIN, 1)))).reason == StepReason.NO_NOTE_CHOSEN


async def test_a_box_that_was_frozen_meanwhile_keeps_the_note_open(ward: Ward) -> None:
    desk = await receiving(ward)
    await desk.scan(scan("DN-1"))
    await ward.load(items=(box(AMOXICILLIN, 2, State.FROZEN, before=State.EXPECTED),))
    verdict = [await desk.scan(scan(item.code)) for item in delivered()][-1]
    assert (verdict.reason, verdict.note) == (Reason.FROZEN, "DN-1")
    assert ward.facts() == []


CASE = "83000000000000000009"


async def test_a_pack_stands_for_its_boxes_and_the_last_one_receives_the_note(ward: Ward) -> None:
    desk = await receiving(ward)
    items = delivered()
    await ward.load(notes=(replace(note("DN-1", items), packs=(Pack(code=CASE, boxes=(0, 1)),)),))
    await desk.scan(scan("DN-1"))
    packed = await desk.scan(scan(CASE))
    assert (packed.result, packed.boxes, packed.done, packed.total) == (Result.PROGRESS, 2, 2, 3)
    assert (await desk.scan(scan(CASE))).result is Result.REPEAT
    last = await desk.scan(scan(box_code(CEFTRIAXONE, 3)))
    assert (last.result, len(ward.facts()[0].codes)) == (Result.DONE, 3)


async def test_a_pack_without_a_relation_waits_and_counts_when_it_comes(ward: Ward) -> None:
    desk = await receiving(ward)
    items = delivered()
    await desk.scan(scan("DN-1"))
    awaited = await desk.scan(scan(CASE))
    assert (awaited.result, awaited.is_awaited, awaited.done) == (Result.PROGRESS, True, 0)
    packed = replace(note("DN-1", items), packs=(Pack(code=CASE, boxes=(0, 1, 2)),))
    await ward.load(notes=(packed,))
    progress = desk.steps.receive.progress(packed)
    assert (progress.awaited, progress.is_complete) == ((), True)
    assert ward.facts() == []
    assert (await desk.receive("DN-1")).result is Result.DONE


async def test_a_pack_with_more_than_the_note_says_names_the_extra_boxes_and_a_person_decides(ward: Ward) -> None:
    desk = await receiving(ward)
    extra = box_code(AMOXICILLIN, 99)
    await ward.load(
        notes=(replace(note("DN-1", delivered()), packs=(Pack(code=CASE, boxes=(0, 1, 2), extra=(extra,)),)),)
    )
    await desk.scan(scan("DN-1"))
    verdict = await desk.scan(scan(CASE))
    assert (verdict.result, verdict.extra, verdict.done) == (Result.PROGRESS, (extra,), 3)
    assert ward.facts() == []
    assert (await desk.receive("DN-1")).result is Result.DONE


async def test_a_note_with_differences_needs_a_reason_and_a_second_person_and_the_rest_stays_expected(
    ward: Ward,
) -> None:
    desk = await receiving(ward)
    await desk.scan(scan("DN-1"))
    first = box_code(AMOXICILLIN, 1)
    assert (await desk.accept("DN-1", reason="短少", witness="P002")).reason == StepReason.NOTHING_SCANNED
    await desk.scan(scan(first))
    assert (await desk.accept("DN-1", reason=" ", witness="P002")).reason == StepReason.REASON_MISSING
    for nobody in ("", "P001"):
        assert (await desk.accept("DN-1", reason="短少", witness=nobody)).reason == Reason.SECOND_PERSON
    assert (await desk.accept("DN-1", reason="短少两盒", witness="P002")).result is Result.DONE
    (fact,) = ward.facts()
    assert (fact.codes, fact.operator, fact.witness, fact.reason) == ((first,), "P001", "P002", "短少两盒")
    assert [each.id for each in desk.steps.receive.notes()] == ["DN-1"]
    await desk.scan(scan("DN-1"))
    await desk.scan(scan(box_code(AMOXICILLIN, 2)))
    assert (await desk.scan(scan(box_code(CEFTRIAXONE, 3)))).result is Result.DONE
    assert len(ward.facts()[1].codes) == 2
    assert desk.steps.receive.notes() == []
