"""Base stock (基数, A29): what a bin, a ward's cabinet or an anaesthesia cart should always have, and filling it up.

What is proposed follows from three numbers: the level, what lies there, what is on its way. A person requests it; it is
received when codes arrive at the place by scan, the oldest request first. Quantities are units of a split drug (a
closed box counts as all of its units), boxes of a whole-box drug, pieces.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec

from central.errors import ConflictError, InvalidError, NotFoundError
from central.ledger.read_scans import is_forced
from central.ledger.transaction import Folded, Transaction
from central.ledger.write import DEVICE, Ledger
from central.stock.masterdata import find_products
from sync_protocol.documents import Product
from sync_protocol.facts import How, What
from sync_protocol.items import Kind

MOST = 99_999
_LONGEST = 128
_ARRIVES = (What.RECEIVED, What.TRANSFERRED_IN)
_LEVEL = "SELECT quantity FROM par_level WHERE location = ? AND product = ?"
_SET = (
    "INSERT INTO par_level (location, product, quantity, set_by, set_us) VALUES (?, ?, ?, ?, ?) "
    "ON CONFLICT (location, product) DO UPDATE SET quantity = excluded.quantity, set_by = excluded.set_by, "
    "set_us = excluded.set_us"
)
_DROP = "DELETE FROM par_level WHERE location = ? AND product = ?"
_CHANGED = "INSERT INTO par_change (location, product, before, after, person, at_us) VALUES (?, ?, ?, ?, ?, ?)"
_ON_HAND = (
    "SELECT kind, count(*) FROM item WHERE product = ? AND +location = ? AND state IN ('in_stock', 'locked') "
    "GROUP BY kind"
)
_ON_THE_WAY = (
    "SELECT coalesce(sum(max(quantity - arrived, 0)), 0) FROM replenishment "
    "WHERE location = ? AND product = ? AND state = 'requested'"
)
_ASK = (
    "INSERT INTO replenishment (location, product, quantity, state, asked_by, asked_us) "
    "VALUES (?, ?, ?, 'requested', ?, ?)"
)
_ANY_OPEN = "SELECT 1 FROM replenishment WHERE state = 'requested' LIMIT 1"
_OPEN = (
    "SELECT id, quantity, arrived FROM replenishment WHERE location = ? AND product = ? AND state = 'requested' "
    "ORDER BY id"
)
_ONE = "SELECT state FROM replenishment WHERE id = ?"
_ARRIVED = "UPDATE replenishment SET arrived = ?, state = ?, ended_us = ? WHERE id = ?"
_CANCEL = "UPDATE replenishment SET state = 'cancelled', ended_by = ?, ended_us = ? WHERE id = ?"


class Replenishing(StrEnum):
    REQUESTED = "requested"
    RECEIVED = "received"
    CANCELLED = "cancelled"


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a product a place should have. 0: it is no base stock of it any more."""

    location: str
    product: str
    quantity: int
    person: str


Spot = tuple[str, str]
"""Location and product."""


class BaseStock:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def set_level(self, level: Level) -> None:
        """Raises InvalidError, BusyError."""
        self._ledger.commit(lambda transaction: _set(transaction, level))

    async def request(self, spots: Sequence[Spot], person: str) -> int:
        """Request what is missing there now; for how many spots. Raises ConflictError, BusyError."""
        return self._ledger.commit(lambda transaction: _request(transaction, spots, person))

    async def cancel(self, key: int, person: str) -> None:
        """What was requested will not come. Raises NotFoundError, ConflictError, BusyError."""
        self._ledger.commit(lambda transaction: _cancel(transaction, key, person))


def settle_replenishments(transaction: Transaction) -> None:
    """Consequence: what arrived at a place, as its people say, fills the requests for it, the oldest first."""
    facts = [each for each in transaction.of(*_ARRIVES) if _is_seen(each)]
    if not facts or not transaction.select(_ANY_OPEN):
        return
    kinds: dict[Spot, Counter[str]] = defaultdict(Counter)
    for folded in facts:
        for item in folded.outcome.items:
            kinds[item.location, item.product][item.kind] += 1
    products = {each.id: each for each in find_products(transaction, sorted({product for _, product in kinds}))}
    for (location, product), counted in kinds.items():
        _fill(transaction, (location, product), measure(products.get(product), counted))


def _is_seen(folded: Folded) -> bool:
    """Whether it was seen there: scanned, or vouched for by two people at the place itself (A11)."""
    fact = folded.fact
    return fact.how is not How.CONSOLE or (folded.device != DEVICE and is_forced(fact))


def measure(product: Product | None, kinds: Mapping[str, int]) -> int:
    """Items by kind as one quantity."""
    box = product.units if product is not None and product.is_split else 1
    return sum(count * (box if kind == Kind.BOX else 1) for kind, count in kinds.items())


def missing(*, level: int, on_hand: int, requested: int) -> int:
    """What is proposed."""
    return max(0, level - on_hand - requested)


def _set(transaction: Transaction, level: Level) -> None:
    if not 1 <= len(level.location) <= _LONGEST:
        raise InvalidError("location", level.location[:32] or "nothing", f"1 to {_LONGEST} characters")
    if not find_products(transaction, [level.product]):
        raise InvalidError("product", level.product or "nothing", "a product of the catalogue")
    if not 0 <= level.quantity <= MOST:
        raise InvalidError("quantity", str(level.quantity), f"0 to {MOST}")
    before = _level(transaction, (level.location, level.product))
    if before == level.quantity:
        return
    now_us = transaction.now_us
    if level.quantity:
        row = (level.location, level.product, level.quantity, level.person, now_us)
        transaction.execute(_SET, [row])
    else:
        transaction.execute(_DROP, [(level.location, level.product)])
    change = (level.location, level.product, before, level.quantity, level.person, now_us)
    transaction.execute(_CHANGED, [change])


def _level(transaction: Transaction, spot: Spot) -> int:
    rows = transaction.select(_LEVEL, spot)
    return int(rows[0][0]) if rows else 0


def _request(transaction: Transaction, spots: Sequence[Spot], person: str) -> int:
    rows = []
    known = {product.id: product for product in find_products(transaction, sorted({spot[1] for spot in spots}))}
    for location, product in dict.fromkeys(spots):
        kinds: dict[str, int] = dict(transaction.select(_ON_HAND, (product, location)))
        ((requested,),) = transaction.select(_ON_THE_WAY, (location, product))
        level = _level(transaction, (location, product))
        quantity = missing(level=level, on_hand=measure(known.get(product), kinds), requested=requested)
        if quantity:
            rows.append((location, product, quantity, person, transaction.now_us))
    if not rows:
        raise ConflictError("product", "nothing is missing", "a product that is missing", "choose at least one")
    transaction.execute(_ASK, rows)
    return len(rows)


def _cancel(transaction: Transaction, key: int, person: str) -> None:
    rows = transaction.select(_ONE, (key,))
    if not rows:
        raise NotFoundError("id", str(key), "a request for base stock")
    if rows[0][0] != Replenishing.REQUESTED:
        raise ConflictError("id", str(rows[0][0]), "a request that waits", "somebody was quicker: look again")
    transaction.execute(_CANCEL, [(person, transaction.now_us, key)])


def _fill(transaction: Transaction, spot: Spot, quantity: int) -> None:
    rows = []
    for key, wanted, arrived in transaction.select(_OPEN, spot):
        part = min(quantity, wanted - arrived)
        quantity -= part
        is_whole = arrived + part == wanted
        state = Replenishing.RECEIVED if is_whole else Replenishing.REQUESTED
        rows.append((arrived + part, str(state), transaction.now_us if is_whole else 0, key))
        if not quantity:
            break
    transaction.execute(_ARRIVED, rows)
