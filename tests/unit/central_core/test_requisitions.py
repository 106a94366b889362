"""Requisitions and transfers: asked for, issued, on the way, received; what differs, and what does not fit."""

from contextlib import closing

import msgspec
import pytest

from central.errors import ConflictError, InvalidError, NotFoundError, RequestError
from central.ledger import rows, signing, statements
from central.ledger.verify import open_ledger, verify
from central.stock.places import Level, Place, Places
from central.stock.requisitions import Asking, Requisitions, Wish
from sync_protocol.documents import Person, Transfer, TransferKind, TransferState
from sync_protocol.facts import What
from sync_protocol.items import Kind, State
from tests.unit.central_core.desk import PLACE, SPLIT, WHOLE, Desk, a_note, an_order, box

STORE, OTHER, BINS = "store", "outpatient", "bins-1"
PLACES = [
    Place(id=STORE, name="药库", level=Level.STORE),
    Place(id=PLACE, name="中心药房", level=Level.PHARMACY, parent=STORE),
    Place(id=OTHER, name="门诊药房", level=Level.PHARMACY, parent=STORE),
    Place(id=BINS, name="调配区", level=Level.BIN, parent=PLACE),
]
BOXES = tuple(box(WHOLE, number) for number in range(1, 7))
ASKED = Asking(target=PLACE, wishes=(Wish(product=WHOLE.id, quantity=3),), operator="N1")


@pytest.fixture
async def house(desk: Desk) -> Desk:
    await desk.catalogue()
    await desk.people.put([Person(id="N1", name="one"), Person(id="N2", name="two")])
    await Places(desk.ledger).put(PLACES)
    note = a_note(WHOLE, BOXES, note="N-1")
    await desk.receiving.announce(msgspec.structs.replace(note, location=STORE))
    desk.record(What.RECEIVED, *BOXES, document="N-1", location=STORE)
    return desk


def stored(house: Desk, transfer_id: str) -> Transfer:
    row = house.ledger.connection.execute(statements.marks(statements.TRANSFERS, 1), (transfer_id,)).fetchone()
    return rows.transfer_of(row)


def out(house: Desk, transfer: Transfer, *codes: str) -> None:
    house.record(What.TRANSFERRED_OUT, *codes, document=transfer.id, location=transfer.target)


def arrive(house: Desk, transfer: Transfer, *codes: str, at: str = "") -> None:
    house.record(What.TRANSFERRED_IN, *codes, document=transfer.id, location=at or transfer.target)


def flaws(house: Desk) -> tuple[str, ...]:
    with closing(open_ledger(house.path, is_still=False)) as connection:
        folder = house.path.parent
        return tuple(verify(connection, folder, signing.trusted(folder), lambda _done, _of: None).flaws)


async def test_a_requisition_is_issued_in_parts_and_is_done_when_all_has_arrived(house: Desk) -> None:
    asked = await Requisitions(house.ledger).ask(ASKED)
    assert (asked.id, asked.kind, asked.source) == ("RQ-20260302-001", TransferKind.REQUISITION, STORE)
    assert house.post.broadcast[-1].rows.transfers == (asked,)
    out(house, asked, *BOXES[:2])
    assert stored(house, asked.id).state is TransferState.PART_ISSUED
    assert stored(house, asked.id).codes == BOXES[:2]
    assert house.states() == {"in_transit": 2, "in_stock": 4}
    arrive(house, asked, *BOXES[:2])
    assert stored(house, asked.id).state is TransferState.PART_ISSUED, "a partial issue stays open"
    out(house, asked, BOXES[2])
    assert stored(house, asked.id).state is TransferState.ISSUED
    arrive(house, asked, BOXES[2])
    done = stored(house, asked.id)
    assert (done.state, done.codes) == (TransferState.DONE, BOXES[:3])
    assert house.post.broadcast[-1].rows.transfers == (done,)
    assert house.rows("SELECT count(*) FROM item WHERE location = ?", PLACE) == [(3,)]
    assert flaws(house) == ()


async def test_stock_that_arrives_fills_the_order_that_waits_for_it(house: Desk) -> None:
    await house.orders.place(an_order("O-1", WHOLE, 1))
    asked = await Requisitions(house.ledger).ask(ASKED)
    out(house, asked, BOXES[0])
    assert house.state(BOXES[0]) is State.IN_TRANSIT
    arrive(house, asked, BOXES[0])
    assert house.orders.get("O-1").codes == (BOXES[0],)


async def test_what_came_back_was_not_issued_and_what_nobody_asked_for_is_shown(house: Desk) -> None:
    asked = await Requisitions(house.ledger).ask(ASKED)
    out(house, asked, *BOXES[:4])
    assert stored(house, asked.id).state is TransferState.ISSUED
    arrive(house, asked, *BOXES[2:4], at=STORE)
    assert stored(house, asked.id).codes == BOXES[:2]
    assert stored(house, asked.id).state is TransferState.PART_ISSUED
    await house.units(9)
    extra = f"{box(SPLIT, 9)}#001"
    out(house, asked, extra)
    line = stored(house, asked.id).lines[-1]
    assert (line.product, line.kind, line.quantity, line.codes) == (SPLIT.id, Kind.UNIT, 0, (extra,))
    arrive(house, asked, extra, at=STORE)
    assert len(stored(house, asked.id).lines) == 1
    assert flaws(house) == ()


async def test_the_rest_is_closed_and_what_does_not_arrive_is_written_off_by_two(house: Desk) -> None:
    service = Requisitions(house.ledger)
    asked = await service.ask(ASKED)
    out(house, asked, *BOXES[:2])
    arrive(house, asked, BOXES[0])
    await service.close(asked.id)
    assert stored(house, asked.id).state is TransferState.ISSUED
    with pytest.raises(ConflictError):
        await service.close(asked.id)
    for people, error in ((("N1", "N1"), InvalidError), (("N1", "N9"), InvalidError)):
        with pytest.raises(error):
            await service.write_off(asked.id, operator=people[0], witness=people[1], reason="lost")
    with pytest.raises(InvalidError):
        await service.write_off(asked.id, operator="N1", witness="N2", reason="")
    await service.write_off(asked.id, operator="N1", witness="N2", reason="lost")
    assert stored(house, asked.id).state is TransferState.DONE
    assert house.state(BOXES[1]) is State.ABNORMAL
    with pytest.raises(ConflictError):
        await service.write_off(asked.id, operator="N1", witness="N2", reason="lost")
    nothing = await service.ask(ASKED)
    assert nothing.id.endswith("-002")
    await service.close(nothing.id)
    assert stored(house, nothing.id).state is TransferState.CANCELLED
    assert flaws(house) == ()


async def test_what_is_frozen_on_the_way_is_still_on_the_way(house: Desk) -> None:
    service = Requisitions(house.ledger)
    asked = await service.ask(ASKED)
    out(house, asked, *BOXES[:3])
    house.record(What.FROZEN, BOXES[0], reason="recall")
    arrive(house, asked, *BOXES[:3])
    assert house.rows("SELECT reason FROM exception") == [("frozen",)]
    assert stored(house, asked.id).state is TransferState.ISSUED
    house.record(What.WRITTEN_OFF, BOXES[0], reason="recall", witness="N2")
    assert stored(house, asked.id).state is TransferState.DONE, "by a fact without its document too"
    assert flaws(house) == ()


async def test_places_of_one_level_transfer_and_nobody_asks_two_levels_up(house: Desk) -> None:
    service = Requisitions(house.ledger)
    moved = await service.ask(msgspec.structs.replace(ASKED, source=OTHER))
    assert (moved.kind, moved.id) == (TransferKind.TRANSFER, "TR-20260302-001")
    up = await service.ask(msgspec.structs.replace(ASKED, target=BINS))
    assert (up.kind, up.source) == (TransferKind.REQUISITION, PLACE)
    for wrong, field in (
        (msgspec.structs.replace(ASKED, target="nowhere"), "target"),
        (msgspec.structs.replace(ASKED, target=STORE), "source"),
        (msgspec.structs.replace(ASKED, target=BINS, source=STORE), "source"),
        (msgspec.structs.replace(ASKED, source=PLACE), "source"),
        (msgspec.structs.replace(ASKED, wishes=()), "lines"),
        (msgspec.structs.replace(ASKED, wishes=(Wish(product="none", quantity=1),)), "product"),
        (msgspec.structs.replace(ASKED, wishes=(Wish(product=WHOLE.id, quantity=0),)), "quantity"),
        (msgspec.structs.replace(ASKED, wishes=ASKED.wishes * 2), "product"),
        (msgspec.structs.replace(ASKED, wishes=(Wish(product=WHOLE.id, quantity=1, is_units=True),)), "quantity"),
    ):
        with pytest.raises(RequestError) as caught:
            await service.ask(wrong)
        assert caught.value.field == field, wrong
    with pytest.raises(NotFoundError):
        await service.close("RQ-0")


async def test_a_place_stands_below_one_of_the_level_above(house: Desk) -> None:
    places = Places(house.ledger)
    assert await places.put(PLACES) == 0
    assert await places.put([Place(id=BINS, name="二层调配区", level=Level.BIN, parent=PLACE)]) == 1
    for wrong in (
        Place(id="x", name="x", level=Level.PHARMACY),
        Place(id="x", name="x", level=Level.BIN, parent=STORE),
        Place(id="x", name="x", level=Level.STORE, parent=PLACE),
        Place(id=PLACE, name="药房", level=Level.BIN, parent=OTHER),
    ):
        with pytest.raises(InvalidError):
            await places.put([wrong])
