"""What can be shared among agents costs no more when the ledger is old: by its indexes, and only where it is needed."""

import pytest

from central.ledger import statements
from central.sync.lease_stock import LeaseStock
from sync_protocol.facts import How, What
from tests.unit.central_core.desk import PLACE, WHOLE, Desk, an_order, box
from tests.unit.central_core.test_granting import BOXES, Workplace

_FREE, _OF_PRODUCTS = "ix_item_free", "ix_item_product_lot"


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        (statements.FREE_AT, _FREE),
        (statements.FREE_STOCK, _FREE),
        (statements.FREE_EXPIRY, _FREE),
        (statements.LOCKED_AT, _OF_PRODUCTS),
    ],
)
def test_nothing_leads_through_all_that_a_place_ever_had(desk: Desk, statement: str, index: str) -> None:
    values = [None] * statement.count("?")
    (first, *_) = desk.rows(f"EXPLAIN QUERY PLAN {statement}", *values)
    assert f"SEARCH item USING INDEX {index} (product=?" in first[3]


@pytest.fixture
async def stocked(desk: Desk) -> Desk:
    await desk.catalogue()
    await desk.in_stock(WHOLE, BOXES, note="N-1")
    return desk


async def test_the_locked_are_remembered_as_the_ledger_has_them(stocked: Desk) -> None:
    place = (WHOLE.id, PLACE)
    stock = LeaseStock(stocked.ledger)

    def is_so(*expected: tuple[str, str]) -> bool:
        found = [(one.code, one.order) for one in stock.locked(place)]
        return found == list(expected) and stock.locked(place) == LeaseStock(stocked.ledger).locked(place)

    assert is_so()
    await stocked.orders.place(an_order("RX-2", WHOLE, 2))
    await stocked.orders.place(an_order("RX-1", WHOLE, 1))
    assert is_so((BOXES[0], "RX-2"), (BOXES[1], "RX-2"), (BOXES[2], "RX-1"))
    stocked.record(What.DISPENSED, BOXES[1], order="RX-2", how=How.LATE_SCAN)
    await stocked.orders.cancel("RX-1")
    assert is_so((BOXES[0], "RX-2"))
    await stocked.orders.place(an_order("RX-3", WHOLE, 1))
    assert is_so((BOXES[0], "RX-2"), (BOXES[2], "RX-3"))


async def test_a_commit_of_which_nobody_was_told_is_not_missed(stocked: Desk) -> None:
    place = (WHOLE.id, PLACE)
    stock = LeaseStock(stocked.ledger)
    assert stock.locked(place) == []
    listeners, stocked.ledger._listeners = stocked.ledger._listeners, []
    await stocked.orders.place(an_order("RX-1", WHOLE, 1))
    stocked.ledger._listeners = listeners
    assert [one.order for one in stock.locked(place)] == ["RX-1"]


async def test_what_is_free_is_not_read_where_no_agent_can_get_of_it(stocked: Desk) -> None:
    read: list[str] = []
    stocked.ledger.connection.set_trace_callback(read.append)
    station = Workplace("station-1")
    assert await station.meet(stocked, want=0) == set()
    await stocked.orders.place(an_order("RX-1", WHOLE, 1))
    stocked.leases.turn()
    assert station.take(stocked) == {BOXES[0]}, "what is locked to an order goes to its workplace all the same"
    assert not _reads_of_free(read)
    await Workplace("station-2").meet(stocked, want=4)
    assert _reads_of_free(read)


def _reads_of_free(statements_run: list[str]) -> list[str]:
    beginning = statements.FREE_AT.partition("?")[0]
    return [one for one in statements_run if one.startswith(beginning)]


async def test_several_places_are_written_down_at_once(stocked: Desk) -> None:
    station = Workplace("station-1")
    await station.meet(stocked, want=0)
    others = [box(WHOLE, n) for n in range(20, 22)]
    await stocked.in_stock(WHOLE, others, note="N-2")
    written: list[str] = []
    await stocked.units(11, 12)
    await stocked.orders.place(an_order("RX-1", WHOLE, 1))
    await stocked.orders.place(an_order("RX-2", quantity=2))
    stocked.ledger.connection.set_trace_callback(written.append)
    stocked.leases.turn()
    assert written.count("COMMIT") == 1
    assert len(station.take(stocked)) == 3
