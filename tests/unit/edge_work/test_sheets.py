"""What was written on paper in an outage becomes ordinary facts of what happened, each line once (A22)."""

import msgspec
import pytest

from edge_agent.people import People
from edge_agent.workflows.desk import Desk
from edge_agent.workflows.sheet_line import Written
from edge_agent.workflows.sheets import Why
from edge_agent.workflows.verdicts import Result, Step, StepReason, Verdict
from sync_protocol.codec import decode_fact, encode_fact
from sync_protocol.documents import OrderState
from sync_protocol.facts import Fact, How, Paper, What
from sync_protocol.items import State
from sync_protocol.lifecycle import Reason
from sync_protocol.sheets import Mark, Sheet, read_mark
from tests.unit.edge_work.ward import (
    AMOXICILLIN,
    CEFTRIAXONE,
    LI,
    MORPHINE,
    NINE_US,
    WANG,
    Ward,
    box,
    box_code,
    order,
    units,
)

HOUR_US = 3_600_000_000
OPENED = box_code(AMOXICILLIN, 9)


def unit(number: int) -> str:
    return f"{OPENED}#{number:03d}"


def written(**changes: object) -> Written:
    usual = Written(day="2026-03-02", time="09:40", quantity=1, operator=LI.id)
    return msgspec.structs.replace(usual, **changes)


class Clerk:
    """Li has written, Wang scans it back five hours later."""

    def __init__(self, ward: Ward) -> None:
        self.ward = ward
        self.desk: Desk = ward.desk()
        self.sheets = self.desk.steps.sheets

    def printed(self) -> Sheet:
        sheet = self.sheets.print_orders(WANG)
        self.ward.clock.now_us += 5 * HOUR_US
        return sheet

    async def shoot(self, text: str) -> Verdict:
        return await self.desk.enter(text, source="pda")

    async def record(self, **changes: object) -> Verdict:
        sheet, line = self.desk.choice, self.desk.picked
        return await self.desk.on_paper(lambda act: self.sheets.record(sheet, line, written(**changes), act))


@pytest.fixture
async def clerk(ward: Ward) -> Clerk:
    await ward.load(
        items=(
            *units(AMOXICILLIN, 9, locked=6, order="RX00001"),
            box(AMOXICILLIN, 10),
            box(CEFTRIAXONE, 11, State.LOCKED, order="RX00002"),
            box(CEFTRIAXONE, 12, State.LOCKED, order="RX00002"),
            box(CEFTRIAXONE, 13),
            box(MORPHINE, 21, State.LOCKED, order="RX00003"),
        ),
        orders=(
            order(1, AMOXICILLIN, 6, OrderState.LOCKED),
            order(2, CEFTRIAXONE, 2, OrderState.LOCKED),
            order(3, MORPHINE, 1, OrderState.LOCKED),
        ),
    )
    return Clerk(ward)


def line_of(sheet: Sheet, order_id: str) -> str:
    return next(sheet.mark(line).text for line in sheet.lines if line.order and line.order.id == order_id)


async def test_units_that_were_locked_go_by_their_number_at_the_time_that_is_written(clerk: Clerk) -> None:
    sheet = clerk.printed()
    await clerk.ward.load()
    turned = await clerk.shoot(line_of(sheet, "RX00001"))
    assert (turned.result, clerk.desk.step, clerk.desk.choice) == (Result.PROGRESS, Step.SHEETS, sheet.id)
    verdict = await clerk.record(quantity=6)
    assert (verdict.result, verdict.done, verdict.total, verdict.misfits) == (Result.DONE, 1, 3, 0)
    (fact,) = clerk.ward.facts()
    assert (fact.what, fact.how, fact.order) == (What.DISPENSED, How.LATE_SCAN, "RX00001")
    assert fact.codes == tuple(unit(number) for number in range(1, 7))
    assert fact.at.corrected_us == NINE_US + 40 * 60_000_000
    assert (fact.operator, fact.source) == (LI.id, "screen")
    assert (sheet.version, clerk.ward.stock.version) == (2, 3)
    assert fact.checked_at == sheet.version, "what happened on paper happened by what was printed there"
    assert fact.paper == Paper(sheet=sheet.id, line=1, by=WANG.id, at_us=NINE_US + 5 * HOUR_US)
    assert decode_fact(encode_fact(fact)) == fact


async def test_a_line_is_taken_in_once_also_after_a_restart(clerk: Clerk) -> None:
    sheet = clerk.printed()
    mark = line_of(sheet, "RX00001")
    await clerk.shoot(mark)
    line = clerk.desk.picked
    await clerk.record(quantity=6)
    assert (await clerk.shoot(mark)).result is Result.REPEAT
    again = Clerk(clerk.ward)
    assert (await again.shoot(mark)).result is Result.REPEAT
    again.desk.choose(Step.SHEETS, choice=sheet.id, pick=line)
    assert (await again.record(quantity=6)).result is Result.REPEAT
    assert len(clerk.ward.facts()) == 1


async def test_boxes_go_by_the_codes_that_are_scanned(clerk: Clerk) -> None:
    await clerk.shoot(line_of(clerk.printed(), "RX00002"))
    first, second = box_code(CEFTRIAXONE, 11), box_code(CEFTRIAXONE, 13)
    assert (await clerk.shoot(first)).result is Result.PROGRESS
    assert (await clerk.shoot(first)).result is Result.REPEAT
    await clerk.shoot(second)
    verdict = await clerk.record(quantity=2)
    assert (verdict.result, verdict.misfits) == (Result.DONE, 0)
    assert clerk.ward.facts()[-1].codes == (first, second), "another box of the drug was given: by late scan"


async def test_a_box_without_its_code_is_asked_about_and_then_on_the_work_list(clerk: Clerk) -> None:
    sheet = clerk.printed()
    await clerk.shoot(line_of(sheet, "RX00002"))
    await clerk.shoot(box_code(CEFTRIAXONE, 11))
    verdict = await clerk.record(quantity=2)
    assert verdict.reason == StepReason.CODES_MISSING
    assert clerk.ward.facts() == []
    verdict = await clerk.record(quantity=2, is_sure=True)
    assert (verdict.result, verdict.misfits) == (Result.DONE, 1)
    assert clerk.ward.facts()[-1].codes == (box_code(CEFTRIAXONE, 11), f"no-code:{sheet.id}:2:1")


async def test_a_box_that_was_opened_on_paper_is_pre_scanned_with_it(clerk: Clerk) -> None:
    await clerk.shoot(line_of(clerk.printed(), "RX00001"))
    fresh = box_code(AMOXICILLIN, 10)
    await clerk.shoot(fresh)
    verdict = await clerk.record(quantity=6)
    assert (verdict.result, verdict.misfits) == (Result.DONE, 0)
    opened, given = clerk.ward.facts()
    assert (opened.what, opened.codes, opened.units) == (What.PRESCANNED, (fresh,), 24)
    assert given.codes == tuple(f"{fresh}#{number:03d}" for number in range(1, 7))
    assert opened.paper == given.paper


async def test_what_was_handed_out_at_the_screen_meanwhile_is_said_and_kept(clerk: Clerk) -> None:
    sheet = clerk.printed()
    clerk.desk.choose(Step.HAND_OUT)
    assert (await clerk.desk.hand_out("RX00001")).result is Result.DONE
    await clerk.shoot(line_of(sheet, "RX00001"))
    assert (await clerk.record(quantity=6)).reason == StepReason.ORDER_GONE
    verdict = await clerk.record(quantity=6, is_sure=True)
    assert (verdict.result, verdict.misfits) == (Result.DONE, 6)
    assert clerk.ward.facts()[-1].codes == tuple(unit(number) for number in range(1, 7))
    free = clerk.ward.stock.item(unit(7))
    assert free is not None
    assert free.state is State.IN_STOCK, "no other unit is taken for what may be said twice"


async def test_a_controlled_drug_needs_both_names(clerk: Clerk) -> None:
    await clerk.shoot(line_of(clerk.printed(), "RX00003"))
    await clerk.shoot(box_code(MORPHINE, 21))
    assert (await clerk.record()).reason == Reason.SECOND_PERSON
    assert (await clerk.record(witness="P0O2")).reason == StepReason.UNKNOWN_PERSON
    verdict = await clerk.record(witness=WANG.id)
    assert (verdict.result, verdict.misfits) == (Result.DONE, 0)
    assert clerk.ward.facts()[-1].witness == WANG.id


@pytest.mark.parametrize("time", ["", "08:58", "14:01", "25:00", "nine"])
async def test_a_time_that_cannot_be_is_refused(clerk: Clerk, time: str) -> None:
    await clerk.shoot(line_of(clerk.printed(), "RX00001"))
    verdict = await clerk.record(quantity=6, time=time, is_sure=True)
    assert verdict.reason == StepReason.TIME_WRONG
    assert clerk.ward.facts() == []


@pytest.mark.parametrize("time", ["09:00", "14:00"])
async def test_the_minute_of_the_printing_and_this_one_are_possible(clerk: Clerk, time: str) -> None:
    await clerk.shoot(line_of(clerk.printed(), "RX00001"))
    assert (await clerk.record(quantity=6, time=time)).result is Result.DONE


async def test_a_blank_line_is_a_loan_to_a_ward_or_for_an_order(clerk: Clerk) -> None:
    sheet = clerk.sheets.print_blank(WANG)
    clerk.ward.clock.now_us += HOUR_US
    marks = [sheet.mark(line).text for line in sheet.lines]
    await clerk.shoot(marks[0])
    await clerk.shoot(box_code(CEFTRIAXONE, 13))
    assert (await clerk.record()).reason == StepReason.NO_WARD_CHOSEN
    assert (await clerk.record(ward="呼吸内科")).result is Result.DONE
    lent = clerk.ward.facts()[-1]
    assert (lent.what, lent.location, lent.codes) == (What.LENT, "呼吸内科", (box_code(CEFTRIAXONE, 13),))
    await clerk.shoot(marks[1])
    await clerk.shoot(OPENED)
    assert (await clerk.record(ward="呼吸内科", quantity=2)).result is Result.DONE
    assert clerk.ward.facts()[-1].codes == (unit(7), unit(8)), "not those that are locked to a patient"
    await clerk.shoot(marks[2])
    assert (await clerk.record(order="RX99999", quantity=1)).reason == StepReason.ORDER_GONE
    assert (await clerk.record(order="RX00001", quantity=6)).result is Result.DONE
    assert clerk.ward.facts()[-1].order == "RX00001"


async def test_a_sheet_of_another_computer_is_known_from_its_symbols(clerk: Clerk) -> None:
    mark = Mark(sheet="CENTRAL2", lines=3, line=2, order="RX00001")
    assert (await clerk.shoot(mark.text)).result is Result.PROGRESS
    clerk.ward.clock.now_us += HOUR_US
    assert (await clerk.record(quantity=6)).result is Result.DONE
    (kept,) = clerk.sheets.outstanding()
    assert (kept.sheet.id, kept.open) == ("CENTRAL2", (1, 3))


async def test_what_is_outstanding_is_listed_until_all_is_done_or_somebody_says_why_not(clerk: Clerk) -> None:
    first = clerk.printed()
    second = clerk.sheets.print_blank(WANG)
    assert [kept.sheet for kept in clerk.sheets.outstanding()] == [first, second]
    await clerk.shoot(second.mark().text)
    verdict = await clerk.desk.on_paper(lambda act: clerk.sheets.close(second.id, Why.NOT_USED, act))
    assert verdict.result is Result.TOLD
    for order_id, codes, witness, quantity in (
        ("RX00001", (), "", 6),
        ("RX00002", (box_code(CEFTRIAXONE, 11), box_code(CEFTRIAXONE, 12)), "", 2),
        ("RX00003", (box_code(MORPHINE, 21),), WANG.id, 1),
    ):
        await clerk.shoot(line_of(first, order_id))
        for code in codes:
            await clerk.shoot(code)
        assert (await clerk.record(quantity=quantity, witness=witness)).result is Result.DONE
    assert clerk.sheets.outstanding() == []
    kept = clerk.sheets.find(second.id)
    assert kept is not None
    assert (kept.why, kept.closed_by) == (Why.NOT_USED, WANG.id)


async def test_nothing_of_a_line_is_recorded_when_nobody_is_signed_in(clerk: Clerk, ward: Ward) -> None:
    sheet = clerk.printed()
    desk = Desk(ward.steps(), people=People(journal=ward.journal, stock=ward.stock, now_us=ward.clock.wall_us))
    assert (await desk.enter(sheet.mark().text, source="pda")).reason == StepReason.NOBODY_SIGNED_IN


@pytest.mark.parametrize(
    "text", ["CPF-ABCDEFGH", "CPF-ABCDEFGH-0", "CPF-ABCDEFGH-3-4", "CPF-ABCDEFGH-201", "CPF-abcdefgh-3", "81000420000"]
)
def test_what_is_no_symbol_of_a_sheet_is_none(text: str) -> None:
    assert read_mark(text) is None


def test_a_fact_of_older_software_has_no_paper(ward: Ward) -> None:
    fact = Fact(what=What.TAKEN, codes=("c",), at=ward.recorder.moment(), operator="P001")
    older = msgspec.msgpack.encode(msgspec.msgpack.decode(encode_fact(fact))[:-1])
    assert decode_fact(older) == fact
