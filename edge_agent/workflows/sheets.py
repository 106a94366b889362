"""Sheets of paper (手工应急单): printed for a long outage, written on by hand, and scanned back afterwards (A22).

A line that is scanned back becomes an ordinary fact of what happened: with the moment, the person and the second person
that are written there, marked with sheet and line. It has happened, so nothing is refused for good. What does not fit
is said once, so that a misreading is noticed; recorded all the same it is on central's work list.
"""

import asyncio
from enum import StrEnum

import msgspec

from edge_agent.notify import Change
from edge_agent.store.sheets import KeptSheet
from edge_agent.workflows.bench import Act, Bench
from edge_agent.workflows.orders import Orders
from edge_agent.workflows.sheet_line import OpenLine, Scanned, Written
from edge_agent.workflows.taking_in import TakingIn
from edge_agent.workflows.verdicts import Refuse, Result, Step, StepReason, Verdict
from sync_protocol.codes import Code
from sync_protocol.documents import OPEN_ORDERS, Person, Product, Route
from sync_protocol.facts import Fact
from sync_protocol.items import Item
from sync_protocol.sheets import BLANK_LINES, MAX_LINES, Mark, Sheet, SheetLine, blank_lines

SHEETS_SHOWN = 60
SCANNED_AT_MOST = 200
"""Lines that are being scanned back at a time."""


class Why(StrEnum):
    """What became of lines that nobody scans back."""

    NOT_USED = "not_used"
    AT_THE_SCREEN = "at_the_screen"
    """What is written there was recorded at the screen as well."""
    COPIED = "copied"
    """It was written on another sheet."""


class Sheets:
    """The seat's choice is the sheet, its pick the line."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._held = bench.recorder.sheets
        self._queues = [Orders(bench, route=route) for route in Route]
        self._taking_in = TakingIn(bench)
        self._scanned: dict[tuple[str, int], Scanned] = {}
        self._last: dict[str, Written] = {}
        self._one_at_a_time = asyncio.Lock()

    def open_orders(self) -> int:
        """How many a sheet of them would have now."""
        return min(MAX_LINES, sum(len(queue.queue()) for queue in self._queues))

    def print_orders(self, person: Person) -> Sheet:
        """A sheet of the orders that wait here. Raises Refuse if there is none, StoreError."""
        tickets = [ticket for queue in self._queues for ticket in queue.queue()][:MAX_LINES]
        if not tickets:
            raise Refuse(StepReason.NOTHING_TO_PRINT)
        return self._print(
            person,
            tuple(
                SheetLine(number=number, order=ticket.order, product=ticket.product, items=ticket.locked)
                for number, ticket in enumerate(tickets, 1)
            ),
        )

    def print_blank(self, person: Person) -> Sheet:
        """A sheet of numbered lines. Raises StoreError."""
        return self._print(person, blank_lines(BLANK_LINES))

    def outstanding(self) -> list[KeptSheet]:
        """Sheets that are not wholly scanned back, the oldest first."""
        return self._held.outstanding(SHEETS_SHOWN)

    @property
    def count(self) -> int:
        """How many those are."""
        return self._held.count

    def find(self, sheet_id: str) -> KeptSheet | None:
        return self._held.find(sheet_id)

    def facts(self, sheet_id: str) -> dict[int, Fact]:
        """What its lines became, by number."""
        return dict(self._held.facts(sheet_id))

    def last(self, sheet_id: str) -> Written | None:
        """What was read off its line before: the next one is mostly of the same day and hands."""
        return self._last.get(sheet_id)

    def turn(self, mark: Mark) -> Verdict:
        """Answer the scan of a symbol on paper; a sheet that this place does not know is known from then on."""
        kept = self._held.find(mark.sheet)
        if kept is None:
            moment = self._bench.recorder.moment()
            self._held.add(Sheet.known_by(mark), now_us=moment.wall_us)
            kept = self._kept(mark.sheet)
        if mark.line > len(kept.sheet.lines):
            raise Refuse(StepReason.SHEET_GONE, found=mark.text)
        if mark.line in kept.done:
            return self._verdict(kept, Result.REPEAT, mark.line)
        if mark.line and mark.order:
            self._open(mark.sheet, mark.line).order = mark.order
        return self._verdict(kept, Result.PROGRESS, mark.line)

    def line(self, sheet_id: str, number: str) -> OpenLine | None:
        """None: there is no such line, or it is done."""
        kept = self._held.find(sheet_id)
        line = _line_of(kept, number)
        if kept is None or line is None or line.number in kept.done:
            return None
        stock, scanned = self._bench.stock, self._open(sheet_id, line.number)
        ordered = scanned.order or (line.order.id if line.order else "")
        order = (stock.order(ordered) or line.order) if ordered else None
        product = (stock.product(order.product) if order else None) or line.product
        items = stock.items([*scanned.codes, *scanned.boxes]).values()
        return OpenLine(
            sheet=kept,
            line=line,
            order_id=ordered,
            order=order,
            product=product,
            is_open=not ordered or (order is not None and order.state in OPEN_ORDERS),
            scanned=scanned,
            needs_witness=(product is not None and product.is_controlled) or any(item.is_controlled for item in items),
        )

    def scan(self, sheet_id: str, number: str, code: Code) -> Verdict:
        """Note the code of a package on a line. Raises Refuse."""
        if not sheet_id or not number:
            raise Refuse(StepReason.NO_LINE_CHOSEN)
        opened = self._line(sheet_id, number)
        if code.is_class:
            raise Refuse(StepReason.NAMES_NO_ITEM, found=code.key)
        scanned, item = opened.scanned, self._bench.stock.item(code.key)
        is_new = scanned.add(code.key, item)
        verdict = self._verdict(opened.sheet, Result.PROGRESS if is_new else Result.REPEAT, opened.line.number)
        return verdict.on(code.key).about(item, self._product(item))

    def begin_anew(self, sheet_id: str, number: str) -> None:
        """Forget what was scanned for a line; nothing of it was recorded."""
        line = _line_of(self._held.find(sheet_id), number)
        if line is not None:
            self._scanned.pop((sheet_id, line.number), None)

    async def record(self, sheet_id: str, number: str, written: Written, act: Act) -> Verdict:
        """Take a line in, once. Raises Refuse, StoreError."""
        async with self._one_at_a_time:
            kept = self._kept(sheet_id)
            line = _line_of(kept, number)
            if line is not None and line.number in kept.done:
                return self._verdict(kept, Result.REPEAT, line.number)
            opened = self._line(sheet_id, number)
            opened.scanned.written = written
            facts = await self._taking_in.facts(opened, written, act)
            recorded = await self._bench.recorder.observe(*facts)
            self._scanned.pop((sheet_id, opened.line.number), None)
            self._last[sheet_id] = written
            kept = self._kept(sheet_id)
            if not kept.open:
                self._held.close(sheet_id, by=act.operator, at_us=self._now_us(), why="")
        self._bench.notifier.publish(Change.ORDERS, Change.STOCK)
        verdict = self._verdict(kept, Result.DONE, opened.line.number)
        item = self._bench.stock.item(facts[-1].codes[0])
        return msgspec.structs.replace(
            verdict,
            units=len(facts[-1].codes),
            misfits=len(recorded.refusals),
            order=facts[-1].order,
        ).about(item, self._product(item) or opened.product)

    async def close(self, sheet_id: str, why: Why, act: Act) -> Verdict:
        """Say what became of the lines that are open. Raises Refuse, StoreError."""
        kept = self._kept(sheet_id)
        self._held.close(sheet_id, by=act.operator, at_us=self._now_us(), why=why)
        self._bench.notifier.publish(Change.ORDERS)
        return self._verdict(kept, Result.TOLD, 0)

    def _print(self, person: Person, lines: tuple[SheetLine, ...]) -> Sheet:
        moment, stock = self._bench.recorder.moment(), self._bench.stock
        age_s = stock.age_s
        sheet = Sheet(
            id=self._held.fresh_id(moment.wall_us),
            lines=lines,
            place=self._bench.location,
            device=self._bench.recorder.device,
            printed_us=moment.corrected_us,
            printed_by=person.name,
            version=stock.version,
            as_of_us=0 if age_s is None else moment.corrected_us - int(age_s * 1e6),
        )
        self._held.add(sheet, now_us=moment.wall_us)
        self._bench.notifier.publish(Change.ORDERS)
        return sheet

    def _kept(self, sheet_id: str) -> KeptSheet:
        kept = self._held.find(sheet_id)
        if kept is None:
            raise Refuse(StepReason.SHEET_GONE, found=sheet_id)
        return kept

    def _line(self, sheet_id: str, number: str) -> OpenLine:
        opened = self.line(sheet_id, number)
        if opened is None:
            raise Refuse(StepReason.SHEET_GONE, found=f"{sheet_id} {number}")
        return opened

    def _open(self, sheet_id: str, number: int) -> Scanned:
        if (sheet_id, number) not in self._scanned and len(self._scanned) >= SCANNED_AT_MOST:
            self._scanned.pop(next(iter(self._scanned)))
        return self._scanned.setdefault((sheet_id, number), Scanned())

    def _product(self, item: Item | None) -> Product | None:
        return self._bench.stock.product(item.product) if item is not None else None

    def _now_us(self) -> int:
        return self._bench.recorder.moment().wall_us

    def _verdict(self, kept: KeptSheet, result: Result, line: int) -> Verdict:
        return Verdict(
            result=result,
            step=Step.SHEETS,
            document=kept.sheet.id,
            asks=str(line) if line else "",
            done=len(kept.done),
            total=len(kept.sheet.lines),
        )


def _line_of(kept: KeptSheet | None, number: str) -> SheetLine | None:
    is_number = number.isascii() and number.isdigit() and len(number) <= len(str(MAX_LINES))
    if kept is None or not is_number or not 1 <= int(number) <= len(kept.sheet.lines):
        return None
    return kept.sheet.lines[int(number) - 1]
