"""Counts against the book: what a count found is compared with what the ledger said at the very moment that it took it.

Written down in the commit of the count, because the book of a moment is gone with the next commit. The facts of one
count follow each other in their session, and all but the last are full: a device cuts a count in pieces of that size.
A count by hand whose objects and codes disagree is no count yet: somebody counts again (``stock/stocktake.py``).
"""

from collections.abc import Iterator, Mapping

import msgspec

from central.ledger import statements
from central.ledger.transaction import Folded, Transaction
from sync_protocol.facts import MAX_CODES, What
from sync_protocol.items import Item, Kind, State

_COUNTED = What.COUNTED
_HERE = frozenset({State.IN_STOCK, State.LOCKED})
# An opened box may stand beside its units or be thrown away: it is neither missing nor too much.
_MAY_BE_HERE = _HERE | {State.OPENED}


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """One count. ``product`` empty: of all that is at the place. ``objects`` None: nobody counted by hand.

    ``at_us``: when it was made; when it came, where nothing is known of the clock of its device.
    """

    position: int
    device: str
    operator: str
    location: str
    product: str
    kind: Kind | None
    objects: int | None
    at_us: int
    codes: frozenset[str]

    @property
    def is_agreed(self) -> bool:
        """Objects and codes say the same."""
        return self.objects in {None, len(self.codes)}


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


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """A count held against the book: the codes that it lacks and those that the book has not there."""

    count: Count
    book: int
    missing: tuple[str, ...]
    surplus: tuple[str, ...]


def check_counts(transaction: Transaction) -> None:
    """Consequence: each count of the commit, with how much it lacks and how much it has too much."""
    rows = [_row(held) for held in hold_counts(transaction) if held.count.is_agreed]
    if rows:
        transaction.execute(statements.ADD_COUNT_CHECK, rows)


def hold_counts(transaction: Transaction) -> list[Held]:
    """Every count of the commit against the book as it was just then."""
    counts = {count.position: count for count in _counts(transaction)}
    if not counts:
        return []
    now: dict[str, Item | None] = {code: transaction.originals[code] for code in transaction.changed}
    found = []
    for folded in transaction.folded:
        now.update((item.code, item) for item in folded.outcome.items)
        if folded.position in counts:
            found.append(_held(transaction, counts[folded.position], now))
    return found


def lies_at(item: Item, location: str) -> bool:
    """Whether the book has an item in stock at a place; what is frozen lies where it lay before."""
    state = item.before or State.IN_STOCK if item.state is State.FROZEN else item.state
    return item.location == location and state in _HERE


def _counts(transaction: Transaction) -> Iterator[Count]:
    """A count that does not say where it was made can be held against nothing."""
    pieces: list[Folded] = []
    for folded in transaction.of(What.COUNTED):
        if folded.fact.location:
            if pieces and not _goes_on(pieces[-1], folded):
                yield _count(pieces, transaction.now_us)
                pieces = []
            pieces.append(folded)
    if pieces:
        yield _count(pieces, transaction.now_us)


def _goes_on(last: Folded, folded: Folded) -> bool:
    one, other = last.sealed.id, folded.sealed.id
    is_next = one.session == other.session and one.seq + 1 == other.seq
    return is_next and _about(last) == _about(folded) and len(last.fact.codes) == MAX_CODES


def _about(folded: Folded) -> tuple[str, str, Kind | None]:
    return folded.fact.location, folded.fact.product, folded.fact.kind


def _count(pieces: list[Folded], now_us: int) -> Count:
    last = pieces[-1]
    fact = last.fact
    return Count(
        position=last.position,
        device=last.sealed.id.device,
        operator=fact.operator,
        location=fact.location,
        product=fact.product,
        kind=fact.kind,
        objects=fact.units if fact.is_hand_count else None,
        at_us=now_us if fact.at.offset_us is None else min(fact.at.corrected_us, now_us),
        codes=frozenset(code for piece in pieces for code in piece.fact.codes),
    )


def _held(transaction: Transaction, count: Count, now: Mapping[str, Item | None]) -> Held:
    book = {entry.code: entry for entry in _book(transaction, count, now)}
    counted = {code for code in count.codes if (entry := book.get(code)) is not None and entry.is_in(_MAY_BE_HERE)}
    kinds = {book[code].kind for code in counted} if count.kind is None else {count.kind}
    here = {entry.code for entry in book.values() if entry.kind in kinds and entry.is_in(_HERE)}
    return Held(
        count=count,
        book=len(here),
        missing=tuple(sorted(here - count.codes)),
        surplus=tuple(sorted(count.codes - counted)),
    )


def _row(held: Held) -> tuple[object, ...]:
    count = held.count
    sums = (len(count.codes), len(held.missing), len(held.surplus))
    return (count.position, count.device, count.location, count.product, *sums)


def _book(transaction: Transaction, count: Count, now: Mapping[str, Item | None]) -> Iterator[Book]:
    """What lies at the place by the ledger as it is in ``now``; what this commit did not change is in its tables."""
    if count.product:
        rows = transaction.select(statements.ITEMS_OF_AT, (count.product, count.location))
    else:
        rows = transaction.select(statements.ITEMS_AT, (count.location,))
    for code, kind, product, state, before in rows:
        if code not in now:
            yield Book(code=code, kind=kind, product=product, state=state, before=before)
    for item in now.values():
        if item is not None and item.location == count.location and count.product in {"", item.product}:
            yield Book(code=item.code, kind=item.kind, product=item.product, state=item.state, before=item.before or "")
