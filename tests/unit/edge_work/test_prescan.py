import asyncio
import datetime as dt

import pytest
from msgspec.structs import replace

from drivers.readings import Scan, ScanFlaw
from edge_agent.people import SignInFlaw
from edge_agent.workflows.verdicts import Result, Step, StepReason
from sync_protocol.errors import CodeFlaw
from sync_protocol.facts import What
from sync_protocol.items import State
from sync_protocol.lifecycle import Reason
from tests.unit.edge_work.ward import AMOXICILLIN, CEFTRIAXONE, GONE, LI, MORPHINE, Ward, box, box_code


def scan(text: str | bytes) -> Scan:
    return Scan(source="scanner-1", data=text if isinstance(text, bytes) else text.encode())


async def test_a_box_becomes_its_units_bound_to_box_lot_and_expiry(ward: Ward) -> None:
    await ward.load(items=(box(AMOXICILLIN, 1),))
    verdict = await ward.desk().scan(scan(box_code(AMOXICILLIN, 1)))
    assert (verdict.result, verdict.units, verdict.lot, verdict.product) == (Result.DONE, 24, "A2601", AMOXICILLIN)
    unit = ward.stock.item(box_code(AMOXICILLIN, 1) + "#024")
    assert unit is not None
    assert (unit.state, unit.box, unit.lot) == (State.IN_STOCK, box_code(AMOXICILLIN, 1), "A2601")
    (fact,) = ward.facts()
    assert (fact.what, fact.operator, fact.source, fact.location) == (
        What.PRESCANNED,
        "P001",
        "scanner-1",
        "pharmacy",
    )


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (None, Reason.UNKNOWN_CODE),
        (box(AMOXICILLIN, 1, State.OPENED, units=24), Reason.ALREADY_OPENED),
        (box(AMOXICILLIN, 1, State.EXPECTED), Reason.WRONG_STATE),
        (box(AMOXICILLIN, 1, State.DISPENSED), Reason.ALREADY_DISPENSED),
        (box(AMOXICILLIN, 1, State.ABNORMAL), Reason.OUT_FOR_GOOD),
        (box(AMOXICILLIN, 1, State.FROZEN, before=State.IN_STOCK), Reason.FROZEN),
        (box(AMOXICILLIN, 1, expiry=dt.date(2026, 3, 1)), Reason.EXPIRED),
        (box(AMOXICILLIN, 1, location="drug-store"), StepReason.ELSEWHERE),
        (replace(box(AMOXICILLIN, 1), product="withdrawn"), Reason.WRONG_PRODUCT),
    ],
)
async def test_a_box_that_does_not_fit_is_refused_by_name_and_leaves_no_fact(
    ward: Ward, item: object, reason: str
) -> None:
    await ward.load(items=(item,) if item else ())
    verdict = await ward.desk().scan(scan(box_code(AMOXICILLIN, 1)))
    assert (verdict.result, verdict.reason) == (Result.REFUSED, reason)
    assert ward.facts() == []


async def test_the_last_day_of_the_expiry_is_a_good_day(ward: Ward) -> None:
    await ward.load(items=(box(AMOXICILLIN, 1, expiry=dt.date(2026, 3, 2)),))
    assert (await ward.desk().scan(scan(box_code(AMOXICILLIN, 1)))).result is Result.DONE


async def test_a_whole_box_drug_goes_straight_to_its_bin(ward: Ward) -> None:
    await ward.load(items=(box(CEFTRIAXONE, 1),))
    verdict = await ward.desk().scan(scan(box_code(CEFTRIAXONE, 1)))
    assert (verdict.reason, verdict.product) == (StepReason.NOT_SPLIT, CEFTRIAXONE)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\xff\xfe\xfd", CodeFlaw.BYTE_ORDER_MARK),
        (b"\x00\x01", CodeFlaw.NUL),
        ("８１".encode(), CodeFlaw.FULL_WIDTH),
        (box_code(AMOXICILLIN, 1).encode() * 2, CodeFlaw.GLUED),
        (b"6901234567892", CodeFlaw.NOT_A_TRACE_CODE),
        (b"0106901234567892" + b"17281231", StepReason.NAMES_NO_ITEM),
    ],
)
async def test_bad_scans_are_refused_by_name_and_the_next_good_one_works(ward: Ward, data: bytes, reason: str) -> None:
    await ward.load(items=(box(AMOXICILLIN, 1),))
    desk = ward.desk()
    assert (await desk.scan(scan(data))).reason == reason
    flawed = Scan(source="scanner-1", data=b"x" * 4096, flaw=ScanFlaw.TOO_LONG)
    assert (await desk.scan(flawed)).reason == CodeFlaw.TOO_LONG
    assert (await desk.scan(scan(box_code(AMOXICILLIN, 1)))).result is Result.DONE
    assert [verdict.number for verdict in desk.verdicts] == [3, 2, 1]


async def test_a_label_that_disagrees_with_the_record_is_refused(ward: Ward) -> None:
    key = "010690123456789221SN0000001"
    await ward.load(items=(replace(box(AMOXICILLIN, 1), code=key),))
    desk = ward.desk()
    wrong_lot = await desk.scan(scan("0106901234567892" + "17281231" + "10XYZ\x1d21SN0000001"))
    assert (wrong_lot.reason, wrong_lot.found, wrong_lot.expected) == (StepReason.WRONG_LOT, "XYZ", "A2601")
    wrong_day = await desk.scan(scan("0106901234567892" + "17281130" + "10A2601\x1d21SN0000001"))
    assert wrong_day.reason == StepReason.WRONG_EXPIRY
    right = await desk.scan(scan("0106901234567892" + "17281231" + "10A2601\x1d21SN0000001"))
    assert (right.result, right.code) == (Result.DONE, key)


async def test_nothing_is_scanned_by_nobody(ward: Ward) -> None:
    await ward.load(items=(box(AMOXICILLIN, 1),))
    desk = ward.desk(None)
    assert (await desk.scan(scan(box_code(AMOXICILLIN, 1)))).reason == StepReason.NOBODY_SIGNED_IN
    assert (await desk.scan(scan("B-9999"))).reason == SignInFlaw.UNKNOWN_BADGE
    assert (await desk.scan(scan(GONE.badge))).reason == SignInFlaw.INACTIVE
    assert ward.facts() == []


async def test_a_badge_signs_in_and_a_colleagues_badge_takes_over(ward: Ward) -> None:
    await ward.load(items=(box(AMOXICILLIN, 1), box(AMOXICILLIN, 2)))
    desk = ward.desk(None)
    await desk.scan(scan("B-1001"))
    await desk.scan(scan(box_code(AMOXICILLIN, 1)))
    await desk.scan(scan(LI.badge))
    await desk.scan(scan(box_code(AMOXICILLIN, 2)))
    assert [fact.operator for fact in ward.facts()] == ["P001", "P002"]


async def test_the_same_box_from_two_desks_opens_once(ward: Ward) -> None:
    await ward.load(items=(box(AMOXICILLIN, 1),))
    one, two = ward.desk(), ward.desk(LI)
    code = scan(box_code(AMOXICILLIN, 1))
    verdicts = await asyncio.gather(one.scan(code), two.scan(code))
    assert sorted(verdict.result for verdict in verdicts) == [Result.DONE, Result.REFUSED]
    assert len(ward.facts()) == 1


async def test_a_controlled_drug_that_is_no_split_drug_is_not_pre_scanned(ward: Ward) -> None:
    await ward.load(items=(box(MORPHINE, 1),))
    verdict = await ward.desk().enter(box_code(MORPHINE, 1), source="pda")
    assert (verdict.reason, verdict.step) == (StepReason.NOT_SPLIT, Step.PRESCAN)
