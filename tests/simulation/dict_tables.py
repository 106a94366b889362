"""The ledger's tables as dictionaries, and the writes of one commit before they are made."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from itertools import takewhile
from typing import Any

import msgspec

from central.ledger import statements
from central.ledger.staging import UNREADABLE
from central.ledger.write import DEVICE
from central.stock import recall_rows
from central.sync import comparing, recalls
from central.sync.safe import _OF_SESSION
from sync_protocol.chain import Stretch
from sync_protocol.facts import Fact, SealedFact
from sync_protocol.items import Item
from sync_protocol.lifecycle import Refusal
from sync_protocol.machines.ingest import SessionState
from tests.simulation.books import Entry, Misfit
from tests.simulation.dict_leases import LEASE_WRITES, leasable, lease_answers
from tests.simulation.disk import GONE, Disk, Write

Row = tuple[Any, ...]


class Answer(list[Row]):
    """The rows of a statement, as a cursor gives them."""

    def fetchone(self) -> Row | None:
        return self[0] if self else None

    def fetchall(self) -> list[Row]:
        return self


def in_order(recalls: dict[str, Row]) -> list[Row]:
    """Rows of the recall table, as central reads them: by when they were issued, and their name."""
    return sorted(recalls.values(), key=lambda row: (row[6], row[0]))


TABLES = (
    "session",
    "received",
    "safe",
    "fact",
    "item",
    "change",
    "exception",
    "early",
    "agent",
    "backup",
    "lease",
    "leased",
    "drift",
    "recall",
    "recall_set",
    "recall_confirm",
    "meta",
)

_OF_MANY = {statements.READ_SESSIONS, statements.READ_REACH, statements.LEASABLE, statements.VERDICTS}
"""Asked with as many values, or rows of them, as there are."""


@lru_cache(maxsize=4_096)
def of_one(statement: str) -> str:
    """The statement as it is written down, whatever the number of values that it was made for."""
    listed = re.sub(r"\(\?(,\?)*\)", "({codes})", statement)
    return re.sub(r"(\((?:\?, )+\?\))(, \1)+", r"\1", listed)


def version_of(disk: Disk) -> int:
    """Of the last commit, or the one that a new life goes on from."""
    last: int = next(reversed(disk.tables["change"]), 0)
    return max(last, int(disk.tables["meta"].get("version", 0)))


class Tables:
    """The committed state, with the indexes that questions need."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.sessions: dict[bytes, SessionState] = disk.tables["session"]
        self.items: dict[str, tuple[Item, int]] = disk.tables["item"]
        self.changes: dict[int, tuple[str, ...]] = disk.tables["change"]
        self.facts: dict[int, Entry] = disk.tables["fact"]
        self.misfits: dict[int, tuple[Misfit, Row]] = disk.tables["exception"]
        self.meta: dict[str, Any] = disk.tables["meta"]
        self.early: dict[tuple[bytes, int], tuple[bytes, bytes]] = disk.tables["early"]
        """(session, seq) to body and hash."""
        self.units: dict[str, set[str]] = defaultdict(set)
        self.verdicts: dict[bytes, list[Row]] = defaultdict(list)
        self.hashes: dict[tuple[bytes, int], bytes] = {}
        for item, _ in self.items.values():
            self.index_item(item)
        for misfit, verdict in self.misfits.values():
            self.index_misfit(misfit, verdict)
        for entry in self.facts.values():
            self.index_fact(entry)
        self._answers: dict[str, Callable[..., list[Row]]] = {
            **lease_answers(self),
            statements.READ_META: self._read_meta,
            statements.READ_SESSIONS: self._read_sessions,
            statements.READ_REACH: self._read_reach,
            statements.LEASABLE: partial(leasable, self),
            _OF_SESSION: self._of_session,
            statements.HASH_OF: self._hash_of,
            statements.VERDICTS: self._verdicts,
            statements.AGENTS: lambda: list(disk.tables["agent"].values()),
            statements.LAST_HEARD: self._last_heard,
            statements.REVOKED: list,
            statements.EARLY_HEADS: self._early_heads,
            recall_rows.READ_SET: lambda: list(disk.tables["recall_set"].values()),
            recall_rows.ALL: lambda: in_order(disk.tables["recall"]),
            recall_rows.UNSETTLED: lambda: [row for row in in_order(disk.tables["recall"]) if not row[-1]],
        }

    @property
    def version(self) -> int:
        return version_of(self.disk)

    def changed_after(self, version: int) -> list[int]:
        """Versions of commits, in their order."""
        newer = takewhile(lambda one: one > version, reversed(self.changes))
        return sorted(newer)

    def index_item(self, item: Item) -> None:
        if item.box:
            self.units[item.box].add(item.code)

    def index_misfit(self, misfit: Misfit, verdict: Row) -> None:
        if misfit.position is not None:
            self.verdicts[misfit.session].append(verdict)

    def index_fact(self, entry: Entry) -> None:
        identity = entry.sealed.id
        self.hashes[identity.session, identity.seq] = entry.sealed.hash

    def execute(self, statement: str, values: Sequence[Any] = ()) -> Answer:
        """The statements that central asks a connection, by name; a new one needs its answer here."""
        one = statement if statement in self._answers else of_one(statement)
        if one in _OF_MANY:
            return Answer(self._answers[one](values))
        return Answer(self._answers[one](*values))

    def _read_meta(self, key: str) -> list[Row]:
        return [(self.meta[key],)] if key in self.meta else []

    def _read_sessions(self, sessions: Sequence[bytes]) -> list[Row]:
        found = (self.sessions[session] for session in sessions if session in self.sessions)
        return [(*msgspec.structs.astuple(state.start), state.through, state.head) for state in found]

    def _read_reach(self, sessions: Sequence[bytes]) -> list[Row]:
        safe = self.disk.tables["safe"]
        found = (self.sessions[session] for session in sessions if session in self.sessions)
        return [(state.start.session, state.through, safe.get(state.start.session, 0), state.head) for state in found]

    def _of_session(self, session: bytes) -> list[Row]:
        return [(self.sessions[session].start.device, *row[1:3]) for row in self._read_reach([session])]

    def _hash_of(self, session: bytes, seq: int) -> list[Row]:
        found = self.hashes.get((session, seq))
        return [(found,)] if found else []

    def _verdicts(self, spans: Sequence[Any]) -> list[Row]:
        found = [
            (session, *row)
            for session, first, last in zip(spans[::3], spans[1::3], spans[2::3], strict=True)
            for row in self.verdicts.get(session, ())
            if first <= row[0] <= last
        ]
        return sorted(found, key=lambda row: (row[0], int(row[1])))

    def _early_heads(self) -> list[Row]:
        last: dict[bytes, tuple[int, bytes]] = {}
        for (session, seq), (_, digest) in self.early.items():
            last[session] = max(last.get(session, (0, b"")), (seq, digest))
        return [(session, *last[session]) for session in self.sessions if session in last]

    def _last_heard(self) -> list[Row]:
        heard: dict[str, int] = {row[0]: row[1] for row in self.disk.tables["agent"].values()}
        for session, us in self.disk.tables["received"].items():
            device = self.sessions[session].start.device
            if device != DEVICE:
                heard[device] = max(us, heard.get(device, 0))
        return list(heard.items())


class Writer:
    """A transaction without a version: what it writes, by name of the statement."""

    def __init__(self, tables: Tables) -> None:
        self.writes: list[Write] = []
        self._tables = tables
        self._makes: dict[str, Callable[..., Write]] = {
            statements.WRITE_META: lambda key, value: ("meta", key, value),
            statements.DELETE_META: lambda key: ("meta", key, GONE),
            statements.WRITE_AGENT: lambda *row: ("agent", row[0], row),
            statements.SAFE_SESSION: lambda safe, session: ("safe", session, safe),
            statements.ADD_BACKUP: lambda *row: ("backup", row[0], row),
            recalls._FORGET: lambda *row: ("recall_confirm", row[0], row[1]),
            recalls._CONFIRM: lambda *row: ("recall_confirm", row[0], row[1]),
            **LEASE_WRITES,
            comparing._NOTE: lambda *row: ("drift", row[:2], row),
        }

    def execute(self, statement: str, values: Sequence[Any] = ()) -> Answer:
        make = self._makes.get(statement)
        if make is None:
            return self._tables.execute(statement, values)
        self.writes.append(make(*values))
        return Answer()

    def executemany(self, statement: str, rows: Iterable[Row]) -> None:
        for row in rows:
            self.execute(statement, row)


class DictStaging:
    """Stands in for ``central.ledger.staging.Staging``: gathers the writes of one commit."""

    def __init__(self, version: int) -> None:
        self.facts: list[Entry] = []
        self.misfits: list[tuple[Misfit, Row]] = []
        self.items: dict[str, Item] = {}
        self.sessions: dict[bytes, SessionState] = {}
        self.early: list[Write] = []
        self.recalls: dict[str, Row] = {}
        self.recall_set: list[Write] = []
        self._version = version

    def add_fact(self, position: int, facts: Stretch, index: int, fact: Fact, before: str) -> None:  # noqa: ARG002 -- the shape it stands in for
        self.facts.append(Entry(position=position, sealed=facts[index], version=self._version))

    def touch(self, codes: Iterable[str]) -> None:
        """These tables know no life of a code."""

    def add_unreadable(self, position: int, sealed: SealedFact, cause: str) -> None:
        self.facts.append(Entry(position=position, sealed=sealed, version=self._version))
        self._misfit(position, sealed, ("", UNREADABLE, UNREADABLE, "", cause, "a fact that this software reads"))

    def add_refusal(self, position: int, sealed: SealedFact, refusal: Refusal) -> None:
        about = (refusal.code, refusal.what, refusal.reason, refusal.state or "", refusal.found, refusal.expected)
        self._misfit(position, sealed, about)

    def add_misfit(self, device: str, session: bytes, *, reason: str, found: str, expected: str) -> None:
        misfit = Misfit(position=None, device=device, session=session, seq=0, code="", reason=reason, found=found)
        self.misfits.append((misfit, (0, "", "", reason, "", found, expected)))

    def put_session(self, state: SessionState) -> None:
        self.sessions[state.start.session] = state

    def write(self) -> None:
        """Written when the commit is."""

    def _misfit(self, position: int, sealed: SealedFact, about: Row) -> None:
        identity = sealed.id
        misfit = Misfit(
            position=position,
            device=identity.device,
            session=identity.session,
            seq=identity.seq,
            code=about[0],
            reason=about[2],
        )
        self.misfits.append((misfit, (identity.seq, *about)))
