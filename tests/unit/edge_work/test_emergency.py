"""Leases at a station: only the holder hands out without asking; the way out is an emergency of two people (REQ-08)."""

from pathlib import Path

import pytest

from edge_agent.workflows.verdicts import Result, Step
from sync_protocol.documents import OrderState
from sync_protocol.facts import What
from sync_protocol.items import State
from sync_protocol.lifecycle import Reason
from sync_protocol.machines.holding import Withheld
from sync_protocol.messages import Holder
from tests.unit.edge_work.ward import AMOXICILLIN, CEFTRIAXONE, Ward, box, box_code, order, units


@pytest.fixture
async def ward(tmp_path: Path) -> Ward:
    """A box locked to an order, units locked to another; nothing granted."""
    ward = Ward(tmp_path)
    await ward.load(
        **ward.catalogue(),
        items=(
            box(CEFTRIAXONE, 1, State.LOCKED, order="RX00001"),
            box(CEFTRIAXONE, 2),
            *units(AMOXICILLIN, 3, locked=4, order="RX00002"),
            box(AMOXICILLIN, 4),
        ),
        orders=(
            order(1, CEFTRIAXONE, 1, OrderState.LOCKED),
            order(2, AMOXICILLIN, 4, OrderState.LOCKED),
            order(3, AMOXICILLIN, 5, OrderState.WAITING),
        ),
    )
    ward.hand.take_away()
    return ward


async def test_what_is_not_granted_is_refused_and_the_holder_named(ward: Ward) -> None:
    desk = ward.desk()
    verdict = await desk.hand_out("RX00002")
    assert (verdict.result, verdict.reason) == (Result.REFUSED, Reason.NOT_LEASED)
    code = ward.stock.items_of_order("RX00002")[0].code
    ward.hand.holding.handle(Withheld(by=(Holder(code=code, device="station-2"),)))
    verdict = await desk.hand_out("RX00002")
    assert (verdict.reason, verdict.found) == (Reason.LEASED, "station-2")
    assert desk.order == "RX00002", "its card shows the way out"
    assert ward.facts() == []
    ward.close()


async def test_an_emergency_takes_a_reason_and_a_second_person(ward: Ward) -> None:
    desk = ward.desk()
    assert (await desk.hand_out("RX00002", emergency="bleeding")).reason == Reason.NO_EMERGENCY
    assert (await desk.hand_out("RX00002", emergency="bleeding", witness="P001")).reason == Reason.NO_EMERGENCY
    verdict = await desk.hand_out("RX00002", emergency="bleeding", witness="P002")
    assert verdict.result is Result.DONE
    (fact,) = ward.facts()
    assert (fact.is_provisional, fact.reason, fact.operator, fact.witness) == (True, "bleeding", "P001", "P002")
    ward.close()


async def test_a_box_scanned_for_its_order_waits_in_the_tray_for_the_emergency(ward: Ward) -> None:
    desk = ward.desk()
    desk.choose(Step.HAND_OUT)
    assert (await desk.enter(box_code(CEFTRIAXONE, 1), source="pda")).reason == Reason.NOT_LEASED
    assert (await desk.hand_out("RX00001", emergency="bleeding", witness="P002")).result is Result.DONE
    assert [fact.is_provisional for fact in ward.facts()] == [True]
    ward.close()


async def test_the_right_to_a_box_is_the_right_to_its_units(ward: Ward) -> None:
    desk = ward.desk()
    desk.choose(Step.LATE_SCAN, order="RX00003")
    assert (await desk.enter(box_code(AMOXICILLIN, 4), source="pda")).reason == Reason.NOT_LEASED
    ward.hand.grant([box_code(AMOXICILLIN, 4)])
    assert (await desk.enter(box_code(AMOXICILLIN, 4), source="pda")).result is Result.DONE
    assert [fact.what for fact in ward.facts()] == [What.PRESCANNED, What.DISPENSED]
    _, kept = ward.journal.leased()
    assert len(kept) == AMOXICILLIN.units - 5, "the journal knows what is left of the box"
    assert set(kept) == ward.hand.holding.codes
    ward.close()


@pytest.mark.fault(9, 45)
async def test_when_its_time_is_over_nothing_is_handed_out(ward: Ward) -> None:
    desk = ward.desk()
    ward.hand.grant((item.code for item in ward.stock.items_of_order("RX00002")), left_us=600_000_000)
    ward.clock.now_us += 600_000_001  # a computer that was stopped, or slept, finds out before it issues
    assert (await desk.hand_out("RX00002")).reason == Reason.NOT_LEASED
    ward.close()
