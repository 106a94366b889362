"""The morning, act by act. Each step waits for its condition and not for a time, so a seed always counts the same.

The truth changes when hands move, by what the screens answered, and never by what a store says.
"""

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from hardware_sims.books.report import Diary
from hardware_sims.catalogue import Role, of_role
from hardware_sims.equipment import STRAY_TAG, Equipment
from hardware_sims.fleet import Fleet
from hardware_sims.platforms.hospital import HospitalSystem
from hardware_sims.platforms.insurer import Insurer
from hardware_sims.scenarios.cabinet_work import CabinetWork
from hardware_sims.scenarios.patience import until
from hardware_sims.scenarios.plan import DRUG_NOTE, PIECE_NOTES, STAFF, Plan
from hardware_sims.scenarios.station_page import ScannerSeat
from hardware_sims.scenarios.station_work import StationWork
from hardware_sims.scenarios.watch import Watch
from hardware_sims.settings import AGENTS, STATION
from hardware_sims.truth import Box, OrderLine, Piece, Spot

OUTAGE_S = 20.0
PHARMACIST, NURSES = STAFF[0], (STAFF[2], STAFF[3])
TAKEN_EARLY, TAKEN_OFFLINE, PUT_BACK, USED = 8, 4, 3, 6
_UNKNOWN_CODE = b"81999990000000000001"
_ACTS = 8
_KEPT_SPLIT, _KEPT_WHOLE, _KEPT_LATE = 8, 3, 1
_DEVICES_S = 15.0
_SYNC_S, _PACKED_S, _INSURED_S = 30.0, 40.0, 40.0


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """Everybody who plays: the real programs, the simulated devices and platforms, and the staff's pages."""

    plan: Plan
    fleet: Fleet
    equipment: Equipment
    hospital: HospitalSystem
    insurer: Insurer
    watch: Watch
    station_page: ScannerSeat
    station: StationWork
    cabinet: CabinetWork


class Morning:
    def __init__(self, stage: Stage, diary: Diary, say: Callable[[str], None], *, began_s: float) -> None:
        self._stage = stage
        self._plan = stage.plan
        self._truth = stage.plan.truth
        self._diary = diary
        self._say = say
        self._early = _Sorted(stage.plan.waves.early)
        self._packed: set[tuple[str, str]] = set()
        self._acts = 0
        self._began_s = began_s

    async def play(self) -> None:
        """All acts. Raises PlayError, ProcessDiedError or PhysicsError where the play cannot go on."""
        await self.open()
        await self.receive()
        await self.prescan()
        await self.order()
        await self.hand_out()
        await self.outage()
        await self.catch_up()

    async def open(self) -> None:
        hospital = self._stage.hospital
        self._act("the hospital sends its catalogue, staff and delivery notes")
        await hospital.send_people(self._plan.people)
        await hospital.send_products(self._plan.products)
        for note in self._plan.notes:
            await hospital.announce(note)
        await self._settle()
        for agent in AGENTS:
            await self._stage.watch.devices_ready(agent, within_s=_DEVICES_S)
        await self._stage.station_page.sign_in(PHARMACIST.id, PHARMACIST.pin)
        await self._stage.cabinet.sign_in(NURSES[0].id, NURSES[0].pin)

    async def receive(self) -> None:
        self._act(f"{len(self._truth.boxes)} boxes are received by scans, 24 pieces by RFID")
        self._stage.equipment.leave_before_cabinet(STRAY_TAG)
        first_note = self._plan.pieces_of_note(0)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._stage.station.receive(DRUG_NOTE, list(self._truth.boxes.values())))
            tasks.create_task(self._stage.cabinet.receive(PIECE_NOTES[0], first_note))

    async def prescan(self) -> None:
        boxes, _ = self._split_boxes()
        self._act(f"{len(boxes)} boxes are pre-scanned; bad scans are refused, each with its reason")
        station = self._stage.station
        await station.prescan(boxes[:10])
        whole = self._plan.boxes_of([Role.WHOLE])[0]
        for data, reason in (
            (_UNKNOWN_CODE, "unknown_code"),
            (self._truth.boxes[self._plan.expired].symbol, "expired"),
            (boxes[0].symbol, "already_opened"),
            (whole.symbol, "not_split"),
            (b"8100\x0042\x00", "nul"),
            (b"\xb0\xa2\xcb\xbe\xc6\xa5\xc1\xd6", "not_text"),
            (boxes[10].symbol + boxes[11].symbol, "glued"),
            ("８１００１０".encode(), "full_width"),
            (b"", "empty"),
        ):
            await station.be_refused(data, reason)
        await station.prescan(boxes[10:])
        await self._settle()

    async def order(self) -> None:
        early = self._early
        self._act(f"{len(early.all)} orders come by FHIR; their units are locked")
        self._stage.equipment.packager.waste_next()
        self._inject("packager_pouch_wasted")
        for line in early.all:
            await self._stage.hospital.order(line)
        await self._stage.watch.orders_are("waiting", early.late, within_s=_SYNC_S)
        await self._stage.watch.orders_are("dispensed", early.packager, within_s=_PACKED_S)
        self._empty_packager()

    async def hand_out(self) -> None:
        early = self._early
        self._act("units are handed out without a scan, whole boxes by scanning each, two late scans; pieces are taken")
        pieces = self._plan.pieces_of_note(0)[:TAKEN_EARLY]
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._hand_out_early())
            tasks.create_task(self._stage.cabinet.move(take=pieces))
        await self._settle()
        await self._stage.watch.orders_are("locked", early.kept_units + early.kept_boxes, within_s=_SYNC_S)

    async def _hand_out_early(self) -> None:
        early, station = self._early, self._stage.station
        await station.hand_out(early.units)
        await self._hand_out_boxes(early.boxes)
        for order in early.late[:-_KEPT_LATE]:
            await station.choose(order, step="late_scan")
            await station.be_refused(self._another_drug(order).symbol, "wrong_product")
            await station.scan_late(order, self._late_box(order))

    async def _hand_out_boxes(self, orders: Sequence[OrderLine]) -> None:
        """With the two mistakes that happen most: a box of another order, and one that is gone already."""
        station = self._stage.station
        await station.hand_out(orders[:1])
        (gone,) = (box for box in self._truth.boxes.values() if box.order == orders[0].id)
        await station.choose(orders[1], step="hand_out")
        await station.be_refused(gone.symbol, "already_dispensed")
        await station.hand_out(orders[1:])

    async def outage(self) -> None:
        self._act(f"the broker is killed for {OUTAGE_S:.0f} s; everybody goes on")
        await self._stage.fleet.broker.kill()
        self._inject(f"broker_killed_{OUTAGE_S:.0f}s")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(asyncio.sleep(OUTAGE_S))
            tasks.create_task(self._station_offline())
            tasks.create_task(self._cabinet_offline())
            tasks.create_task(self._order_offline())
        self._act("the broker is back; all that was kept is sent")
        await self._stage.fleet.broker.start()
        await self._settle()

    async def _station_offline(self) -> None:
        """Scanning goes on; in the middle of one scan the station loses its power."""
        _, boxes = self._split_boxes()
        station, early = self._stage.station, self._early
        await station.hand_out(early.kept_units)
        await station.prescan(boxes[:4])
        await self._stage.station_page.send(boxes[4].symbol)
        await self._stage.fleet.kill(STATION)
        self._inject(f"agent_killed:{STATION}")
        await self._stage.fleet.start_agent(STATION)
        await self._stage.watch.devices_ready(STATION, within_s=_DEVICES_S)
        await self._stage.station_page.sign_in(PHARMACIST.id, PHARMACIST.pin)
        await station.prescan_again(boxes[4])
        await station.prescan(boxes[5:])
        await station.hand_out(early.kept_boxes)
        for order in early.late[-_KEPT_LATE:]:
            await station.scan_late(order, self._late_box(order))

    async def _cabinet_offline(self) -> None:
        cabinet = self._stage.cabinet
        await cabinet.sign_in(NURSES[1].id, NURSES[1].pin)
        await cabinet.receive(PIECE_NOTES[1], self._plan.pieces_of_note(1))
        in_hand = self._in_hand()
        pieces = self._plan.pieces_of_note(1)[:TAKEN_OFFLINE]
        await cabinet.move(take=pieces, put_back=in_hand[-PUT_BACK:])

    async def _order_offline(self) -> None:
        """The hospital's orders reach central all the same: only the agents are cut off."""
        for line in self._plan.waves.during_outage:
            await self._stage.hospital.order(line)

    async def catch_up(self) -> None:
        self._act("the orders of the outage and the last ones are handed out; pieces are used; the insurer has it all")
        during, after = _Sorted(self._plan.waves.during_outage), _Sorted(self._plan.waves.after)
        for line in after.all:
            await self._stage.hospital.order(line)
        await self._use_pieces()
        for wave in (during, after):
            await self._stage.station.hand_out([*wave.all_units, *wave.all_boxes])
        await self._stage.watch.orders_are("dispensed", self._truth.orders.values(), within_s=_PACKED_S)
        self._empty_packager()
        await self._stage.watch.insured(within_s=_INSURED_S)
        await self._settle()
        await until("the insurer had all its troubles", self._untroubled, within_s=1.0)
        self._diary.faults_injected += sorted(f"insurer_{trouble}" for trouble in self._stage.insurer.met)

    async def _untroubled(self) -> str:
        insurer = self._stage.insurer
        return "" if insurer.has_met_all else f"{len(insurer.met)} of them: too few requests came"

    async def _use_pieces(self) -> None:
        """Two operations: the hospital says which pieces were used for whom."""
        used = self._in_hand()[:USED]
        for number, pieces in enumerate((used[: USED // 2], used[USED // 2 :]), start=1):
            await self._stage.hospital.use(
                {
                    "id": f"SY{number:04d}",
                    "codes": [piece.code for piece in pieces],
                    "order": f"SS{number:04d}",
                    "patient": f"p{number:05d}",
                    "operator": NURSES[0].id,
                    "wall_us": self._stage.hospital.now_us(),
                }
            )
            for piece in pieces:
                self._truth.use_piece(piece.code)

    def _split_boxes(self) -> tuple[list[Box], list[Box]]:
        """Boxes to pre-scan before the outage and during it: the last one of each product is kept for then."""
        boxes = self._plan.boxes_of([Role.STATION, Role.PACKAGER])
        last = {box.product: box.code for box in boxes}
        return [box for box in boxes if last[box.product] != box.code], [
            box for box in boxes if box.code in last.values()
        ]

    def _late_box(self, order: OrderLine) -> Box:
        return next(box for box in self._plan.boxes_of([Role.LATE]) if box.product == order.product)

    def _another_drug(self, order: OrderLine) -> Box:
        """A box that was not opened yet, of another drug than the order's."""
        boxes = self._plan.boxes_of([Role.LATE])
        return next(box for box in boxes if box.product != order.product and box.spot is Spot.STOCK)

    def _in_hand(self) -> list[Piece]:
        return [piece for piece in self._truth.pieces.values() if piece.spot is Spot.HAND]

    def _empty_packager(self) -> None:
        """Pouches go to the ward; a spoilt one was cut open and its unit packed again."""
        for job in self._stage.equipment.packager.pouches.values():
            for dose in job.doses:
                for code in dose.codes:
                    self._give_packed(code, job.order)

    def _give_packed(self, code: str, order: str) -> None:
        if (code, order) not in self._packed:
            self._packed.add((code, order))
            self._truth.give_units(code.partition("#")[0], order, 1)
            self._diary.pouches_made += 1

    async def _settle(self) -> None:
        await self._stage.watch.settled(within_s=_SYNC_S)

    def _inject(self, fault: str) -> None:
        self._diary.faults_injected.append(fault)

    def _act(self, text: str) -> None:
        self._acts += 1
        self._say(f"{asyncio.get_running_loop().time() - self._began_s:5.1f} s  {self._acts}/{_ACTS}  {text}")


class _Sorted:
    """Order lines of one wave by what becomes of them."""

    def __init__(self, lines: tuple[OrderLine, ...]) -> None:
        self.all = lines
        self.all_units = self._of(Role.STATION)
        self.all_boxes = self._of(Role.WHOLE)
        self.late = self._of(Role.LATE)
        self.packager = self._of(Role.PACKAGER)

    @property
    def units(self) -> list[OrderLine]:
        """Handed out before the outage; the rest while it lasts."""
        return self.all_units[:-_KEPT_SPLIT]

    @property
    def kept_units(self) -> list[OrderLine]:
        return self.all_units[-_KEPT_SPLIT:]

    @property
    def boxes(self) -> list[OrderLine]:
        return self.all_boxes[:-_KEPT_WHOLE]

    @property
    def kept_boxes(self) -> list[OrderLine]:
        return self.all_boxes[-_KEPT_WHOLE:]

    def _of(self, role: Role) -> list[OrderLine]:
        products = {good.id for good in of_role(role)}
        return [line for line in self.all if line.product in products]
