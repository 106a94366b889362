"""The three levels of store: drug store (药库), pharmacies (药房), their bin areas and cabinets."""

import msgspec

from central.errors import InvalidError
from central.ledger.place_rows import Level, Place, place_of
from central.ledger.transaction import Transaction
from central.ledger.write import Ledger

__all__ = ["Level", "Place", "Places", "read_places"]

_ALL = "SELECT id, name, name_en, level, parent FROM place ORDER BY level, id"
_WRITE = (
    "INSERT INTO place (id, name, name_en, level, parent) VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
    "name = excluded.name, name_en = excluded.name_en, level = excluded.level, parent = excluded.parent"
)


class Places:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def put(self, places: list[Place]) -> int:
        """Write all places or none; says how many were new or other. Raises InvalidError."""
        return self._ledger.commit(lambda transaction: _write(transaction, places))


def read_places(transaction: Transaction) -> dict[str, Place]:
    return {place.id: place for place in map(place_of, transaction.select(_ALL))}


def _write(transaction: Transaction, places: list[Place]) -> int:
    known = read_places(transaction)
    changed = [place for place in places if known.get(place.id) != place]
    after = known | {place.id: place for place in places}
    if len({place.id for place in places}) < len(places):
        raise InvalidError("places", "a place twice", "each place once")
    for place in after.values():
        _check(place, after)
    if changed:
        transaction.execute(_WRITE, [msgspec.structs.astuple(place) for place in changed])
    return len(changed)


def _check(place: Place, known: dict[str, Place]) -> None:
    where = f"places[{place.id}].parent"
    if place.level is Level.STORE:
        if place.parent:
            raise InvalidError(where, place.parent, "nothing: a drug store asks nobody in the house")
        return
    parent = known.get(place.parent)
    if parent is None or parent.level != place.level - 1:
        found = f"{parent.id}, of level {parent.level}" if parent else place.parent or "nothing"
        raise InvalidError(where, found, f"a place of level {place.level - 1}", "send the place above with it")
