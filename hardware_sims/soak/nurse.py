"""A nurse at a cabinet: whole notes go in, pieces leave and come back, a few at each opening of the door."""

import asyncio
from collections.abc import Callable, Iterable
from random import Random

from hardware_sims.devices.lock_board import SimLockBoard
from hardware_sims.equipment import CABINET_PLACE
from hardware_sims.radio import Place, RadioField
from hardware_sims.scenarios.cabinet_page import CabinetPage, DoorResult
from hardware_sims.scenarios.patience import until
from hardware_sims.scenarios.plan import Member
from hardware_sims.settings import LOCK
from hardware_sims.soak.hands import Hands
from hardware_sims.soak.physical import DONE, Act, PhysicalLog

_NOTHING_TO_DO_S = 0.5
_SPRING_S = 10.0
_BUSY_S = 45.0
_MOST_MOVED = 3
_UNDER_WAY = frozenset({"opening", "open", "reading", "recording"})


class Nurse(Hands):
    def __init__(
        self,
        agent: str,
        page: CabinetPage,
        person: Member,
        log: PhysicalLog,
        *,
        field: RadioField,
        board: SimLockBoard,
        random: Random,
    ) -> None:
        super().__init__(agent, page, person, log)
        self._cabinet = page
        self._field = field
        self._board = board
        self._random = random
        self._stocked: set[str] = set()
        self._in_hand: set[str] = set()
        self._arriving: dict[str, list[str]] = {}

    async def sit_down(self) -> None:
        await self._board.close(LOCK)
        await self._cabinet.sign_in(self._person.id, self._person.pin)
        await until("the cabinet's last session is over", self._busy, within_s=_BUSY_S)
        await self._cabinet.leave()

    async def do_one_thing(self) -> None:
        notes = {note["note"]: note["codes"] for note in await self._cabinet.look("/notes")}
        for note in self._arriving.keys() - notes.keys():
            # Its answer was lost and it is open no more: it was received.
            self._stocked |= set(self._arriving.pop(note))
        if notes:
            await self._receive(*next(iter(notes.items())))
        elif self._stocked:
            await self._move()
        else:
            await asyncio.sleep(_NOTHING_TO_DO_S)

    async def clear_up(self) -> None:
        """One more session in which nobody touches anything: what left while the agent was dead is found now."""
        await self._session("take", lambda: None)

    async def _busy(self) -> str:
        """A session goes on without its page."""
        phase: str = (await self._cabinet.look("/cabinet"))["phase"]
        return phase if phase in _UNDER_WAY else ""

    async def _receive(self, note: str, codes: list[str]) -> None:
        self._arriving[note] = codes
        result = await self._session("receive", lambda: self._put_in(codes), note=note)
        if result.is_received:
            self._log.write(self.agent, Act.SHOWN, step="received", note=note, codes=codes, result=DONE)
            self._stocked |= set(self._arriving.pop(note))

    async def _move(self) -> None:
        inside = sorted(self._stocked - self._in_hand)
        out = self._random.sample(inside, k=min(len(inside), self._random.randint(0, _MOST_MOVED)))
        held = sorted(self._in_hand)
        back = self._random.sample(held, k=min(len(held), self._random.randint(0, _MOST_MOVED)))

        def hands() -> None:
            self._take_out(out)
            self._put_in(back)

        await self._session("take", hands)

    def _put_in(self, codes: Iterable[str]) -> None:
        """What lies inside already stays where it is."""
        inside = self._field.inside(CABINET_PLACE)
        for code in codes:
            if code not in inside:
                self._log.write(self.agent, Act.PUT_IN, codes=[code])
                self._field.place(code, Place(cabinet=CABINET_PLACE))
            self._in_hand.discard(code)

    def _take_out(self, codes: Iterable[str]) -> None:
        for code in codes:
            self._log.write(self.agent, Act.TAKEN_OUT, codes=[code])
            self._field.remove(code)
            self._in_hand.add(code)

    async def _session(self, task: str, hands: Callable[[], None], *, note: str = "") -> DoorResult:
        """Raises PlayError or TimeoutError where the cabinet fell silent; the door is shut then all the same."""
        try:
            await self._cabinet.start(task, note=note)
            async with asyncio.timeout(_SPRING_S):
                await self._board.wait_until(LOCK, is_open=True)
            await self._cabinet.opened()
            hands()
        finally:
            await self._board.close(LOCK)
        result = await self._cabinet.result()
        for step, codes in (("taken", result.missing), ("put_back", result.put_back)):
            if codes:
                self._log.write(self.agent, Act.SHOWN, step=step, codes=codes, result=DONE)
        await self._cabinet.leave()
        return result
