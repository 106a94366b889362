"""Weeks of a pharmacy in seconds: orders, hand-outs, mistakes, counts and an insurer, by chance from a seed.

Everything goes through the ledger as it would from workplaces and the hospital's systems, with a clock that jumps.
Some workplaces are cut off for a while, and some have clocks that are wrong: what they tell comes late, by their time.
"""

import datetime as dt
import random
from typing import Any

import msgspec

from sync_protocol.documents import Order, OrderKind, OrderState, Route
from sync_protocol.epc import encode_piece
from sync_protocol.facts import UNDONE, Fact, How, Moment, What
from sync_protocol.items import Kind
from tests.integration.central_faces.hospital import PEOPLE, PIECE, SPLIT, WHOLE, Hospital, box

DAY_US, HOUR_US, MINUTE_US = 86_400_000_000, 3_600_000_000, 60_000_000
MINUTES = {OrderKind.LONG_TERM: 55.0, OrderKind.STAT: 14.0, OrderKind.DISCHARGE: 33.0}
PIECES = tuple(encode_piece(17, n) for n in range(1, 31))
REFUSALS = ("追溯码与目录不符", "重复追溯码", "not sent: med_list_codg: found nothing, expected a value; give it one")


class WardClock:
    """Where the months are; ``us`` is set by them."""

    def __init__(self, us: int) -> None:
        self.us = us
        self._began_us = us

    def wall_us(self) -> int:
        return self.us

    def mono_us(self) -> int:
        return self.us - self._began_us


class Months:
    """``mistakes``: of a hundred hand-outs, how many are followed by one that is wrong; ``undone``: how many are."""

    def __init__(self, hospital: Hospital, clock: WardClock, seed: int) -> None:
        self.hospital = hospital
        self.clock = clock
        self.chance = random.Random(seed)
        self.boxes = 0
        self.orders = 0
        self.answered = 0
        self.given: list[tuple[str, str]] = []
        self.offsets = {"station-1": 0, "station-2": -37_000_000, "pda-1": None}
        self.held: dict[str, list[Fact]] = {name: [] for name in self.offsets}

    async def play(
        self,
        first: dt.date,
        days: int,
        *,
        orders: int,
        mistakes: int,
        accepted: float,
        slips: int = 0,
        undone: int = 0,
    ) -> None:
        for n in range(days):
            await self.day(first + dt.timedelta(days=n), orders, mistakes, undone)
            for _ in range(orders):
                if self.chance.randrange(100) < slips:
                    self.slip()
            self.answer(accepted)
        for device in self.held:
            self.tell(device)

    async def begin(self, first: dt.date) -> None:
        self.clock.us = self.hospital.time.midnight_us(first)
        await self.hospital.services.masterdata.put_products([SPLIT, WHOLE, PIECE])
        await self.hospital.services.masterdata.put_people(PEOPLE)
        await self.hospital.deliver("HC-1", PIECE, list(PIECES), kind=Kind.PIECE, location="cath-lab")

    async def day(self, day: dt.date, orders: int, mistakes: int, undone: int) -> None:
        start_us = self.hospital.time.midnight_us(day)
        self.clock.us = max(self.clock.us, start_us)
        await self.restock(day)
        moments = sorted(self.chance.randrange(int(1.5 * HOUR_US), 22 * HOUR_US) for _ in range(orders))
        for moment in moments:
            self.clock.us = max(self.clock.us, start_us + moment)
            await self.serve(mistakes, undone)
        if day.weekday() == 6:
            self.count()
            self.count_by_hand()

    async def restock(self, day: dt.date) -> None:
        for product, number, amount in ((SPLIT, 1, 6), (WHOLE, 2, 6)):
            codes = [box(self.boxes + n, number) for n in range(amount)]
            await self.hospital.deliver(
                f"DN-{day}-{product.id}", product, codes, kind=Kind.BOX, location="pharmacy", year=day.year + 2
            )
            for code in codes[:4] if product is SPLIT else ():
                self.say("station-1", What.PRESCANNED, code, units=SPLIT.units)
        self.boxes += 6

    async def serve(self, mistakes: int, undone: int) -> None:
        """One order: placed, and after a while handed out, in one go or two."""
        self.orders += 1
        kind = self.chance.choice(list(OrderKind))
        product = self.chance.choice((SPLIT, WHOLE))
        order = an_order(f"O-{self.orders}", product.id, self.chance.randint(1, 2), kind, self.clock.us)
        await self.hospital.services.orders.place(order)
        codes = self.hospital.services.orders.get(order.id).codes
        self.clock.us += int(self.chance.lognormvariate(0, 0.4) * MINUTES[kind] * MINUTE_US)
        device = self.chance.choice(list(self.held))
        how = How.AUTOMATIC if product is SPLIT else How.SCAN
        parts = [codes[:1], codes[1:]] if len(codes) > 1 and self.chance.random() < 0.2 else [codes]
        for part in filter(None, parts):
            self.say(device, What.DISPENSED, *part, order=order.id, product=product.id, how=how)
            self.given += [(code, order.id) for code in part]
            self.clock.us += self.chance.randrange(MINUTE_US)
        is_undone = bool(undone and codes) and self.chance.randrange(100) < undone
        if is_undone:
            self.undo(device, order, parts[-1], how)
        if self.chance.randrange(100) < mistakes:
            self.blunder(device)
        if self.chance.random() < 0.05 and codes and not is_undone:
            self.tell(device)
            self.say(device, What.RETURNED, codes[0], location="pharmacy")

    def undo(self, device: str, order: Order, codes: tuple[str, ...], how: How) -> None:
        """The last hand-out of an order; most are handed out after all."""
        self.say(device, What.RETURNED, *codes, order=order.id, reason=UNDONE, location="pharmacy")
        self.tell(device)
        self.clock.us += self.chance.randrange(8 * MINUTE_US)
        locked = "SELECT code FROM item WHERE order_id = ? AND state = 'locked' ORDER BY code"
        again = [code for (code,) in self.hospital.ledger.connection.execute(locked, (order.id,))]
        if again and self.chance.random() < 0.8:
            self.say(device, What.DISPENSED, *again, order=order.id, product=order.product, how=how)

    def blunder(self, device: str) -> None:
        """Something is handed out that must not be, or that nobody knows."""
        code, order = self.chance.choice(self.given)
        wrong = self.chance.choice((order, "O-none"))
        which = self.chance.choice((code, code, f"8100001{self.chance.randrange(10**12, 10**13)}"))
        self.say(device, What.DISPENSED, which, order=wrong, how=How.SCAN)

    def slip(self) -> None:
        """A box that nobody had pre-scanned or locked goes out: scanned late, or forced by two people."""
        free = "SELECT code FROM item WHERE state = 'in_stock' AND kind = 'box' AND product = ? ORDER BY code LIMIT 1"
        found = self.hospital.ledger.connection.execute(free, (WHOLE.id,)).fetchone()
        if found is None:
            return
        self.orders += 1
        if self.chance.random() < 0.5:
            self.say("station-1", What.DISPENSED, *found, order=f"late-{self.orders}", how=How.LATE_SCAN)
        else:
            fields = {"witness": "gone", "reason": "扫码枪故障", "order": f"forced-{self.orders}"}
            self.say("station-1", What.DISPENSED, *found, how=How.LATE_SCAN, **fields)
        self.tell("station-1")

    def count(self) -> None:
        """The cabinet, by its tags: some are not heard, one may be of somebody else."""
        heard = [piece for piece in PIECES if self.chance.random() > 0.03]
        heard += [encode_piece(99, n) for n in range(self.chance.choice((0, 0, 1, 2)))]
        taken = self.chance.sample(PIECES, 2)
        facts = [
            self.hospital.fact(What.TAKEN, *taken, operator="n02", location="cath-lab", how=How.RFID),
            self.hospital.fact(What.COUNTED, *heard, operator="n02", location="cath-lab", how=How.RFID),
            self.hospital.fact(What.PUT_BACK, *taken, operator="n02", location="cath-lab", how=How.RFID),
        ]
        self.hospital.record("cabinet-1", *facts)

    def count_by_hand(self) -> None:
        """The pharmacy, by two people: some codes are not found, some objects not counted, some boxes too much."""
        query = "SELECT code FROM item WHERE product = ? AND kind = ? AND state IN ('in_stock', 'locked')"
        for product, kind, number in ((SPLIT, Kind.UNIT, 0), (WHOLE, Kind.BOX, 1)):
            found = [code for (code,) in self.hospital.ledger.connection.execute(query, (product.id, kind))]
            seen = [code for code in found if self.chance.random() > 0.02]
            seen += [box(9_000_000 + n, 2) for n in range(self.chance.choice((0, 0, 1)) * number)]
            objects = len(seen) + self.chance.choice((0, 0, 1))
            fields = {"product": product.id, "kind": kind, "units": objects, "location": "pharmacy"}
            self.hospital.record("pda-1", self.hospital.fact(What.COUNTED, *seen, operator=f"n0{1 + number}", **fields))

    def say(self, device: str, what: What, *codes: str, **fields: Any) -> None:
        """Recorded at the device, by its own clock; told at once or, where the net is away, with what comes later."""
        offset = self.offsets[device]
        at = Moment(wall_us=self.clock.us - (offset or 0), mono_us=self.clock.mono_us(), offset_us=offset)
        operator = self.chance.choice(("n01", "n02"))
        self.held[device].append(Fact(what=what, codes=codes, at=at, operator=operator, **fields))
        if what is What.PRESCANNED or self.chance.random() < 0.8:
            self.tell(device)

    def tell(self, device: str) -> None:
        facts, self.held[device] = self.held[device], []
        if facts:
            self.hospital.record(device, *facts)

    def answer(self, accepted: float) -> None:
        """What the insurer's queue would have written by the end of the day."""
        connection = self.hospital.ledger.connection
        new = connection.execute("SELECT id FROM insurer_row WHERE id > ? ORDER BY id", (self.answered,)).fetchall()
        rows = [row for (row,) in new]
        self.answered = max(rows, default=self.answered)
        answers = []
        for row in rows:
            luck = self.chance.random()
            if luck < accepted:
                answers.append(("accepted", "", 1, self.clock.us, row))
            elif luck < accepted + 0.04:
                answers.append(("refused", self.chance.choice(REFUSALS), 1, self.clock.us, row))
            elif luck < accepted + 0.06:
                answers.append(("unknown", "应答超时", 1, self.clock.us, row))
        change = "UPDATE insurer_row SET state = ?, cause = ?, attempts = ?, updated_us = ? WHERE id = ?"
        self.hospital.ledger.write(lambda each: each.executemany(change, answers).rowcount)


def an_order(key: str, product: str, quantity: int, kind: OrderKind, ordered_us: int) -> Order:
    return Order(
        id=key,
        kind=kind,
        product=product,
        quantity=quantity,
        patient=f"PT-{key}",
        visit=f"V-{key}",
        ward="心内科三病区",
        location="pharmacy",
        route=Route.STATION,
        state=OrderState.WAITING,
        ordered_us=ordered_us,
        prescriber="DR-07",
    )


def facts_of(hospital: Hospital) -> list[tuple[int, int, list[Any]]]:
    """Position, moment of receipt and plain fields of every fact."""
    rows = hospital.ledger.connection.execute("SELECT position, received_us, body FROM fact ORDER BY position")
    return [(position, received_us, msgspec.msgpack.decode(body)) for position, received_us, body in rows]
