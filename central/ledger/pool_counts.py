"""How many items of the code pool there are: all are counted once, and every commit says what it changed since."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable

import msgspec
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from central.ledger.read_api import ItemFilter, rows_of
from central.ledger.read_console import ProductCount, product_counts
from central.ledger.schema import item, meta
from central.ledger.write import Committed, Ledger
from sync_protocol.items import Item, State


class _Kind(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What items have in common that are counted together; each field a plain text."""

    product: str
    state: str
    kind: str
    lot: str
    location: str
    expiry: str

    def fits(self, wanted: ItemFilter) -> bool:
        return (
            wanted.product in {"", self.product}
            and wanted.state in {"", self.state}
            and wanted.kind in {"", self.kind}
            and wanted.lot in {"", self.lot}
            and wanted.location in {"", self.location}
            and (not wanted.expires_by or self.expiry <= wanted.expires_by)
        )


_COLUMNS = [item.c[name] for name in _Kind.__struct_fields__]
# One statement, so that the version is that of what it counts.
_COUNT = select(
    *_COLUMNS,
    func.count().label("n"),
    select(meta.c.value).where(meta.c.key == "version").scalar_subquery().label("version"),
).group_by(*_COLUMNS)


class PoolCounts:
    """Nothing is counted before somebody asks."""

    def __init__(self, ledger: Ledger, engine: AsyncEngine) -> None:
        self._engine = engine
        self._tally: Counter[_Kind] | None = None
        self._version = 0
        self._since: dict[int, Counter[_Kind]] | None = None
        self._counting = asyncio.Lock()
        ledger.listen(self._committed)

    async def of(self, wanted: ItemFilter) -> list[ProductCount]:
        """By product, of everything that is committed. Raises BusyError."""
        if wanted.order or wanted.box or wanted.document or wanted.code:
            return await product_counts(self._engine, wanted.clauses())
        async with self._counting:
            if self._tally is None:
                self._tally = await self._count()
            return _by_product((kind, count) for kind, count in self._tally.items() if count and kind.fits(wanted))

    async def _count(self) -> Counter[_Kind]:
        since: dict[int, Counter[_Kind]] = {}
        self._since = since
        try:
            found = await rows_of(self._engine, _COUNT)
        finally:
            self._since = None
        tally = Counter({_Kind(**{name: row[name] for name in _Kind.__struct_fields__}): row["n"] for row in found})
        self._version = int(found[0]["version"]) if found else 0
        for version, change in since.items():
            if version > self._version:
                tally.update(change)
                self._version = version
        return tally

    def _committed(self, committed: Committed) -> None:
        if self._since is not None:
            self._since[committed.version] = _change(committed)
        elif self._tally is not None and committed.version == self._version + 1:
            change = _change(committed)
            self._tally.update(change)
            for kind in change:
                if not self._tally[kind]:
                    del self._tally[kind]
            self._version = committed.version
        else:  # after a failure of the disk a commit may have been made of which nobody was told
            self._tally = None


def _change(committed: Committed) -> Counter[_Kind]:
    change: Counter[_Kind] = Counter()
    for one in committed.rows.items:
        before = committed.before[one.code]
        if before is not None:
            change[_kind_of(before)] -= 1
        change[_kind_of(one)] += 1
    return change


def _kind_of(one: Item) -> _Kind:
    return _Kind(
        product=one.product,
        state=one.state.value,
        kind=one.kind.value,
        lot=one.lot,
        location=one.location,
        expiry=one.expiry.isoformat(),
    )


def _by_product(found: Iterable[tuple[_Kind, int]]) -> list[ProductCount]:
    states: dict[str, Counter[str]] = defaultdict(Counter)
    expiries: dict[str, str] = {}
    for kind, count in found:
        states[kind.product][kind.state] += count
        if kind.state == State.IN_STOCK:
            expiries[kind.product] = min(kind.expiry, expiries.get(kind.product, kind.expiry))
    return [
        ProductCount(product=product, states=states[product], first_expiry=expiries.get(product, ""))
        for product in sorted(states)
    ]
