"""The station as the pharmacist has it before her: its screen with the attached scanner, or a PDA."""

from abc import ABC, abstractmethod
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


class StationPage(Page, ABC):
    """A seat at the station; how its codes are scanned is the seat's own."""

    @abstractmethod
    async def scan(self, symbol: bytes) -> Verdict:
        """Scan and wait for the verdict."""

    async def turn_to(self, step: str, *, note: str = "", order: str = "") -> None:
        """Choose the step and what it is about. Raises UnexpectedAnswerError if the page does not."""
        fields = {"step": step} | ({"note": note} if note else {}) | ({"order": order} if order else {})
        answer = await self.press("/step", **fields)
        if answer.get("step") != step:
            raise UnexpectedAnswerError(f"step {fields}: the station says {answer}")

    async def hand_out(self, order: str) -> Verdict:
        return _verdict(await self.press("/hand-out", order=order))

    async def locked(self, order: str) -> list[str]:
        """Codes that the queue shows as locked for the order."""
        for ticket in await self.look("/orders"):
            if ticket["order"] == order:
                return list(ticket["locked"])
        return []


class ScannerSeat(StationPage):
    """The station's own screen, with the scanner that is attached to it."""

    def __init__(self, url: str, scanner: SimScanner) -> None:
        super().__init__(url)
        self._scanner = scanner

    async def send(self, symbol: bytes) -> None:
        """Pull the trigger and do not look at the screen."""
        await self._scanner.scan(symbol, symbology="gs1-datamatrix" if _GS in symbol else "code128")

    async def scan(self, symbol: bytes) -> Verdict:
        before = await self._last_number()
        await self.send(symbol)
        found: list[Verdict] = []

        async def look() -> str:
            found[:] = [verdict for verdict in await self._verdicts() if verdict.number > before]
            return "" if found else "no verdict"

        await until(f"the station answers the scan {symbol!r}", look, within_s=_VERDICT_S)
        return found[-1]

    async def _last_number(self) -> int:
        return max((verdict.number for verdict in await self._verdicts()), default=0)

    async def _verdicts(self) -> list[Verdict]:
        return [_verdict(verdict) for verdict in await self.look("/verdicts")]


class PdaSeat(StationPage):
    """A handheld with a seat of its own: it leaves the station's screen to whoever sits there."""

    async def sign_in(self, person: str, pin: str) -> None:
        await self.press("/sign-in", person=person, pin=pin, seat="pda")

    async def scan(self, symbol: bytes) -> Verdict:
        return _verdict(await self.press("/scan", code=symbol.decode("ascii")))


def _verdict(answer: Any) -> Verdict:
    return msgspec.convert(answer, Verdict)
