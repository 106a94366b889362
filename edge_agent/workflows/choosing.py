"""Which codes an amount is that nobody scanned: what a machine has vended, what a sheet of paper tells of.

What was planned goes first, then what is free: first expiry first, from as few boxes as can be, rather those that this
place may issue without asking. What nobody had brought into this place by a scan gets a mark in the place of its code,
so that it is on central's work list.
"""

from collections.abc import Collection

from edge_agent.workflows.bench import Bench
from sync_protocol.allocation import Free, allocate
from sync_protocol.documents import Product
from sync_protocol.facts import MAX_CODES
from sync_protocol.items import Item, Kind, State


class Choosing:
    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def planned(self, order: str, product: Product) -> tuple[str, ...]:
        """What is locked to an order and can be used."""
        items = self._bench.stock.items_of_order(order) if order else []
        return tuple(item.code for item in items if item.state is State.LOCKED and self._is_usable(item, product))

    async def free(self, product: Product, quantity: int, *, without: Collection[str] = ()) -> tuple[str, ...]:
        """At most so many that are locked to nobody."""
        free = [one for one in self._free(product) if one.code not in without]
        chosen = allocate(quantity, free, today=self._bench.today()).codes if quantity else ()
        rights = self._bench.recorder.rights
        if chosen and not await rights.obtain(chosen):
            held = [one for one in free if rights.may_issue((one.code,))]
            if len(held) >= quantity:
                chosen = allocate(quantity, held, today=self._bench.today()).codes
        return chosen

    def _free(self, product: Product) -> list[Free]:
        kind = Kind.UNIT if product.is_split else product.kind
        here = self._bench.location
        found = self._bench.stock.items_at(
            here, states=(State.IN_STOCK,), product=product.id, kind=kind, limit=MAX_CODES
        )
        return [Free.of(item) for item in found if self._is_usable(item, product)]

    def _is_usable(self, item: Item, product: Product) -> bool:
        is_here = item.location == self._bench.location and item.product == product.id
        return is_here and item.expiry >= self._bench.today() and not self._bench.is_recalled(item)
