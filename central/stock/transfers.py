"""How requisitions and transfers follow from the facts: what was issued under one, and how far it is."""

from collections.abc import Iterable

import msgspec

from central.ledger import rows, statements
from central.ledger.transaction import Folded, Transaction
from sync_protocol.documents import Transfer, TransferLine
from sync_protocol.facts import What
from sync_protocol.items import Item, State

_MOVES = (What.TRANSFERRED_OUT, What.TRANSFERRED_IN)
_MAY_BE_ON_THE_WAY = frozenset({State.IN_TRANSIT, State.FROZEN})


def settle_transfers(transaction: Transaction) -> None:
    """Consequence: each transfer of which something moved has the codes issued under it, and the state they make."""
    moves = [folded for folded in transaction.of(*_MOVES) if folded.fact.document]
    ids = {folded.fact.document for folded in moves} | _left_on_the_way(transaction)
    for before in find_transfers(transaction, sorted(ids)) if ids else ():
        after = before
        for folded in moves:
            if folded.fact.document == before.id:
                after = _moved(after, folded)
        settle(transaction, before, after)


def settle(transaction: Transaction, before: Transfer, after: Transfer) -> None:
    """Write the transfer as it is now, if it is another than before."""
    transaction.load(after.codes)
    items = (transaction.stock.get(code) for code in after.codes)
    after = after.follow(on_the_way=sum(item is not None and after.has_on_the_way(item) for item in items))
    if after != before:
        transaction.put(after)


def find_transfers(transaction: Transaction, ids: Iterable[str]) -> list[Transfer]:
    return [rows.transfer_of(row) for row in transaction.select_in(statements.TRANSFERS, ids)]


def _left_on_the_way(transaction: Transaction) -> set[str]:
    """Documents of what was on the way before this commit: whatever became of it, by a fact of another document too."""
    codes = transaction.shifted(lambda before, _: before in _MAY_BE_ON_THE_WAY)
    originals = (transaction.originals[code] for code in codes)
    return {item.document for item in originals if item is not None and item.is_on_the_way}


def _moved(transfer: Transfer, folded: Folded) -> Transfer:
    fact, items = folded.fact, folded.outcome.items
    if fact.what is What.TRANSFERRED_OUT:
        return _issued(transfer, items)
    if fact.location != transfer.source:
        return transfer
    back = {item.code for item in items}  # what came back to where it was issued was not issued after all
    lines = (
        msgspec.structs.replace(line, codes=tuple(code for code in line.codes if code not in back))
        for line in transfer.lines
    )
    return msgspec.structs.replace(transfer, lines=tuple(line for line in lines if line.quantity or line.codes))


def _issued(transfer: Transfer, items: Iterable[Item]) -> Transfer:
    """With these codes in their lines; what nobody asked for gets a line of its own."""
    lines = {(line.product, line.kind): line for line in transfer.lines}
    for item in items:
        key = (item.product, item.kind)
        line = lines.get(key) or TransferLine(product=item.product, kind=item.kind, quantity=0)
        if item.code not in line.codes:
            lines[key] = msgspec.structs.replace(line, codes=(*line.codes, item.code))
    return msgspec.structs.replace(transfer, lines=tuple(lines.values()))
