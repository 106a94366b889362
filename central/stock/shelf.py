"""What orders may get of a product at a place, first expiry first: no more of it is read than the choice depends on."""

import datetime as dt
from collections import Counter
from collections.abc import Iterator

from central.ledger import rows, statements
from central.ledger.transaction import Holding, Transaction
from sync_protocol.allocation import Allocation, Free, allocate
from sync_protocol.documents import Product
from sync_protocol.items import Kind


class Shelf:
    """Valid for one allocation: what somebody takes is not offered to the next one."""

    def __init__(self, transaction: Transaction, product: Product, location: str) -> None:
        self._transaction = transaction
        self._product = product
        self._location = location
        self._today = transaction.moment().local_date()
        self._free: dict[str, Free] = {}
        self._lots: Counter[tuple[dt.date, str]] = Counter()
        self._read_to = (self._today - dt.timedelta(days=1)).isoformat()
        """The last day of which all that expires on it is read."""
        self._is_read = False

    @property
    def is_empty(self) -> bool:
        while not self._free and not self._is_read:
            self._read_on()
        return not self._free

    def take(self, quantity: int, held_lot: str) -> Allocation:
        """Choose as ``allocate`` would from everything that is free."""
        while not self._is_read and not self._is_decided(quantity, held_lot):
            self._read_on()
        choice = allocate(quantity, self._free.values(), today=self._today, held_lot=held_lot)
        for code in choice.codes:
            one = self._free.pop(code)
            self._lots[one.expiry, one.lot] -= 1
        return choice

    def _is_decided(self, quantity: int, held_lot: str) -> bool:
        """Whether a lot covers the line that no later one is preferred to: only the lot it has items of would be."""
        covering = (lot for (_, lot), count in self._lots.items() if count >= quantity)
        return any(not held_lot or lot == held_lot for lot in covering)

    def _read_on(self) -> None:
        """The next day on which something expires, whole."""
        where = (self._product.id, self._location, self._read_to)
        ((expiry,),) = self._transaction.select(statements.FREE_EXPIRY, where)
        if expiry is None:
            self._is_read = True
            return
        for free in self._expiring(expiry):
            self._free[free.code] = free
            self._lots[free.expiry, free.lot] += 1
        self._read_to = expiry

    def _expiring(self, expiry: str) -> Iterator[Free]:
        kind = Kind.UNIT if self._product.is_split else Kind.BOX
        where = (self._product.id, self._location, expiry, kind)
        held_by, covering = self._transaction.held_by, self._transaction.recalls.covering
        for code, box, lot in self._transaction.select(statements.FREE_STOCK, where):
            if held_by(code) is Holding.AWAY or covering(product=self._product.id, lot=lot, code=code, box=box):
                continue
            yield Free(code=code, box=box, lot=lot, expiry=rows.date_of(expiry))
