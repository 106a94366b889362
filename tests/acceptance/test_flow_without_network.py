"""A station's whole day with its network cut, healed at the end, books balanced: real programs on real wires.

The hospital's interface brings products, people, notes and orders; then nothing of central is within reach, and staff
do all that there is to do at the station's own pages. A power cut there changes nothing. What left, came back, was lent
and broke is in the ledger afterwards as it was in their hands, each fact once.
"""

import datetime as dt
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from random import Random

import pytest

from edge_agent.rights import WAIT_S
from hardware_sims.books.audit import behind, misfolded, unbalanced
from hardware_sims.books.papers import Entry
from hardware_sims.books.refold import read_fact, refold
from hardware_sims.catalogue import Good, Role, of_role
from hardware_sims.month.hands import ZONE
from hardware_sims.scenarios.plan import PHARMACY, STAFF, Desk, boxes_of_good, delivery_note
from hardware_sims.settings import STATION
from hardware_sims.truth import Box, OrderLine
from sync_protocol.subcode import sub_codes
from tests.acceptance.cut_off import Site, TimedSeat, as_booked, as_insured, at_work

SPLIT, LATE, WHOLE = of_role(Role.STATION)[0], of_role(Role.LATE)[0], of_role(Role.WHOLE)[0]
WARD = "急诊观察室"
FIRST, SECOND = "SN-1", "SN-2"
MORNING = ["received", "prescanned", "dispensed", "dispensed"]
AFTERNOON = ["prescanned", "dispensed", "returned", "returned", "lent", "given_back", "frozen", "frozen", "counted"]
"""What the facts say that are recorded with the line cut, before the power cut and after it."""


class Plan:
    """Boxes and orders. The ``second`` note is received with the line cut, the order ``meanwhile`` placed then."""

    def __init__(self) -> None:
        random, today = Random("cut off"), dt.datetime.now(ZONE).date()

        def boxes(good: Good, count: int) -> list[Box]:
            return boxes_of_good(good, count, today, random)

        self.early, self.split, self.new_split = boxes(SPLIT, 3)
        (self.late,) = boxes(LATE, 1)
        *self.whole, self.new_whole = boxes(WHOLE, 6)
        self.first = [self.early, self.split, self.late, *self.whole]
        self.second = [self.new_split, self.new_whole]
        desk = Desk(random)
        self.before = desk.line(WHOLE, 1)
        self.units = desk.line(SPLIT, 3)
        self.boxes = desk.line(WHOLE, 2)
        self.unscanned = desk.line(LATE, 2)
        self.meanwhile = desk.line(SPLIT, 2)


class Work:
    """A pharmacist at the station's pages. What moves in their hands moves on the shelves that no program sees."""

    def __init__(self, site: Site, seat: TimedSeat) -> None:
        self._site = site
        self._seat = seat
        self._shelves = site.shelves

    async def receive(self, note: str, boxes: list[Box]) -> None:
        await self._seat.turn(step="receive", note=note)
        await self._scan_all(box.symbol for box in boxes)
        for box in boxes:
            self._shelves.move(box.code, "expected", "in_stock")

    async def prescan(self, box: Box) -> None:
        await self._seat.turn(step="prescan")
        await self._scan_all([box.symbol])
        self._shelves.open(box)

    async def hand_out_units(self, order: OrderLine) -> None:
        """Without a scan."""
        boxes = Counter(code.partition("#")[0] for code in await self._site.locked(order, self._seat))
        assert (await self._seat.hand_out(order.id)).result == "done"
        for box, count in boxes.items():
            self._shelves.give(f"{box}#", order.id, count)

    async def hand_out_boxes(self, order: OrderLine, *, instead: Box | None = None) -> list[str]:
        """Each by its scan, and none for another (``instead``); which they were."""
        codes = await self._site.locked(order, self._seat)
        await self._seat.turn(step="hand_out", order=order.id)
        if instead is not None:
            await self._be_refused(instead.symbol, "wrong_order")
        await self._scan_all(code.encode() for code in codes)
        for code in codes:
            self._shelves.give(code, order.id)
        return codes

    async def scan_late(self, order: OrderLine, box: Box) -> None:
        await self._seat.turn(step="late_scan", order=order.id)
        await self._scan_all([box.symbol])
        self._shelves.open(box)
        self._shelves.give(f"{box.code}#", order.id, order.quantity)

    async def take_back_unit(self, order: OrderLine, box: Box) -> None:
        await self._seat.turn(step="return")
        await self._take(order.id, 1)
        self._shelves.take_back(f"{box.code}#", order.id)

    async def take_back_box(self, order: OrderLine, code: str) -> None:
        """Once."""
        await self._seat.turn(step="return")
        await self._scan_all([code.encode()])
        await self._be_refused(code.encode(), "not_out")
        self._shelves.take_back(code, order.id)

    async def lend(self, box: Box, quantity: int, *, instead: Box) -> None:
        """What came with the line cut is nobody's to issue yet."""
        await self._seat.turn(step="lend", choice=WARD)
        await self._be_refused(instead.symbol, "not_leased")
        assert (await self._seat.ask_scan(box.symbol))["asks"] == box.code
        await self._take(box.code, quantity)
        self._shelves.move(f"{box.code}#", "in_stock", f"lent {WARD}", quantity)

    async def be_given_back(self, box: Box) -> None:
        await self._seat.turn(step="return")
        await self._take(f"loan:{WARD}:{box.product}", 1)
        self._shelves.move(f"{box.code}#", f"lent {WARD}", "in_stock")

    async def damage_unit(self, box: Box) -> None:
        await self._seat.turn(step="damage", choice="broken")
        assert (await self._seat.ask_scan(box.symbol))["asks"] == box.code
        await self._take(box.code, 1)
        self._shelves.move(f"{box.code}#", "in_stock", "frozen")

    async def damage_box(self, box: Box) -> None:
        await self._seat.turn(step="damage", choice="spoilt")
        await self._scan_all([box.symbol])
        self._shelves.move(box.code, "in_stock", "frozen")

    async def count(self, boxes: list[Box]) -> None:
        """What lies here of a whole-box drug, by code and by hand."""
        here = [box for box in boxes if self._shelves.lies[box.code] & Counter(["in_stock", "frozen"])]
        await self._seat.turn(step="count", choice=PHARMACY)
        for box in here:
            assert (await self._seat.scan(box.symbol)).result == "progress"
        assert (await self._seat.count({f"box:{WHOLE.id}": len(here)})).result == "done"

    async def _scan_all(self, symbols: Iterable[bytes]) -> None:
        """The last one completes it."""
        answers = [(await self._seat.scan(symbol)).result for symbol in symbols]
        assert answers == [*["progress"] * (len(answers) - 1), "done"]

    async def _be_refused(self, symbol: bytes, reason: str) -> None:
        answer = await self._seat.scan(symbol)
        assert (answer.result, answer.reason) == ("refused", reason)

    async def _take(self, pick: str, quantity: int) -> None:
        assert (await self._seat.take(pick, quantity))["result"] == "done"


@pytest.mark.mosquitto
@pytest.mark.covers("A07", "A08", "A09", "A14", "A15", "A21", "E02", "X07", "X13")
async def test_the_whole_flow_with_the_network_cut(tmp_path: Path) -> None:
    plan = Plan()
    async with at_work(tmp_path, (SPLIT, LATE, WHOLE)) as site:
        async with TimedSeat(site.url, STAFF[0]) as seat:
            out = await until_the_cut(site, seat, plan)
            through = len(site.journal().entries)
            await site.cut()
            seat.slowest_s = 0.0
            assert "No connection right now: work goes on" in await site.says()
            await morning(Work(site, seat), plan)
            await is_alone(site, seat, through)
            await site.hospital.order(plan.meanwhile)
            # Nothing that the station may be handing out is promised to anybody else.
            assert site.ledger().orders[plan.meanwhile.id].state == "waiting"
        await site.lose_power()
        async with TimedSeat(site.url, STAFF[1]) as seat:
            await seat.sign_in(STAFF[1].id, STAFF[1].pin)
            await afternoon(Work(site, seat), plan, out)
            await is_alone(site, seat, through)
            assert [_what(entry) for entry in site.journal().entries[through:]] == MORNING + AFTERNOON
            await site.heal()
            assert "Everything recorded here is in the ledger" in await site.says()
            await Work(site, seat).hand_out_units(plan.meanwhile)
        await site.settled()
        await site.reported()
        balance(site, plan)
    assert await site.crew.verified() == ""


async def until_the_cut(site: Site, seat: TimedSeat, plan: Plan) -> str:
    """The day begins. The box that is with a patient then."""
    hospital, work = site.hospital, Work(site, seat)
    for note, boxes in ((FIRST, plan.first), (SECOND, plan.second)):
        await hospital.announce(delivery_note(note, "国药控股股份有限公司", PHARMACY, "box", boxes))
        site.shelves.expect(boxes)
    await site.settled()
    await seat.sign_in(STAFF[0].id, STAFF[0].pin)
    await work.receive(FIRST, plan.first)
    await work.prescan(plan.early)
    await site.settled()
    await hospital.order(plan.before)
    (out,) = await work.hand_out_boxes(plan.before)
    for order in (plan.units, plan.boxes, plan.unscanned):
        await hospital.order(order)
    for order in (plan.units, plan.boxes):
        await site.locked(order, seat)
    await site.settled()
    there = {box.code for box in (plan.split, plan.late, *plan.whole)} - {out}
    await site.holds(there | set(sub_codes(plan.early.code, plan.early.content)))
    return out


async def morning(work: Work, plan: Plan) -> None:
    await work.receive(SECOND, plan.second)
    await work.prescan(plan.split)
    await work.hand_out_units(plan.units)
    await work.hand_out_boxes(plan.boxes, instead=plan.new_whole)


async def afternoon(work: Work, plan: Plan, out: str) -> None:
    await work.scan_late(plan.unscanned, plan.late)
    await work.take_back_unit(plan.units, plan.early)
    await work.take_back_box(plan.before, out)
    await work.lend(plan.split, 3, instead=plan.new_whole)
    await work.be_given_back(plan.split)
    await work.damage_unit(plan.split)
    await work.damage_box(plan.new_whole)
    await work.count([*plan.whole, plan.new_whole])


async def is_alone(site: Site, seat: TimedSeat, through: int) -> None:
    """Nothing since the cut is in the ledger, nobody waited for central, and the page says how much waits here."""
    waiting, health, said = len(site.journal().entries) - through, await site.health(), await site.says()
    assert (health["is_connected"], health["facts_waiting"]) == (False, waiting)
    assert f"{waiting} records are not in the ledger yet" in said
    assert "because the message broker is not reached: work goes on" in said
    assert sum(entry.device == STATION for entry in site.ledger().entries) == through
    assert seat.slowest_s < WAIT_S


def balance(site: Site, plan: Plan) -> None:
    journal, ledger = site.journal(), site.ledger()
    # Exactly once, in order, byte for byte and hash for hash.
    arrived = [_sealed(entry) for entry in ledger.entries if entry.device == STATION]
    assert arrived == [_sealed(entry) for entry in journal.entries]
    assert (journal.breaks, ledger.breaks, journal.sessions) == ((), (), 2)
    # What the ledger says of every item is what its facts add up to, what the station shows, and what happened.
    assert list(misfolded(ledger, refold(ledger.entries))) == []
    assert list(unbalanced(ledger, {box.code: box.content for box in (*plan.first, *plan.second)})) == []
    assert list(behind(site.replica(), ledger)) == []
    assert as_booked(ledger) == site.shelves.lies
    assert ledger.exceptions == {}
    assert {order.state for order in ledger.orders.values()} == {"dispensed"}
    # One row a box and order line, and one for what came back.
    assert sorted(as_insured(site.insurer)) == sorted(site.shelves.sales)
    assert site.insurer.counter.refused == []


def _what(entry: Entry) -> str:
    fact = read_fact(entry)
    assert fact is not None, "a station writes facts"
    return str(fact["what"])


def _sealed(entry: Entry) -> tuple[bytes, int, bytes, bytes]:
    return entry.session, entry.seq, entry.body, entry.hash
