"""What an agent believes: its own facts hide the replica's rows until the replica shows them too."""

from edge_agent.check import Stock
from sync_protocol.codeform import Code, CodeForm
from sync_protocol.documents import NoteState, Order, OrderState, Product, Route
from sync_protocol.facts import How, What
from sync_protocol.items import Kind, State
from tests.unit.edge_core.shelf import NOON_US, PLACE, Shelf, box, code, fact, note, order, piece, taken


async def test_an_own_fact_hides_the_replica_until_it_is_forgotten(shelf: Shelf) -> None:
    await shelf.recorder.record(taken(1))
    await shelf.load(piece(1, state=State.FROZEN))
    own = shelf.stock.item(code(1))
    assert own is not None
    assert own.state is State.TAKEN
    shelf.journal.forget_settled(shelf.journal.start.session, 1, 10)
    centrals = shelf.stock.item(code(1))
    assert centrals is not None
    assert centrals.state is State.FROZEN
    assert shelf.stock.item("unknown") is None


async def test_items_of_a_place_are_complete_however_many_of_them_are_hidden(shelf: Shelf) -> None:
    await shelf.load(*(piece(number) for number in range(600)))
    await shelf.recorder.record(taken(*range(300)))
    here = shelf.stock.items_at(PLACE, states={State.IN_STOCK}, limit=1000)
    assert [item.code for item in here] == [code(number) for number in range(300, 600)]
    assert len(shelf.stock.items_at(PLACE, states={State.IN_STOCK}, limit=5)) == 5
    assert len(shelf.stock.items_at(PLACE, states={State.IN_STOCK, State.TAKEN}, limit=1000)) == 600
    assert shelf.stock.items_at(PLACE, states={State.IN_STOCK}, product="aspirin", limit=9) == []
    assert shelf.stock.items_at(PLACE, states={State.IN_STOCK}, kind=Kind.BOX, limit=9) == []
    assert len(shelf.stock.items_at(PLACE, states={State.IN_STOCK}, kind=Kind.PIECE, limit=9)) == 9
    assert shelf.stock.items_at("elsewhere", states={State.IN_STOCK}, limit=9) == []


async def test_items_of_an_order_follow_own_facts(shelf: Shelf) -> None:
    locked = [box(number, state=State.LOCKED, order="o1") for number in (30, 31)]
    await shelf.load(*locked, orders=(order("o1", codes=(code(30), code(31))),))
    await shelf.recorder.record(fact(What.UNLOCKED, code(30), order="o1", how=How.CONSOLE))
    assert [item.code for item in shelf.stock.items_of_order("o1")] == [code(31)]
    assert shelf.stock.items_of_order("") == []


async def test_an_order_dispensed_here_is_dispensed_before_central_says_so(shelf: Shelf) -> None:
    locked = [box(number, state=State.LOCKED, order="o1") for number in (30, 31)]
    await shelf.load(*locked, orders=(order("o1"), order("o2", ordered_us=0)))
    assert [each.id for each in _open_orders(shelf.stock)] == ["o2", "o1"]
    await shelf.recorder.record(fact(What.DISPENSED, code(30), order="o1"))
    assert [each.id for each in _open_orders(shelf.stock)] == ["o2", "o1"]
    await shelf.recorder.record(fact(What.DISPENSED, code(31), order="o1"))
    assert [each.id for each in _open_orders(shelf.stock)] == ["o2"]
    done = shelf.stock.order("o1")
    assert done is not None
    assert done.state is OrderState.DISPENSED
    dispensed = shelf.stock.orders(location=PLACE, route=Route.STATION, states={OrderState.DISPENSED})
    assert [each.id for each in dispensed] == ["o1"]
    assert shelf.stock.orders(location=PLACE, route=Route.PACKAGER, states=set(OrderState)) == []


async def test_a_note_received_here_is_received_before_central_says_so(shelf: Shelf) -> None:
    await shelf.load(piece(40, state=State.EXPECTED, document="dn-1"), notes=(note("dn-1", code(40)),))
    assert [each.id for each in shelf.stock.notes(location=PLACE, state=NoteState.EXPECTED)] == ["dn-1"]
    await shelf.recorder.record(fact(What.RECEIVED, code(40), document="dn-1"))
    assert shelf.stock.notes(location=PLACE, state=NoteState.EXPECTED) == []
    assert [each.id for each in shelf.stock.notes(location=PLACE, state=NoteState.RECEIVED)] == ["dn-1"]
    received = shelf.stock.note("dn-1")
    assert received is not None
    assert received.state is NoteState.RECEIVED
    assert shelf.stock.note("dn-2") is None


async def test_a_product_is_found_by_what_its_codes_say_and_forgets_old_ones(shelf: Shelf) -> None:
    aspirin = Product(
        id="aspirin",
        name="阿司匹林",
        name_en="Aspirin",
        spec="25mg",
        kind=Kind.BOX,
        drug_ids=("8100042",),
        gtins=("g1",),
    )
    await shelf.load(products=(aspirin,))
    by_trace = Code(key=code(1), form=CodeForm.TRACE20, drug_id="8100042")
    by_gtin = Code(key="x", form=CodeForm.GS1, gtin="g1")
    assert shelf.stock.product_of(by_trace) == shelf.stock.product_of(by_gtin) == aspirin
    renamed = Product(id="aspirin", name="阿司匹林", name_en="Aspirin", spec="25mg", kind=Kind.BOX, gtins=("g2",))
    await shelf.load(products=(renamed,))
    assert shelf.stock.product_of(by_trace) is None
    assert shelf.stock.product("aspirin") == renamed
    assert shelf.stock.product("nothing") is None


async def test_age_is_told_from_the_last_word_of_central(shelf: Shelf) -> None:
    shelf.clock.now_us = NOON_US + 90_000_000
    assert _age_s(shelf.stock) == 90.0
    shelf.replica.confirm(as_of_us=shelf.clock.now_us)
    assert _age_s(shelf.stock) == 0.0
    assert shelf.stock.version == 1
    shelf.replica.reset()
    assert _age_s(shelf.stock) is None
    assert shelf.stock.version == 0


def _open_orders(stock: Stock) -> list[Order]:
    return stock.orders(location=PLACE, route=Route.STATION, states={OrderState.LOCKED})


def _age_s(stock: Stock) -> float | None:
    return stock.age_s
