"""Notes, orders, usages, master data: each in one commit with the facts that carry it, each once."""

import datetime as dt

import msgspec
import pytest

from central.errors import ConflictError, InvalidError, NotFoundError
from central.stock.exceptions import Exceptions
from central.stock.usage import Usage
from sync_protocol.documents import NoteState, OrderKind, OrderState, Person
from sync_protocol.facts import UNDONE, How, What
from sync_protocol.items import Kind, State
from tests.unit.central_core.desk import (
    EXPIRY,
    LATE,
    NOON_US,
    SPLIT,
    STENT,
    WHOLE,
    Desk,
    HandAgent,
    a_note,
    an_order,
    box,
    piece,
)
from tests.unit.central_core.test_verify import check

# -- delivery notes ------------------------------------------------------------------------------------------------


async def test_a_note_is_announced_once_and_received_when_all_its_codes_are(desk: Desk) -> None:
    codes = tuple(piece(number) for number in range(3))
    note = a_note(STENT, codes, note="N-1")
    assert await desk.receiving.announce(note) == note
    version = desk.ledger.version
    assert await desk.receiving.announce(note) == note
    assert desk.ledger.version == version
    desk.record(What.RECEIVED, *codes[:2], document="N-1")
    assert desk.rows("SELECT state FROM note") == [("expected",)]
    desk.record(What.WRITTEN_OFF, codes[2], reason="broken on the way")
    assert desk.rows("SELECT state FROM note") == [("received",)]
    assert (await desk.receiving.announce(note)).state is NoteState.RECEIVED


async def test_codes_of_a_note_are_canonical(desk: Desk) -> None:
    gs1 = f"(01)06901234567892(17){EXPIRY:%y%m%d}(10)L1(21)SN1"
    product = msgspec.structs.replace(WHOLE, id="GS1", drug_ids=(), gtins=("06901234567892",))
    await desk.masterdata.put_products([product])
    note = await desk.receiving.announce(a_note(product, (gs1,), note="N-1"))
    (code,) = note.codes
    assert "(" not in code
    assert (await desk.receiving.announce(msgspec.structs.replace(a_note(product, (code,), note="N-1")))).codes == (
        code,
    )


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"id": ""}, "id"),
        ({"location": ""}, "location"),
        ({"kind": Kind.PIECE}, "lines[0].product"),
        ({"lines": ()}, "lines"),
    ],
)
async def test_a_note_that_cannot_be_names_the_field(desk: Desk, change: dict[str, object], field: str) -> None:
    note = a_note(SPLIT, (box(SPLIT, 1),), note="N-1")
    with pytest.raises(InvalidError) as raised:
        await desk.receiving.announce(msgspec.structs.replace(note, **change))
    assert raised.value.field == field
    assert desk.rows("SELECT count(*) FROM item") == [(0,)]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"product": "NONE"}, "lines[0].product"),
        ({"lot": ""}, "lines[0].lot"),
        ({"made": dt.date(2031, 1, 1)}, "lines[0].made"),
        ({"codes": ()}, "lines[0].codes"),
        ({"codes": ("rubbish",)}, "lines[0].codes[0]"),
        ({"codes": (box(SPLIT, 1), box(WHOLE, 1))}, "lines[0].codes[1]"),
        ({"codes": (f"{box(SPLIT, 1)}#001",)}, "lines[0].codes[0]"),
        ({"codes": (box(SPLIT, 1), box(SPLIT, 1))}, "codes"),
    ],
)
async def test_a_line_that_cannot_be_names_the_field(desk: Desk, change: dict[str, object], field: str) -> None:
    note = a_note(SPLIT, (box(SPLIT, 1),), note="N-1")
    line = msgspec.structs.replace(note.lines[0], **change)
    with pytest.raises(InvalidError) as raised:
        await desk.receiving.announce(msgspec.structs.replace(note, lines=(line,)))
    assert raised.value.field == field
    assert raised.value.expected


async def test_a_note_that_disagrees_with_the_ledger_is_a_conflict(desk: Desk) -> None:
    note = a_note(SPLIT, (box(SPLIT, 1),), note="N-1")
    await desk.receiving.announce(note)
    with pytest.raises(ConflictError, match="lines"):
        await desk.receiving.announce(a_note(SPLIT, (box(SPLIT, 2),), note="N-1"))
    with pytest.raises(ConflictError, match="expected by document N-1"):
        await desk.receiving.announce(a_note(SPLIT, (box(SPLIT, 3), box(SPLIT, 1)), note="N-2"))
    assert desk.rows("SELECT code FROM item") == [(box(SPLIT, 1),)]


# -- orders --------------------------------------------------------------------------------------------------------


async def test_an_order_locks_units_at_once_and_a_replay_locks_nothing_more(desk: Desk) -> None:
    await desk.units(1)
    order = await desk.orders.place(an_order("O-1"))
    assert order.state is OrderState.LOCKED
    assert order.codes == tuple(f"{box(SPLIT, 1)}#{n:03d}" for n in (1, 2, 3))
    version = desk.ledger.version
    assert await desk.orders.place(an_order("O-1", ordered_us=NOON_US + 5)) == order
    assert desk.ledger.version == version
    ((what, device, reason),) = desk.rows("SELECT what, device, '' FROM fact WHERE order_id = 'O-1'")
    assert (what, device, reason) == ("locked", "central", "")
    with pytest.raises(ConflictError, match="quantity: found 4, expected 3"):
        await desk.orders.place(an_order("O-1", quantity=4))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"product": "NONE"}, "product"),
        ({"quantity": 0}, "quantity"),
        ({"quantity": 2_001}, "quantity"),
        ({"patient": ""}, "patient"),
        ({"location": ""}, "location"),
        ({"id": ""}, "id"),
    ],
)
async def test_an_order_that_cannot_be_names_the_field(desk: Desk, change: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidError) as raised:
        await desk.orders.place(msgspec.structs.replace(an_order("O-1"), **change))
    assert raised.value.field == field


async def test_new_stock_goes_to_urgent_orders_first_then_to_the_oldest(desk: Desk) -> None:
    await desk.orders.place(an_order("O-NEW", quantity=4, ordered_us=NOON_US + 9))
    await desk.orders.place(an_order("O-OLD", quantity=4))
    await desk.orders.place(an_order("O-STAT", quantity=4, kind=OrderKind.STAT, ordered_us=NOON_US + 99))
    await desk.units(1)
    states = {order: desk.orders.get(order).state for order in ("O-STAT", "O-OLD", "O-NEW")}
    assert states == {
        "O-STAT": OrderState.LOCKED,
        "O-OLD": OrderState.LOCKED,
        "O-NEW": OrderState.PART_LOCKED,
    }
    await desk.units(2)
    order = desk.orders.get("O-NEW")
    assert (order.state, len(order.codes)) == (OrderState.LOCKED, 4)
    assert desk.states()[State.LOCKED] == 12


async def test_stock_elsewhere_frozen_or_expired_is_not_locked(desk: Desk) -> None:
    await desk.units(1)
    await desk.units(2, lot="OLD", expiry=dt.date(2026, 3, 3))
    desk.record(What.FROZEN, *(f"{box(SPLIT, 1)}#{n:03d}" for n in range(2, 11)), reason="recall")
    desk.clock.us += 3 * 86_400_000_000
    await desk.orders.place(an_order("O-ELSEWHERE", location="ward-9"))
    await desk.orders.place(an_order("O-1"))
    assert desk.orders.get("O-ELSEWHERE").codes == ()
    assert desk.orders.get("O-1").codes == (f"{box(SPLIT, 1)}#001",)
    desk.record(What.RELEASED, f"{box(SPLIT, 1)}#002", f"{box(SPLIT, 1)}#003")
    assert desk.orders.get("O-1").state is OrderState.LOCKED


async def test_an_order_is_dispensed_when_all_of_it_is_and_a_return_does_not_open_it(desk: Desk) -> None:
    await desk.units(1)
    codes = (await desk.orders.place(an_order("O-1"))).codes
    desk.record(What.DISPENSED, *codes[:2], order="O-1", how=How.AUTOMATIC)
    assert desk.orders.get("O-1").state is OrderState.LOCKED
    desk.record(What.DISPENSED, codes[2], order="O-1", how=How.AUTOMATIC)
    assert desk.orders.get("O-1").state is OrderState.DISPENSED
    assert desk.rows("SELECT dispensed_us FROM orders") == [(NOON_US,)]
    desk.record(What.RETURNED, codes[0])
    order = desk.orders.get("O-1")
    assert (order.state, order.codes) == (OrderState.DISPENSED, codes[1:])
    assert desk.state(codes[0]) is State.IN_STOCK


async def test_a_hand_out_that_was_undone_waits_again_and_is_locked_in_the_same_commit(desk: Desk) -> None:
    await desk.units(1)
    codes = (await desk.orders.place(an_order("O-1"))).codes
    desk.record(What.DISPENSED, *codes, order="O-1", how=How.AUTOMATIC)
    desk.record(What.RETURNED, *codes, order="O-1", reason=UNDONE)
    order = desk.orders.get("O-1")
    assert (order.state, order.codes) == (OrderState.LOCKED, codes), "first expiry first, they are preferred"
    assert desk.rows("SELECT dispensed_us FROM orders") == [(0,)]
    desk.clock.us += 60_000_000
    desk.record(What.DISPENSED, *codes, order="O-1", how=How.AUTOMATIC)
    assert desk.orders.get("O-1").state is OrderState.DISPENSED
    assert desk.rows("SELECT dispensed_us FROM orders") == [(NOON_US + 60_000_000,)]
    desk.record(What.RETURNED, codes[0], order="O-1")
    assert desk.orders.get("O-1").state is OrderState.DISPENSED, "what a patient brings back opens nothing"
    assert desk.rows("SELECT order_id, quantity, is_return, state FROM insurer_row ORDER BY position") == [
        ("O-1", 3, 0, "waiting"),
        ("O-1", 3, 1, "waiting"),
        ("O-1", 3, 0, "waiting"),
        ("O-1", 1, 1, "waiting"),
    ]
    assert check(desk.path).is_whole


async def test_what_was_undone_waits_for_its_turn_among_the_orders(desk: Desk) -> None:
    await desk.units(1)
    codes = (await desk.orders.place(an_order("O-1", quantity=10))).codes
    desk.record(What.DISPENSED, *codes, order="O-1", how=How.AUTOMATIC)
    await desk.orders.place(an_order("O-STAT", quantity=8, kind=OrderKind.STAT, ordered_us=NOON_US + 9))
    desk.record(What.RETURNED, *codes, order="O-1", reason=UNDONE)
    assert desk.orders.get("O-STAT").state is OrderState.LOCKED
    assert (desk.orders.get("O-1").state, len(desk.orders.get("O-1").codes)) == (OrderState.PART_LOCKED, 2)
    assert check(desk.path).is_whole


async def test_only_an_undoing_that_fits_opens_an_order_and_never_a_cancelled_one(desk: Desk) -> None:
    await desk.units(1)
    for key in ("O-1", "O-2", "O-3"):
        codes = (await desk.orders.place(an_order(key))).codes
        desk.record(What.DISPENSED, *codes, order=key, how=How.AUTOMATIC)
        if key == "O-3":
            await desk.orders.cancel(key)
            desk.record(What.RETURNED, *codes, order=key, reason=UNDONE)
        elif key == "O-2":
            desk.record(What.RETURNED, *codes, order="O-1", reason=UNDONE)
    assert [desk.orders.get(key).state for key in ("O-1", "O-2", "O-3")] == [
        OrderState.DISPENSED,
        OrderState.DISPENSED,
        OrderState.CANCELLED,
    ]
    assert desk.states() == {State.OPENED: 1, State.DISPENSED: 6, State.IN_STOCK: 4}
    assert check(desk.path).is_whole


async def test_out_undone_and_out_again_in_one_message_of_a_workplace(desk: Desk) -> None:
    """What a station without a connection did."""
    await desk.units(1)
    codes = (await desk.orders.place(an_order("O-1"))).codes
    other = tuple(f"{box(SPLIT, 1)}#{n:03d}" for n in (7, 8, 9))
    agent = HandAgent("station-1")
    out = desk.fact(What.DISPENSED, *codes, order="O-1", how=How.AUTOMATIC)
    undone = desk.fact(What.RETURNED, *codes, order="O-1", reason=UNDONE)
    late = desk.fact(What.DISPENSED, *other, order="O-1", how=LATE)
    (ack,) = await desk.send(agent, agent.batch(out, undone, late))
    assert ack.exceptions == ()
    order = desk.orders.get("O-1")
    assert (order.state, order.codes) == (OrderState.DISPENSED, other)
    (ack,) = await desk.send(agent, agent.batch(desk.fact(What.RETURNED, *other, order="O-1", reason=UNDONE)))
    assert ack.exceptions == ()
    assert (desk.orders.get("O-1").state, desk.orders.get("O-1").codes) == (OrderState.LOCKED, codes)
    assert check(desk.path).is_whole


async def test_double_return_and_return_of_what_was_never_issued_are_exceptions(desk: Desk) -> None:
    await desk.units(1)
    codes = (await desk.orders.place(an_order("O-1"))).codes
    agent = HandAgent("station-1")
    facts = [
        desk.fact(What.DISPENSED, *codes, order="O-1", how=How.AUTOMATIC),
        desk.fact(What.RETURNED, codes[0]),
        desk.fact(What.RETURNED, codes[0]),
        desk.fact(What.RETURNED, f"{box(SPLIT, 1)}#009"),
    ]
    (ack,) = await desk.send(agent, agent.batch(*facts))
    assert [verdict.seq for verdict in ack.exceptions] == [3, 4]
    assert desk.states() == {State.OPENED: 1, State.IN_STOCK: 8, State.DISPENSED: 2}


async def test_a_late_scan_fills_a_waiting_order_and_gives_other_locks_back(desk: Desk) -> None:
    await desk.in_stock(SPLIT, [box(SPLIT, 1)], note="N-1")
    await desk.units(2)
    order = await desk.orders.place(an_order("O-1", quantity=3))
    assert order.codes == tuple(f"{box(SPLIT, 2)}#{n:03d}" for n in (1, 2, 3))
    station = HandAgent("station-1")
    units = [f"{box(SPLIT, 1)}#{n:03d}" for n in (1, 2, 3)]
    scan = desk.fact(What.PRESCANNED, box(SPLIT, 1), units=10)
    (ack,) = await desk.send(station, station.batch(scan, desk.fact(What.DISPENSED, *units, order="O-1", how=LATE)))
    assert ack.exceptions == ()
    order = desk.orders.get("O-1")
    assert (order.state, order.codes) == (OrderState.DISPENSED, tuple(units))
    assert desk.states() == {State.OPENED: 2, State.DISPENSED: 3, State.IN_STOCK: 17}


async def test_a_whole_box_order_locks_boxes(desk: Desk) -> None:
    await desk.in_stock(WHOLE, [box(WHOLE, 1), box(WHOLE, 2)], note="N-1")
    order = await desk.orders.place(an_order("O-1", WHOLE, 1))
    assert order.codes == (box(WHOLE, 1),)


async def test_a_cancelled_order_gives_locked_codes_to_the_next(desk: Desk) -> None:
    await desk.units(1)
    await desk.orders.place(an_order("O-1", quantity=10))
    await desk.orders.place(an_order("O-2", quantity=4))
    cancelled = await desk.orders.cancel("O-1")
    assert (cancelled.state, cancelled.codes) == (OrderState.CANCELLED, ())
    assert desk.orders.get("O-2").state is OrderState.LOCKED
    version = desk.ledger.version
    assert (await desk.orders.cancel("O-1")).state is OrderState.CANCELLED
    assert desk.ledger.version == version
    with pytest.raises(NotFoundError):
        await desk.orders.cancel("O-9")
    await desk.orders.place(an_order("O-1", quantity=10))
    assert desk.orders.get("O-1").state is OrderState.CANCELLED


async def test_a_cancelled_order_of_used_pieces_waits_for_their_return(desk: Desk) -> None:
    await desk.in_stock(STENT, [piece(1)], note="N-1")
    order = await desk.orders.place(an_order("O-1", STENT, 1))
    assert (order.state, order.codes) == (OrderState.WAITING, ())
    desk.record(What.TAKEN, piece(1))
    await desk.usage.record(Usage(id="U-1", codes=(piece(1),), patient="P", order="O-1", wall_us=NOON_US))
    assert desk.orders.get("O-1").state is OrderState.DISPENSED
    await desk.orders.cancel("O-1")
    assert desk.state(piece(1)) is State.AWAITING_PUT_BACK
    desk.record(What.PUT_BACK, piece(1))
    assert desk.state(piece(1)) is State.IN_STOCK


# -- usages --------------------------------------------------------------------------------------------------------


async def test_a_usage_turns_taken_into_used_once(desk: Desk) -> None:
    await desk.in_stock(STENT, [piece(1), piece(2)], note="N-1")
    desk.record(What.TAKEN, piece(1), piece(2))
    usage = Usage(id="U-1", codes=(piece(1),), patient="P", operator="n7", wall_us=NOON_US)
    await desk.usage.record(usage)
    await desk.usage.record(usage)
    assert (desk.state(piece(1)), desk.state(piece(2))) == (State.DISPENSED, State.TAKEN)
    assert desk.rows("SELECT operator, document FROM fact WHERE what = 'dispensed'") == [("n7", "U-1")]
    with pytest.raises(ConflictError, match="patient"):
        await desk.usage.record(msgspec.structs.replace(usage, patient="Q"))
    with pytest.raises(InvalidError, match="unknown"):
        await desk.usage.record(msgspec.structs.replace(usage, id="U-2", codes=("9" * 24,)))


async def test_a_usage_ahead_of_the_cabinet_takes_effect_with_the_taking(desk: Desk) -> None:
    await desk.in_stock(STENT, [piece(1), piece(2)], note="N-1")
    usage = Usage(id="U-1", codes=(piece(1), piece(2)), patient="P", operator="n7", wall_us=NOON_US)
    await desk.usage.record(usage)
    await desk.usage.record(usage)
    assert desk.states() == {State.IN_STOCK: 2}
    cabinet = HandAgent("cabinet-1")
    (ack,) = await desk.send(cabinet, cabinet.batch(desk.fact(What.TAKEN, piece(1))))
    assert ack.exceptions == ()
    assert (desk.state(piece(1)), desk.state(piece(2))) == (State.DISPENSED, State.IN_STOCK)
    await desk.send(cabinet, cabinet.batch(desk.fact(What.TAKEN, piece(2))))
    assert desk.states() == {State.DISPENSED: 2}
    assert desk.rows("SELECT state, count(*) FROM usage GROUP BY state") == [("recorded", 2)]


# -- master data and the work list ---------------------------------------------------------------------------------


async def test_master_data_is_idempotent_and_named_when_wrong(desk: Desk) -> None:
    assert await desk.masterdata.put_products([SPLIT, WHOLE, STENT]) == 0
    assert await desk.masterdata.put_products([msgspec.structs.replace(SPLIT, maker="M")]) == 1
    for change, field in (
        ({"units": 0}, "units"),
        ({"box_price": "twelve"}, "box_price"),
        ({"kind": Kind.UNIT}, "kind"),
    ):
        with pytest.raises(InvalidError, match=field):
            await desk.masterdata.put_products([msgspec.structs.replace(SPLIT, **change)])
    with pytest.raises(InvalidError, match="twice"):
        await desk.masterdata.put_products([SPLIT, SPLIT])
    await desk.units(1)
    with pytest.raises(ConflictError, match="box of 10"):
        await desk.masterdata.put_products([msgspec.structs.replace(SPLIT, units=12)])


async def test_a_pin_is_kept_as_its_verifier_and_its_repetition_changes_nothing(desk: Desk) -> None:
    nurse = Person(id="n1", name="李", badge="B1", pin="1234")
    assert await desk.masterdata.put_people([nurse]) == 1
    ((pin,),) = desk.rows("SELECT pin FROM person")
    assert pin.startswith("$argon2")
    assert await desk.masterdata.put_people([nurse]) == 0
    assert await desk.masterdata.put_people([msgspec.structs.replace(nurse, pin="9999")]) == 1
    with pytest.raises(ConflictError, match="B1"):
        await desk.masterdata.put_people([Person(id="n2", name="王", badge="B1")])
    assert desk.rows("SELECT id FROM person") == [("n1",)]


async def test_an_exception_is_closed_once_by_a_person(desk: Desk) -> None:
    desk.record(What.TAKEN, piece(9))
    ((number,),) = desk.rows("SELECT id FROM exception")
    exceptions = Exceptions(desk.ledger)
    await exceptions.close(number, "n1")
    await exceptions.close(number, "n2")
    assert desk.rows("SELECT closed_us, closed_by FROM exception") == [(NOON_US, "n1")]
    with pytest.raises(NotFoundError):
        await exceptions.close(number + 1, "n1")
    with pytest.raises(InvalidError):
        await exceptions.close(number, "")
