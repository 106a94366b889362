"""What a line of paper comes to: when it was, which codes, which facts, and what of it does not fit (A22)."""

import datetime as dt

import msgspec

from edge_agent.workflows.bench import Act, Bench
from edge_agent.workflows.choosing import Choosing
from edge_agent.workflows.sheet_line import OpenLine, Written
from edge_agent.workflows.verdicts import Refuse, StepReason
from sync_protocol.documents import OPEN_ORDERS, Order, Product
from sync_protocol.facts import MAX_CODES, Fact, How, Moment, Paper, What, is_coded, no_codes
from sync_protocol.items import Kind, State
from sync_protocol.lifecycle import fold
from sync_protocol.recalls import NO_RECALLS
from sync_protocol.subcode import sub_codes

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MINUTE_US = 60_000_000


class _Meant(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a line is for: an order, or a ward that gets it before its order comes."""

    order_id: str
    order: Order | None
    product: Product | None
    ward: str

    @property
    def is_open(self) -> bool:
        return self.order is not None and self.order.state in OPEN_ORDERS


class TakingIn:
    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._choosing = Choosing(bench)

    async def facts(self, opened: OpenLine, written: Written, act: Act) -> list[Fact]:
        """What is recorded of a line; the last of them is what left. Raises Refuse for what cannot be meant so.

        Also, until ``is_sure``, for what does not fit.
        """
        moment = self._moment(written, printed_us=opened.sheet.sheet.printed_us)
        if not 1 <= written.quantity <= MAX_CODES:
            raise Refuse(StepReason.WRONG_QUANTITY, found=str(written.quantity), expected=f"1 – {MAX_CODES}")
        meant = self._meant(opened, written)
        if meant.order_id:
            facts = await self._handed_out(opened, meant, written)
        else:
            facts = [self._fact(What.LENT, self._lent(opened, written), written, location=meant.ward)]
        now_us = self._bench.recorder.moment().wall_us
        paper = Paper(sheet=opened.sheet.sheet.id, line=opened.line.number, by=act.operator, at_us=now_us)
        known_then = opened.sheet.sheet.version or self._bench.stock.version
        facts = [
            msgspec.structs.replace(fact, at=moment, source=act.source, paper=paper, checked_at=known_then)
            for fact in facts
        ]
        if not written.is_sure:
            opened.scanned.is_doubted = True
            self._refuse_doubtful(meant, written, facts)
        return facts

    def _moment(self, written: Written, *, printed_us: int) -> Moment:
        """When it happened, by what is written: true time, as far as a person at a wall clock can tell."""
        now = self._bench.recorder.moment()
        said = f"{written.day} {written.time}".strip()
        try:
            civil = dt.datetime.fromisoformat(said).replace(tzinfo=dt.UTC)
        except ValueError as error:
            raise Refuse(StepReason.TIME_WRONG, found=said) from error
        us = (civil - _EPOCH) // dt.timedelta(microseconds=1) - now.zone_min * _MINUTE_US
        # A minute is all that is written: what happened in the one of the printing was not before it.
        if not written.time or not printed_us - _MINUTE_US < us <= now.corrected_us:
            raise Refuse(StepReason.TIME_WRONG, found=said)
        return msgspec.structs.replace(now, wall_us=us - (now.offset_us or 0))

    def _meant(self, opened: OpenLine, written: Written) -> _Meant:
        order_id, stock = opened.order_id or written.order, self._bench.stock
        if not order_id and not written.ward:
            raise Refuse(StepReason.NO_WARD_CHOSEN)
        order = stock.order(order_id) or opened.order if order_id else None
        if order is not None:
            product = stock.product(order.product)
        else:
            items = stock.items(opened.scanned.codes).values()
            product = next((stock.product(item.product) for item in items), None)
        return _Meant(order_id=order_id, order=order, product=product, ward="" if order_id else written.ward)

    async def _handed_out(self, opened: OpenLine, meant: _Meant, written: Written) -> list[Fact]:
        """Boxes that were opened for it, and what the order got."""
        codes, product, facts = list(opened.scanned.codes), meant.product, []
        if product is not None and product.is_split:
            closed = self._closed(codes, product)
            facts = [
                self._fact(What.PRESCANNED, (code,), written, product=product.id, units=product.units)
                for code in closed
            ]
            named = [code for code in codes if code not in closed]
            made = [unit for code in closed for unit in sub_codes(code, product.units)]
            of_boxes = self._loose(opened) + made
            codes = await self._units(
                opened, meant, product, [*named, *of_boxes][: max(written.quantity, len(named))], written.quantity
            )
        codes += no_codes(self._line(opened), written.quantity - len(codes))
        name = product.id if product is not None else ""
        return [*facts, self._fact(What.DISPENSED, tuple(codes), written, order=meant.order_id, product=name)]

    def _closed(self, codes: list[str], product: Product) -> list[str]:
        """Boxes of a split drug that nobody had opened by a scan."""
        items = self._bench.stock.items(codes)
        return [
            code
            for code, item in items.items()
            if item.kind is Kind.BOX and item.state is State.IN_STOCK and item.product == product.id
        ]

    async def _units(
        self, opened: OpenLine, meant: _Meant, product: Product, found: list[str], quantity: int
    ) -> list[str]:
        """What was found and, as far as that is too little, what is locked to the order, printed, or free."""
        printed = [item.code for item in opened.line.items if item.kind is Kind.UNIT]
        if meant.is_open:
            known = self._bench.stock.items(printed)
            printed = [code for code in printed if code in known and known[code].state is State.IN_STOCK]
        # Of an order that is done, what was meant for it is the best guess; it is looked into.
        likely = dict.fromkeys([*found, *self._choosing.planned(meant.order_id, product), *printed])
        codes = list(likely)[: max(quantity, len(found))]
        if meant.is_open and len(codes) < quantity:
            codes += await self._choosing.free(product, quantity - len(codes), without=likely)
        return codes

    def _loose(self, opened: OpenLine) -> list[str]:
        """Units of the opened boxes that were scanned: those locked to the order first, then the free ones."""
        stock = self._bench.stock
        boxes = stock.items(opened.scanned.boxes).values()
        units = stock.items([code for box in boxes for code in sub_codes(box.code, box.units)])
        order_id = opened.order_id
        locked = [code for code, item in units.items() if item.state is State.LOCKED and order_id == item.order]
        return locked + [code for code, item in units.items() if item.state is State.IN_STOCK]

    def _lent(self, opened: OpenLine, written: Written) -> tuple[str, ...]:
        named = list(opened.scanned.codes)
        codes = list(dict.fromkeys([*named, *self._loose(opened)]))[: max(written.quantity, len(named))]
        return (*codes, *no_codes(self._line(opened), written.quantity - len(codes)))

    def _fact(
        self,
        what: What,
        codes: tuple[str, ...],
        written: Written,
        *,
        location: str = "",
        order: str = "",
        product: str = "",
        units: int = 0,
    ) -> Fact:
        act = Act(operator=written.operator, witness=written.witness, source="")
        return self._bench.fact(
            what, codes, act, how=How.LATE_SCAN, location=location, order=order, product=product, units=units
        )

    def _refuse_doubtful(self, meant: _Meant, written: Written, facts: list[Fact]) -> None:
        """What may be misread is said once. Raises Refuse."""
        stock = self._bench.stock
        for number in (written.operator, written.witness):
            if number and stock.person(number) is None:
                raise Refuse(StepReason.UNKNOWN_PERSON, found=number)
        if meant.order_id and not meant.is_open:
            raise Refuse(StepReason.ORDER_GONE, found=meant.order_id)
        if meant.order is not None and len(facts[-1].codes) > meant.order.quantity:
            raise Refuse(
                StepReason.WRONG_QUANTITY, found=str(len(facts[-1].codes)), expected=f"1 – {meant.order.quantity}"
            )
        known = stock.items({code for fact in facts for code in fact.codes})
        for fact in facts:
            outcome = fold(fact, known, self._bench.recorder.recalls.in_force or NO_RECALLS)
            known |= {item.code: item for item in outcome.items}
            for refusal in outcome.refusals:
                if not is_coded(refusal.code):
                    raise Refuse(StepReason.CODES_MISSING)
                raise Refuse.by_lifecycle(refusal)

    def _line(self, opened: OpenLine) -> str:
        return f"{opened.sheet.sheet.id}:{opened.line.number}"
