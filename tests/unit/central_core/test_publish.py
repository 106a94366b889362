"""Deltas: whoever applies them in order has what the ledger has, whether they came by broadcast or by pull."""

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from central.sync import publish
from sync_protocol.documents import Order, Product
from sync_protocol.facts import What
from sync_protocol.items import Item
from sync_protocol.messages import Delta, Pull, Rows
from tests.unit.central_core.desk import SPLIT, STENT, WHOLE, Desk, HandAgent, an_order, box, piece


class Replica:
    """Applies what starts at its cursor, and nothing else (REQ-05)."""

    def __init__(self) -> None:
        self.cursor = 0
        self.items: dict[str, Item] = {}
        self.orders: dict[str, Order] = {}
        self.products: dict[str, Product] = {}

    def apply(self, delta: Delta) -> None:
        assert delta.after == self.cursor
        self.cursor = delta.to
        self.items |= {item.code: item for item in delta.rows.items}
        self.orders |= {order.id: order for order in delta.rows.orders}
        self.products |= {product.id: product for product in delta.rows.products}

    def catch_up(self, desk: Desk) -> int:
        pulls = 0
        while self.cursor < desk.ledger.version:
            before = self.cursor
            self.apply(desk.publisher.delta(self.cursor))
            assert self.cursor > before
            pulls += 1
        return pulls

    def is_as(self, desk: Desk) -> bool:
        items = dict(desk.rows("SELECT code, state || order_id || location FROM item"))
        own = {code: f"{item.state}{item.order}{item.location}" for code, item in self.items.items()}
        orders = {order: desk.orders.get(order) for (order,) in desk.rows("SELECT id FROM orders")}
        return own == items and self.orders == orders


async def some_hours(desk: Desk) -> None:
    await desk.orders.place(an_order("O-1", quantity=4))
    await desk.units(1, 2)
    await desk.in_stock(STENT, [piece(number) for number in range(5)], note="N-P")
    cabinet = HandAgent("cabinet-1")
    await desk.send(cabinet, cabinet.batch(desk.fact(What.TAKEN, piece(0)), desk.fact(What.TAKEN, piece(9))))
    await desk.orders.place(an_order("O-2", quantity=2))
    await desk.orders.cancel("O-1")
    desk.record(What.TAKEN, "9" * 24)
    await desk.in_stock(WHOLE, [box(WHOLE, 1)], note="N-W")


async def test_broadcasts_follow_each_other_without_a_gap(desk: Desk) -> None:
    replica = Replica()
    replica.catch_up(desk)
    desk.post.sent.clear()
    await some_hours(desk)
    for delta in desk.post.broadcast:
        assert (delta.after, delta.latest) == (replica.cursor, delta.to)
        replica.apply(delta)
    assert replica.cursor == desk.ledger.version
    assert replica.is_as(desk)


@pytest.mark.parametrize("limit", [1, 2, 7, 5_000])
async def test_pulls_of_any_size_lead_to_the_same_replica(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(publish, "MAX_ROWS", limit)
    await some_hours(desk)
    replica = Replica()
    assert replica.catch_up(desk) == 1 or limit < 5_000
    assert replica.is_as(desk)
    assert set(replica.products) == {"SPLIT", "WHOLE", "STENT"}


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
async def test_a_pull_may_come_at_any_moment(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    desk, replica = Desk(tmp_path_factory.mktemp("ledger")), Replica()
    await desk.catalogue()
    await desk.in_stock(STENT, [piece(number) for number in range(6)], note="N-P")
    cabinet = HandAgent("cabinet-1")
    for _ in range(data.draw(st.integers(1, 8))):
        what = data.draw(st.sampled_from([What.TAKEN, What.PUT_BACK]))
        codes = data.draw(st.sets(st.sampled_from(range(6)), min_size=1))
        await desk.send(cabinet, cabinet.batch(desk.fact(what, *(piece(number) for number in sorted(codes)))))
        if data.draw(st.booleans()):
            replica.catch_up(desk)
    replica.catch_up(desk)
    assert replica.is_as(desk)
    desk.close()


async def test_a_commit_too_large_for_a_message_is_announced_and_pulled(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "MAX_ROWS", 10)
    desk.post.sent.clear()
    await desk.units(1)
    opened = desk.post.broadcast[-1]
    assert opened == Delta(
        after=opened.to,
        to=opened.to,
        rows=Rows(),
        latest=desk.ledger.version,
        incarnation=desk.ledger.incarnation,
    )
    replica = Replica()
    replica.catch_up(desk)
    assert replica.is_as(desk)


async def test_pulls_beyond_the_ledger_are_answered_with_where_it_is(desk: Desk) -> None:
    agent = HandAgent("cabinet-1")
    await desk.send(agent, Pull(after=10**9), Pull(after=-5))
    beyond, before = desk.post.to("cabinet-1", Delta)
    assert (beyond.after, beyond.to, beyond.rows.count) == (desk.ledger.version, desk.ledger.version, 0)
    assert before.after == 0


async def test_nothing_is_encoded_while_the_link_is_down(desk: Desk) -> None:
    desk.post.sent.clear()
    desk.post.is_up = False
    await desk.units(1)
    assert desk.post.sent == []


async def test_a_row_of_a_delta_is_complete(desk: Desk) -> None:
    await desk.units(1)
    await desk.orders.place(an_order("O-1", quantity=1))
    delta = desk.publisher.delta(desk.ledger.version - 1)
    (item,), (order,) = delta.rows.items, delta.rows.orders
    assert item.code == f"{box(SPLIT, 1)}#001"
    assert (item.box, item.order, item.lot) == (box(SPLIT, 1), "O-1", "L1")
    assert order == desk.orders.get("O-1")
    assert msgspec.structs.asdict(order)["codes"] == (item.code,)
