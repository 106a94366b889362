"""The counts of the code pool: one look at all items, and from then on what each commit changed."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy

from central.ledger import read_console
from central.ledger.pool_counts import PoolCounts
from central.ledger.read_api import ItemFilter
from sync_protocol.facts import What
from sync_protocol.items import Kind
from tests.integration.central_faces.hospital import SPLIT, Hospital, box

ALL = ItemFilter()


@pytest.fixture
def looks(hospital: Hospital) -> Iterator[list[str]]:
    """Statements that looked at all items since the test began."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if "GROUP BY item.product" in statement:
            seen.append(statement)

    engine = hospital.read.sync_engine
    sqlalchemy.event.listen(engine, "before_cursor_execute", note)
    yield seen
    sqlalchemy.event.remove(engine, "before_cursor_execute", note)


@pytest.fixture
def counts(hospital: Hospital) -> PoolCounts:
    return hospital.services.pool_counts


async def test_all_who_ask_share_one_count_and_commits_change_it(
    hospital: Hospital, counts: PoolCounts, looks: list[str]
) -> None:
    await hospital.stock(boxes=3, opened=1)
    found = await asyncio.gather(*(counts.of(ALL) for _ in range(20)))
    assert all(each == found[0] for each in found)
    assert {one.product: one.total for one in found[0]} == {SPLIT.id: 3 + SPLIT.units}
    hospital.record("station-1", hospital.fact(What.WRITTEN_OFF, box(1), reason="broken"))
    (after,) = await counts.of(ALL)
    assert after.states == {"in_stock": 1 + SPLIT.units, "opened": 1, "abnormal": 1}
    assert len(looks) == 1


async def test_commits_during_the_count_are_in_it_once(hospital: Hospital, counts: PoolCounts) -> None:
    await hospital.stock(boxes=20, opened=0)
    asked = asyncio.create_task(counts.of(ALL))
    number = 0
    while not asked.done():
        await asyncio.sleep(0)
        if number < 20:
            hospital.record("station-1", hospital.fact(What.WRITTEN_OFF, box(number), reason="broken"))
            number += 1
    assert number > 1, "the count ended before anything was committed"
    assert await counts.of(ALL) == await read_console.product_counts(hospital.read, [])


@pytest.mark.parametrize(
    "wanted",
    [
        ALL,
        ItemFilter(location="store"),
        ItemFilter(lot="L2409", kind="unit"),
        ItemFilter(state="in_stock"),
        ItemFilter(expires_by="2031-12-31"),
        ItemFilter(expires_by="2001-12-31"),
        ItemFilter(product="none"),
        ItemFilter(box=box(0)),
    ],
)
async def test_counts_are_those_of_the_items(hospital: Hospital, counts: PoolCounts, wanted: ItemFilter) -> None:
    await hospital.stock(boxes=3, opened=1)
    await counts.of(ALL)
    await hospital.deliver("DN-2", SPLIT, [box(n) for n in range(10, 15)], kind=Kind.BOX, location="store")
    hospital.record("station-1", hospital.fact(What.PRESCANNED, box(1), units=SPLIT.units, operator="n01"))
    hospital.record("station-1", hospital.fact(What.WRITTEN_OFF, box(10), box(2), reason="broken"))
    expected = await read_console.product_counts(hospital.read, wanted.clauses())
    assert await counts.of(wanted) == expected


async def test_locations_are_named_once_each_in_order(hospital: Hospital) -> None:
    await hospital.stock(boxes=2, opened=0)
    await hospital.deliver("DN-2", SPLIT, [box(7)], kind=Kind.BOX, location="a-first")
    found = await read_console.locations(hospital.read)
    assert found[0] == "a-first"
    assert found == sorted(set(found))
    assert len(found) == 2
