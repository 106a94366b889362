"""The station's page and its attached scanner, as the pharmacist has them before her."""

from typing import Any

import msgspec

from hardware_sims.devices.scanner import SimScanner
from hardware_sims.scenarios.errors import UnexpectedAnswerError
from hardware_sims.scenarios.page import Page
from hardware_sims.scenarios.patience import until

_GS = b"\x1d"
_VERDICT_S = 10.0


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the screen says of one scan or press; ``number`` counts them."""

    result: str
    number: int
    code: str
    reason: str
    found: str = ""
    expected: str = ""
    order: str = ""


class StationPage(Page):
    def __init__(self, url: str, scanner: SimScanner) -> None:
        super().__init__(url)
        self._scanner = scanner

    async def turn_to(self, step: str, *, note: str = "", order: str = "") -> None:
        """Choose the step and what it is about. Raises UnexpectedAnswerError if the page does not."""
        fields = {"step": step} | ({"note": note} if note else {}) | ({"order": order} if order else {})
        answer = await self.press("/step", **fields)
        if answer.get("step") != step:
            raise UnexpectedAnswerError(f"step {fields}: the station says {answer}")

    async def send(self, symbol: bytes) -> None:
        """Pull the trigger and do not look at the screen."""
        await self._scanner.scan(symbol, symbology="gs1-datamatrix" if _GS in symbol else "code128")

    async def scan(self, symbol: bytes) -> Verdict:
        """Pull the trigger and wait for the verdict."""
        before = await self._last_number()
        await self.send(symbol)
        found: list[Verdict] = []

        async def look() -> str:
            found[:] = [verdict for verdict in await self._verdicts() if verdict.number > before]
            return "" if found else "no verdict"

        await until(f"the station answers the scan {symbol!r}", look, within_s=_VERDICT_S)
        return found[-1]

    async def hand_out(self, order: str) -> Verdict:
        return _verdict(await self.press("/hand-out", order=order))

    async def locked(self, order: str) -> list[str]:
        """Codes that the queue shows as locked for the order."""
        for ticket in await self.look("/orders"):
            if ticket["order"] == order:
                return list(ticket["locked"])
        return []

    async def _last_number(self) -> int:
        return max((verdict.number for verdict in await self._verdicts()), default=0)

    async def _verdicts(self) -> list[Verdict]:
        return [_verdict(verdict) for verdict in await self.look("/verdicts")]


def _verdict(answer: Any) -> Verdict:
    return msgspec.convert(answer, Verdict)
