"""What the pharmacist does at the station: receive, pre-scan, hand out, scan late, and scan what must be refused."""

from collections import Counter
from collections.abc import Iterable, Sequence

from hardware_sims.catalogue import BY_ID
from hardware_sims.scenarios.errors import UnexpectedAnswerError
from hardware_sims.scenarios.patience import until
from hardware_sims.scenarios.station_page import StationPage, Verdict
from hardware_sims.truth import Box, OrderLine, PhysicsError, Truth

_ORDERS_S = 20.0


class StationWork:
    def __init__(self, page: StationPage, truth: Truth, refused: dict[str, int]) -> None:
        self._page = page
        self._truth = truth
        self._refused = refused

    async def receive(self, note: str, boxes: Sequence[Box]) -> None:
        """Scan every box of a note; the last one puts the note in stock."""
        await self._page.turn_to("receive", note=note)
        for box in boxes[:-1]:
            _expect(await self._page.scan(box.symbol), "progress", box.code)
        _expect(await self._page.scan(boxes[-1].symbol), "done", boxes[-1].code)
        for box in boxes:
            self._truth.deliver(box.code)

    async def prescan(self, boxes: Iterable[Box]) -> None:
        await self._page.turn_to("prescan")
        for box in boxes:
            _expect(await self._page.scan(box.symbol), "done", box.code)
            self._truth.open_box(box.code)

    async def prescan_again(self, box: Box) -> None:
        """After the station died in the middle of this scan: it is registered now, or it was already."""
        await self._page.turn_to("prescan")
        verdict = await self._page.scan(box.symbol)
        if verdict.result != "done" and verdict.reason != "already_opened":
            raise UnexpectedAnswerError(f"{box.code}: {verdict}")
        self._truth.open_box(box.code)

    async def be_refused(self, data: bytes, reason: str) -> None:
        """Scan what must not go through, in the present step."""
        verdict = await self._page.scan(data)
        if verdict.result != "refused" or verdict.reason != reason:
            raise UnexpectedAnswerError(f"{data!r}: expected refusal {reason}, the station says {verdict}")
        self._refused[reason] = self._refused.get(reason, 0) + 1

    async def hand_out(self, orders: Iterable[OrderLine]) -> None:
        """Each order once its codes are locked: units without a scan, boxes by scanning each."""
        for order in orders:
            locked = await self._locked(order)
            if BY_ID[order.product].is_split:
                _expect(await self._page.hand_out(order.id), "done", order.id)
                self._give_units(locked, order.id)
            else:
                await self._page.turn_to("hand_out", order=order.id)
                await self._scan_boxes(locked, order)

    async def choose(self, order: OrderLine, *, step: str) -> None:
        await self._page.turn_to(step, order=order.id)

    async def scan_late(self, order: OrderLine, box: Box) -> None:
        """The order waits because nothing was pre-scanned: the box is opened for it now."""
        await self._page.turn_to("late_scan", order=order.id)
        _expect(await self._page.scan(box.symbol), "done", box.code)
        self._truth.open_box(box.code)
        self._truth.give_units(box.code, order.id, order.quantity)

    async def _scan_boxes(self, locked: list[str], order: OrderLine) -> None:
        for number, code in enumerate(locked, start=1):
            result = "done" if number == len(locked) else "progress"
            _expect(await self._page.scan(self._truth.boxes[code].symbol), result, code)
        for code in locked:
            self._truth.give_box(code, order.id)

    async def _locked(self, order: OrderLine) -> list[str]:
        """Codes locked for the order, as many as were ordered; they may still be on their way to the station."""
        found: list[str] = []

        async def look() -> str:
            found[:] = await self._page.locked(order.id)
            return "" if len(found) == order.quantity else f"{len(found)} of {order.quantity} codes locked"

        await until(f"the station has the codes of order {order.id}", look, within_s=_ORDERS_S)
        return found

    def _give_units(self, codes: list[str], order: str) -> None:
        for box, quantity in Counter(code.partition("#")[0] for code in codes).items():
            if not box:
                raise PhysicsError(f"order {order}: the station shows a code without a box")
            self._truth.give_units(box, order, quantity)


def _expect(verdict: Verdict, result: str, about: str) -> None:
    if verdict.result != result:
        raise UnexpectedAnswerError(f"{about}: expected {result}, the station says {verdict}")
