"""Rows of one commit before they are written: gathered fact by fact, written together, sorted by key."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from central.ledger import lives, rows, statements
from sync_protocol.chain import Stretch
from sync_protocol.facts import Fact, SealedFact
from sync_protocol.items import Item
from sync_protocol.lifecycle import Refusal
from sync_protocol.machines.ingest import SessionState
from sync_protocol.sql import many

UNREADABLE = "unreadable"


class Staging:
    """``write`` may be called several times in a commit: each time it writes what came since.

    ``filed``: rows of facts that are written. ``items``: by code, those that are not, each as it is now.
    ``originals``: by code, the item as it was before the commit. ``last``: by code, the position of the last fact
    about it.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        *,
        version: int,
        now_us: int,
        originals: Mapping[str, Item | None],
        last: Mapping[str, int],
    ) -> None:
        self.filed: list[rows.Row] = []
        self.items: dict[str, Item] = {}
        self._connection = connection
        self._version = version
        self._now_us = now_us
        self._originals = originals
        self._last = last
        self._facts: list[rows.Row] = []
        self._runs: list[rows.Row] = []
        self._shifts: dict[bytes, int] = {}
        self._of: Stretch | None = None
        """Whose the last fact was; its session and device follow, and by how much its positions are past its seqs."""
        self._session, self._device = bytearray(), ""
        self._shift: int | None = None
        self._touched: set[str] = set()
        self._exceptions: list[rows.Row] = []
        self._written: dict[str, Item] = {}
        self._sessions: dict[bytes, SessionState] = {}

    @property
    def is_empty(self) -> bool:
        return not (self._facts or self._exceptions or self.items or self._sessions)

    def add_fact(self, position: int, facts: Stretch, index: int, fact: Fact, before: str) -> None:
        """``fact``: what the bytes at this index say."""
        # bytearray: for each plain bytes the driver looks for an adapter first, at several times the cost of the value.
        if facts is not self._of:
            self._of, self._session, self._device = facts, bytearray(facts.start.session), facts.start.device
            self._shift = self._shifts.get(facts.start.session)
        seq = facts.first_seq + index
        if position - seq != self._shift:
            self._shift = position - seq
            self._begin_run(facts.start.session, seq, position)
        self._facts.append(
            (
                position,
                self._session,
                seq,
                self._device,
                fact.what._value_,  # the property of that name asks its class first, at each fact
                bytearray(facts.bodies[index]),
                bytearray(facts.hashes[index]),
                self._version,
                self._now_us,
                fact.at.wall_us,
                fact.operator,
                fact.document,
                fact.order,
                before,
            )
        )

    def add_unreadable(self, position: int, sealed: SealedFact, cause: str) -> None:
        who = (position, sealed.id.session, sealed.id.seq, sealed.id.device)
        self._begin_run(*who[1:3], position)
        unknown = (0, "", "", "", lives.FIRST)
        self._facts.append((*who, UNREADABLE, sealed.body, sealed.hash, self._version, self._now_us, *unknown))
        expected = "a fact that this software reads"
        self.add_exception(position, sealed, reason=UNREADABLE, what=UNREADABLE, found=cause, expected=expected)

    def touch(self, codes: Iterable[str]) -> None:
        """A fact about these items was added, whether it changed them or not."""
        self._touched.update(codes)

    def add_refusal(self, position: int, sealed: SealedFact, refusal: Refusal) -> None:
        self.add_exception(
            position,
            sealed,
            code=refusal.code,
            what=refusal.what,
            reason=refusal.reason,
            state=refusal.state or "",
            found=refusal.found,
            expected=refusal.expected,
        )

    def add_exception(
        self,
        position: int,
        sealed: SealedFact,
        *,
        reason: str,
        code: str = "",
        what: str = "",
        state: str = "",
        found: str,
        expected: str,
    ) -> None:
        identity = sealed.id
        row = (position, identity.device, identity.session, identity.seq, code, what, reason, state, found, expected)
        self._exceptions.append((*row, self._now_us))

    def add_misfit(self, device: str, session: bytes, *, reason: str, found: str, expected: str) -> None:
        """An exception that is about a chain and not about a fact."""
        self._exceptions.append((None, device, session, 0, "", "", reason, "", found, expected, self._now_us))

    def put_session(self, state: SessionState) -> None:
        self._sessions[state.start.session] = state

    def write(self) -> None:
        if self._sessions:
            self._connection.executemany(
                statements.WRITE_SESSION, [self._session_row(state) for state in self._sessions.values()]
            )
            self._sessions = {}
        if self._facts:
            self._write_many(statements.ADD_FACT, self._facts)
            self._connection.executemany(statements.ADD_RUN, self._runs)
            self.filed += self._facts
            self._facts, self._runs = [], []
        if self._exceptions:
            self._connection.executemany(statements.ADD_EXCEPTION, self._exceptions)
            self._exceptions = []
        if self.items or self._touched:
            self._write_items()

    def _write_many(self, statement: str, found: Sequence[rows.Row]) -> None:
        for each, values in many(statement, found, tuple):
            self._connection.execute(each, values)

    def _begin_run(self, session: bytes, seq: int, position: int) -> None:
        """If the fact does not follow the one before it in its session."""
        if self._shifts.get(session) != position - seq:
            self._shifts[session] = position - seq
            self._runs.append((session, seq, position))

    def _write_items(self) -> None:
        added: list[rows.Row] = []
        stepped: list[rows.Row] = []
        moved: list[rows.Row] = []
        changed: list[rows.Row] = []
        items, written, originals = self.items, self._written, self._originals
        last, version = self._last, self._version
        touched = sorted(self._touched - items.keys())
        for code in sorted(items):
            item, before, position = items[code], written.get(code) or originals[code], last.get(code, 0)
            if before is None:
                added.append(rows.new_item_row(item, version, position))
            elif not _stays_in_place(before, item):
                changed.append(rows.changed_item_row(item, version, position))
            elif _only_steps(before, item):
                stepped.append(rows.stepped_item_row(item, version, position))
            else:
                moved.append(rows.moved_item_row(item, version, position))
        written.update(items)
        items.clear()
        self._touched.clear()
        self._connection.executemany(statements.ADD_ITEM, added)
        self._write_many(statements.STEP_ITEM, stepped)
        self._write_many(statements.MOVE_ITEM, moved)
        self._connection.executemany(statements.CHANGE_ITEM, changed)
        self._connection.executemany(statements.TOUCH_ITEM, [(last[code], code) for code in touched])

    def _session_row(self, state: SessionState) -> rows.Row:
        start = state.start
        parent = (start.parent_session, start.parent_seq, start.parent_hash)
        return (start.session, start.device, *parent, start.started_us, state.through, state.head, self._now_us)


def in_chunks(connection: sqlite3.Connection, statement: str, keys: Sequence[Any]) -> Iterator[rows.Row]:
    """Rows of a statement with one IN list, whatever the number of keys."""
    for start in range(0, len(keys), statements.CHUNK):
        chunk = keys[start : start + statements.CHUNK]
        yield from connection.execute(statements.marks(statement, len(chunk)), chunk).fetchall()


def in_rows(connection: sqlite3.Connection, statement: str, values: Sequence[rows.Row]) -> Iterator[rows.Row]:
    """Rows of a statement that asks for one row of values, whatever the number of them."""
    for each, flat in many(statement, values, tuple):
        yield from connection.execute(each, flat).fetchall()


def _stays_in_place(before: Item, item: Item) -> bool:
    return (
        before.location == item.location
        and before.document == item.document
        and before.units == item.units
        and before.tag == item.tag
    )


def _only_steps(before: Item, item: Item) -> bool:
    """As most facts have it: the state is another, and who has it."""
    return before.order == item.order and before.pouch == item.pouch and before.before is item.before
