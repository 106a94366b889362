"""Whether the books agree: journals with ledger, ledger with its own facts, with the truth, with the insurer."""

from collections import Counter
from collections.abc import Iterator, Mapping
from decimal import Decimal

import msgspec

from hardware_sims.books.papers import Entry, Journal, Ledger, Replica
from hardware_sims.books.refold import Story, refold
from hardware_sims.platforms.insurer_counter import SaleRow
from hardware_sims.truth import Box, Spot, Truth

_BOX_STATES = {
    Spot.SUPPLIER: {"expected"},
    Spot.STOCK: {"in_stock", "locked"},
    Spot.OPEN: {"opened"},
    Spot.PATIENT: {"dispensed"},
}
_PIECE_STATES = {
    Spot.SUPPLIER: {"expected"},
    Spot.STOCK: {"in_stock"},
    Spot.HAND: {"taken"},
    Spot.PATIENT: {"dispensed"},
}
FITTED = frozenset({"recalled", "overtaken"})
"""What left although it was recalled did fit, and so did a step that others overtook: a person looks all the same."""
# Every place a unit can be in; an opened box has each of its units in exactly one of them.
_UNIT_STATES = {
    "in_stock",
    "locked",
    "taken",
    "lent",
    "dispensed",
    "awaiting_put_back",
    "in_transit",
    "frozen",
    "abnormal",
    "returned_to_supplier",
}


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """Facts on their way from journals to the ledger. Texts name what is wrong."""

    journalled: int
    in_ledger: int
    lost: tuple[str, ...]
    twice: tuple[str, ...]
    altered: tuple[str, ...]


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that does not agree; empty where all is well."""

    delivery: Delivery
    story: Story
    conservation: tuple[str, ...]
    state: tuple[str, ...]
    replicas: tuple[str, ...]
    truth: tuple[str, ...]
    insurer: tuple[str, ...]
    upload_rate: float

    @property
    def has_balanced(self) -> bool:
        delivery = self.delivery
        flaws = (delivery.lost, delivery.twice, delivery.altered, self.conservation, self.state, self.replicas)
        return not any(flaws) and not self.truth and not self.insurer and self.upload_rate == 1.0


def audit(
    journals: list[Journal], replicas: list[Replica], ledger: Ledger, truth: Truth, sales: list[SaleRow]
) -> Findings:
    story = refold(ledger.entries)
    return Findings(
        delivery=delivery(journals, ledger),
        story=story,
        conservation=tuple(unbalanced(ledger, {box.code: box.content for box in truth.boxes.values()})),
        state=tuple(misfolded(ledger, story)),
        replicas=tuple(text for replica in replicas for text in behind(replica, ledger)),
        truth=tuple(_untrue(ledger, truth)),
        insurer=tuple(_misreported(ledger, sales, truth)),
        upload_rate=upload_rate(ledger, sales, truth),
    )


def delivery(journals: list[Journal], ledger: Ledger) -> Delivery:
    devices = {journal.device for journal in journals}
    written = {entry.key: entry for journal in journals for entry in journal.entries}
    arrived = [entry for entry in ledger.entries if entry.device in devices]
    times = Counter(entry.key for entry in arrived)
    # A fact's bytes hold its moment to the microsecond: the same bytes under another number are the same fact again.
    bodies = Counter((entry.device, entry.body) for entry in arrived)
    in_journals = Counter((entry.device, entry.body) for entry in written.values())
    return Delivery(
        journalled=len(written),
        in_ledger=len(arrived),
        lost=tuple(_name(entry) for key, entry in written.items() if key not in times),
        twice=tuple(
            sorted(
                {_name(entry) for entry in arrived if times[entry.key] > 1}
                | {
                    _name(one)
                    for one in arrived
                    if bodies[one.device, one.body] > max(1, in_journals[one.device, one.body])
                }
            )
        ),
        altered=tuple(_altered(journals, written, arrived)),
    )


def _altered(journals: list[Journal], written: dict[tuple[bytes, int], Entry], arrived: list[Entry]) -> Iterator[str]:
    for journal in journals:
        yield from journal.breaks
    for entry in arrived:
        own = written.get(entry.key)
        if own is None:
            yield f"{_name(entry)} is in the ledger and in no journal"
        elif (own.body, own.hash) != (entry.body, entry.hash):
            yield f"{_name(entry)} has other bytes in the ledger than in its journal"


def _name(entry: Entry) -> str:
    return f"{entry.device} {entry.session.hex()[:8]} fact {entry.seq}"


def unbalanced(ledger: Ledger, contents: Mapping[str, int]) -> Iterator[str]:
    """Opened boxes whose units are not all in exactly one place. ``contents``: units of a box, where they are known."""
    units = Counter(item.box for item in ledger.items.values() if item.box and item.state in _UNIT_STATES)
    for item in ledger.items.values():
        if item.kind != "box":
            continue
        content = contents.get(item.code, item.units)
        # A box that was opened stays one, frozen or written off: only then does it have units.
        is_opened = item.state == "opened" or item.units > 0
        expected = content if is_opened else 0
        if units.pop(item.code, 0) != expected or (is_opened and item.units != content):
            yield f"box {item.code}: its units do not add up to {expected}"
    for box in units:
        yield f"units of a box that the ledger does not have: {box}"


def misfolded(ledger: Ledger, story: Story) -> Iterator[str]:
    """Items whose row is not what the ledger's own facts add up to, and misfits that the work list does not have."""
    yield from misfolded_items(ledger, story)
    misfits = sum(count for reason, count in ledger.exceptions.items() if reason not in FITTED)
    if misfits != len(story.misfits):
        yield f"exceptions: found {misfits}, the facts say {len(story.misfits)}"


def misfolded_items(ledger: Ledger, story: Story) -> Iterator[str]:
    for code in sorted(ledger.items.keys() | story.things.keys()):
        row, thing = ledger.items.get(code), story.things.get(code)
        if row is None or thing is None:
            yield f"{code}: {'no row' if row is None else 'no fact'} in the ledger"
            continue
        for name in ("kind", "product", "lot", "state", "location", "order", "holder", "box", "units", "pouch"):
            found, expected = getattr(row, name), getattr(thing, name)
            if found != expected:
                yield f"{code}: {name} is {found!r} in the ledger, its facts say {expected!r}"


def behind(replica: Replica, ledger: Ledger) -> Iterator[str]:
    """Where an agent believes other than the ledger says, once both were at rest."""
    if replica.version != ledger.version:
        yield f"{replica.device}: replica at version {replica.version}, the ledger is at {ledger.version}"
    rows = {row.code: (row.kind, row.product, row.state, row.location, row.order) for row in ledger.items.values()}
    for code in sorted(rows.keys() | replica.items.keys()):
        found, expected = replica.items.get(code), rows.get(code)
        if found != expected:
            yield f"{replica.device}: {code} is {found} in its replica, {expected} in the ledger"


def _untrue(ledger: Ledger, truth: Truth) -> Iterator[str]:
    """Where the ledger says other than what really happened."""
    for box in truth.boxes.values():
        yield from _untrue_box(ledger, box)
    for piece in truth.pieces.values():
        row = ledger.items.get(piece.code)
        if row is None or row.state not in _PIECE_STATES[piece.spot] or row.location != piece.location:
            yield f"piece {piece.code} is at {piece.spot}, the ledger says {row.state if row else 'nothing'}"
        elif row.holder != piece.holder:
            yield f"piece {piece.code} is in the hands of {piece.holder!r}, the ledger says {row.holder!r}"
    for line in truth.orders.values():
        order = ledger.orders.get(line.id)
        if order is None or (order.product, order.quantity) != (line.product, line.quantity):
            yield f"order {line.id} is not in the ledger as it was placed"
        elif (truth.handed_out(line.id) == line.quantity) != (order.state == "dispensed"):
            yield f"order {line.id}: {truth.handed_out(line.id)} of {line.quantity} handed out, state {order.state}"
    yield from (f"order {order} was never placed" for order in ledger.orders.keys() - truth.orders.keys())


def _untrue_box(ledger: Ledger, box: Box) -> Iterator[str]:
    row = ledger.items.get(box.code)
    if row is None or row.state not in _BOX_STATES[box.spot]:
        yield f"box {box.code} is at {box.spot}, the ledger says {row.state if row else 'nothing'}"
        return
    if box.order and row.order != box.order:
        yield f"box {box.code} went to order {box.order}, the ledger says {row.order!r}"
    given = Counter(item.order for item in ledger.items.values() if item.box == box.code and item.state == "dispensed")
    if dict(given) != box.given:
        yield f"box {box.code}: {box.given} were given out, the ledger says {dict(given)}"


def _uploaded(sales: list[SaleRow], truth: Truth) -> dict[str, Decimal]:
    """Units, or the whole box, that the insurer has of each box: sold and not returned."""
    boxes = {box.symbol.decode(): box.code for box in truth.boxes.values()}
    uploaded: dict[str, Decimal] = {}
    for sale in sales:
        for code in sale.codes:
            box = boxes.get(code, code)
            uploaded[box] = uploaded.get(box, Decimal(0)) + sale.share
    return uploaded


def _dispensed(ledger: Ledger) -> Counter[str]:
    """Units, or the whole box, that left by each box."""
    return Counter(
        item.box or item.code
        for item in ledger.items.values()
        if item.state == "dispensed" and item.kind in {"unit", "box"}
    )


def _misreported(ledger: Ledger, sales: list[SaleRow], truth: Truth) -> Iterator[str]:
    uploaded, dispensed = _uploaded(sales, truth), _dispensed(ledger)
    for box in sorted(uploaded.keys() | dispensed.keys()):
        if uploaded.get(box, 0) != dispensed[box]:
            yield f"box {box}: {dispensed[box]} dispensed, the insurer has {uploaded.get(box, 0)}"


def upload_rate(ledger: Ledger, sales: list[SaleRow], truth: Truth) -> float:
    """Share of dispensed units (whole boxes count one) that the insurer accepted; never above 1."""
    uploaded, dispensed = _uploaded(sales, truth), _dispensed(ledger)
    total = sum(dispensed.values())
    if not total:
        return 1.0
    covered = sum(min(Decimal(count), uploaded.get(box, Decimal(0))) for box, count in dispensed.items())
    return float(covered / total)
