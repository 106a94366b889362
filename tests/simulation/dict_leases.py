"""What central asks of its ledger about leases, answered from dictionaries."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from central.ledger import statements
from sync_protocol.documents import Route
from sync_protocol.items import Item, Kind, State
from sync_protocol.leases import LEASABLE
from tests.simulation.disk import GONE, Disk, Write

Row = tuple[Any, ...]
LEASE_WRITES: Mapping[str, Callable[..., Write]] = {
    statements.WRITE_LEASE: lambda *row: ("lease", row[0], row),
    statements.DELETE_LEASE: lambda device: ("lease", device, GONE),
    statements.WRITE_LEASED: lambda *row: ("leased", row[0], row),
    statements.FREE_LEASED: lambda code: ("leased", code, GONE),
}


class Held(Protocol):
    """The part of the tables that leases are about."""

    disk: Disk
    items: dict[str, tuple[Item, int]]


def lease_answers(tables: Held) -> Mapping[str, Callable[..., list[Row]]]:
    """Rows of the statements, by name. Every workplace of the simulation is a station."""
    leased = tables.disk.tables["leased"]

    def lying(product: str, location: str, state: State) -> list[Item]:
        return [
            item
            for item, _ in tables.items.values()
            if (item.product, item.state, item.location) == (product, state, location) and item.kind is not Kind.PIECE
        ]

    def free_at(product: str, location: str, limit: int) -> list[Row]:
        items = [item for item in lying(product, location, State.IN_STOCK) if item.code not in leased]
        items.sort(key=lambda item: (item.expiry, item.lot, item.box, item.code))
        return [(item.code,) for item in items[:limit]]

    def locked_at(product: str, location: str) -> list[Row]:
        items = lying(product, location, State.LOCKED)
        return [(item.code, item.order, item.expiry.isoformat(), item.lot, item.box) for item in items]

    def places(location: str) -> list[Row]:
        found = {
            (item.product, item.location)
            for item, _ in tables.items.values()
            if item.location == location and item.state in LEASABLE and item.kind is not Kind.PIECE
        }
        return sorted(found)

    return {
        statements.LEASES: lambda: sorted(tables.disk.tables["lease"].values()),
        statements.LEASED: lambda: sorted(leased.values()),
        statements.FREE_AT: free_at,
        statements.LOCKED_AT: locked_at,
        statements.PLACES_IN_STOCK: places,
        statements.ROUTE_OF: lambda _product: [(Route.STATION,)],
    }


def leasable(tables: Held, codes: Sequence[str]) -> list[Row]:
    """The answer to ``statements.LEASABLE``."""
    found = (tables.items[code][0] for code in codes if code in tables.items)
    return [(item.code, item.product, item.location, item.state) for item in found]
