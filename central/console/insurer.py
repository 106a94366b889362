"""The completeness board: every dispensed box and unit, what the insurer knows of it, and what to do where it does not.

Its counts are of units, and add up to all that was handed out in what the filters let through; what came back is
counted beside it.
"""

import datetime as dt
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import msgspec

from central.api.documents import Place, Text
from central.connectors import sale_rows
from central.connectors.envelope import Institution
from central.connectors.queue import Sale
from central.console.figure_words import CAUSES, NO_ANSWERS
from central.console.message import message
from central.console.pins import Pins
from central.console.sheet import Cell, Sheet
from central.console.visit import View, Visit
from central.ledger import read_console
from central.ledger.read_board import Board, BoardFilter, BoardRow, board, repairs

PAGE = 100
STATES = ("accepted", "waiting", "unknown", "refused", "exempt")
KINDS = (SALE, RETURN) = ("sale", "return")
MOST_AT_ONCE = 5_000
"""Rows that one press of a button sends again."""
_AT_ONCE = 2_000
_DIGITS = 19
"""A number of so many digits is no row's."""
_HEADS = (
    message("Row"),
    message("What"),
    message("When"),
    message("Product"),
    message("Box"),
    message("Order number"),
    message("Split"),
    message("Quantity"),
    message("State"),
    message("Tries"),
    message("Cause"),
    message("What to do"),
    message("Changed"),
)


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """``day_from`` and ``day_to``: when it was handed out or came back."""

    state: Text = ""
    kind: Text = ""
    cause: Text = ""
    product: Text = ""
    order: Text = ""
    box: Text = ""
    day_from: dt.date | None = None
    day_to: dt.date | None = None
    before: Place = 0

    @property
    def is_filtered(self) -> bool:
        return self != Query(before=self.before)

    def wanted(self, visit: Visit) -> BoardFilter:
        midnight_us = visit.services.time.midnight_us
        return BoardFilter(
            state=self.state,
            kind=self.kind,
            cause=self.cause,
            product=self.product,
            order_id=self.order,
            box=self.box,
            since_us=midnight_us(self.day_from) if self.day_from else 0,
            until_us=midnight_us(self.day_to + dt.timedelta(days=1)) if self.day_to else 0,
        )


async def show(visit: Visit) -> View:
    query, engine = visit.query(Query), visit.services.read
    shown = await _board(visit, query)
    rows = await shown.page(before=query.before, limit=PAGE)
    counts, returned = await shown.counts(SALE), await shown.counts(RETURN)
    refused = [
        each["refused"].rows
        for kind, each in ((SALE, counts), (RETURN, returned))
        if "refused" in each and query.kind in {"", kind}
    ]
    owed = sum(count.units for state, count in counts.items() if state != "exempt")
    causes = await shown.causes()
    values = {
        "query": query,
        "rows": rows,
        "next": rows[-1].id if len(rows) == PAGE else "",
        "counts": counts,
        "returned": returned,
        "states": STATES,
        "kinds": KINDS,
        "units": sum(count.units for count in counts.values()),
        "owed": owed,
        "rate": counts["accepted"].units / owed if owed and "accepted" in counts else 0.0,
        "causes": [(key, f"{_cause(visit, key)} ({n})") for key, n in causes.items()],
        "cause": lambda row: _cause(visit, row.cause_key),
        "advice": lambda row: _advice(visit, row),
        "lacks": _lacks(visit, rows),
        "repairs": await repairs(engine, [row.id for row in rows]),
        "products": await read_console.products(engine),
        "refused": sum(refused),
        "most": MOST_AT_ONCE,
        "trouble": _trouble(visit),
    }
    return View(template="insurer.html", values=values)


def _trouble(visit: Visit) -> tuple[str, str]:
    """Why nothing is sent at the moment, and what to do; empty while all is well."""
    parts = [part for part in visit.services.conditions() if part.part == "insurer"]
    if not parts:
        return visit.language.say("nothing is sent: no insurer is configured"), ""
    return ("", "") if parts[0].is_ok else (_cause(visit, parts[0].cause), visit.known(parts[0].advice))


async def sheet(visit: Visit) -> Sheet:
    heads = visit.heads(_HEADS)
    return Sheet(name="insurer", heads=heads, rows=_rows(visit, await _board(visit, visit.query(Query))))


async def repair(visit: Visit, form: Mapping[str, Any], _pins: Pins) -> str:
    """One row, or all refused rows that fit the filters of the URL; then the page as it was.

    With ``where`` it is a row that a person has reported by hand.
    """
    chosen, sales = str(form.get("row", "")), visit.services.sales
    ids = [int(chosen)] if chosen.isascii() and chosen.isdecimal() and len(chosen) < _DIGITS else []
    if "where" in form:
        sales.report_by_hand(ids, visit.actor, str(form["where"]))
    else:
        if not ids:
            ids = await (await _board(visit, visit.query(Query))).refused(limit=MOST_AT_ONCE)
        sales.repair(ids, visit.actor)
    return "/insurer" + (f"?{visit.request.query_string}" if visit.request.query_string else "")


async def _board(visit: Visit, query: Query) -> Board:
    return await board(visit.services.read, query.wanted(visit))


async def _rows(visit: Visit, shown: Board) -> AsyncIterator[Sequence[Cell]]:
    products = await read_console.products(visit.services.read)
    before = 0
    while rows := await shown.page(before=before, limit=_AT_ONCE):
        for row in rows:
            yield (
                row.id,
                visit.word("insurer_kind", RETURN if row.is_return else SALE),
                visit.stamp(row.happened_us),
                visit.full(products, row.product),
                row.box,
                row.order,
                visit.language.say("split") if row.is_split else visit.language.say("whole box"),
                row.quantity,
                visit.word("insurer_state", row.state),
                row.attempts,
                _cause(visit, row.cause_key),
                _advice(visit, row),
                visit.stamp(row.updated_us),
            )
        before = rows[-1].id


def _cause(visit: Visit, key: str) -> str:
    """In words where it is central's own; what the platform said is shown as it said it."""
    if key in CAUSES:
        return visit.language.say(CAUSES[key][0])
    said = next((text for mark, text in NO_ANSWERS.items() if key.startswith("http") and mark in key), "")
    return visit.language.say(said) if said else key


def _advice(visit: Visit, row: BoardRow) -> str:
    if own := CAUSES.get(row.cause_key, ("", ""))[1]:
        return visit.language.say(own)
    return visit.word("insurer_advice", row.state) if row.state != "accepted" else ""


def _lacks(visit: Visit, rows: Sequence[BoardRow]) -> Mapping[int, bool]:
    """Rows that were never sent: whether what was missing is missing still."""
    own = [row.id for row in rows if row.state == "refused" and row.cause_key in CAUSES]
    return {sale.id: bool(_gap(visit, sale)) for sale in visit.services.sales.find(own)}


def _gap(visit: Visit, sale: Sale) -> str:
    at = visit.services.time.local(sale.wall_us)
    return sale_rows.gap(sale, sale_rows.row_of(Institution(code=""), sale, at=at))
