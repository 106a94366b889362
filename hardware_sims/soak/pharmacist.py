"""A pharmacist at a station: receives notes, pre-scans boxes, hands out orders, whatever the network does."""

import asyncio

from hardware_sims.scenarios.errors import UnexpectedAnswerError
from hardware_sims.scenarios.plan import Member
from hardware_sims.scenarios.station_page import ScannerSeat, Verdict
from hardware_sims.soak.hands import Hands
from hardware_sims.soak.physical import DONE, Act, PhysicalLog
from hardware_sims.soak.supply import BoxSupply
from hardware_sims.truth import Box

_NOTHING_TO_DO_S = 0.2
_HAND_OUT_EVERY = 6
_REPEATS = {"already_opened": DONE}
"""The first scan's answer was lost, and it was recorded."""


class Pharmacist(Hands):
    def __init__(self, agent: str, seat: ScannerSeat, person: Member, log: PhysicalLog, supply: BoxSupply) -> None:
        super().__init__(agent, seat, person, log)
        self._seat = seat
        self._supply = supply
        self._packs = supply.packs
        self._at_hand: list[Box] = []
        self._open_notes: dict[str, list[str]] = {}
        self._unsure_order = ""
        self._refused: set[str] = set()
        self._unsure: Box | None = None
        self._scans = 0

    async def sit_down(self) -> None:
        await self._seat.sign_in(self._person.id, self._person.pin)
        await self._seat.turn_to("prescan")

    async def do_one_thing(self) -> None:
        self._scans += 1
        if self._unsure is None and self._scans % _HAND_OUT_EVERY == 0:
            await self._hand_out()
        elif box := self._unsure or self._next_box():
            await self._prescan(box)
        elif not await self._receive() and not await self._hand_out():
            await asyncio.sleep(_NOTHING_TO_DO_S)

    async def clear_up(self) -> None:
        if self._unsure is not None:
            await self._prescan(self._unsure)
        while await self._hand_out():
            pass

    def _next_box(self) -> Box | None:
        return self._at_hand.pop() if self._at_hand else None

    async def _prescan(self, box: Box) -> None:
        self._unsure = box
        verdict = await self._scan(box, step="prescanned")
        result = _REPEATS.get(verdict.reason, verdict.reason or verdict.result)
        self._log.write(self.agent, Act.SHOWN, step="prescanned", codes=[box.code], result=result)
        self._unsure = None
        (self._supply.opened if result == DONE else self._supply.aside).add(box.code)

    async def _receive(self) -> bool:
        """Scan through an open note; whether there was one, or one that is done without anybody having seen it."""
        notes = {note["note"]: note["codes"] for note in await self._seat.look("/notes")}
        for note in self._open_notes.keys() - notes.keys():
            self._at_hand += [self._supply.boxes[code] for code in self._open_notes.pop(note)]
        if not notes:
            return bool(self._at_hand)
        note, codes = next(iter(notes.items()))
        self._open_notes[note] = codes
        await self._seat.turn_to("receive", note=note)
        for code in codes:
            verdict = await self._scan(self._supply.boxes[code], step="received")
            if verdict.result == DONE:
                self._log.write(self.agent, Act.SHOWN, step="received", note=note, codes=codes, result=DONE)
                self._at_hand += [self._supply.boxes[each] for each in self._open_notes.pop(note)]
                break
        await self._seat.turn_to("prescan")
        return True

    async def _hand_out(self) -> bool:
        """The first order that needs no scan; whether there was one."""
        tickets = {
            ticket["order"]: ticket["locked"]
            for ticket in await self._seat.look("/orders")
            if ticket["need"] == "nothing" and ticket["product"] not in self._packs
        }
        if self._unsure_order and self._unsure_order not in tickets:
            self._supply.finished(self._unsure_order)
            self._unsure_order = ""
        order = next((order for order in tickets if order not in self._refused), "")
        if not order:
            return False
        self._unsure_order, codes = order, tickets[order]
        self._log.write(self.agent, Act.PRESSED, step="dispensed", order=order, codes=codes)
        verdict = await self._seat.hand_out(order)
        result = verdict.reason or verdict.result
        self._log.write(self.agent, Act.SHOWN, step="dispensed", order=order, codes=codes, result=result)
        self._unsure_order = ""
        self._supply.finished(order)
        if result != DONE:
            self._refused.add(order)
        return True

    async def _scan(self, box: Box, *, step: str) -> Verdict:
        """Raises UnexpectedAnswerError if the screen answers another scan: one from before the agent died."""
        self._log.write(self.agent, Act.SCANNED, step=step, codes=[box.code])
        verdict = await self._seat.scan(box.symbol)
        if verdict.code != box.code:
            raise UnexpectedAnswerError(f"scanned {box.code}, the screen speaks of {verdict.code!r}")
        return verdict
