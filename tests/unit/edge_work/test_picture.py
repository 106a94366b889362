"""A25: pictures with many codes, read by a process of their own."""

import io

import pytest
from PIL import Image

from edge_agent.workflows.picture import Pictures
from edge_agent.workflows.verdicts import Refuse, Result, Step, StepReason
from tests.unit.edge_work.photo import as_jpeg, photo
from tests.unit.edge_work.ward import AMOXICILLIN, CEFTRIAXONE, Ward, box, box_code

CODES = [box_code(AMOXICILLIN, serial) for serial in range(1, 21)]


async def test_every_code_of_a_crooked_picture_is_read_once() -> None:
    scans = await Pictures().read(as_jpeg(photo(CODES)), source="camera")
    assert sorted(scan.data.decode() for scan in scans) == CODES
    assert {scan.aim for scan in scans} == {"]C0", "]d1"}
    assert {scan.source for scan in scans} == {"camera"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"%PDF-1.7 no picture", StepReason.NOT_A_PICTURE),
        (as_jpeg(photo(CODES))[:2_000], StepReason.NOT_A_PICTURE),
        (as_jpeg(Image.new("L", (640, 480), 200)), StepReason.NO_CODE_IN_PICTURE),
    ],
    ids=["pdf", "cut", "empty"],
)
async def test_what_cannot_be_read_is_said(content: bytes, reason: StepReason) -> None:
    with pytest.raises(Refuse) as refused:
        await Pictures().read(content, source="camera")
    assert refused.value.reason is reason


async def test_a_picture_that_unpacks_to_too_much_is_not_unpacked() -> None:
    out = io.BytesIO()
    Image.new("1", (12_000, 12_000)).save(out, "PNG")
    assert len(out.getvalue()) < 100_000
    with pytest.raises(Refuse) as refused:
        await Pictures().read(out.getvalue(), source="camera")
    assert (refused.value.reason, refused.value.found) == (StepReason.PICTURE_TOO_LARGE, "12000 × 12000 pixels")


async def test_each_code_is_answered_by_itself_and_one_refusal_is_overheard_by_nobody(ward: Ward) -> None:
    await ward.load(items=(box(AMOXICILLIN, 1), box(AMOXICILLIN, 2), box(CEFTRIAXONE, 3)))
    desk = ward.desk()
    desk.choose(Step.PRESCAN)
    codes = [box_code(AMOXICILLIN, 1), box_code(CEFTRIAXONE, 3), box_code(AMOXICILLIN, 2)]
    verdict = await desk.picture(as_jpeg(photo(codes)), source="camera")
    assert sorted((each.code, each.result) for each in verdict.each) == [
        (codes[0], Result.DONE),
        (codes[2], Result.DONE),
        (codes[1], Result.REFUSED),
    ]
    assert (verdict.result, verdict.reason) == (Result.REFUSED, StepReason.NOT_SPLIT)
    assert sorted(fact.codes for fact in ward.facts()) == [(codes[0],), (codes[2],)]
    assert desk.done == 2
    assert desk.steps.tally.results == {"done": 2, "refused": 1}, "a picture is no scan of its own"


async def test_in_a_step_where_each_code_must_be_looked_at_a_picture_is_refused(ward: Ward) -> None:
    desk = ward.desk()
    desk.choose(Step.HAND_OUT)
    verdict = await desk.picture(as_jpeg(photo(CODES)), source="camera")
    assert (verdict.result, verdict.reason) == (Result.REFUSED, StepReason.PICTURE_ELSEWHERE)
    assert ward.facts() == []
