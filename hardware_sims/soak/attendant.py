"""Who looks after a unit-dose packager: presses "again" where a pouch or an order is stuck."""

import asyncio

from hardware_sims.scenarios.patience import until
from hardware_sims.soak.hands import Hands

_ROUND_S = 1.0
_CLEAR_S = 30.0


class Attendant(Hands):
    async def sit_down(self) -> None:
        await self._page.sign_in(self._person.id, self._person.pin)

    async def do_one_thing(self) -> None:
        await self._press_again()
        await asyncio.sleep(_ROUND_S)

    async def clear_up(self) -> None:
        await until("the machine has done all its orders", self._in_the_machine, within_s=_CLEAR_S)

    async def _in_the_machine(self) -> str:
        count = await self._press_again()
        return f"{count} orders" if count else ""

    async def _press_again(self) -> int:
        """How many orders are still in the machine."""
        batches = await self._page.look("/packager")
        for batch in batches:
            stuck = [pouch["code"] for pouch in batch["pouches"] if pouch["state"] == "stuck"]
            for code in [*stuck, *([""] if batch["cause"] else [])]:
                await self._page.press("/packager/again", order=batch["order"], **({"code": code} if code else {}))
        return len(batches)
