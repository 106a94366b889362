"""Counts against the book: what a count found is compared with what the ledger said at the very moment that it took it.

Written down in the commit of the count, because the book of a moment is gone with the next commit. The facts of one
count follow each other in their session, and all but the last are full: a device cuts a count in pieces of that size.
"""

from collections.abc import Iterator

import msgspec

from central.ledger import statements
from central.ledger.transaction import Folded, Transaction
from sync_protocol.facts import MAX_CODES, What
from sync_protocol.items import Item, State

_COUNTED = What.COUNTED
_HERE = frozenset({State.IN_STOCK, State.LOCKED})
# An opened box may stand beside its units or be thrown away: it is neither missing nor too much.
_MAY_BE_HERE = _HERE | {State.OPENED}


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """One count. ``product`` empty: of all that is at the place."""

    position: int
    device: str
    location: str
    product: str
    codes: frozenset[str]


class Book(msgspec.Struct, frozen=True, kw_only=True):
    """What the ledger says of one item."""

    code: str
    kind: str
    product: str
    state: str
    before: str

    def is_in(self, states: frozenset[State]) -> bool:
        """What is frozen lies where it lay before."""
        return (self.before or State.IN_STOCK if self.state == State.FROZEN else self.state) in states


def check_counts(transaction: Transaction) -> None:
    """Consequence: each count of the commit, with how much it lacks and how much it has too much."""
    counts = {count.position: count for count in _counts(transaction)}
    if not counts:
        return
    now: dict[str, Item | None] = {code: transaction.originals[code] for code in transaction.changed}
    rows = []
    for folded in transaction.folded:
        now.update((item.code, item) for item in folded.outcome.items)
        if folded.position in counts:
            rows.append(_row(transaction, counts[folded.position], now))
    transaction.execute(statements.ADD_COUNT_CHECK, rows)


def _counts(transaction: Transaction) -> Iterator[Count]:
    """A count that does not say where it was made can be held against nothing."""
    pieces: list[Folded] = []
    for folded in transaction.folded:
        if folded.fact.what is _COUNTED and folded.fact.location:
            if pieces and not _goes_on(pieces[-1], folded):
                yield _count(pieces)
                pieces = []
            pieces.append(folded)
    if pieces:
        yield _count(pieces)


def _goes_on(last: Folded, folded: Folded) -> bool:
    one, other = last.sealed.id, folded.sealed.id
    is_next = one.session == other.session and one.seq + 1 == other.seq
    is_same = (last.fact.location, last.fact.product) == (folded.fact.location, folded.fact.product)
    return is_next and is_same and len(last.fact.codes) == MAX_CODES


def _count(pieces: list[Folded]) -> Count:
    last = pieces[-1]
    return Count(
        position=last.position,
        device=last.sealed.id.device,
        location=last.fact.location,
        product=last.fact.product,
        codes=frozenset(code for piece in pieces for code in piece.fact.codes),
    )


def _row(transaction: Transaction, count: Count, now: dict[str, Item | None]) -> tuple[object, ...]:
    book = {entry.code: entry for entry in _book(transaction, count, now)}
    counted = [entry for code in count.codes if (entry := book.get(code)) is not None and entry.is_in(_MAY_BE_HERE)]
    kinds = {entry.kind for entry in counted}
    missing = sum(
        entry.kind in kinds and entry.code not in count.codes and entry.is_in(_HERE) for entry in book.values()
    )
    surplus = len(count.codes) - len(counted)
    return (count.position, count.device, count.location, count.product, len(count.codes), missing, surplus)


def _book(transaction: Transaction, count: Count, now: dict[str, Item | None]) -> Iterator[Book]:
    """What lies at the place by the ledger as it is in ``now``; what this commit did not change is in its tables."""
    for row in transaction.select(statements.ITEMS_AT, (count.location,)):
        if row[0] not in now and count.product in {"", row[2]}:
            code, kind, product, state, before = row
            yield Book(code=code, kind=kind, product=product, state=state, before=before)
    for item in now.values():
        if item is not None and item.location == count.location and count.product in {"", item.product}:
            yield Book(code=item.code, kind=item.kind, product=item.product, state=item.state, before=item.before or "")
