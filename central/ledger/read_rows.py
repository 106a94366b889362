"""Rows of the ledger as readers get them, and how they are made of the tables' columns."""

import datetime as dt
from typing import Any, TypeVar

import msgspec
from sqlalchemy import RowMapping

from sync_protocol.codec import decode_fact
from sync_protocol.documents import Order, OrderKind, OrderState, Route
from sync_protocol.errors import ProtocolError
from sync_protocol.items import Item, Kind, State
from sync_protocol.machines.incarnation import LIVES_APART

_S = TypeVar("_S", bound=msgspec.Struct)


class Misfit(msgspec.Struct, frozen=True, kw_only=True):
    """Why a fact did not fit a code: it is kept, and the work list has it."""

    code: str
    reason: str
    state: str
    found: str
    expected: str


class OnPaper(msgspec.Struct, frozen=True, kw_only=True):
    """The line of a printed sheet that a fact was written on when it happened; who scanned it back, and when (A22)."""

    sheet: str
    line: int
    by: str
    at_us: int


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One fact in the life of a code. ``codes``: how many codes the fact is about."""

    position: int
    what: str
    code: str
    """The code asked for, or the box that it came from."""
    device: str
    seq: int
    at_us: int
    """When the device says that it happened, corrected by the offset of its clock."""
    received_us: int
    operator: str = ""
    witness: str = ""
    location: str = ""
    document: str = ""
    order: str = ""
    how: str = ""
    source: str = ""
    reason: str = ""
    pouch: str = ""
    codes: int = 0
    is_provisional: bool = False
    """Issued in an emergency, by a workplace that had no right to (REQ-08)."""
    is_forced: bool = False
    """A step that needs a scan, confirmed by two people who say why it went on without one (A11)."""
    stale_s: int = 0
    """X09: how old the copy of the ledger was that it was checked against, in seconds, if it is marked with that."""
    paper: OnPaper | None = None
    misfits: tuple[Misfit, ...] = ()


class ExceptionRow(msgspec.Struct, frozen=True, kw_only=True):
    """A fact that does not fit, on the work list until a person closes it."""

    id: int
    position: int | None
    device: str
    seq: int
    code: str
    what: str
    reason: str
    state: str
    found: str
    expected: str
    raised_us: int
    closed_us: int | None
    closed_by: str


class AgentRow(msgspec.Struct, frozen=True, kw_only=True):
    """A device that speaks to central, as last heard. ``replica_lag``: ledger versions that its replica is behind.

    ``has_no_copy``: its replica is empty, or of the ledger as it was before a restore; the number says nothing then.
    """

    device: str
    is_connected: bool
    last_seen_us: int
    software: str
    replica_version: int
    replica_lag: int
    has_no_copy: bool
    facts_waiting: int
    clock_offset_us: int | None
    recall_version: int
    """Of the recall set that it holds."""


class InsurerRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row for the insurer: a box and, if split, how many of its units."""

    id: int
    box: str
    order: str
    quantity: int
    is_split: bool
    state: str
    attempts: int
    msgid: str
    cause: str
    next_try_us: int
    updated_us: int
    is_return: bool
    """It came back: told by 3506A, not 3505A."""


def item_of(row: RowMapping) -> Item:
    return Item(
        code=row["code"],
        kind=Kind(row["kind"]),
        product=row["product"],
        lot=row["lot"],
        expiry=dt.date.fromisoformat(row["expiry"]),
        state=State(row["state"]),
        location=row["location"],
        document=row["document"],
        order=row["order_id"],
        holder=row["holder"],
        box=row["box"],
        units=row["units"],
        pouch=row["pouch"],
        before=State(row["before"]) if row["before"] else None,
        tag=row["tag"],
        made=dt.date.fromisoformat(row["made"]) if row["made"] else None,
        is_controlled=bool(row["is_controlled"]),
    )


def order_of(row: RowMapping, codes: tuple[str, ...]) -> Order:
    return Order(
        id=row["id"],
        kind=OrderKind(row["kind"]),
        product=row["product"],
        quantity=row["quantity"],
        patient=row["patient"],
        visit=row["visit"],
        ward=row["ward"],
        location=row["location"],
        route=Route(row["route"]),
        state=OrderState(row["state"]),
        ordered_us=row["ordered_us"],
        prescriber=row["prescriber"],
        codes=codes,
        is_self_pay=bool(row["is_self_pay"]),
    )


def exception_of(row: RowMapping) -> ExceptionRow:
    return _same_names(row, ExceptionRow)


def insurer_row_of(row: RowMapping) -> InsurerRow:
    return _same_names(
        row, InsurerRow, order=row["order_id"], is_split=bool(row["is_split"]), is_return=bool(row["is_return"])
    )


def agent_of(row: RowMapping, version: int) -> AgentRow:
    lag = max(0, version - row["replica_version"])
    is_connected = bool(row["is_connected"])
    return _same_names(row, AgentRow, replica_lag=lag, has_no_copy=lag >= LIVES_APART, is_connected=is_connected)


def _same_names(row: RowMapping, kind: type[_S], **others: Any) -> _S:
    columns = {name: row[name] for name in kind.__struct_fields__ if name not in others}
    return kind(**columns, **others)


def said_at(row: RowMapping) -> int:
    """When a fact happened, corrected by the offset of the device's clock."""
    try:
        return decode_fact(row["body"]).at.corrected_us
    except ProtocolError:
        return int(row["wall_us"])
