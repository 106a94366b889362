"""Requisitions (请领) and transfers (调拨): asked for at a desk, issued and received by scans at workplaces (A05)."""

from collections.abc import Sequence

import msgspec

from central.errors import ConflictError, InvalidError, NotFoundError
from central.ledger.transaction import Transaction
from central.ledger.write import Ledger
from central.stock.masterdata import find_products
from central.stock.people import require_two
from central.stock.places import Place, read_places
from central.stock.transfers import find_transfers, settle
from sync_protocol.documents import Product, Transfer, TransferKind, TransferLine, TransferState
from sync_protocol.facts import MAX_CODES, Fact, How, What
from sync_protocol.items import Kind

MOST_LINES = 200
_SERIES = {TransferKind.REQUISITION: "RQ", TransferKind.TRANSFER: "TR"}
_TODAYS = "SELECT count(*) FROM transfer WHERE id BETWEEN ? AND ?"


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """``quantity`` of a product: whole packages, or units of a split drug if ``is_units``."""

    product: str
    quantity: int
    is_units: bool = False


class Asking(msgspec.Struct, frozen=True, kw_only=True):
    """What ``target`` asks of ``source``; an empty source: of the place one level up."""

    target: str
    source: str = ""
    wishes: tuple[Wish, ...]
    operator: str


class Requisitions:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def ask(self, asking: Asking) -> Transfer:
        """Raises InvalidError, BusyError; then nothing was asked for."""
        return self._ledger.commit(lambda transaction: _ask(transaction, asking))

    async def close(self, transfer_id: str) -> None:
        """Nothing more of it is to be issued; what is on the way still arrives. Raises NotFoundError, ConflictError."""
        self._ledger.commit(lambda transaction: _close(transaction, transfer_id))

    async def write_off(self, transfer_id: str, *, operator: str, witness: str, reason: str) -> None:
        """What is still on the way will not arrive: two people write it off.

        Raises InvalidError, NotFoundError, ConflictError; then nothing was done.
        """
        self._ledger.commit(lambda transaction: _write_off(transaction, transfer_id, operator, witness, reason))


def _ask(transaction: Transaction, asking: Asking) -> Transfer:
    kind, source, target = _between(read_places(transaction), asking)
    lines = _lines(transaction, asking.wishes)
    at = transaction.moment()
    series = f"{_SERIES[kind]}-{at.local_date():%Y%m%d}-"
    ((count,),) = transaction.select(_TODAYS, (series, f"{series}~"))
    transfer = Transfer(
        id=f"{series}{count + 1:03d}",
        kind=kind,
        source=source.id,
        target=target.id,
        state=TransferState.ASKED,
        lines=lines,
        asked_us=at.wall_us,
        asked_by=asking.operator,
    )
    transaction.put(transfer)
    return transfer


def _between(places: dict[str, Place], asking: Asking) -> tuple[TransferKind, Place, Place]:
    target = places.get(asking.target)
    if target is None:
        raise InvalidError("target", asking.target or "nothing", "a place of the house", "choose who asks")
    source = places.get(asking.source or target.parent)
    if source is None:
        found = asking.source or "nothing"
        raise InvalidError("source", found, "a place of the house", "the drug store asks nobody: choose another")
    if source.id == target.parent:
        return TransferKind.REQUISITION, source, target
    if source.level == target.level and source.id != target.id:
        return TransferKind.TRANSFER, source, target
    expected = "the place one level up, or another of the same level"
    raise InvalidError("source", source.id, expected, "choose another one")


def _lines(transaction: Transaction, wishes: Sequence[Wish]) -> tuple[TransferLine, ...]:
    if not 1 <= len(wishes) <= MOST_LINES:
        raise InvalidError("lines", f"{len(wishes)} lines", f"1 to {MOST_LINES} lines", "name at least one product")
    products = {product.id: product for product in find_products(transaction, [wish.product for wish in wishes])}
    lines: dict[tuple[str, Kind], TransferLine] = {}
    for wish in wishes:
        product = products.get(wish.product)
        if product is None:
            raise InvalidError("product", wish.product or "nothing", "a product of the catalogue", "choose one")
        line = TransferLine(product=product.id, kind=_kind(product, wish), quantity=wish.quantity)
        if not 1 <= wish.quantity <= MAX_CODES:
            raise InvalidError("quantity", str(wish.quantity), f"1 to {MAX_CODES}")
        if (line.product, line.kind) in lines:
            raise InvalidError("product", product.id, "each product once", "put both quantities into one line")
        lines[line.product, line.kind] = line
    if sum(line.quantity for line in lines.values()) > MAX_CODES:
        raise InvalidError("quantity", "more in all lines", f"at most {MAX_CODES}", "split the requisition")
    return tuple(lines.values())


def _kind(product: Product, wish: Wish) -> Kind:
    if not wish.is_units:
        return product.kind
    if not product.is_split:
        raise InvalidError("quantity", f"units of {product.id}", "whole packages: it is not split")
    return Kind.UNIT


def _found(transaction: Transaction, transfer_id: str) -> Transfer:
    found = find_transfers(transaction, [transfer_id])
    if not found:
        raise NotFoundError("document", transfer_id, "a requisition or transfer")
    return found[0]


def _close(transaction: Transaction, transfer_id: str) -> None:
    transfer = _found(transaction, transfer_id)
    if transfer.is_full:
        expected = "one of which something is still to be issued"
        raise ConflictError("document", transfer.id, expected, "somebody was quicker: look again")
    settle(transaction, transfer, msgspec.structs.replace(transfer, is_closed=True))


def _write_off(transaction: Transaction, transfer_id: str, operator: str, witness: str, reason: str) -> None:
    transfer = _found(transaction, transfer_id)
    if not reason:
        raise InvalidError("reason", "nothing", "why", "whoever looks at it later must understand it")
    require_two(transaction, operator, witness)
    transaction.load(transfer.codes)
    missing = [code for code in transfer.codes if transfer.has_on_the_way(transaction.stock[code])]
    if not missing:
        raise ConflictError(
            "document", transfer.id, "one with something on the way", "somebody was quicker: look again"
        )
    fact = Fact(
        what=What.WRITTEN_OFF,
        codes=tuple(missing),
        at=transaction.moment(),
        operator=operator,
        witness=witness,
        location=transfer.target,
        document=transfer.id,
        how=How.CONSOLE,
        reason=reason,
    )
    transaction.record(fact)
