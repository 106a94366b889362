"""Items as this device's own facts left them, until the replica shows the same. An overlay row hides the replica's."""

from collections.abc import Collection, Iterable

import msgspec

from edge_agent.store.journal import Journal
from sync_protocol.items import Item, Kind, State

_ITEM = "SELECT item FROM overlay WHERE code = ?"
_ITEMS = "SELECT code, item FROM overlay WHERE code IN (SELECT value FROM json_each(?))"
_AT = (
    "SELECT item FROM overlay WHERE location = ? AND state IN (SELECT value FROM json_each(?))"
    " AND (? = '' OR product = ?) AND (? = '' OR kind = ?) ORDER BY code LIMIT ?"
)
_ENDING = (
    "SELECT item FROM overlay WHERE location = ? AND state IN (SELECT value FROM json_each(?)) AND code LIKE '%' || ?"
    " ORDER BY code LIMIT ?"
)
_KEPT_AT = "SELECT DISTINCT product, kind FROM overlay WHERE location = ? AND state IN (SELECT value FROM json_each(?))"
_OF_ORDER = "SELECT item FROM overlay WHERE order_id = ? AND order_id <> '' ORDER BY code"
_KNOWN = "SELECT code FROM overlay WHERE code IN (SELECT value FROM json_each(?))"
_COUNT = "SELECT count(*) FROM overlay"
_ANY = "SELECT 1 FROM overlay LIMIT 1"

_decode = msgspec.msgpack.Decoder(Item).decode
_json = msgspec.json.Encoder()


class Overlay:
    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def item(self, code: str) -> Item | None:
        if not self._journal.may_have_touched(code):
            return None
        rows = self._journal.query(_ITEM, code)
        return _decode(rows[0][0]) if rows else None

    def items(self, codes: Iterable[str]) -> dict[str, Item]:
        """Those of the items that have a row here, by code."""
        wanted = [code for code in codes if self._journal.may_have_touched(code)]
        if not wanted:
            return {}
        return {code: _decode(item) for code, item in self._journal.query(_ITEMS, as_json(wanted))}

    def at(
        self, location: str, *, states: Collection[State], product: str = "", kind: Kind | None = None, limit: int
    ) -> list[Item]:
        kind_name = kind or ""
        rows = self._journal.query(_AT, location, as_json(states), product, product, kind_name, kind_name, limit)
        return [_decode(item) for (item,) in rows]

    def ending(self, location: str, ending: str, *, states: Collection[State], limit: int) -> list[Item]:
        """Items of a place whose codes end like this, by code."""
        rows = self._journal.query(_ENDING, location, as_json(states), ending, limit)
        return [_decode(item) for (item,) in rows]

    def kept_at(self, location: str, *, states: Collection[State]) -> set[tuple[str, Kind]]:
        """Products and kinds of the items of a place."""
        rows = self._journal.query(_KEPT_AT, location, as_json(states))
        return {(product, Kind(kind)) for product, kind in rows}

    def of_order(self, order: str) -> list[Item]:
        return [_decode(item) for (item,) in self._journal.query(_OF_ORDER, order)]

    def known(self, codes: Iterable[str]) -> set[str]:
        """Which of the codes have a row here."""
        wanted = [code for code in codes if self._journal.may_have_touched(code)]
        return {code for (code,) in self._journal.query(_KNOWN, as_json(wanted))} if wanted else set()

    @property
    def is_empty(self) -> bool:
        return not self._journal.query(_ANY)

    def __len__(self) -> int:
        ((count,),) = self._journal.query(_COUNT)
        return int(count)


def as_json(values: Iterable[str]) -> str:
    """For ``json_each``: one statement, whatever the number of values."""
    return _json.encode(list(values)).decode()
