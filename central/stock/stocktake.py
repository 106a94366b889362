"""Stocktakes (盘点, A18): book, object and code. A sheet names what is to be counted; workplaces count, blind.

A line is posted only when object and code agree: where they do not, somebody else counts it again. Which codes are
missing and which are too much is what the count and the book of its moment differ in; two people post it with a reason.
What is missing goes out for good. What is too much comes back to where it lies by the step that nobody recorded, where
there is one; the rest stays named until a person has settled it.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from enum import StrEnum

import msgspec

from central.errors import ConflictError, InvalidError, NotFoundError
from central.ledger.transaction import Transaction
from central.ledger.write import Ledger
from central.stock import stocktake_rows
from central.stock.counts import Held, hold_counts, lies_at
from central.stock.masterdata import find_products
from central.stock.people import require_two
from central.stock.stocktake_rows import LINES_AT_MOST, HandCount, Line, Sheet
from sync_protocol.documents import CountLine, CountSheet
from sync_protocol.facts import MAX_CODES, Fact, How, What
from sync_protocol.items import Item, Kind, State

_CLOCKS_US = 60_000_000
"""A count so little before its sheet was opened may be of it: clocks of workplaces are known to that."""


class LineState(StrEnum):
    WAITING = "waiting"
    """Nobody has counted it yet."""
    RECOUNT = "recount"
    """Objects and codes disagreed: somebody who has not counted it counts it."""
    AGREED = "agreed"
    POSTED = "posted"


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """``location`` empty: every place; ``products`` empty: every product. Not both."""

    location: str
    products: tuple[str, ...]
    person: str


class Posting(msgspec.Struct, frozen=True, kw_only=True):
    sheet: int
    operator: str
    witness: str
    reason: str


# The step that nobody recorded, by the state in which the book has what lies here.
REMEDIES = {
    State.IN_STOCK: (What.TRANSFERRED_OUT, What.TRANSFERRED_IN),
    State.IN_TRANSIT: (What.TRANSFERRED_IN,),
    State.LENT: (What.GIVEN_BACK,),
    State.TAKEN: (What.PUT_BACK,),
    State.AWAITING_PUT_BACK: (What.PUT_BACK,),
}


class Stocktakes:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def open(self, opening: Opening) -> int:
        """A new sheet, with a line for all that the book has there. Raises InvalidError, ConflictError, BusyError."""
        return self._ledger.commit(lambda transaction: _open(transaction, opening))

    async def post(self, posting: Posting) -> int:
        """Post every line that agrees; how many. The sheet is closed with its last line.

        Raises InvalidError, NotFoundError, ConflictError, BusyError: then nothing was posted.
        """
        return self._ledger.commit(lambda transaction: _post(transaction, posting))

    async def close(self, posting: Posting) -> None:
        """End the sheet: what is not posted stays as the book has it. As ``post``."""
        self._ledger.commit(lambda transaction: _close(transaction, posting))


def settle_stocktakes(transaction: Transaction) -> None:
    """Consequence: a count by hand belongs to the open sheet that is about its place and product."""
    if not any(folded.fact.is_hand_count for folded in transaction.of(What.COUNTED)):
        return
    sheets = stocktake_rows.open_sheets(transaction)
    counts = [held for held in hold_counts(transaction) if held.count.kind is not None] if sheets else []
    for sheet in sheets:
        mine = [held for held in counts if sheet.is_about(held.count.location, held.count.product)]
        mine = [held for held in mine if held.count.at_us >= sheet.opened_us - _CLOCKS_US]
        for held in mine:
            _take(transaction, sheet, _hand_count(sheet, held))
        if mine:
            _tell(transaction, sheet)


def standing(counts: Iterable[HandCount]) -> tuple[LineState, HandCount | None, frozenset[int]]:
    """How far a line is by its counts, on which of them it rests, and which do not count.

    Blind: once a count disagreed, only somebody who has not counted the line before is heard.
    """
    state, current, counted, unheard = LineState.WAITING, None, set(), set()
    for count in counts:
        if state is LineState.RECOUNT and count.operator in counted:
            unheard.add(count.position)
            continue
        counted.add(count.operator)
        state, current = LineState.AGREED if count.is_agreed else LineState.RECOUNT, count
    return state, current, frozenset(unheard)


def _hand_count(sheet: Sheet, held: Held) -> HandCount:
    count = held.count
    assert count.kind is not None, "asked for before"
    return HandCount(
        position=count.position,
        sheet=sheet.id,
        location=count.location,
        product=count.product,
        kind=str(count.kind),
        operator=count.operator,
        device=count.device,
        at_us=count.at_us,
        objects=count.objects or 0,
        scanned=len(count.codes),
        book=held.book,
        missing=held.missing,
        surplus=held.surplus,
    )


def _take(transaction: Transaction, sheet: Sheet, count: HandCount) -> None:
    line = stocktake_rows.line_at(transaction, sheet.id, count.key)
    if line is None and not (count.objects or count.scanned or count.book):
        return  # a product that is not there, and that nobody expected there
    line = line or _line(sheet.id, count.key)
    if line.state == LineState.POSTED:
        return
    stocktake_rows.add_count(transaction, count)
    state, current, _ = standing(stocktake_rows.counts_at(transaction, sheet.id, count.key))
    assert current is not None, "there is a count"
    line = msgspec.structs.replace(line, state=str(state), position=current.position)
    stocktake_rows.write_lines(transaction, [line])


def _tell(transaction: Transaction, sheet: Sheet, *, is_open: bool = True) -> None:
    """Let the workplaces know what of the sheet is still to be counted, and by whom not; nothing of what was found."""
    people = stocktake_rows.counted_by(transaction, sheet.id)
    lines = tuple(
        CountLine(
            location=line.location,
            product=line.product,
            kind=Kind(line.kind),
            counted_by=tuple(sorted(people.get(line.key, ()))),
        )
        for line in stocktake_rows.lines_of(transaction, sheet.id).values()
        if is_open and line.state in {LineState.WAITING, LineState.RECOUNT}
    )
    transaction.put(CountSheet(id=sheet.number, is_open=is_open, lines=lines))


def _line(sheet: int, key: stocktake_rows.Key) -> Line:
    location, product, kind = key
    return Line(sheet=sheet, location=location, product=product, kind=kind, state=LineState.WAITING)


def _open(transaction: Transaction, opening: Opening) -> int:
    location, products = opening.location, tuple(sorted(set(opening.products)))
    if not location and not products:
        raise InvalidError("location", "nothing", "a place, products, or both")
    known = {product.id for product in find_products(transaction, list(products))}
    for product in products:
        if product not in known:
            raise InvalidError("product", product, "a product of the catalogue")
    for sheet in stocktake_rows.open_sheets(transaction):
        if sheet.overlaps(location, products):
            raise ConflictError("location", sheet.number, "no open sheet about the same", "post or close it first")
    keys = stocktake_rows.kept(transaction, location, products)
    if not keys:
        raise InvalidError("location", location or ", ".join(products), "a place where the book has something")
    if len(keys) > LINES_AT_MOST:
        raise InvalidError("products", f"{len(keys)} lines", f"at most {LINES_AT_MOST} lines", "open several sheets")
    key = stocktake_rows.add_sheet(transaction, location=location, products=products, person=opening.person)
    stocktake_rows.write_lines(transaction, [_line(key, each) for each in keys])
    opened = stocktake_rows.find_sheet(transaction, key)
    assert opened is not None, "it was just opened"
    _tell(transaction, opened)
    return key


def _open_sheet(transaction: Transaction, posting: Posting) -> Sheet:
    require_two(transaction, posting.operator, posting.witness)
    sheet = stocktake_rows.find_sheet(transaction, posting.sheet)
    if sheet is None:
        raise NotFoundError("id", stocktake_rows.number_of(posting.sheet), "a stocktake sheet")
    if sheet.closed_us:
        raise ConflictError("id", sheet.number, "an open sheet", "somebody was quicker: look again")
    if not posting.reason:
        raise InvalidError("reason", "nothing", "why", "whoever looks at it later must understand it")
    return sheet


def _close(transaction: Transaction, posting: Posting) -> None:
    sheet = _open_sheet(transaction, posting)
    stocktake_rows.close_sheet(
        transaction, sheet.id, person=posting.operator, witness=posting.witness, reason=posting.reason
    )
    _tell(transaction, sheet, is_open=False)


def _post(transaction: Transaction, posting: Posting) -> int:
    sheet = _open_sheet(transaction, posting)
    lines = stocktake_rows.lines_of(transaction, sheet.id)
    agreed = [line for line in lines.values() if line.state == LineState.AGREED]
    if not agreed:
        raise ConflictError("id", sheet.number, "a line in which object and code agree", "have it counted first")
    counts = {count.position: count for count in stocktake_rows.counts_of(transaction, sheet.id)}
    for line in agreed:
        _post_line(transaction, sheet, counts[line.position], posting)
    posted = {
        "state": str(LineState.POSTED),
        "posted_by": posting.operator,
        "witness": posting.witness,
        "reason": posting.reason,
        "posted_us": transaction.now_us,
    }
    stocktake_rows.write_lines(transaction, [msgspec.structs.replace(line, **posted) for line in agreed])
    if all(line.state in {LineState.AGREED, LineState.POSTED} for line in lines.values()):
        _close(transaction, posting)
    return len(agreed)


def remedies(item: Item, location: str) -> tuple[What, ...]:
    """The steps that bring an item that is too much into the book of its place; none: a person must settle it."""
    return () if lies_at(item, location) else REMEDIES.get(item.state, ())


def _differences(transaction: Transaction, count: HandCount) -> Iterator[tuple[What, list[str]]]:
    """Steps, each with its codes. What the book has elsewhere since the count is left as it is."""
    transaction.load([*count.missing, *count.surplus])
    yield What.WRITTEN_OFF, [code for code in count.missing if lies_at(transaction.stock[code], count.location)]
    by_state: dict[State, list[str]] = defaultdict(list)
    for code in count.surplus:
        item = transaction.stock.get(code)
        if item is not None and item.product == count.product and remedies(item, count.location):
            by_state[item.state].append(code)
    for state, codes in by_state.items():
        yield from ((what, codes) for what in REMEDIES[state])


def _post_line(transaction: Transaction, sheet: Sheet, count: HandCount, posting: Posting) -> None:
    for what, codes in list(_differences(transaction, count)):
        for start in range(0, len(codes), MAX_CODES):
            fact = Fact(
                what=what,
                codes=tuple(codes[start : start + MAX_CODES]),
                at=transaction.moment(),
                operator=posting.operator,
                witness=posting.witness,
                location=count.location,
                document=sheet.number,
                how=How.CONSOLE,
                product=count.product,
                reason=posting.reason,
            )
            for refusal in transaction.record(fact).outcome.refusals[:1]:
                found = f"{refusal.code}: {refusal.reason}, {refusal.found}"
                raise ConflictError(
                    "codes", found, refusal.expected, "settle this code first, or have it counted again"
                )
