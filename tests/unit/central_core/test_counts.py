"""A count against the book of its own moment, whatever else its commit brings."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sync_protocol.facts import MAX_CODES, What
from tests.unit.central_core.desk import PLACE, STENT, Desk, HandAgent, piece


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(tmp_path / "data")
    await desk.catalogue()
    await desk.in_stock(STENT, [piece(number) for number in range(6)], note="N-1")
    yield desk
    desk.close()


def checks(desk: Desk) -> list[tuple[int, int, int]]:
    return [tuple(row) for row in desk.rows("SELECT counted, missing, surplus FROM count_check ORDER BY position")]


async def test_what_is_missing_and_what_is_too_much(desk: Desk) -> None:
    desk.record(What.COUNTED, *(piece(number) for number in range(6)), location=PLACE)
    desk.record(What.COUNTED, piece(0), piece(1), piece(77), location=PLACE)
    assert checks(desk) == [(6, 0, 0), (3, 4, 1)]


async def test_facts_before_and_after_it_in_one_batch_are_told_apart(desk: Desk) -> None:
    agent = HandAgent("cabinet-1")
    all_of_them = [piece(number) for number in range(6)]
    await desk.send(
        agent,
        agent.batch(
            desk.fact(What.COUNTED, *all_of_them, location=PLACE),
            desk.fact(What.TAKEN, piece(0), piece(1), operator="n1"),
            desk.fact(What.COUNTED, *all_of_them[2:], location=PLACE),
            desk.fact(What.COUNTED, *all_of_them[1:], location=PLACE),
            desk.fact(What.FROZEN, piece(2), reason="hold"),
            desk.fact(What.FROZEN, piece(0), reason="hold"),
            desk.fact(What.COUNTED, *all_of_them[2:], location=PLACE),
            desk.fact(What.PUT_BACK, piece(1), operator="n1", location=PLACE),
        ),
    )
    assert checks(desk) == [(6, 0, 0), (4, 0, 0), (5, 0, 1), (4, 0, 0)]


async def test_a_count_of_many_pieces_is_one(desk: Desk) -> None:
    many = [piece(number) for number in range(100, 100 + MAX_CODES + 5)]
    await desk.in_stock(STENT, many[:MAX_CODES], note="N-2", lot="L2")
    await desk.in_stock(STENT, many[MAX_CODES:], note="N-3", lot="L3")
    agent = HandAgent("cabinet-1")
    facts = [desk.fact(What.COUNTED, *many[:MAX_CODES], location=PLACE)]
    facts.append(desk.fact(What.COUNTED, *many[MAX_CODES:], location=PLACE))
    await desk.send(agent, agent.batch(*facts))
    assert checks(desk) == [(MAX_CODES + 5, 6, 0)]


async def test_a_count_that_says_no_place_is_held_against_nothing(desk: Desk) -> None:
    desk.record(What.COUNTED, piece(0), location="")
    assert checks(desk) == []
