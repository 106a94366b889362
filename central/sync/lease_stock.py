"""What of the stock agents can share, by place: the free is read when somebody takes of it, the locked is remembered.

What is locked at a place is read once, and every commit says what has become of it since.
"""

import datetime as dt

import msgspec

from central.ledger import statements
from central.ledger.rows import date_of
from central.ledger.write import Committed, Ledger
from sync_protocol.items import Item, Kind, State
from sync_protocol.leases import MOST_HELD

Place = tuple[str, str]
"""Product and location."""


class Locked(msgspec.Struct, frozen=True, order=True, array_like=True, gc=False):
    """In the order in which they should go."""

    expiry: dt.date
    lot: str
    box: str
    code: str
    order: str


class LeaseStock:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._version = ledger.version
        self._locked: dict[Place, dict[str, Locked]] = {}
        self._places: dict[str, Place] = {}
        """Where in ``_locked`` a code is."""
        ledger.listen(self._committed)

    def route(self, product: str) -> str:
        """Empty: it is not in the catalogue."""
        row = self._ledger.connection.execute(statements.ROUTE_OF, (product,)).fetchone()
        return str(row[0]) if row else ""

    def free(self, place: Place) -> tuple[str, ...]:
        """Codes in stock that no lease names, in the order in which they should go."""
        rows = self._ledger.connection.execute(statements.FREE_AT, (*place, MOST_HELD)).fetchall()
        return tuple(code for (code,) in rows)

    def locked(self, place: Place) -> list[Locked]:
        """All that is locked there, at most as many as one agent may hold."""
        if self._version != self._ledger.version:  # a commit was made of which nobody was told: the disk failed
            self._forget()
        if place not in self._locked:
            self._read(place)
        return sorted(self._locked[place].values())[:MOST_HELD]

    def _read(self, place: Place) -> None:
        rows = self._ledger.connection.execute(statements.LOCKED_AT, place)
        self._locked[place] = {
            code: Locked(expiry=date_of(expiry), lot=lot, box=box, code=code, order=order)
            for code, order, expiry, lot, box in rows
        }
        self._places.update(dict.fromkeys(self._locked[place], place))

    def _forget(self) -> None:
        self._locked.clear()
        self._places.clear()
        self._version = self._ledger.version

    def _committed(self, committed: Committed) -> None:
        if committed.version != self._version + 1:
            self._forget()
            return
        self._version = committed.version
        for item in committed.rows.items:
            before = self._places.pop(item.code, None)
            if before is not None:
                del self._locked[before][item.code]
            if item.state is State.LOCKED and item.kind is not Kind.PIECE:
                self._keep(item)

    def _keep(self, item: Item) -> None:
        place = (item.product, item.location)
        if place in self._locked:
            self._places[item.code] = place
            self._locked[place][item.code] = Locked(
                expiry=item.expiry, lot=item.lot, box=item.box, code=item.code, order=item.order
            )
