"""The journal: every fact of this device as written, and what those facts did to items until the replica shows it too.

One transaction a group of facts, ``synchronous=FULL``: what ``commit`` returned from is on the disk. After a failed
write or sync nobody knows what the disk holds, so the file is closed, read again and believed.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import msgspec
import structlog

from edge_agent.errors import StoreError
from edge_agent.store import fact_rows, folder, leased, opening, overlay_rows, schema, sheet_rows, sqlite
from edge_agent.store.leased import NO_CHANGE, LeaseChange
from edge_agent.store.opening import Line
from edge_agent.store.witness import Witness
from sync_protocol.chain import SessionStart, links
from sync_protocol.facts import MAX_CODES, FactId, Paper
from sync_protocol.items import Item

_BEGIN = "BEGIN IMMEDIATE"
_SETTLE = "UPDATE session SET acked = ?, acked_version = ?, safe = ? WHERE number = ?"
_ADOPT = "INSERT OR REPLACE INTO setting(name, value) VALUES ('incarnation', ?)"
_FORGET_ACKS = "UPDATE session SET acked = base, acked_version = 0, safe = base"
_INCARNATION = "SELECT value FROM setting WHERE name = 'incarnation'"
_PIN = "INSERT OR REPLACE INTO setting(name, value) VALUES ('central_key', ?)"
_PINNED = "SELECT value FROM setting WHERE name = 'central_key'"
_MOVE_BASE = "UPDATE session SET base = ?, base_hash = ? WHERE number = ?"
_PRUNE = "DELETE FROM fact WHERE position BETWEEN ? AND ?"
_READ_SETTING = "SELECT value FROM setting WHERE name = ?"
REMEMBERED = 50_000
"""Overlay codes known without asking the disk; an agent that was offline for weeks may have more, and asks."""

_log: structlog.stdlib.BoundLogger = structlog.get_logger("edge_agent.journal")


class Touched(msgspec.Struct, frozen=True, kw_only=True):
    """An item as it is after the fact at ``index`` of a group."""

    item: Item
    index: int


class Journal:
    """The journal of one running agent, and its current session. To be used on one thread."""

    def __init__(self, path: Path, connection: sqlite3.Connection, lines: list[Line], witness: Witness) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = connection
        self._line = lines[-1]
        self.lines = {line.start.session: line for line in lines}
        """Sessions by name, oldest first."""
        self._witness = witness
        self.incarnation = _read_incarnation(connection)
        """Of the central that these facts were last offered to; 0: none yet (REQ-03)."""
        self.central_keys = _read_pinned(connection)
        """The key by which central was first known; none before the first contact (REQ-09)."""
        self._touched = _read_touched(connection)
        self.lease_changes = self._number("lease_changes")
        """How often a lease was written down, but for what facts used of it."""
        self.trouble = ""
        """Why the last write failed; empty while writing works."""

    @classmethod
    def open(cls, path: Path, *, device: str, session: bytes, started_us: int) -> Self:
        """Check the journal in ``path`` or make one, and begin a session in it.

        Raises JournalCorruptError, JournalNewerError, StoreError, or ConfigError for another device's journal.
        """
        testimony_path = path.with_name(folder.WITNESS)
        if testimony_path.exists() and not path.exists():
            raise sqlite.corrupt(path, "the file is gone, though facts were recorded here")
        with sqlite.explaining(path):
            connection = sqlite.connect(path, is_durable=True)
            try:
                schema.migrate_journal(connection, path)
                lines = opening.read_lines(connection)
                opening.check(connection, path, lines, device=device, testimony_path=testimony_path)
                lines.append(fact_rows.begin(connection, lines, device, session, started_us))
                return cls(path, connection, lines, Witness.open(testimony_path))
            except OSError as error:
                connection.close()
                raise StoreError(
                    f"{testimony_path}: {error.strerror}; check the disk and who may write there"
                ) from error
            except BaseException:
                connection.close()
                raise

    @property
    def start(self) -> SessionStart:
        return self._line.start

    @property
    def current(self) -> Line:
        """The session of this process."""
        return self._line

    @property
    def head(self) -> int:
        """Seq of the last fact of the current session; 0 before the first one."""
        return self._line.head

    @property
    def head_hash(self) -> bytes:
        return self._line.head_hash

    def commit(
        self,
        bodies: Sequence[bytes],
        touched: Iterable[Touched],
        lease: LeaseChange = NO_CHANGE,
        papers: Sequence[tuple[int, Paper]] = (),
    ) -> tuple[FactId, ...]:
        """Write facts and what they did, all or nothing, durably. Raises StoreError or JournalCorruptError."""
        line = self._line
        hashes, seq, first = links(line.head_hash, bodies), line.head + len(bodies), line.position(line.head + 1)
        head_hash = hashes[-1] if hashes else line.head_hash
        facts = fact_rows.rows(first, bodies, hashes)
        rows = [overlay_rows.row(change.item, first + change.index) for change in touched]
        others = (*leased.changing(lease), *sheet_rows.taking_in(papers, first))
        try:
            self._write(((fact_rows.ADD, facts), (overlay_rows.TOUCH, rows), *others))
        except StoreError:
            if (line.head, line.head_hash) != (seq, head_hash):  # read anew after the failure
                raise
        line.head, line.head_hash = seq, head_hash
        self._remember(row[1] for row in rows)
        self._testify()
        start = line.start
        return tuple(
            FactId(device=start.device, session=start.session, seq=each)
            for each in range(seq - len(bodies) + 1, seq + 1)
        )

    def write(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """One durable transaction besides the facts. Raises StoreError or JournalCorruptError."""
        self._write(((statement, rows),))

    def leased(self) -> tuple[int, list[str]]:
        """What the last lease written down still allows, and the incarnation of the central that granted it."""
        return self._number("leased_by"), [code for (code,) in self.query(leased.LEASED)]

    def keep_lease(self, change: LeaseChange, *, incarnation: int, is_whole: bool) -> None:
        """Write down what was granted or given back; ``is_whole``: ``added`` is all. Raises StoreError."""
        changes = self.lease_changes + 1
        self._write(leased.keeping(change, incarnation=incarnation, changes=changes, is_whole=is_whole))
        self.lease_changes = changes

    def _number(self, setting: str) -> int:
        rows = self.query(_READ_SETTING, setting)
        return int(rows[0][0]) if rows else 0

    def open_session(self, session: bytes, *, started_us: int) -> None:
        """Write what follows into a new session, which follows this one (``machines.uplink``). Raises StoreError."""
        number, start = self._next_number, opening.next_start(self._line, self.start.device, session, started_us)
        self._write(((fact_rows.ADD_SESSION, [opening.session_row(number, start)]),))
        self._line = self.lines[session] = opening.fresh_line(number, start)

    def write_again(self, session: bytes, through: int) -> Line:
        """Write the facts of ``session`` past ``through`` once more, in a session that follows it there; which one.

        If ``session`` is the one written now, the new one is from now on. The old facts stay, as evidence: they are for
        nobody any more (REQ-04). Raises StoreError or JournalCorruptError.
        """
        line = self.lines[session]
        for known in self.lines.values():
            if known.again_from == line.position(through + 1):
                return known
        assert max(line.acked, line.base) <= through < line.end, "what central has acked is not written again"
        old = self.query(opening.FACTS_FROM, line.position(through + 1), line.position(line.end), line.end)
        ((digest,),) = self.query(opening.HASH_AT, line.position(through)) or [(line.base_hash,)]
        again = fact_rows.again(line, (through, digest), [body for _, body, _ in old], number=self._next_number)
        self._write(again.statements)
        line.parted = (through, digest)
        self._take_up([*self.lines.values(), again.line])
        self._testify()
        return again.line

    @property
    def _next_number(self) -> int:
        return max(line.number for line in self.lines.values()) + 1

    def _take_up(self, lines: Iterable[Line]) -> None:
        """These are the sessions now."""
        self.lines = {line.start.session: line for line in opening.in_order(lines)}
        self._line = list(self.lines.values())[-1]

    def settle(self, session: bytes, through: int, version: int, safe: int = 0) -> None:
        """Write down that central has committed ``session`` through ``through``. Raises StoreError.

        ``safe``: how far a verified backup of central holds it; it never goes back.
        """
        line = self.lines[session]
        safe = max(safe, line.safe)
        self._write(((_SETTLE, [(through, version, safe, line.number)]),))
        line.acked, line.acked_version, line.safe = through, version, safe

    def adopt(self, incarnation: int) -> None:
        """Write down that another central is spoken to, and that it has said nothing yet, both or neither (REQ-03).

        Raises StoreError.
        """
        self._write(((_ADOPT, [(str(incarnation),)]), (_FORGET_ACKS, [()])))
        self.incarnation = incarnation
        for line in self.lines.values():
            line.acked, line.acked_version, line.safe = line.base, 0, line.base

    def pin_central(self, key: bytes) -> None:
        """Believe this key of central from now on. Raises StoreError."""
        self._write(((_PIN, [(key.hex(),)]),))
        self.central_keys = (key,)

    def prune(self, session: bytes, through: int) -> None:
        """Delete the facts of ``session`` up to ``through``; the chain goes on from there. Raises StoreError."""
        line = self.lines[session]
        assert line.base < through <= min(line.safe, line.acked), "only what a backup of central holds is pruned"
        ((digest,),) = self.query(opening.HASH_AT, line.position(through))
        facts = (line.position(line.base + 1), line.position(through))
        self._write(((_MOVE_BASE, [(through, digest, line.number)]), (_PRUNE, [facts])))
        line.base, line.base_hash = through, digest

    def forget_settled(self, session: bytes, through: int, limit: int) -> int:
        """Drop about ``limit`` overlay rows of facts through ``through``, which the replica shows; how many were.

        Fewer than ``limit``: there are no more.
        """
        line = self.lines[session]
        rows = self.query(overlay_rows.SETTLED, line.position(0), line.position(through), limit)
        if not rows:
            return 0
        first, last = rows[0][0], rows[-1][0]
        codes = {code for _, code in rows}
        codes.update(code for _, code in self.query(overlay_rows.SETTLED, last, last, MAX_CODES))
        self._write(((overlay_rows.LEAVE, [(first, last)]),))
        if self._touched is not None:
            self._touched -= codes
        return len(codes)

    def may_have_touched(self, code: str) -> bool:
        """False: the overlay has no row of this code, and need not be asked."""
        return self._touched is None or code in self._touched

    def query(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Raises StoreError or JournalCorruptError."""
        try:
            return self._open().execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise sqlite.explain(self.path, error) from error

    def close(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
        self._witness.close()

    def _write(self, statements: Iterable[tuple[str, Sequence[tuple[Any, ...]]]]) -> None:
        connection = self._open()
        try:
            connection.execute(_BEGIN)
            for statement, rows in statements:
                connection.executemany(statement, rows)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._undo(connection, error)
            failure = sqlite.explain(self.path, error, is_in_doubt=self._connection is None)
            self.trouble = str(failure)
            raise failure from error
        except BaseException:
            self._undo(connection, None)
            raise
        self.trouble = ""

    def _undo(self, connection: sqlite3.Connection, error: sqlite3.Error | None) -> None:
        with suppress(sqlite3.Error):
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        if error is None or not sqlite.is_input_output(error):
            return
        _log.error("journal_write_failed", path=str(self.path), error=str(error))
        with suppress(sqlite3.Error):
            connection.close()
        self._connection = None
        with suppress(StoreError):
            self._open()

    def _open(self) -> sqlite3.Connection:
        """The connection; after a failure of the disk a new one, to what the file then holds."""
        if self._connection is not None:
            return self._connection
        with sqlite.explaining(self.path):
            connection = sqlite.connect(self.path, is_durable=True)
            try:
                _write_anew(connection, self.path)
                lines = opening.read_lines(connection)
            except BaseException:
                connection.close()
                raise
        line = lines[-1]
        if line.start != self._line.start or line.head < self._line.head:
            connection.close()
            raise sqlite.corrupt(self.path, "recorded facts are gone after the disk failed")
        self._line.head, self._line.head_hash = line.head, line.head_hash
        self._take_up(self.lines.get(found.start.session, found) for found in lines)
        for found in lines:
            self.lines[found.start.session].parted = found.parted
        self._touched = _read_touched(connection)
        self._connection = connection
        _log.warning("journal_reopened", path=str(self.path), head=line.head)
        return connection

    def _remember(self, codes: Iterable[str]) -> None:
        if self._touched is not None:
            self._touched.update(codes)
            if len(self._touched) > REMEMBERED:
                self._touched = None

    def _testify(self) -> None:
        try:
            self._witness.write(self._line.number, self._line.head, self._line.head_hash)
        except OSError as error:  # the facts are safe; the witness only lags behind
            _log.warning("witness_not_written", path=str(self.path), error=str(error))


def _read_touched(connection: sqlite3.Connection) -> set[str] | None:
    """Codes in the overlay; None if there are too many to remember."""
    codes = {code for (code,) in connection.execute(overlay_rows.TOUCHED, (REMEMBERED + 1,))}
    return codes if len(codes) <= REMEMBERED else None


def _write_anew(connection: sqlite3.Connection, path: Path) -> None:
    """Every page once more, and synced: a sync that failed once may not be repeated and believed."""
    is_busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if is_busy:
        raise StoreError(f"{path}: another program holds the journal open; nothing was recorded. Close it, repeat.")


def _read_incarnation(connection: sqlite3.Connection) -> int:
    row = connection.execute(_INCARNATION).fetchone()
    return int(row[0]) if row else 0


def _read_pinned(connection: sqlite3.Connection) -> tuple[bytes, ...]:
    return tuple(bytes.fromhex(value) for (value,) in connection.execute(_PINNED))
