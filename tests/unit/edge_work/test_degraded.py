"""Handing out while the replica is old: marked, then with a second person, then not at all; and by itself as ever."""

from pathlib import Path

import pytest

from edge_agent.degraded import Degraded
from edge_agent.workflows.bench import Act
from edge_agent.workflows.verdicts import Result, Step, Verdict
from sync_protocol.degraded import NEVER_S, Allowance, Class, Limits, Policy
from sync_protocol.documents import OrderState
from sync_protocol.facts import What
from sync_protocol.items import State
from sync_protocol.lifecycle import Reason
from tests.unit.edge_work.test_handout import handing_out, scan
from tests.unit.edge_work.ward import (
    AMOXICILLIN,
    LI,
    MORPHINE,
    WANG,
    Ward,
    box,
    box_code,
    order,
    piece,
    piece_code,
    units,
)

HOUR_US = 3_600_000_000
WITH_TWO = 24


async def hand_out(ward: Ward, number: int, *, witness: str = "") -> Verdict:
    """Three units of a split drug."""
    name = f"RX0000{number}"
    return await (await handing_out(ward)).hand_out(name, witness=witness)


@pytest.mark.covers("X09")
@pytest.mark.fault(42)
async def test_the_older_the_copy_the_more_it_takes(ward: Ward) -> None:
    locked = [item for number in range(1, 5) for item in units(AMOXICILLIN, number, locked=3, order=f"RX0000{number}")]
    orders = [order(number, AMOXICILLIN, 3, OrderState.LOCKED) for number in range(1, 5)]
    await ward.load(items=tuple(locked), orders=tuple(orders))
    assert (await hand_out(ward, 1)).result is Result.DONE
    ward.clock.now_us += 2 * HOUR_US
    assert (await hand_out(ward, 2)).result is Result.DONE
    ward.clock.now_us += WITH_TWO * HOUR_US
    assert (await hand_out(ward, 3)).reason == Reason.OLD_COPY_SECOND_PERSON
    assert (await hand_out(ward, 3, witness=LI.id)).result is Result.DONE
    fresh, marked, with_two = [fact for fact in ward.facts() if fact.what is What.DISPENSED]
    assert (fresh.stale_s, marked.stale_s, with_two.stale_s) == (0, 2 * 3600, (2 + WITH_TWO) * 3600)
    assert with_two.witness == LI.id
    assert all(fact.checked_at > 0 for fact in (fresh, marked, with_two))
    ward.replica.confirm(as_of_us=ward.clock.now_us)
    assert (await hand_out(ward, 4)).result is Result.DONE, "it is over by itself"
    assert ward.facts()[-1].stale_s == 0


@pytest.mark.fault(42)
async def test_a_controlled_drug_is_blocked_at_the_scan_and_not_before_its_time(ward: Ward) -> None:
    await ward.load(
        items=(box(MORPHINE, 1, State.LOCKED, order="RX00001"),), orders=(order(1, MORPHINE, 1, OrderState.LOCKED),)
    )
    desk = await handing_out(ward, order_id="RX00001")
    ward.clock.now_us += 73 * HOUR_US
    assert (await desk.scan(scan(box_code(MORPHINE, 1)))).reason == Reason.OLD_COPY
    assert (await desk.hand_out("RX00001", witness=LI.id)).result is Result.REFUSED
    assert ward.facts() == []
    ward.replica.confirm(as_of_us=ward.clock.now_us)
    assert (await desk.scan(scan(box_code(MORPHINE, 1)))).result is Result.REFUSED
    assert (await desk.hand_out("RX00001", witness=LI.id)).result is Result.DONE


async def test_receiving_and_opening_a_box_go_on_whatever_the_age(ward: Ward) -> None:
    await ward.load(items=(box(AMOXICILLIN, 1, State.IN_STOCK),))
    ward.clock.now_us += 1_000 * HOUR_US
    desk = await handing_out(ward, Step.PRESCAN)
    assert (await desk.scan(scan(box_code(AMOXICILLIN, 1)))).result is Result.DONE
    assert ward.facts()[0].stale_s == 0


async def test_what_has_happened_is_recorded_and_marked_though_the_policy_blocks_it(ward: Ward) -> None:
    policy = Policy(consumable=Limits(block_s=HOUR_US / 1e6))
    await ward.load(items=(piece(1),))
    ward.recorder.degraded = Degraded(policy, ward.stock)
    ward.clock.now_us += 2 * HOUR_US
    fact = ward.bench.fact(What.TAKEN, (piece_code(1),), Act(operator=WANG.id, source="reader-1"))
    recorded = await ward.recorder.observe(fact)
    assert recorded.refusals == ()
    assert ward.facts()[0].stale_s == 2 * 3600


async def test_without_a_confirmed_copy_a_fact_says_so(tmp_path: Path) -> None:
    ward = Ward(tmp_path)
    fact = ward.bench.fact(What.TAKEN, (piece_code(1),), Act(operator=WANG.id, source="reader-1"))
    stale_s, refusals = ward.recorder.degraded.judge(fact, {piece_code(1): piece(1)}, ward.recorder.degraded.now())
    assert (stale_s, refusals) == (NEVER_S, [])
    ward.close()


async def test_the_health_report_names_what_is_not_as_ever(ward: Ward) -> None:
    assert ward.recorder.degraded.now() == {}
    ward.clock.now_us += HOUR_US // 2
    assert ward.recorder.degraded.now() == {Class.CONTROLLED: Allowance.MARK}
    ward.clock.now_us += 30 * HOUR_US
    assert ward.recorder.degraded.now() == {
        Class.CONTROLLED: Allowance.MARK,
        Class.DRUG: Allowance.WITNESS,
        Class.CONSUMABLE: Allowance.MARK,
    }
