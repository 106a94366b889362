"""Handed out, undone and handed out again, over real wires: the ledger, the order and the insurer say what happened."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from hardware_sims.books.audit import behind, misfolded, unbalanced
from hardware_sims.books.refold import read_fact, refold
from hardware_sims.month.hands import Seat
from hardware_sims.scenarios.plan import PHARMACY, STAFF, delivery_note
from hardware_sims.settings import STATION
from hardware_sims.truth import OrderLine
from tests.acceptance.cut_off import Site, TimedSeat, as_booked, as_insured, at_work
from tests.acceptance.test_flow_without_network import LATE, SPLIT, WHOLE, Plan

STEPS = ["dispensed", "returned", "dispensed"]


@pytest.mark.mosquitto
@pytest.mark.covers("A07", "A08", "A14", "A15")
async def test_a_hand_out_is_undone_and_done_again(tmp_path: Path) -> None:
    plan = Plan()
    async with at_work(tmp_path, (SPLIT, LATE, WHOLE)) as site, TimedSeat(site.url, STAFF[0]) as seat:
        await receive(site, seat, plan)
        for order in (plan.units, plan.boxes):
            await site.hospital.order(order)
            for is_undone in (True, False):
                await hand_out(site, seat, order, is_undone=is_undone)
        await site.settled()
        await site.reported()
        balance(site, plan)
    assert await site.crew.verified() == ""


@pytest.mark.mosquitto
@pytest.mark.covers("A07", "A15", "A21")
async def test_what_was_undone_with_the_line_cut_waits_again_once_it_is_healed(tmp_path: Path) -> None:
    plan = Plan()
    async with at_work(tmp_path, (SPLIT, LATE, WHOLE)) as site, TimedSeat(site.url, STAFF[0]) as seat:
        await receive(site, seat, plan)
        await site.hospital.order(plan.units)
        await site.locked(plan.units, seat)
        await site.cut()
        await hand_out(site, seat, plan.units, is_undone=True)
        assert site.ledger().orders[plan.units.id].state == "locked", "central has not heard of it"
        await site.heal()
        await site.reported()
        assert site.ledger().orders[plan.units.id].state == "locked"
        await hand_out(site, seat, plan.units, is_undone=False)
        await site.settled()
        await site.reported()
        balance(site, plan)
    assert await site.crew.verified() == ""


async def receive(site: Site, seat: Seat, plan: Plan) -> None:
    """A box is opened, the others are whole."""
    await site.hospital.announce(delivery_note("SN-1", "国药控股股份有限公司", PHARMACY, "box", plan.first))
    site.shelves.expect(plan.first)
    await site.settled()
    await seat.sign_in(STAFF[0].id, STAFF[0].pin)
    await seat.turn(step="receive", note="SN-1")
    for box in plan.first:
        await seat.scan(box.symbol)
        site.shelves.move(box.code, "expected", "in_stock")
    await seat.turn(step="prescan")
    assert (await seat.scan(plan.early.symbol)).result == "done"
    site.shelves.open(plan.early)
    await site.settled()


async def hand_out(site: Site, seat: Seat, order: OrderLine, *, is_undone: bool) -> None:
    codes = await site.locked(order, seat)
    if order.product == WHOLE.id:
        await seat.turn(step="hand_out", order=order.id)
        given = [await seat.scan(code.encode()) for code in codes][-1]
    else:
        await seat.turn(step="hand_out")
        given = await seat.hand_out(order.id)
    assert (given.result, given.order) == ("done", order.id)
    for thing, count in things(codes).items():
        site.shelves.give(thing, order.id, count)
    if not is_undone:
        return
    undone = await seat.press("/undo", number=str(given.number))
    assert (undone["result"], undone["is_undone"], undone["units"]) == ("done", True, order.quantity)
    again = await seat.press("/undo", number=str(given.number))
    assert (again["result"], again["reason"]) == ("refused", "nothing_to_undo")
    for thing, count in things(codes).items():
        site.shelves.take_back(thing, order.id, count)


def things(codes: Sequence[str]) -> dict[str, int]:
    """As the shelves name them: boxes, and numbers of units."""
    names = [f"{box}#" if mark else box for box, mark, _ in (code.partition("#") for code in codes)]
    return {name: names.count(name) for name in names}


def balance(site: Site, plan: Plan) -> None:
    ledger = site.ledger()
    facts = [fact for entry in ledger.entries if entry.device == STATION and (fact := read_fact(entry)) is not None]
    for order in {fact["order"] for fact in facts if fact["order"]}:
        mine = [fact for fact in facts if fact["order"] == order]
        assert [fact["what"] for fact in mine] == STEPS
        assert [fact["reason"] for fact in mine] == ["", "undone", ""]
        assert mine[0]["codes"] == mine[1]["codes"]
        assert ledger.orders[order].state == "dispensed"
    assert list(misfolded(ledger, refold(ledger.entries))) == []
    assert list(unbalanced(ledger, {box.code: box.content for box in plan.first})) == []
    assert list(behind(site.replica(), ledger)) == []
    assert as_booked(ledger) == site.shelves.lies
    assert ledger.exceptions == {}
    # Sold, returned, sold: each a row of its own, none of them lost or doubled.
    assert sorted(as_insured(site.insurer)) == sorted(site.shelves.sales)
    assert site.insurer.counter.refused == []
