"""A stocktake at a place (盘点): every code is scanned, every object counted by hand, and both go to central.

Where central has opened a sheet, its lines are what is to be counted, and who has counted a line before is not asked
again; without one a place is counted all the same. Blind: what the books say is never shown here, nor what anybody else
has counted; only names, so that a product of which nothing is left is counted, too. The objects are asked for when the
scans are out of sight. Nothing is judged here: central holds book, object and code against each other, whenever it
hears of them.
"""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from edge_agent.notify import Change
from edge_agent.workflows.bench import Act, Bench
from edge_agent.workflows.picking import Pick
from edge_agent.workflows.verdicts import Refuse, Result, Step, StepReason, Verdict
from sync_protocol.codes import Code, CodeForm
from sync_protocol.documents import CountLine, CountSheet, Product
from sync_protocol.facts import MAX_CODES, MAX_UNITS, Fact, What
from sync_protocol.items import Item, Kind, State
from sync_protocol.subcode import sub_codes

OBJECTS = "objects"
"""The pick of a desk whose person says how many objects there are."""
COUNTS_AT_MOST = 50
_HERE = (State.IN_STOCK, State.LOCKED, State.FROZEN)
_LIKELY = (State.IN_STOCK, State.LOCKED, State.FROZEN, State.LENT)


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One product in one form: closed boxes and the loose units of opened ones are counted apart."""

    place: str
    product: Product
    kind: Kind
    scanned: int
    sheet: str
    """The stocktake that asks for it; empty: none does."""

    @property
    def key(self) -> str:
        return f"{self.kind}:{self.product.id}"


class Spot(msgspec.Struct, frozen=True, kw_only=True):
    """A place that may be counted. ``lines``: of open sheets, for this person; ``again``: of these, counted before."""

    place: str
    sheets: tuple[str, ...] = ()
    lines: int = 0
    again: int = 0


class Tally:
    """What one person has scanned at one place; nothing of it is recorded. ``loose``: units by their opened box."""

    def __init__(self) -> None:
        self.codes: dict[tuple[str, Kind], dict[str, None]] = {}
        self.loose: dict[str, tuple[str, ...]] = {}

    def add(self, product: str, kind: Kind, code: str) -> bool:
        """Whether it was not there yet."""
        codes = self.codes.setdefault((product, kind), {})
        is_new = code not in codes
        codes[code] = None
        return is_new

    def put_loose(self, product: str, box: str, units: tuple[str, ...]) -> None:
        """So many units of an opened box; said again, it takes the place of what was said before."""
        codes = self.codes.setdefault((product, Kind.UNIT), {})
        for code in self.loose.get(box, ()):
            codes.pop(code, None)
        self.loose[box] = units
        codes.update(dict.fromkeys(units))


class Count:
    """The seat's choice is the place. Counts are apart for each person: a second one must not see the first."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._tallies: dict[tuple[str, str], Tally] = {}

    def spots(self, person: str) -> list[Spot]:
        """Places that a sheet is open for first, then this place, then every other one by name."""
        here, sheets = self._bench.location, self._bench.stock.sheets()
        places = {here, *self._bench.stock.places(), *(line.location for sheet in sheets for line in sheet.lines)}
        spots = [_spot(place, sheets, person) for place in places]
        return sorted(spots, key=lambda spot: (not spot.lines, spot.place != here, spot.place))

    def lines(self, person: str, place: str) -> list[Line]:
        """What was scanned, and what else is to be counted or may be there, by name."""
        tally = self._tallies.get((person, place)) or Tally()
        wanted, found = self._wanted(person, place), []
        for product_id, kind in wanted.keys() | tally.codes.keys():
            product = self._bench.stock.product(product_id)
            if product is not None:
                scanned, sheet = len(tally.codes.get((product_id, kind), ())), wanted.get((product_id, kind), "")
                found.append(Line(place=place, product=product, kind=kind, scanned=scanned, sheet=sheet))
        return sorted(found, key=lambda line: (line.product.name, line.product.id, line.kind))

    def others(self, person: str, place: str) -> int:
        """Lines there that somebody else has to count."""
        lines = [line for sheet in self._bench.stock.sheets() for line in sheet.lines if line.location == place]
        return sum(person in line.counted_by for line in lines)

    def forget(self, person: str, place: str) -> None:
        self._tallies.pop((person, place), None)

    def pick(self, pick_id: str) -> Pick:
        """Every unit that an opened box ever had: how many are left is for the person to say. Raises Refuse."""
        item = self._bench.stock.item(pick_id)
        if item is None or item.state is not State.OPENED:
            raise Refuse(StepReason.PICK_GONE, found=pick_id)
        return Pick(id=item.code, product=self._bench.product(item.product), codes=sub_codes(item.code, item.units))

    async def scan(self, code: Code, act: Act, choice: str) -> Verdict:
        """Count one code, or ask how many units of an opened box are there. Raises Refuse."""
        tally = self._tally(act, choice)
        product, kind, item = self._object(code)
        if item is not None and item.state is State.OPENED:
            pick = self.pick(item.code)
            asked = Verdict(result=Result.PROGRESS, step=Step.COUNT, asks=pick.id, total=len(pick.codes))
            return asked.on(item.code).about(item, product)
        is_new = tally.add(product.id, kind, code.key)
        return self._counted(Result.PROGRESS if is_new else Result.REPEAT, tally, product, kind).on(code.key)

    async def take(self, pick_id: str, quantity: int, act: Act, choice: str) -> Verdict:
        """Count so many units of an opened box. Raises Refuse."""
        tally, pick = self._tally(act, choice), self.pick(pick_id)
        pick.first(quantity)
        product = pick.product
        labelled = tally.codes.get((product.id, Kind.UNIT), {}).keys() - set(tally.loose.get(pick.id, ()))
        units = self._likeliest([code for code in pick.codes if code not in labelled])[:quantity]
        tally.put_loose(product.id, pick.id, tuple(units))
        return self._counted(Result.PROGRESS, tally, product, Kind.UNIT).on(pick.id)

    async def finish(self, place: str, objects: Mapping[str, str], act: Act) -> Verdict:
        """Record what was counted of a place. ``objects``: a number by line. Raises Refuse, StoreError.

        A line of which nothing was scanned and nothing is said was not counted: it is left out.
        """
        tally = self._tally(act, place)
        asked = self.lines(act.operator, place)
        lines = [line for line in asked if line.scanned or objects.get(line.key, "").strip()]
        lines += self._unasked(place, objects, {line.key for line in asked})
        numbers = {line.key: _number(objects.get(line.key, "")) for line in lines}
        facts = [fact for line in lines for fact in self._facts(line, numbers[line.key], tally, act)]
        if not facts:
            raise Refuse(StepReason.OBJECTS_MISSING)
        # What was seen is recorded as it was seen, also a code that nobody knows.
        await self._bench.recorder.observe(*facts)
        self.forget(act.operator, place)
        self._bench.notifier.publish(Change.STOCK)
        done = sum(line.scanned for line in lines)
        return Verdict(result=Result.DONE, step=Step.COUNT, place=place, done=done, total=done)

    def _unasked(self, place: str, objects: Mapping[str, str], asked: set[str]) -> Iterator[Line]:
        """What a person says of a line that was asked for when they began, and is not any more: it was counted."""
        for key, text in objects.items():
            kind, _, product_id = key.partition(":")
            if key in asked or not text.strip() or kind not in set(Kind):
                continue
            product = self._bench.stock.product(product_id)
            if product is not None:
                yield Line(place=place, product=product, kind=Kind(kind), scanned=0, sheet="")

    def _facts(self, line: Line, objects: int, tally: Tally, act: Act) -> Iterator[Fact]:
        codes = tuple(tally.codes.get((line.product.id, line.kind), ()))
        for start in range(0, max(1, len(codes)), MAX_CODES):
            yield self._bench.fact(
                What.COUNTED,
                codes[start : start + MAX_CODES],
                act,
                location=line.place,
                document=line.sheet,
                product=line.product.id,
                kind=line.kind,
                units=objects,
            )

    def _wanted(self, person: str, place: str) -> dict[tuple[str, Kind], str]:
        """What this person is to count there, with its sheet; without a sheet whatever may be there."""
        sheets = [sheet for sheet in self._bench.stock.sheets() if any(line.location == place for line in sheet.lines)]
        if not sheets:
            return dict.fromkeys(self._bench.stock.kept_at(place, states=_HERE), "")
        return {(line.product, line.kind): sheet.id for sheet in sheets for line in _lines_of(sheet, place, person)}

    def _tally(self, act: Act, place: str) -> Tally:
        if not place:
            raise Refuse(StepReason.NO_PLACE_CHOSEN)
        key = (act.operator, place)
        if key not in self._tallies and len(self._tallies) >= COUNTS_AT_MOST:
            self._tallies.pop(next(iter(self._tallies)))
        return self._tallies.setdefault(key, Tally())

    def _object(self, code: Code) -> tuple[Product, Kind, Item | None]:
        """What was scanned. A code that nobody knows is counted where its label names a product. Raises Refuse."""
        product = self._bench.stock.product_of(code)
        if code.is_class or product is None or self._bench.stock.item(code.key) is not None:
            item = self._bench.item(code)
            return self._bench.product(item.product), item.kind, item
        return product, Kind.UNIT if code.form is CodeForm.SUB_CODE else product.kind, None

    def _likeliest(self, codes: list[str]) -> list[str]:
        """Units that no scan can tell apart: those that the books have here first, the last one before."""
        states = {code: item.state for code, item in self._bench.stock.items(codes).items()}
        rank = {state: number for number, state in enumerate(_LIKELY)}
        backwards = sorted(codes, reverse=True)
        return sorted(backwards, key=lambda code: rank.get(states.get(code, State.DISPENSED), len(rank)))

    def _counted(self, result: Result, tally: Tally, product: Product, kind: Kind) -> Verdict:
        done = len(tally.codes[product.id, kind])
        return Verdict(result=result, step=Step.COUNT, product=product, done=done)


def _lines_of(sheet: CountSheet, place: str, person: str) -> list[CountLine]:
    """Those there that the person may count."""
    return [line for line in sheet.lines if line.location == place and person not in line.counted_by]


def _spot(place: str, sheets: Sequence[CountSheet], person: str) -> Spot:
    mine = {sheet.id: _lines_of(sheet, place, person) for sheet in sheets}
    lines = [line for each in mine.values() for line in each]
    names = tuple(sheet for sheet, each in mine.items() if each)
    return Spot(place=place, sheets=names, lines=len(lines), again=sum(bool(line.counted_by) for line in lines))


def _number(text: str) -> int:
    text = text.strip()
    if not text:
        raise Refuse(StepReason.OBJECTS_MISSING)
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(MAX_UNITS)) and int(text) <= MAX_UNITS):
        raise Refuse(StepReason.WRONG_QUANTITY, found=text[:16], expected=f"0 – {MAX_UNITS}")
    return int(text)
