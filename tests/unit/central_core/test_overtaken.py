"""Steps that the ledger hears of late, and that fit because others had the item out meanwhile, and back."""

from pathlib import Path

import pytest

from central.ledger import signing
from central.ledger.verify import open_ledger, verify
from sync_protocol.facts import How, What
from sync_protocol.items import State
from tests.unit.central_core.desk import STENT, Desk, HandAgent, piece
from tests.unit.central_core.test_incarnation import copy_of, put_back

PIECE = piece(1)


@pytest.fixture
async def ward(desk: Desk) -> Desk:
    """One piece in a cabinet, where a station is too."""
    await desk.catalogue()
    await desk.in_stock(STENT, [PIECE], note="N-1")
    return desk


async def says(desk: Desk, agent: HandAgent, *whats: What, checked_at: int = 0, how: How = How.LATE_SCAN) -> list[str]:
    """What happened to the piece, by an agent that saw the ledger at a version; reasons of exceptions."""
    version = checked_at or desk.ledger.version
    (ack,) = await desk.send(agent, agent.batch(*[desk.fact(one, PIECE, how=how, checked_at=version) for one in whats]))
    return [refusal.reason for verdict in ack.exceptions for refusal in verdict.refusals]


async def test_what_was_taken_before_others_had_it_out_and_back_is_looked_at(ward: Desk) -> None:
    seen = ward.ledger.version
    assert await says(ward, HandAgent("station"), What.DISPENSED, What.RETURNED) == []
    assert await says(ward, HandAgent("cabinet"), What.TAKEN, checked_at=seen) == ["overtaken"]
    assert ward.state(PIECE) is State.TAKEN
    assert ward.rows("SELECT code, what, found FROM exception") == [(PIECE, "taken", "dispensed, station")]


async def test_what_came_back_before_or_after_others_took_it_is_looked_at(ward: Desk) -> None:
    seen = ward.ledger.version
    assert await says(ward, HandAgent("cabinet"), What.TAKEN) == []
    assert await says(ward, HandAgent("station"), What.DISPENSED, What.RETURNED, checked_at=seen) == ["overtaken"]
    assert ward.state(PIECE) is State.IN_STOCK
    assert ward.rows("SELECT code, what, found FROM exception") == [(PIECE, "returned", "taken, cabinet")]


async def test_what_was_handed_out_before_others_had_it_out_and_back_is_looked_at(ward: Desk) -> None:
    seen = ward.ledger.version
    assert await says(ward, HandAgent("station"), What.DISPENSED, What.RETURNED) == []
    assert await says(ward, HandAgent("other"), What.DISPENSED, checked_at=seen) == ["overtaken"]
    assert ward.state(PIECE) is State.DISPENSED


@pytest.mark.parametrize(("out", "back"), [(What.DISPENSED, What.RETURNED), (What.TAKEN, What.PUT_BACK)])
async def test_what_others_brought_back_and_had_out_again_meanwhile_is_looked_at(
    ward: Desk, out: What, back: What
) -> None:
    """By the ledger it is where this one brought it back, and may lie where others did so since."""
    assert await says(ward, HandAgent("cabinet"), out) == []
    seen = ward.ledger.version
    assert await says(ward, HandAgent("station"), back) == []
    assert await says(ward, HandAgent("ward"), out) == []
    assert await says(ward, HandAgent("other"), back, checked_at=seen) == ["overtaken"]
    assert ward.rows("SELECT code, what, found FROM exception") == [(PIECE, str(back), f"{back}, station")]


async def test_what_came_with_the_others_in_one_commit_is_looked_at_too(ward: Desk) -> None:
    seen, station, cabinet = ward.ledger.version, HandAgent("station"), HandAgent("cabinet")
    out, back, taken = (
        ward.fact(what, PIECE, how=How.LATE_SCAN, checked_at=seen)
        for what in (What.DISPENSED, What.RETURNED, What.TAKEN)
    )
    await ward.take([station.letter(station.batch(out, back)), cabinet.letter(cabinet.batch(taken))])
    assert ward.ledger.version == seen + 1
    assert ward.rows("SELECT device, reason FROM exception") == [("cabinet", "overtaken")]


async def test_an_older_put_back_is_looked_at(ward: Desk) -> None:
    cabinet, station = HandAgent("cabinet"), HandAgent("station")
    assert await says(ward, cabinet, What.TAKEN) == []
    seen = ward.ledger.version
    assert await says(ward, station, What.DISPENSED, What.RETURNED, What.TAKEN) == []
    assert await says(ward, cabinet, What.PUT_BACK, checked_at=seen) == ["overtaken"]
    assert ward.state(PIECE) is State.IN_STOCK


async def test_who_had_no_replica_knew_of_nothing(ward: Desk) -> None:
    """Its replica was damaged and gone; the piece is known to it from its own facts."""
    cabinet = HandAgent("cabinet")
    assert await says(ward, cabinet, What.TAKEN, What.PUT_BACK) == []
    assert await says(ward, HandAgent("station"), What.DISPENSED, What.RETURNED) == []
    (ack,) = await ward.send(cabinet, cabinet.batch(ward.fact(What.TAKEN, PIECE)))
    assert [refusal.reason for verdict in ack.exceptions for refusal in verdict.refusals] == ["overtaken"]


async def test_who_was_checked_in_the_life_before_knew_of_nothing_in_this_one(ward: Desk, tmp_path: Path) -> None:
    """The life before had more commits than this one has had yet: their numbers say nothing of each other."""
    older = copy_of(ward, tmp_path)
    for _ in range(10):
        ward.record(What.COUNTED, PIECE)
    seen = ward.ledger.version
    ward.clock.us += 1_000_000
    ward.close()
    put_back(older, tmp_path / "data")
    again = Desk(tmp_path / "data")
    assert again.ledger.version > seen
    assert await says(again, HandAgent("station"), What.DISPENSED, What.RETURNED) == []
    assert await says(again, HandAgent("cabinet"), What.TAKEN, checked_at=seen) == ["overtaken"]
    again.close()


async def test_who_knew_of_the_others_is_believed(ward: Desk) -> None:
    assert await says(ward, HandAgent("station"), What.DISPENSED, What.RETURNED) == []
    assert await says(ward, HandAgent("cabinet"), What.TAKEN) == []


async def test_what_an_agent_did_itself_it_knew(ward: Desk) -> None:
    seen, cabinet = ward.ledger.version, HandAgent("cabinet")
    assert await says(ward, cabinet, What.TAKEN, What.PUT_BACK, checked_at=seen) == []
    assert await says(ward, cabinet, What.TAKEN, checked_at=seen) == []


async def test_what_the_item_refused_led_it_nowhere(ward: Desk) -> None:
    seen = ward.ledger.version
    assert await says(ward, HandAgent("station"), What.DISPENSED, how=How.SCAN) == ["wrong_state"]
    assert await says(ward, HandAgent("cabinet"), What.TAKEN, checked_at=seen) == []


async def test_a_ledger_with_doubts_is_whole(ward: Desk) -> None:
    seen = ward.ledger.version
    await says(ward, HandAgent("station"), What.DISPENSED, What.RETURNED)
    await says(ward, HandAgent("cabinet"), What.TAKEN, checked_at=seen)
    ward.ledger.keep_witnesses()
    connection = open_ledger(ward.path, is_still=False)
    try:
        report = verify(connection, ward.path.parent, signing.trusted(ward.path.parent), lambda _done, _of: None)
    finally:
        connection.close()
    assert report.is_whole, report
