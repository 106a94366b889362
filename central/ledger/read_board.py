# ruff: noqa: S608 -- statements are put together from constants of this module, never from values
"""The rows for the insurer as its board shows them: filtered, counted in units, page by page.

Everything beside the row itself is looked up only for rows that need it, so that counting a long queue stays cheap.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from sqlalchemy import bindparam, text
from sqlalchemy.ext.asyncio import AsyncEngine

from central.ledger import insurer_statements
from central.ledger.read_api import rows_of
from central.ledger.read_figures import first_position

_NOT_SENT = "not sent: "
# A row of an order that no insurer pays is no gap, also before the queue has come to it.
_STATE = (
    "CASE WHEN row.state = 'sending' THEN 'waiting' WHEN row.state = 'waiting' AND "
    "(SELECT is_self_pay FROM orders WHERE orders.id = row.order_id) THEN 'exempt' ELSE row.state END"
)
# What waits for another row says so; what central found missing is one cause whatever the rest of its sentence says.
_CAUSE = (
    f"CASE WHEN {_STATE} = 'waiting' AND {insurer_statements.OF_REFUSED_SALE} THEN 'its sale was refused' "
    f"WHEN {_STATE} = 'waiting' AND {insurer_statements.BEFORE_ITS_SALE} THEN 'its sale is not accepted yet' "
    f"WHEN {_STATE} = 'waiting' AND {insurer_statements.BEHIND_A_RETURN} THEN 'a return is not accepted yet' "
    f"WHEN row.cause LIKE '{_NOT_SENT}%' THEN substr(row.cause, 1, {len(_NOT_SENT) - 1} + "
    f"instr(substr(row.cause, {len(_NOT_SENT) + 1}), ':')) ELSE row.cause END"
)
_HAPPENED = "(SELECT happened_us(body, received_us) FROM fact WHERE fact.position = row.position)"
_WHERE = (
    "row.position >= :first AND (:kind = '' OR row.is_return = (:kind = 'return')) "
    "AND (:order_id = '' OR row.order_id = :order_id) AND (:box = '' OR row.box = :box) "
    f"AND (:cause = '' OR {_CAUSE} = :cause) "
    "AND (:product = '' OR EXISTS (SELECT 1 FROM item WHERE item.code = row.box AND item.product = :product)) "
    f"AND (:since_us = 0 OR {_HAPPENED} >= :since_us) AND (:until_us = 0 OR {_HAPPENED} < :until_us) "
    f"AND (:state = '' OR {_STATE} = :state)"
)
_COUNTS = text(
    f"SELECT {_STATE} AS state, count(*) AS n, sum(row.quantity) AS units FROM insurer_row AS row WHERE {_WHERE} "
    "GROUP BY 1"
)
_CAUSES = text(
    f"SELECT {_CAUSE} AS cause, count(*) AS n FROM insurer_row AS row WHERE {_WHERE} "
    f"AND row.state != 'accepted' AND {_CAUSE} != '' GROUP BY 1 ORDER BY n DESC, cause LIMIT 50"
)
_PAGE = text(
    f"SELECT row.id, row.box, row.order_id AS 'order', row.quantity, row.is_split, row.is_return, "
    f"{_STATE} AS state, row.attempts, "
    f"row.cause, {_CAUSE} AS cause_key, row.next_try_us, row.updated_us, {_HAPPENED} AS happened_us, "
    "coalesce((SELECT product FROM item WHERE item.code = row.box), '') AS product "
    f"FROM insurer_row AS row WHERE {_WHERE} AND (:before = 0 OR row.id < :before) ORDER BY row.id DESC LIMIT :limit"
)
_IDS = text(
    f"SELECT row.id FROM insurer_row AS row WHERE {_WHERE} AND row.state = 'refused' ORDER BY row.id LIMIT :limit"
)
_REPAIRS = text(
    "SELECT row_id, what, cause, coalesce(person.name, insurer_repair.person) AS person, at_us FROM insurer_repair "
    "LEFT JOIN person ON person.id = insurer_repair.person WHERE row_id IN :rows ORDER BY insurer_repair.id"
).bindparams(bindparam("rows", expanding=True))


class BoardFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Empty and 0: any. ``kind``: "sale" or "return". ``since_us`` to ``until_us``: when it happened."""

    state: str = ""
    kind: str = ""
    cause: str = ""
    product: str = ""
    order_id: str = ""
    box: str = ""
    since_us: int = 0
    until_us: int = 0


class BoardRow(msgspec.Struct, frozen=True, kw_only=True):
    """A box and how many units of it were handed out, or came back, at once.

    ``cause_key``: its cause without what differs by row, or the row that it waits for.
    """

    id: int
    box: str
    order: str
    quantity: int
    is_split: bool
    is_return: bool
    state: str
    attempts: int
    cause: str
    cause_key: str
    next_try_us: int
    updated_us: int
    happened_us: int
    product: str


class Repair(msgspec.Struct, frozen=True, kw_only=True):
    what: str
    cause: str
    person: str
    at_us: int


class Count(msgspec.Struct, frozen=True, kw_only=True):
    rows: int = 0
    units: int = 0


class Board:
    """The rows that fit a filter, from its first possible fact on."""

    def __init__(self, engine: AsyncEngine, wanted: BoardFilter, first: int) -> None:
        self._engine = engine
        self._values: dict[str, Any] = msgspec.structs.asdict(wanted) | {"first": first}

    async def counts(self, kind: str) -> dict[str, Count]:
        """By state, whatever state and kind the filter wants."""
        found = await self._rows(_COUNTS, state="", kind=kind)
        return {row["state"]: Count(rows=row["n"], units=row["units"]) for row in found}

    async def causes(self) -> dict[str, int]:
        """The most frequent causes of rows that are not accepted, with the number of rows."""
        return {row["cause"]: row["n"] for row in await self._rows(_CAUSES, cause="")}

    async def page(self, *, before: int, limit: int) -> list[BoardRow]:
        """The newest first; ``before`` 0: from the newest."""
        return msgspec.convert(await self._rows(_PAGE, before=before, limit=limit), list[BoardRow], strict=False)

    async def refused(self, *, limit: int) -> list[int]:
        return [row["id"] for row in await self._rows(_IDS, limit=limit)]

    async def _rows(self, query: Any, **values: Any) -> list[dict[str, Any]]:
        return [dict(row) for row in await rows_of(self._engine, query.bindparams(**self._values | values))]


async def board(engine: AsyncEngine, wanted: BoardFilter) -> Board:
    if not wanted.since_us:
        return Board(engine, wanted, 0)
    async with engine.connect() as connection:
        return Board(engine, wanted, await first_position(connection, wanted.since_us))


async def repairs(engine: AsyncEngine, ids: Iterable[int]) -> Mapping[int, Repair]:
    """The last thing that a person did about each of these rows."""
    rows = await rows_of(engine, _REPAIRS.bindparams(rows=list(ids)))
    return {
        row["row_id"]: Repair(what=row["what"], cause=row["cause"], person=row["person"], at_us=row["at_us"])
        for row in rows
    }
